"""Answers on the web, which stream, stop, fail and end truthfully in a browser.

    from cogent.web import sse_response

    @app.get("/events")
    async def events(q: str, request: Request) -> Response:
        return sse_response(agent.run_stream(q), request)

`text_response`, `sse_response`, `vercel_response` and `ag_ui_response` are for Starlette
and FastAPI and need the extra `web`; `text_pieces`, `sse_events`, `vercel_events` and
`ag_ui_events` give the same bodies to any other framework. `read_question` reads what a
page posts: its message, the conversation, and what it answers to calls that wait.
"""

from cogent.web.ag_ui import ag_ui_events
from cogent.web.bad_input import BadInput
from cogent.web.body import MAX_BODY_BYTES, check_content_type, parse_question
from cogent.web.failure import Failure, describe_error
from cogent.web.question import Question
from cogent.web.responses import (
    NO_BUFFERING,
    ag_ui_response,
    bad_input_response,
    read_question,
    sse_response,
    text_response,
    vercel_response,
)
from cogent.web.sse import sse_events
from cogent.web.text import text_pieces
from cogent.web.vercel import vercel_events

__all__ = [
    "MAX_BODY_BYTES",
    "NO_BUFFERING",
    "BadInput",
    "Failure",
    "Question",
    "ag_ui_events",
    "ag_ui_response",
    "bad_input_response",
    "check_content_type",
    "describe_error",
    "parse_question",
    "read_question",
    "sse_events",
    "sse_response",
    "text_pieces",
    "text_response",
    "vercel_events",
    "vercel_response",
]
