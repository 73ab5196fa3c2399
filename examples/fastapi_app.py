"""An agent on the web, as plain text (/chat?q=...) and as server-sent events (/events?q=...).

MODEL names the model, by default the embedded one; PORT the port.
"""

import os
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sse_starlette import EventSourceResponse

from cogent import Agent

agent = Agent(name="assistant", model=os.environ.get("MODEL", "local"))
app = FastAPI()


@app.get("/chat")
async def chat(q: str) -> StreamingResponse:
    async def generate() -> AsyncIterator[str]:
        async for chunk in agent.run_stream(q):
            yield chunk.content

    return StreamingResponse(generate(), media_type="text/plain")


@app.get("/events")
async def events(q: str) -> EventSourceResponse:
    async def generate() -> AsyncIterator[dict[str, str]]:
        async for chunk in agent.run_stream(q):
            if chunk.content:
                yield {"event": "token", "data": chunk.content}
        yield {"event": "done", "data": ""}

    return EventSourceResponse(generate())


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
