"""Errors of SDKs, HTTP clients and servers, translated into ModelErrors.

What a server reported decides, wherever an SDK's exception keeps it; `error_kinds.py`
says what it means. Where no answer came, or none that can be read, the exception's
class does. The SDKs share the names and fields of their exceptions, so no SDK is
imported to tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any

from cogent.errors import (
    ConnectionFailed,
    ModelError,
    ModelTimeout,
    ServerError,
    StreamInterrupted,
)
from cogent.json_values import LONE_SURROGATE
from cogent.transport.error_kinds import Codes, origin, reported_error
from cogent.transport.error_tables import (
    BY_CLASS,
    CLOSED,
    CONNECT_TIMEOUTS,
    MAX_MESSAGE_CHARS,
    NO_CONNECTION,
    ONCE_STREAMING,
    SAY_NOTHING,
    SECURE,
)
from cogent.transport.keys import keep_secret
from cogent.transport.reported import ErrorReport, ReportedError


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """What a provider knows of its errors beyond the common tables.

    `codes` are its own. `read_error` tells what an SDK's exception, or a ReportedError,
    knows; None leaves it to the common rule. `unreachable_hint` says what helps where
    no server answers.
    """

    codes: Codes = field(default_factory=dict)
    read_error: Callable[[Exception], ErrorReport | None] | None = None
    unreachable_hint: str = ""


COMMON_RULES = ErrorRules()
MAX_ESCAPE_CHARS = len(r"\u0000")
CANNOT_REACH = "cannot reach the server"
# What Python raises where an answer lacks what is looked for.
FORMAT_ERRORS = (AttributeError, TypeError, LookupError)


def translate(
    error: Exception,
    *,
    began: bool,
    keys: Sequence[str] = (),
    rules: ErrorRules = COMMON_RULES,
) -> ModelError:
    """The error of an SDK, of its HTTP client or of a decoder as a ModelError, with
    `__cause__` set.

    `began` says whether the answer had begun: a connection lost after that is an
    interrupted stream. `keys`, and those of the request that failed, are taken out of
    what the provider repeats, and an error that shows one is not kept.
    """
    raised = _raised_inside(error)
    request = None
    if isinstance(raised, ModelError):
        translated = raised
    else:
        report = report_of(raised, rules)
        request = None if report is None else report.request
        translated = _translate(raised, report, began, rules)
        translated.__cause__ = None if isinstance(error, ReportedError) else error
        translated.__suppress_context__ = True
    keep_secret(translated, error, keys, request)
    message = str(translated.args[0])[:MAX_MESSAGE_CHARS]
    # Half a character can be neither printed nor logged.
    translated.args = (LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", message),)
    return translated


def _raised_inside(error: Exception) -> Exception:
    """What a hook, or a decoder of bytes, raised inside the SDK or its HTTP client,
    which may wrap it; else the error itself.
    """
    for cause in causes_of(error):
        if isinstance(cause, ModelError | ReportedError):
            return cause
    return error


def report_of(error: Exception, rules: ErrorRules) -> ErrorReport | None:
    """What the exception knows of an error that a server reported, if it does."""
    report = rules.read_error(error) if rules.read_error is not None else None
    return report or _common_report(error)


def _translate(
    error: Exception, report: ErrorReport | None, began: bool, rules: ErrorRules
) -> ModelError:
    if report is not None:
        return reported_error(report, rules.codes)
    translated = _without_answer(error, began)
    if rules.unreachable_hint and str(translated.args[0]).startswith(CANNOT_REACH):
        translated.args = (f"{translated.args[0]}; {rules.unreachable_hint}",)
    return translated


def _common_report(error: Exception) -> ErrorReport | None:
    """What an exception with a status, a response or a body knows; None for any other.

    Those of the SDKs made after OpenAI's pattern are so, and what the HTTP clients
    raise by `raise_for_status`.
    """
    if isinstance(error, ReportedError):
        return ErrorReport(error.body, error.status)
    response = getattr(error, "response", None)
    status = _status_of(error, response)
    body = error_body(error, status)
    if status is None and body is None:
        return None
    headers = getattr(response, "headers", None) or {}
    request = None if response is None else response.request
    return ErrorReport(body, status or 200, headers, request=request)


def _status_of(error: Exception, response: Any) -> int | None:
    """The HTTP status, where this is one; other exceptions have numbers of their own."""
    status = getattr(error, "status_code", getattr(response, "status_code", None))
    return status if isinstance(status, int) and status >= 100 else None


def _without_answer(error: Exception, began: bool) -> ModelError:
    """The error of a request that no answer, or none that can be read, came to."""
    causes = causes_of(error)
    if any(map(broken_off, causes)):
        return StreamInterrupted("the answer broke off in the middle of an event")
    kind = _by_class(error)
    if began:
        kind = ONCE_STREAMING.get(kind, kind)
    names = {c.__name__ for e in causes for c in type(e).__mro__}
    if kind is ModelTimeout and CONNECT_TIMEOUTS & names:
        return ModelTimeout("no connection in time", kind="connect")
    if kind is ConnectionFailed:
        return kind(f"{_connection_sentence(error, names)}: {_reason(error)}")
    return kind(f"{_sentence(kind, names)}: {_reason_of_kind(error, kind)}")


def _reason_of_kind(error: Exception, kind: type[ModelError]) -> str:
    if kind is ServerError and isinstance(causes_of(error)[-1], FORMAT_ERRORS):
        return "it is not in the provider's format"
    return _reason(error)


def broken_off(error: BaseException | None) -> bool:
    """Whether what could not be read was good as far as it came: a character, or a JSON
    object, without its end.
    """
    if isinstance(error, UnicodeDecodeError):
        return error.reason == "unexpected end of data"
    if not isinstance(error, JSONDecodeError) or not error.doc:
        return False
    if not error.doc.startswith("{"):
        return "data: {".startswith(error.doc)
    # In its last string, or within an escape of its end.
    in_end = error.pos >= len(error.doc) - MAX_ESCAPE_CHARS
    return in_end or error.msg.startswith("Unterminated")


def _by_class(error: Exception) -> type[ModelError]:
    return next(
        (BY_CLASS[c.__name__] for c in type(error).__mro__ if c.__name__ in BY_CLASS),
        ServerError,
    )


def _connection_sentence(error: Exception, names: set[str]) -> str:
    """Why there is no answer; `names` are those of the classes of the error and of its
    causes.
    """
    where = _asked(error)
    if SECURE.search(_reason(error)):
        return f"no secure connection to the server{where}"
    if NO_CONNECTION & names:
        return f"{CANNOT_REACH}{where}"
    if "RemoteProtocolError" in names and not CLOSED.search(_reason(error)):
        return f"the server{where} answered with something that is not HTTP"
    return "the server closed the connection without an answer"


def _asked(error: Exception) -> str:
    """The address that was asked, in brackets, if the error tells it."""
    for cause in causes_of(error):
        with suppress(RuntimeError):  # the HTTP clients' own, where there is no request
            request = getattr(cause, "request", None)
            if request is not None:
                return f" ({origin(request.url)})"
    return ""


def _sentence(kind: type[ModelError], names: set[str]) -> str:
    """What went wrong, in general; `names` are those of the classes of the error and of
    its causes.
    """
    if kind is StreamInterrupted:
        return "the connection was lost before the answer was complete"
    if kind is ModelTimeout:
        return "no answer in time"
    if kind is ServerError:
        return (
            "the server sent what is no JSON"
            if "JSONDecodeError" in names
            else "the server sent an answer that cannot be decoded"
        )
    return "the request cannot be sent"


def _reason(error: Exception) -> str:
    """The words of the innermost cause, which knows most, and of an error without words
    its name.
    """
    causes = causes_of(error)
    last = causes[-1]
    if isinstance(last, JSONDecodeError):
        return repr(last.doc[:100]) if last.doc else "it is empty"
    texts = [str(cause).strip() for cause in causes]
    return next(
        (text for text in reversed(texts) if text and text not in SAY_NOTHING),
        type(last).__name__,
    )


def causes_of(error: BaseException) -> list[BaseException]:
    """The error, its cause, the cause of that, and so on."""
    causes = [error]
    while True:
        last = causes[-1]
        cause = last.__cause__ or (
            None if last.__suppress_context__ else last.__context__
        )
        if cause is None or cause in causes:
            return causes
        causes.append(cause)


def error_body(error: Exception, status: int | None) -> object:
    """The body of an answer that is an error, as the server sent it; None if there is
    none.
    """
    response = getattr(error, "response", None)
    if status is not None and status >= 400 and response is not None:
        # The HTTP clients' own, where the answer was not read.
        with suppress(RuntimeError):
            text = response.text
            if isinstance(text, str):  # of aiohttp, it is a method to be awaited
                return text or None
    return getattr(error, "body", None)
