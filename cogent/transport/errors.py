"""Errors of SDKs, HTTP clients and providers, translated into ModelErrors by tables.

The SDKs share the names and fields of their exceptions, so no SDK is imported to tell
them apart. What an error means is asked in this order: a code that is specific, the
HTTP status if it is an error (refined by the words: a 400 may say that the context is
too long), the words, a code that is generic, the exception's class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any

from cogent.errors import (
    BadRequest,
    ConnectionFailed,
    ContextTooLong,
    ModelError,
    ModelTimeout,
    Overloaded,
    ServerError,
    StreamInterrupted,
)
from cogent.transport.error_body import Report, read_report
from cogent.transport.error_tables import (
    ABOUT_THE_CONTENT,
    ABOUT_THE_REQUEST,
    BY_CLASS,
    BY_CODE,
    BY_GENERIC_CODE,
    BY_STATUS,
    CLOSED,
    CONFLICT,
    FILTER_CODES,
    FILTER_WORDS,
    MAX_MESSAGE_CHARS,
    NO_CONNECTION,
    NO_MORE_THAN_NOT_FOUND,
    NO_SUCH_PATH,
    NOT_RETRYABLE_CODES,
    ONCE_STREAMING,
    OVERLOADED_WORDS,
    PLAINLY_INVALID,
    SAY_NOTHING,
    SECURE,
    TOO_LONG_WORDS,
    WRONG_PATH,
    FilterRefusal,
)
from cogent.transport.keys import keep_secret
from cogent.transport.reported import ErrorReport, ReportedError

Codes = Mapping[str, type[ModelError]]


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
CANNOT_REACH = "cannot reach the server"


def provider_error(
    detail: object,
    *,
    status: int | None = 200,
    code: str | None = None,
    codes: Codes = COMMON_RULES.codes,
) -> ModelError:
    """The error that a provider described, as a decoded JSON value or as text.

    `status` is that of the HTTP answer. With 200 it says nothing, and a number that
    stands for one in the body counts. `code` is one that says more than those of the
    usual places; `codes` are what the provider's own codes mean.
    """
    report = read_report(detail)
    if code is not None:
        report = Report(report.words, (code, *report.codes))
    words = report.words or "the provider gave no reason"
    reported = _reported_status(report.codes, status)
    kind = _kind(report.codes, words, reported, codes)
    if kind is FilterRefusal:
        return FilterRefusal(words, status=status, code=_filter_code(report))
    retryable = _retryable(report.codes, reported)
    return kind(
        words, status=status, code=_code_to_show(report.codes), retryable=retryable
    )


def _reported_status(codes: Sequence[str], status: int | None) -> int | None:
    """The status of the HTTP answer; where that is no error, the one that a code stands
    for, if there is such.
    """
    if status is not None and status >= 400:
        return status
    return next(
        (int(code) for code in codes if code.isdecimal() and len(code) == 3), status
    )


def _code_to_show(codes: Sequence[str]) -> str | None:
    """The first code that is a word, else the first, else None."""
    words = [code for code in codes if not code.isdecimal()]
    return next(iter([*words, *codes]), None)


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
    # A hook, or a decoder of bytes, raises inside the SDK or its HTTP client, which may
    # wrap what it raised.
    raised = next(
        (one for one in _causes(error) if isinstance(one, ModelError | ReportedError)),
        error,
    )
    if isinstance(raised, ModelError):
        translated = raised
    else:
        translated = _translate(raised, began, rules)
        translated.__cause__ = None if isinstance(error, ReportedError) else error
        translated.__suppress_context__ = True
    keep_secret(translated, error, keys)
    translated.args = (str(translated.args[0])[:MAX_MESSAGE_CHARS],)
    return translated


def _translate(error: Exception, began: bool, rules: ErrorRules) -> ModelError:
    report = rules.read_error(error) if rules.read_error is not None else None
    report = report or _common_report(error)
    if report is not None:
        return _reported_error(report, rules)
    translated = _without_answer(error, began)
    if rules.unreachable_hint and str(translated.args[0]).startswith(CANNOT_REACH):
        translated.args = (f"{translated.args[0]}; {rules.unreachable_hint}",)
    return translated


def _common_report(error: Exception) -> ErrorReport | None:
    """What an exception of the SDKs made after OpenAI's pattern knows; None for any
    other.
    """
    if isinstance(error, ReportedError):
        return ErrorReport(error.body, error.status)
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) and status >= 100 else None
    body = error_body(error, status)
    if status is None and body is None:
        return None
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    url = None if response is None else response.url
    return ErrorReport(body, status or 200, headers, url=url)


def _reported_error(report: ErrorReport, rules: ErrorRules) -> ModelError:
    error = provider_error(
        "" if report.body is None else report.body,
        status=report.status,
        code=report.code,
        codes=rules.codes,
    )
    error.retry_after = report.retry_after
    if error.retry_after is None:
        error.retry_after = retry_after(report.headers)
    error.request_id = request_id(report.headers)
    _name_address(error, report.url)
    if report.hint:
        error.args = (f"{error.args[0]}: {report.hint}",)
    return error


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of a request, from the headers of its answer."""
    return headers.get("x-request-id") or headers.get("request-id")


