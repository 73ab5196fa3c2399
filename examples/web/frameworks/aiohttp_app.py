"""Server-sent events with aiohttp: /events?q=... MODEL names the model, PORT the port."""

import os
from contextlib import aclosing

from aiohttp import web

from cogent import Agent
from cogent.web import NO_BUFFERING, sse_events

agent = Agent(name="assistant", model=os.environ.get("MODEL", "local"))


async def events(request: web.Request) -> web.StreamResponse:
    """The answer as events; a browser that connects again is told to stop."""
    if "Last-Event-ID" in request.headers:
        return web.Response(status=204)
    response = web.StreamResponse(headers=NO_BUFFERING)
    response.content_type = "text/event-stream"
    await response.prepare(request)
    async with aclosing(sse_events(agent.run_stream(request.query["q"]))) as texts:
        async for text in texts:
            await response.write(text.encode())
    return response


app = web.Application()
app.router.add_get("/events", events)

if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    # Otherwise aiohttp notices that a client has left only when it writes: not before the first token, nor in a tool.
    web.run_app(app, host="127.0.0.1", port=port, handler_cancellation=True)
