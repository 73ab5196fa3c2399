"""Runs as responses of Starlette, and so of FastAPI.

What is true of all of them: the head forbids caching and a proxy's buffering; the run
stops when the client leaves, also before the first token, inside a tool and behind
middleware, and when uvicorn shuts down; and a client that connects again is told by
status 204 to stay away, so that no question is asked twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cogent.errors import ConfigurationError
from cogent.stream import AgentStream
from cogent.web.ag_ui import ag_ui_events
from cogent.web.bad_input import BadInput
from cogent.web.body import (
    MAX_BODY_BYTES,
    Form,
    check_content_type,
    check_size,
    parse_question,
)
from cogent.web.encoding import Texts
from cogent.web.question import Question
from cogent.web.seal import Secret
from cogent.web.sse import sse_events
from cogent.web.text import text_pieces
from cogent.web.vercel import vercel_events

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

NO_BUFFERING: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""The headers of a body that is to arrive piece by piece.

>>> NO_BUFFERING["Cache-Control"]
'no-store'
"""

# Browsers hold back the first bytes of a plain text to guess what it is.
NO_GUESSING = {"X-Content-Type-Options": "nosniff"}
VERCEL = {"x-vercel-ai-ui-message-stream": "v1"}
EVENTS = "text/event-stream"
PING_SECONDS = 15.0
"""Between two comments that keep a silent connection open; front ends skip them."""


def text_response(
    stream: AgentStream[Any],
    request: Request | None = None,
    *,
    last_line: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer as plain text.

    A run that fails breaks the connection, so that no reader takes half an answer for a
    whole one. With `last_line` the body ends with a line of JSON instead, which has the
    `event` "done" or "failed"; a text without it was cut. Sources and files that the
    model made are in that line alone.

    >>> @app.get("/chat")
    ... async def chat(q: str, request: Request):
    ...     return text_response(agent.run_stream(q), request)
    >>> TestClient(app).get("/chat?q=Hi").text
    'Hello.'
    """
    pieces = text_pieces(stream, last_line=last_line)
    head = {**NO_GUESSING, **(headers or {})}
    return _respond(pieces, request, "text/plain; charset=utf-8", head, ping=0)


def sse_response(
    stream: AgentStream[Any],
    request: Request | None = None,
    *,
    question: Question | None = None,
    partial: bool = False,
    ping: float = PING_SECONDS,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer as server-sent events of cogent's own, with JSON as data.

    `start`, then an event for each chunk (`token`, `reasoning`, `tool_call`, ...: see
    `StreamChunk.to_sse`), then `done` with the metadata, or `failed` with `kind`,
    `message` and `retryable`. What has neither was cut. With a `question` both have the
    conversation as `history`, for the page to send again. With `partial` the value of a
    typed answer so far comes as `partial` whenever it has changed. `ping` is in
    seconds; 0 sends none.

    >>> @app.get("/events")
    ... async def events(q: str, request: Request):
    ...     return sse_response(agent.run_stream(q), request)
    >>> TestClient(app).get("/events?q=Hi").text.count("event: ")
    3
    """
    events = sse_events(stream, question=question, partial=partial)
    return _respond(events, request, EVENTS, headers, ping)


def vercel_response(
    stream: AgentStream[Any],
    request: Request | None = None,
    *,
    question: Question | None = None,
    partial: bool = False,
    ping: float = PING_SECONDS,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for `useChat` of Vercel's AI SDK: its UI message stream protocol.

    Give the `question` where calls may wait for the page. With `partial` the value of a
    typed answer so far comes as the part `data-output`.

    >>> @app.post("/chat")
    ... async def chat(request: Request):
    ...     asked = await read_question(request, form="vercel")
    ...     return vercel_response(asked.run_stream(agent), request, question=asked)
    >>> TestClient(app).post("/chat", json=VERCEL_BODY)
    <Response [200 OK]>
    """
    events = vercel_events(stream, question=question, partial=partial)
    return _respond(events, request, EVENTS, {**VERCEL, **(headers or {})}, ping)


def ag_ui_response(
    stream: AgentStream[Any],
    request: Request | None = None,
    *,
    question: Question | None = None,
    partial: bool = False,
    ping: float = PING_SECONDS,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for front ends that speak AG-UI 1.0, such as CopilotKit.

    Give the `question`: it has the ids of the thread and the run. With `partial` the
    value of a typed answer so far comes as the custom event `output`.

    >>> @app.post("/chat")
    ... async def chat(request: Request):
    ...     asked = await read_question(request, form="ag_ui")
    ...     return ag_ui_response(asked.run_stream(agent), request, question=asked)
    >>> TestClient(app).post("/chat", json=AG_UI_BODY)
    <Response [200 OK]>
    """
    events = ag_ui_events(stream, question=question, partial=partial)
    return _respond(events, request, EVENTS, headers, ping)


async def read_question(
    request: Request,
    *,
    form: Form = "sse",
    secret: Secret | None = None,
    max_bytes: int = MAX_BODY_BYTES,
) -> Question:
    """What a page asks: `parse_question` of a request's body, read no further than it may.

    Raises BadInput.

    >>> @app.post("/chat")
    ... async def chat(request: Request):
    ...     asked = await read_question(request, secret=SECRET)
    ...     return sse_response(asked.run_stream(agent), request, question=asked)
    >>> TestClient(app).post("/chat", json={"message": "Hi"})
    <Response [200 OK]>
    """
    check_content_type(request.headers.get("content-type", ""))
    promised = request.headers.get("content-length", "")
    if promised.isdecimal():
        check_size(int(promised), max_bytes)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        check_size(len(body), max_bytes)
    return parse_question(bytes(body), form=form, secret=secret, max_bytes=max_bytes)


async def bad_input_response(request: Request, error: Exception) -> Response:
    """The answer to a request that asks nothing: 4xx and a sentence in JSON.

    Give it to the app once: `app.add_exception_handler(BadInput, bad_input_response)`.

    >>> app.add_exception_handler(BadInput, bad_input_response)
    >>> @app.post("/chat")
    ... async def chat(request: Request):
    ...     return sse_response((await read_question(request)).run_stream(agent))
    >>> TestClient(app).post("/chat", json={"history": 1}).status_code
    400
    """
    from starlette.responses import JSONResponse

    if not isinstance(error, BadInput):
        raise error
    return JSONResponse(error.to_dict(), error.status)


def _respond(
    texts: Texts,
    request: Request | None,
    media_type: str,
    headers: Mapping[str, str] | None,
    ping: float,
) -> Response:
    try:
        from cogent.web.run_response import RunResponse, ask_no_more, is_asked_again
    except ImportError as error:
        raise ConfigurationError(
            'answers on the web need starlette and sse-starlette: pip install "cogent-ai[web]"'
        ) from error
    if request is not None and is_asked_again(request.headers):
        return ask_no_more()
    return RunResponse(texts, media_type, {**(headers or {}), **NO_BUFFERING}, ping)
