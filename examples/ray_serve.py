"""A chat on many machines, by Ray Serve: http://127.0.0.1:8000/chat?q=... streams the answer as server-sent events.

    pip install "cogent-ai[all,ray,web]"
    python examples/ray_serve.py

A client that leaves stops its run. Where all replicas are busy and as many wait as may,
a request gets the status 503 at once. MODEL names the model, by default the embedded
one; PORT the port.
"""

import os

from fastapi import FastAPI
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from cogent import Agent, Model
from cogent.web import sse_response

LONGEST_ANSWER = 600  # seconds
# Each takes memory and a connection to the provider; find yours by trying.
STREAMS_PER_REPLICA = int(os.environ.get("STREAMS_PER_REPLICA", "200"))
WAITING = int(os.environ.get("WAITING", "100"))

app = FastAPI()


@serve.deployment(
    num_replicas=2,
    ray_actor_options={"num_cpus": 0.5},
    max_ongoing_requests=STREAMS_PER_REPLICA,
    max_queued_requests=WAITING,
    # A replica that is replaced ends what it has begun, as long as it may take.
    graceful_shutdown_timeout_s=LONGEST_ANSWER,
)
@serve.ingress(app)
class Chat:
    """One agent in each replica."""

    def __init__(self) -> None:
        model = Model(os.environ.get("MODEL", "local"), max_tokens=500)
        self.agent = Agent("chat", model)

    @app.get("/chat")
    async def chat(self, q: str, request: Request) -> Response:
        return sse_response(self.agent.run_stream(q), request)


chat = Chat.bind()

if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(chat, blocking=True)
