"""An agent on the web, as plain text (/chat?q=...) and as server-sent events (/events?q=...).

MODEL names the model, by default the embedded one; PORT the port.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, Response
from fastapi.responses import StreamingResponse
from sse_starlette import EventSourceResponse

from cogent import Agent, CogentError

agent = Agent(name="assistant", model=os.environ.get("MODEL", "local"))
app = FastAPI()


@app.get("/chat")
async def chat(q: str) -> StreamingResponse:
    """The answer as text. An error breaks the connection, so that half an answer never looks like a whole one."""

    async def generate() -> AsyncIterator[str]:
        async for chunk in agent.run_stream(q):
            yield chunk.content

    return StreamingResponse(generate(), media_type="text/plain")


@app.get("/events")
async def events(
    q: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """The answer as events: a `token` for each piece of text, then `done`, or `failed` with what went wrong."""
    # A browser's EventSource connects again after every end, also after `done`, unless the page closes it. That would
    # put the question anew every few seconds. It sends the id of the last event it saw; 204 tells it to stop.
    if last_event_id is not None:
        return Response(status_code=204)

    async def generate() -> AsyncIterator[dict[str, str]]:
        count = 0
        try:
            async for chunk in agent.run_stream(q):
                if chunk.content:
                    count += 1
                    yield {"id": str(count), "event": "token", "data": chunk.content}
        except CogentError as error:
            yield {"id": str(count + 1), "event": "failed", "data": describe(error)}
        else:
            yield {"id": str(count + 1), "event": "done", "data": ""}

    return EventSourceResponse(generate())


def describe(error: CogentError) -> str:
    """What a page may show of an error, as JSON."""
    retryable = getattr(error, "retryable", False)
    return json.dumps(
        {"kind": type(error).__name__, "message": str(error), "retryable": retryable}
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
