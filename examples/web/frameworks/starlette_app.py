"""Server-sent events with Starlette: /events?q=... MODEL names the model, PORT the port."""

import os

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cogent import Agent
from cogent.web import sse_response

agent = Agent(name="assistant", model=os.environ.get("MODEL", "local"))


async def events(request: Request) -> Response:
    """The answer as events."""
    return sse_response(agent.run_stream(request.query_params["q"]), request)


app = Starlette(routes=[Route("/events", events)])

if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    # The answers end with uvicorn by themselves; other open connections get five seconds.
    uvicorn.run(app, host="127.0.0.1", port=port, timeout_graceful_shutdown=5)
