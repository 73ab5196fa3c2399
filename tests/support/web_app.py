"""An app with every response of `cogent.web`, for tests."""

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cogent import Agent
from cogent.web import (
    BadInput,
    ag_ui_response,
    bad_input_response,
    read_question,
    sse_response,
    text_response,
    vercel_response,
)

SECRET = "a secret of tests, which is long enough"
RESPONSES: dict[str, Any] = {
    "text": text_response,
    "sse": sse_response,
    "vercel": vercel_response,
    "ag_ui": ag_ui_response,
}


def web_app(
    agent: Agent,
    *middleware: Middleware,
    secret: str | None = SECRET,
    **options: Any,
) -> Starlette:
    """The app: GET /FORM asks "Go", POST /FORM what its body says.

    `options` go to the responses.
    """

    async def get(request: Request) -> Response:
        respond = RESPONSES[request.path_params["form"]]
        return respond(agent.run_stream("Go"), request, **options)

    async def post(request: Request) -> Response:
        form = request.path_params["form"]
        question = await read_question(request, form=form, secret=secret)
        stream = question.run_stream(agent)
        return RESPONSES[form](stream, request, question=question, **options)

    return Starlette(
        routes=[
            Route("/{form}", get, methods=["GET"]),
            Route("/{form}", post, methods=["POST"]),
        ],
        middleware=middleware,
        exception_handlers={BadInput: bad_input_response},
    )
