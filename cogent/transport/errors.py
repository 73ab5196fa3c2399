"""Errors of SDKs, HTTP clients and providers, translated to ours by tables.

The SDKs share the names and fields of their exceptions, so no SDK is imported to tell them apart. What an error means
is asked in this order: a code that is specific, the HTTP status if it is an error (refined by the words: a 400 may say
that the context is too long), the words, a code that is generic, the exception's class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
from cogent.transport.error_body import Report, is_error, read_report
from cogent.transport.keys import keep_secret


class FilterRefusal(BadRequest):
    """A filter of the provider's refused the prompt or the answer. It never reaches the user: it ends the run."""


# What a provider's code or type means, whatever the HTTP status. Codes are compared by `_normal`.
BY_CODE: dict[str, type[ModelError]] = {
    "contextlengthexceeded": ContextTooLong,
    "contextwindowexceedederror": ContextTooLong,
    "exceedcontextsizeerror": ContextTooLong,
    "requesttoolarge": ContextTooLong,
    "stringabovemaxlength": ContextTooLong,
    "tokenstoolong": ContextTooLong,
    "invalidapikey": AuthenticationError,
    "apikeyinvalid": AuthenticationError,
    "authenticationerror": AuthenticationError,
    "permissionerror": PermissionDenied,
    "permissiondenied": PermissionDenied,
    "permissiondeniederror": PermissionDenied,
    "modelnotfound": ModelNotFound,
    "notfounderror": ModelNotFound,
    "deploymentnotfound": ModelNotFound,
    "ratelimiterror": RateLimited,
    "ratelimitexceeded": RateLimited,
    "toomanyrequests": RateLimited,
    "insufficientquota": RateLimited,
    "billingerror": RateLimited,
    "overloadederror": Overloaded,
    "engineoverloadederror": Overloaded,
    "serverisoverloaded": Overloaded,
    "slowdown": Overloaded,
    "toolusefailed": BadRequest,
    "cancelled": ServerError,  # by Google, with status 499
}
# The same for a refusal by a filter. OpenAI documents `invalid_prompt`, and the policies, as such refusals.
FILTER_CODES = {
    "contentfilter",
    "contentfiltered",
    "contentpolicy",
    "contentpolicyviolation",
    "contentpolicyviolationerror",
    "contentmoderation",
    "imagecontentpolicyviolation",
    "moderationblocked",
    "invalidprompt",
    "biopolicy",
    "cyberpolicy",
    "misalignmentpolicyviolation",
    "responsibleaipolicyviolation",
    "datainspectionfailed",
    "sensitivecontentdetected",
    "inputtextsensitivecontentdetected",
    "outputtextsensitivecontentdetected",
    "prohibitedcontent",
    "guardrailintervened",
    "1301",  # Zhipu
}
# OpenRouter says `invalid_prompt` of a request that has not the form that it expects.
PLAINLY_INVALID = re.compile(r"API request|schema|malformed|invalid[ _](type|value|input|union)", re.IGNORECASE)
FILTER_WORDS = re.compile(
    r"content management policy|content filtering policy|content exists risk|inappropriate content"
    r"|datainspectionfailed|data_inspection_failed|contentpolicyviolation|content_policy_violation"
    r"|responsibleaipolicyviolation|violating our usage policy|violates usage guidelines"
    r"|limited access to this content for safety|rejected as a result of our safety|your input was flagged"
    r"|guardrail_intervened|(blocked by|violated)( the)? guardrail|blocked due to security configurations"
    r"|unsafe or sensitive content|不安全或敏感内容",
    re.IGNORECASE,
)
ABOUT_THE_CONTENT = (None, 200, 400, 403, 422, 451)  # statuses with which a filter refuses
# What the same means only where the HTTP status says nothing: with a status that is an error, that decides.
BY_GENERIC_CODE: dict[str, type[ModelError]] = {
    "servererror": ServerError,
    "internalservererror": ServerError,
    "internalerror": ServerError,
    "internal": ServerError,
    "apierror": ServerError,
    "timeouterror": ModelTimeout,
    "deadlineexceeded": ModelTimeout,
    "unavailable": Overloaded,
    "resourceexhausted": RateLimited,
    "unauthenticated": AuthenticationError,
    "notfound": ModelNotFound,
    "invalidrequesterror": BadRequest,
    "badrequesterror": BadRequest,
    "badrequest": BadRequest,
    "invalidargument": BadRequest,
    "failedprecondition": BadRequest,
}
TOO_LONG_WORDS = re.compile(
    r"maximum context length|context (window|size|length|limit)|(prompt|input) (tokens )?(is )?too long"
    r"|exceeds the maximum number of tokens|input tokens exceed|exceeded model token limit|exceeds? (the )?token limit"
    r"|maximum (prompt|model|input) length|longer than the maximum"
    r"|reduce the length of (the|your) (messages|prompt|input)"
    r"|range of input length|request_too_large|context_length_exceeded|contextwindowexceeded"
    r"|inputs` tokens \+ `max_new_tokens",
    re.IGNORECASE,
)
OVERLOADED_WORDS = re.compile(r"\boverloaded\b", re.IGNORECASE)
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
CONFLICT = 409  # asked again by the SDKs, so by this library too
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
NOT_RETRYABLE_CODES = {"insufficientquota", "billingerror", "stringabovemaxlength"}
# What stands between client and server, and what a server says that has no such path.
NO_CONNECTION = {"ConnectError", "ConnectTimeout", "ProxyError", "ConnectionRefusedError", "UnsupportedProtocol"}
NO_SUCH_PATH = re.compile(
    r"not found|cannot (post|get)|no route|no such (path|route|page)|(method )?not allowed|invalid url"
    r"|unknown (path|url|route|request url|endpoint)|the provider gave no reason",
    re.IGNORECASE,
)
NO_MORE_THAN_NOT_FOUND = re.compile(r"(404 )?not found[.!]?|the provider gave no reason", re.IGNORECASE)
WRONG_PATH = (404, 405)
SECURE = re.compile(r"\bSSL\b|certificate", re.IGNORECASE)
CLOSED = re.compile(r"disconnected|closed", re.IGNORECASE)
SAY_NOTHING = ("Connection error.", "Request timed out.")  # what the SDKs say of every such error
LONGEST_MESSAGE = 1000  # characters; what answers instead of a provider may send a whole page


