"""How the SDKs are asked: without their own retries, without their walk through long
requests, for a JSON object; and what was sent for an answer.
"""

from __future__ import annotations

from typing import Any, cast

from cogent.errors import ServerError
from cogent.transport.error_body import read_report
from cogent.transport.reported import raise_reported


def without_retries(client: Any) -> Any:
    """The client as it is, or a copy over the same connections, if it is a user's that
    would ask again by itself.
    """
    return client.with_options(max_retries=0) if client.max_retries else client


def bypass_sdk_validation(
    arguments: dict[str, Any], *long: str, **required: Any
) -> dict[str, Any]:
    """The same request for an SDK, with its `long` parts in `extra_body`, from where
    they are sent as they are.

    As arguments, the SDKs walk through each of their messages and schemas, type by
    type, for values that JSON cannot hold: 20 ms for 200 messages. `required` stands in for
    what an SDK refuses to be without.
    """
    body = {name: arguments[name] for name in long if name in arguments}
    rest = {name: value for name, value in arguments.items() if name not in body}
    return {
        **required,
        **rest,
        "extra_body": {**body, **(rest.get("extra_body") or {})},
    }


def request_of(response: Any) -> Any:
    """The request that an answer of httpx or of aiohttp is for; None if it has none.

    httpx raises RuntimeError where it does not know the request.
    """
    request = getattr(response, "request", None)
    return request or getattr(response, "request_info", None)  # aiohttp's name for it


def require_json_object(answer: object) -> dict[str, Any]:
    """The body of a plain answer.

    Raises ServerError, or the error that it reports, if it is no JSON object.
    """
    if isinstance(answer, dict):
        return cast("dict[str, Any]", answer)
    raise_reported(answer)
    words = read_report(answer).words if answer else ""
    kind = "text" if isinstance(answer, str) else "a JSON value"
    said = f": {words}" if words else ""
    raise ServerError(
        f"the server answered with {kind} instead of a JSON object{said}", status=200
    )
