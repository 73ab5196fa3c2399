"""Server-sent events with an async view of Django: /events?q=... MODEL names the model, PORT the port."""

import os

import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

from cogent import Agent
from cogent.web import NO_BUFFERING, sse_events

agent = Agent(name="assistant", model=os.environ.get("MODEL", "local"))


async def events(request: HttpRequest) -> HttpResponseBase:
    """The answer as events; a browser that connects again is told to stop."""
    if "Last-Event-ID" in request.headers:
        return HttpResponse(status=204)
    texts = sse_events(agent.run_stream(request.GET["q"]))
    return StreamingHttpResponse(
        texts, content_type="text/event-stream", headers=NO_BUFFERING
    )


urlpatterns = [path("events", events)]
settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="for this example"
)
app = get_asgi_application()  # under WSGI an answer would hold up a whole worker

if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    uvicorn.run(
        app, host="127.0.0.1", port=port, lifespan="off", timeout_graceful_shutdown=5
    )