def provider_error(detail: object, *, status: int | None = 200, code: str | None = None) -> ModelError:
    """The error that a provider described, as a decoded JSON value or as text.

    `status` is that of the HTTP answer. With 200 it says nothing, and a number that stands for one in the body counts.
    `code` is one that says more than those of the usual places.
    """
    report = read_report(detail)
    if code is not None:
        report = Report(report.words, (code, *report.codes))
    words = report.words or "the provider gave no reason"
    number = next((int(code) for code in report.codes if code.isdecimal() and len(code) == 3), None)
    told = number if number is not None and (status is None or status < 400) else status
    kind = _kind(report.codes, words, told)
    if kind is FilterRefusal:
        return FilterRefusal(words, status=status, code=_filter_code(report))
    named = next((c for c in report.codes if not c.isdecimal()), report.codes[0] if report.codes else None)
    return kind(words, status=status, code=named, retryable=_retryable(report.codes, told))


def raise_reported(value: object) -> None:
    """Raise the error that a JSON value reports in the place of an answer, if it reports one."""
    if is_error(value):
        raise provider_error(value)


def translate(error: Exception, *, began: bool, client: object = None) -> ModelError:
    """The error of an SDK, of its HTTP client or of a decoder as one of ours, with `__cause__` set.

    `began` says whether the answer had begun: a connection lost after that is an interrupted stream. A key that the
    provider repeats is taken out, and the error that shows it is not kept.
    """
    # One of ours was raised by a hook, inside the SDK or its HTTP client, and wrapped by them.
    error = next((cause for cause in _causes(error) if isinstance(cause, ModelError)), error)
    told = error if isinstance(error, ModelError) else _translate(error, began)
    if told is not error:
        told.__cause__, told.__suppress_context__ = error, True
    keep_secret(told, error, client)
    told.args = (str(told.args[0])[:LONGEST_MESSAGE],)
    return told


def _translate(error: Exception, began: bool) -> ModelError:
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) and status >= 100 else None
    body = error_body(error, status)
    if status is None and body is None:
        return _without_answer(error, began)
    headers = _headers(error)
    told = provider_error(body if body is not None else "", status=status or 200)
    told.retry_after = retry_after(headers)
    told.request_id = headers.get("x-request-id") or headers.get("request-id")
    name_address(told, getattr(error, "response", None))
    return told


def name_address(error: ModelError, response: Any) -> None:
    """Add the address that was asked, where the server has no such path: `base_url` is wrong then."""
    words = str(error.args[0])
    coded = error.code not in (None, str(error.status), "NOT_FOUND") and not NO_MORE_THAN_NOT_FOUND.fullmatch(words)
    named = "model" in words.lower() or coded
    if response is None or error.status not in WRONG_PATH or named or not NO_SUCH_PATH.search(words):
        return
    url = response.url
    error.args = (f"{words} (asked: {_origin(url)}{url.path}; is base_url right?)",)


def _origin(url: Any) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.host}{port}"


def _without_answer(error: Exception, began: bool) -> ModelError:
    """The error of a request that no answer, or none that can be read, came to."""
    if broken_off(error):
        return StreamInterrupted("the answer broke off in the middle of an event")
    kind = _by_class(error)
    kind = AFTER_BEGIN.get(kind, kind) if began else kind
    names = {c.__name__ for e in _causes(error) for c in type(e).__mro__}
    if kind is ModelTimeout and "ConnectTimeout" in names:
        return ModelTimeout("no connection in time", kind="connect")
    sentence = _connection_sentence(error, names) if kind is ConnectionFailed else _sentence(kind, names)
    if kind is ServerError and isinstance(_causes(error)[-1], AttributeError | TypeError | LookupError):
        return kind(f"{sentence}: it is not in the provider's format")
    return kind(f"{sentence}: {_reason(error)}")


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


