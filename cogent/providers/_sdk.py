"""Errors of SDKs, HTTP clients and providers, translated to ours by tables.

The SDKs share the names and fields of their exceptions, so no SDK is imported to tell them apart. What an error means
is asked in this order: the provider's code or type, the words of its message, the HTTP status, the exception's class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any, cast

from cogent.errors import (
    AuthenticationError,
    BadRequest,
    ConnectionFailed,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamInterrupted,
)
from cogent.providers._secrets import keep_secret

BY_CODE: dict[str, type[ModelError]] = {
    "context_length_exceeded": ContextTooLong,
    "exceed_context_size_error": ContextTooLong,
    "request_too_large": ContextTooLong,
    "string_above_max_length": ContextTooLong,
    "invalid_api_key": AuthenticationError,
    "api_key_invalid": AuthenticationError,
    "authentication_error": AuthenticationError,
    "permission_error": PermissionDenied,
    "permission_denied": PermissionDenied,
    "model_not_found": ModelNotFound,
    "not_found_error": ModelNotFound,
    "deploymentnotfound": ModelNotFound,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "insufficient_quota": RateLimited,
    "billing_error": RateLimited,
    "overloaded_error": Overloaded,
    "server_is_overloaded": Overloaded,
    "slow_down": Overloaded,
    "server_error": ServerError,
    "cancelled": ServerError,
    "api_error": ServerError,
    "internal_server_error": ServerError,
    "timeout_error": ModelTimeout,
    "invalid_request_error": BadRequest,
    "invalid_prompt": BadRequest,
    "tool_use_failed": BadRequest,
}
BY_MESSAGE = (
    (
        re.compile(
            r"maximum context length|context (window|size|length|limit)|prompt is too long|input is too long"
            r"|exceeds the maximum number of tokens",
            re.IGNORECASE,
        ),
        ContextTooLong,
    ),
    (re.compile(r"\boverloaded\b", re.IGNORECASE), Overloaded),
)
ABOUT_THE_REQUEST = (None, 200, 400, 413, 422)  # with another status, words of length mean something else
BY_STATUS: dict[int, type[ModelError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: ModelNotFound,
    408: ModelTimeout,
    413: ContextTooLong,
    429: RateLimited,
    503: Overloaded,
    504: ModelTimeout,
    529: Overloaded,
}
# Class names of the SDKs (openai, anthropic, groq) and of httpx and httpx2; the nearest base class decides.
BY_CLASS: dict[str, type[ModelError]] = {
    "APITimeoutError": ModelTimeout,
    "APIConnectionError": ConnectionFailed,
    "APIResponseValidationError": ServerError,
    "TimeoutException": ModelTimeout,
    "RequestError": ConnectionFailed,
    "StreamError": StreamInterrupted,
    "SSLError": ConnectionFailed,
    "GoogleAuthError": AuthenticationError,
    "JSONDecodeError": ServerError,
    "UnicodeDecodeError": ServerError,
    "UnicodeEncodeError": BadRequest,
    "TypeError": BadRequest,
    "CredentialsError": AuthenticationError,
    "OpenAIError": BadRequest,
    "AnthropicError": BadRequest,
    "ConnectionError": ConnectionFailed,
}
AFTER_BEGIN: dict[type[ModelError], type[ModelError]] = {
    ConnectionFailed: StreamInterrupted,
    BadRequest: ServerError,
}
# Asking again cannot help before somebody pays or the request changes.
NEVER_AGAIN = {"insufficient_quota", "billing_error", "string_above_max_length"}
LONGEST_MESSAGE = 1000  # characters; what answers instead of a provider may send a whole page


def provider_error(detail: Mapping[str, Any] | object, *, status: int | None = 200) -> ModelError:
    """The error that a provider described inside an answer, where the HTTP status says nothing."""
    body = cast("Mapping[str, Any]", detail) if isinstance(detail, Mapping) else {"message": str(detail)}
    codes = [str(body[key]) for key in ("code", "type", "status") if body.get(key) is not None]
    message = str(body.get("message") or body.get("detail") or "the provider gave no reason")
    number = next((int(code) for code in codes if code.isdecimal() and len(code) == 3), None)
    kind = _kind(codes, message, number or status)
    code = next((c for c in codes if not c.isdecimal()), codes[0] if codes else None)
    return kind(message, status=status, code=code, retryable=False if NEVER_AGAIN & set(codes) else None)


def translate(error: Exception, *, began: bool, client: object = None) -> ModelError:
    """The error of an SDK, of its HTTP client or of a decoder as one of ours, with `__cause__` set.

    `began` says whether the answer had begun: a connection lost after that is an interrupted stream. A key that the
    provider repeats is taken out, and the error that shows it is not kept.
    """
    if isinstance(error.__cause__, ModelError):  # raised by a hook of ours, inside the SDK
        error = error.__cause__
    told = error if isinstance(error, ModelError) else _translate(error, began)
    if told is not error:
        told.__cause__, told.__suppress_context__ = error, True
    keep_secret(told, error, client)
    told.args = (str(told.args[0])[:LONGEST_MESSAGE],)
    return told


def _translate(error: Exception, began: bool) -> ModelError:
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) and status >= 100 else None
    body = _body(error)
    headers = _headers(error)
    if status is None and body is None:
        kind = StreamInterrupted if broken_off(error) else _by_class(error)
        kind = AFTER_BEGIN.get(kind, kind) if began else kind
        if kind is ModelTimeout and "ConnectTimeout" in {type(e).__name__ for e in (error, error.__cause__)}:
            return ModelTimeout("no connection in time", kind="connect")
        return kind(_describe(error, kind))
    detail = body if body is not None else {}
    told = provider_error({"message": _message(error), **detail}, status=status or 200)
    told.retry_after = retry_after(headers)
    told.request_id = headers.get("x-request-id") or headers.get("request-id")
    return told


def broken_off(error: BaseException | None) -> bool:
    """Whether what could not be read was good as far as it came: a character, or a JSON object, without its end."""
    if isinstance(error, UnicodeDecodeError):
        return error.reason == "unexpected end of data"
    if not isinstance(error, JSONDecodeError) or not error.doc:
        return False
    if not error.doc.startswith("{"):
        return "data: {".startswith(error.doc)
    # In its last string, or within an escape of its end.
    return error.msg.startswith("Unterminated") or error.pos >= len(error.doc) - 6


def _kind(codes: list[str], message: str, status: int | None) -> type[ModelError]:
    for code in codes:
        kind = BY_CODE.get(code.lower())
        if kind is not None and kind is not BadRequest:
            return kind
    for pattern, kind in BY_MESSAGE:
        if pattern.search(message) and (kind is Overloaded or status in ABOUT_THE_REQUEST):
            return kind
    if status is not None and status >= 400:
        return BY_STATUS.get(status, ServerError if status >= 500 else BadRequest)
    return BadRequest if any(BY_CODE.get(code.lower()) is BadRequest for code in codes) else ServerError


def _by_class(error: Exception) -> type[ModelError]:
    return next((BY_CLASS[c.__name__] for c in type(error).__mro__ if c.__name__ in BY_CLASS), ServerError)


def _describe(error: Exception, kind: type[ModelError]) -> str:
    cause = error.__cause__ or error.__context__
    reason = f"{error}" if cause is None or not str(cause) else f"{error} {cause}"
    texts: dict[type[ModelError], str] = {
        ConnectionFailed: "cannot reach the server",
        StreamInterrupted: "the connection was lost before the answer was complete",
        ModelTimeout: "no answer in time",
        ServerError: "the server sent what cannot be read",
    }
    return f"{texts.get(kind, 'the request cannot be sent')}: {reason.strip() or type(error).__name__}"


def _body(error: Exception) -> Mapping[str, Any] | None:
    body = getattr(error, "body", None)
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        return cast("Mapping[str, Any]", body["error"])
    if isinstance(body, str) and body:
        return {"message": body}
    return cast("Mapping[str, Any]", body) if isinstance(body, Mapping) else None


def _message(error: Exception) -> str:
    message = getattr(error, "message", None)
    return message if isinstance(message, str) else str(error)


def _headers(error: Exception) -> Mapping[str, str]:
    return getattr(getattr(error, "response", None), "headers", None) or {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or a date, RFC 9110 section 10.2.3)."""
    from datetime import UTC, datetime  # not at the top, as they are slow to import
    from email.utils import parsedate_to_datetime

    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        when = parsedate_to_datetime(value)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return None


def without_retries(client: Any) -> Any:
    """The client as it is, or a copy over the same connections, if it is a user's that would ask again by itself."""
    return client.with_options(max_retries=0) if client.max_retries else client


def not_looked_through(arguments: dict[str, Any], *long: str, **required: Any) -> dict[str, Any]:
    """The same request for an SDK, with its `long` parts in `extra_body`, from where they are sent as they are.

    As arguments, the SDKs walk through each of their messages and schemas, type by type, for what is none of JSON:
    20 ms for 200 messages. `required` stands in for what an SDK refuses to be without.
    """
    body = {name: arguments[name] for name in long if name in arguments}
    rest = {name: value for name, value in arguments.items() if name not in body}
    return {**required, **rest, "extra_body": {**body, **(rest.get("extra_body") or {})}}


def plain(answer: object) -> dict[str, Any]:
    """The body of a plain answer. Raises ServerError if it is no JSON object."""
    if not isinstance(answer, dict):
        raise ServerError(f"the server answered with {type(answer).__name__} instead of a JSON object", status=200)
    return cast("dict[str, Any]", answer)