def _name_address(error: ModelError, url: Any) -> None:
    """Add the address that was asked, where the server has no such path: `base_url` is
    wrong then.
    """
    words = str(error.args[0])
    coded = error.code not in (
        None,
        str(error.status),
        "NOT_FOUND",
    ) and not NO_MORE_THAN_NOT_FOUND.fullmatch(words)
    named = "model" in words.lower() or coded
    if (
        url is None
        or error.status not in WRONG_PATH
        or named
        or not NO_SUCH_PATH.search(words)
    ):
        return
    error.args = (f"{words} (asked: {_origin(url)}{url.path}; is base_url right?)",)


def _origin(url: Any) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.host}{port}"


def _without_answer(error: Exception, began: bool) -> ModelError:
    """The error of a request that no answer, or none that can be read, came to."""
    if any(map(broken_off, _causes(error))):
        return StreamInterrupted("the answer broke off in the middle of an event")
    kind = _by_class(error)
    kind = ONCE_STREAMING.get(kind, kind) if began else kind
    names = {c.__name__ for e in _causes(error) for c in type(e).__mro__}
    if kind is ModelTimeout and "ConnectTimeout" in names:
        return ModelTimeout("no connection in time", kind="connect")
    sentence = (
        _connection_sentence(error, names)
        if kind is ConnectionFailed
        else _sentence(kind, names)
    )
    if kind is ServerError and isinstance(
        _causes(error)[-1], AttributeError | TypeError | LookupError
    ):
        return kind(f"{sentence}: it is not in the provider's format")
    return kind(f"{sentence}: {_reason(error)}")


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
    return error.msg.startswith("Unterminated") or error.pos >= len(error.doc) - 6


def _kind(
    codes: Sequence[str], words: str, status: int | None, own: Codes
) -> type[ModelError]:
    normal = [part for code in codes for part in _normal(code)]
    if _is_filter_refusal(normal, words, status):
        return FilterRefusal
    own = {_normal(code)[0]: kind for code, kind in own.items()}
    specific = _first_known(normal, own) or _first_known(normal, BY_CODE)
    if specific is not None:
        return specific
    if status in ABOUT_THE_REQUEST and TOO_LONG_WORDS.search(words):
        return ContextTooLong
    if status is not None and status >= 400:
        return _by_status(status, words)
    if OVERLOADED_WORDS.search(words):
        return Overloaded
    return _first_known(normal, BY_GENERIC_CODE) or ServerError


def _first_known(
    codes: Sequence[str], table: Mapping[str, type[ModelError]]
) -> type[ModelError] | None:
    return next((table[code] for code in codes if code in table), None)


def _by_status(status: int, words: str) -> type[ModelError]:
    kind = BY_STATUS.get(status, ServerError if status >= 500 else BadRequest)
    return (
        Overloaded if kind is ServerError and OVERLOADED_WORDS.search(words) else kind
    )


def _normal(code: str) -> list[str]:
    """A code in the spelling of the tables, and its last part:
    `InternalError.Algo.DataInspectionFailed`.
    """
    parts = [code, code.rpartition(".")[2]] if "." in code else [code]
    return [re.sub(r"[^a-z0-9.]", "", part.lower()) for part in parts]


def _is_filter_refusal(codes: Sequence[str], words: str, status: int | None) -> bool:
    if status not in ABOUT_THE_CONTENT:
        return False
    if FILTER_WORDS.search(words):
        return True
    named = FILTER_CODES.intersection(codes)
    return bool(named) and not (
        named == {"invalidprompt"} and PLAINLY_INVALID.search(words)
    )


def _filter_code(report: Report) -> str:
    """The provider's code for the refusal, or its words where the code says no more
    than that a request failed.
    """
    specific = (
        code for code in report.codes if FILTER_CODES.intersection(_normal(code))
    )
    return next(specific, report.words)


def _retryable(codes: Sequence[str], status: int | None) -> bool | None:
    """Whether asking again may help; None where the kind of the error decides."""
    if NOT_RETRYABLE_CODES.intersection(
        part for code in codes for part in _normal(code)
    ):
        return False
    return True if status == CONFLICT else None


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
    for cause in _causes(error):
        with suppress(RuntimeError):  # the HTTP clients' own, where there is no request
            request = getattr(cause, "request", None)
            if request is not None:
                return f" ({_origin(request.url)})"
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
            else "the server sent what cannot be read"
        )
    return "the request cannot be sent"


def _reason(error: Exception) -> str:
    """The words of the innermost cause, which knows most, and of an error without words
    its name.
    """
    causes = _causes(error)
    last = causes[-1]
    if isinstance(last, JSONDecodeError):
        return repr(last.doc[:100]) if last.doc else "it is empty"
    texts = [str(cause).strip() for cause in causes]
    return next(
        (text for text in reversed(texts) if text and text not in SAY_NOTHING),
        type(last).__name__,
    )


def _causes(error: BaseException) -> list[BaseException]:
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
        with suppress(
            RuntimeError
        ):  # the HTTP clients' own, where the answer was not read
            return str(response.text) or None
    return getattr(error, "body", None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or a date, RFC
    9110 section 10.2.3).
    """
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
        return max(
            0.0,
            (
                when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)
            ).total_seconds(),
        )
    except ValueError:
        return None