def _kind(codes: Sequence[str], words: str, status: int | None) -> type[ModelError]:
    normal = [part for code in codes for part in _normal(code)]
    if _is_filter_refusal(normal, words, status):
        return FilterRefusal
    specific = next((BY_CODE[code] for code in normal if code in BY_CODE), None)
    if specific is not None:
        return specific
    if status in ABOUT_THE_REQUEST and TOO_LONG_WORDS.search(words):
        return ContextTooLong
    if status is not None and status >= 400:
        return _by_status(status, words)
    if OVERLOADED_WORDS.search(words):
        return Overloaded
    return next((BY_GENERIC_CODE[code] for code in normal if code in BY_GENERIC_CODE), ServerError)


def _by_status(status: int, words: str) -> type[ModelError]:
    kind = BY_STATUS.get(status, ServerError if status >= 500 else BadRequest)
    return Overloaded if kind is ServerError and OVERLOADED_WORDS.search(words) else kind


def _normal(code: str) -> list[str]:
    """A code in the spelling of the tables, and its last part: `InternalError.Algo.DataInspectionFailed`."""
    parts = [code, code.rpartition(".")[2]] if "." in code else [code]
    return [re.sub(r"[^a-z0-9.]", "", part.lower()) for part in parts]


def _is_filter_refusal(codes: Sequence[str], words: str, status: int | None) -> bool:
    if status not in ABOUT_THE_CONTENT:
        return False
    if FILTER_WORDS.search(words):
        return True
    named = FILTER_CODES.intersection(codes)
    return bool(named) and not (named == {"invalidprompt"} and PLAINLY_INVALID.search(words))


def _filter_code(report: Report) -> str:
    """The provider's code for the refusal, or its words where the code says no more than that a request failed."""
    specific = (code for code in report.codes if FILTER_CODES.intersection(_normal(code)))
    return next(specific, report.words)


def _retryable(codes: Sequence[str], status: int | None) -> bool | None:
    """Whether asking again may help; None where the kind of the error decides."""
    if NOT_RETRYABLE_CODES.intersection(part for code in codes for part in _normal(code)):
        return False
    return True if status == CONFLICT else None


def _by_class(error: Exception) -> type[ModelError]:
    return next((BY_CLASS[c.__name__] for c in type(error).__mro__ if c.__name__ in BY_CLASS), ServerError)


def _connection_sentence(error: Exception, names: set[str]) -> str:
    """Why there is no answer; `names` are those of the classes of the error and of its causes."""
    where = _asked(error)
    if SECURE.search(_reason(error)):
        return f"no secure connection to the server{where}"
    if NO_CONNECTION & names:
        return f"cannot reach the server{where}"
    if "RemoteProtocolError" in names and not CLOSED.search(_reason(error)):
        return f"the server{where} answered with something that is not HTTP"
    return "the server closed the connection without an answer"


def _asked(error: Exception) -> str:
    """The address that was asked, in brackets, if the error tells it."""
    for cause in _causes(error):
        with suppress(RuntimeError):  # the HTTP clients' own, where there is no request
            request = getattr(cause, "request", None)
            if request is not None:
                return f" ({_origin(request.url)})"
    return ""


def _sentence(kind: type[ModelError], names: set[str]) -> str:
    """What went wrong, in general; `names` are those of the classes of the error and of its causes."""
    if kind is StreamInterrupted:
        return "the connection was lost before the answer was complete"
    if kind is ModelTimeout:
        return "no answer in time"
    if kind is ServerError:
        return (
            "the server sent what is no JSON" if "JSONDecodeError" in names else "the server sent what cannot be read"
        )
    return "the request cannot be sent"


def _reason(error: Exception) -> str:
    """The words of the innermost cause, which knows most, and of an error without words its name."""
    causes = _causes(error)
    last = causes[-1]
    if isinstance(last, JSONDecodeError):
        return repr(last.doc[:100]) if last.doc else "it is empty"
    texts = [str(cause).strip() for cause in causes]
    return next((text for text in reversed(texts) if text and text not in SAY_NOTHING), type(last).__name__)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, its cause, the cause of that, and so on."""
    causes = [error]
    while True:
        last = causes[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or cause in causes:
            return causes
        causes.append(cause)


def error_body(error: Exception, status: int | None) -> object:
    """The body of an answer that is an error, as the server sent it; None if there is none."""
    response = getattr(error, "response", None)
    if status is not None and status >= 400 and response is not None:
        with suppress(RuntimeError):  # the HTTP clients' own, where the answer was not read
            return str(response.text) or None
    return getattr(error, "body", None)


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
    """The body of a plain answer. Raises ServerError, or the error that it reports, if it is no JSON object."""
    if isinstance(answer, dict):
        return cast("dict[str, Any]", answer)
    raise_reported(answer)
    words = read_report(answer).words if answer else ""
    kind = "text" if isinstance(answer, str) else "a JSON value"
    said = f": {words}" if words else ""
    raise ServerError(f"the server answered with {kind} instead of a JSON object{said}", status=200)
