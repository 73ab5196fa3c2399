"""The one response class behind all of `responses.py`; it needs the extra `web`.

sse-starlette's response listens for the client's leaving whatever the server is, sends
pings, and ends with uvicorn. What is added: the status 204, and that a body which fails
is never ended cleanly.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

from sse_starlette import EventSourceResponse
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

LAST_EVENT_ID = "last-event-id"


def is_asked_again(headers: Mapping[str, str]) -> bool:
    """Whether a browser's EventSource connects again by itself.

    It does so after every end, and sends the id of the last event.
    """
    return LAST_EVENT_ID in headers


def ask_no_more() -> Response:
    """The answer that makes an EventSource give up."""
    return Response(status_code=204)


class RunResponse(EventSourceResponse):
    """The texts of a run as a body; closing them stops the run."""

    def __init__(
        self,
        texts: AsyncGenerator[str, None],
        media_type: str,
        headers: Mapping[str, str],
        ping: float,
    ) -> None:
        super().__init__(
            _as_bytes(texts), headers=headers, media_type=media_type, ping=ping
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_asked_again(Headers(scope=scope)):
            await ask_no_more()(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        except Exception:
            with suppress(Exception):
                # No server and no middleware lets a message of this type pass. Without
                # it Starlette's BaseHTTPMiddleware ends a body cleanly that has failed.
                await send({"type": "http.response.broken"})
            raise


async def _as_bytes(texts: AsyncGenerator[str, None]) -> AsyncGenerator[bytes, None]:
    try:
        async for text in texts:
            yield text.encode("utf-8", "replace")
    finally:
        await texts.aclose()
