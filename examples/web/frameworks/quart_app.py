"""Server-sent events with Quart: /events?q=... MODEL names the model, PORT the port."""

import asyncio
import os

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response, request

from cogent import Agent
from cogent.web import NO_BUFFERING, sse_events

agent = Agent(name="assistant", model=os.environ.get("MODEL", "local"))
app = Quart(__name__)


@app.get("/events")
async def events() -> Response:
    """The answer as events; a browser that connects again is told to stop."""
    if "Last-Event-ID" in request.headers:
        return Response(status=204)
    texts = sse_events(agent.run_stream(request.args["q"]))
    response = Response(texts, content_type="text/event-stream", headers=NO_BUFFERING)
    response.timeout = None  # by default Quart ends an answer after a minute
    return response


if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ.get('PORT', '8000')}"]
    asyncio.run(serve(app, config))
