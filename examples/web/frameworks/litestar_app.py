"""Server-sent events with Litestar: /events?q=... MODEL names the model, PORT the port."""

import os

import uvicorn
from litestar import Litestar, Request, Response, get
from litestar.response import Stream

from cogent import Agent
from cogent.web import NO_BUFFERING, sse_events

agent = Agent(name="assistant", model=os.environ.get("MODEL", "local"))


@get("/events")
async def events(q: str, request: Request) -> Stream | Response[None]:
    """The answer as events; a browser that connects again is told to stop."""
    if "Last-Event-ID" in request.headers:
        return Response(None, status_code=204)
    texts = sse_events(agent.run_stream(q))
    return Stream(texts, media_type="text/event-stream", headers=NO_BUFFERING)


app = Litestar([events])

if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    uvicorn.run(app, host="127.0.0.1", port=port, timeout_graceful_shutdown=5)
