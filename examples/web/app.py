"""A chat in a browser: one FastAPI app and one page. `uv run python examples/web/app.py`, then open the address.

MODEL names the model, by default the embedded one, which knows no tools; PORT the port. SECRET signs the conversations
that pages keep; without one they end when the server does.
"""

import os
import secrets
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from cogent import Agent, Model, Tool, tool
from cogent.web import (
    BadInput,
    ag_ui_response,
    bad_input_response,
    read_question,
    sse_response,
    vercel_response,
)

HERE = Path(__file__).parent
SECRET = os.environ.get("SECRET") or secrets.token_hex()
NAME = os.environ.get("MODEL", "local")


@tool
def weather(city: str) -> dict[str, str | int]:
    """The weather in a city."""
    return {"city": city, "sky": "light rain", "celsius": 7}


@tool(approval=True)
def send_mail(to: str, subject: str, text: str) -> str:
    """Send a mail; the user is asked first."""
    return f"The mail {subject!r} is on its way to {to}."


# The browser knows the time where the user is, and the server does not: the page runs this one.
local_time = Tool.from_schema(
    "local_time", "The user's date, time and time zone.", {"type": "object"}, None
)


class Place(BaseModel):
    """What a card shows of a place."""

    name: str
    country: str
    summary: str = Field(description="Two sentences.")
    population: int | None = None
    sights: list[str] = Field(default_factory=list, max_length=4)


# The embedded model is so small that it does not always find an end.
model = Model(NAME, max_tokens=400) if NAME.startswith("local") else Model(NAME)
agent = Agent("assistant", model, tools=[weather, send_mail, local_time])
cards = Agent("cards", model, output_type=Place)

app = FastAPI()
app.add_exception_handler(BadInput, bad_input_response)
app.mount("/page", StaticFiles(directory=HERE / "page"))


@app.get("/")
async def index() -> FileResponse:
    """The page."""
    return FileResponse(HERE / "page" / "index.html")


@app.post("/chat")
async def chat(request: Request) -> Response:
    """What the page asks, and the events that it reads."""
    question = await read_question(request, secret=SECRET)
    wants_card = question.data.get("card") is True
    stream = question.run_stream(cards if wants_card else agent)
    return sse_response(stream, request, question=question, partial=wants_card)


@app.post("/vercel")
async def vercel(request: Request) -> Response:
    """The same for `useChat({ transport: new DefaultChatTransport({ api: "/vercel" }) })`."""
    question = await read_question(request, form="vercel", secret=SECRET)
    stream = question.run_stream(agent)
    return vercel_response(stream, request, question=question)


@app.post("/ag-ui")
async def ag_ui(request: Request) -> Response:
    """The same for `new HttpAgent({ url: "/ag-ui" })`."""
    question = await read_question(request, form="ag_ui", secret=SECRET)
    stream = question.run_stream(agent)
    return ag_ui_response(stream, request, question=question)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    # The answers end with uvicorn by themselves; other open connections get five seconds.
    uvicorn.run(app, host="127.0.0.1", port=port, timeout_graceful_shutdown=5)
