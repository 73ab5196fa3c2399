"""Which ModelError a server's error is.

Asked in this order: a code that is specific, the provider's own ones first; the HTTP
status if it is an error (refined by the words: a 400 may say that the context is too
long); the words; a code that is generic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cogent.errors import (
    AuthenticationError,
    BadRequest,
    ContextTooLong,
    ModelError,
    Overloaded,
    ServerError,
)
from cogent.transport.error_body import Report, read_report
from cogent.transport.error_tables import (
    ABOUT_THE_CONTENT,
    ABOUT_THE_REQUEST,
    BY_CODE,
    BY_GENERIC_CODE,
    BY_STATUS,
    CONFLICT,
    FILTER_CODES,
    FILTER_WORDS,
    KEY_WORDS,
    NO_MORE_THAN_NOT_FOUND,
    NO_SUCH_PATH,
    NOT_RETRYABLE_CODES,
    OVERLOADED_WORDS,
    PLAINLY_INVALID,
    REQUEST_ID_HEADERS,
    TOO_LONG_WORDS,
    WRONG_PATH,
    FilterRefusal,
)
from cogent.transport.reported import ErrorReport

Codes = Mapping[str, type[ModelError]]

BAD_REQUEST = 400
# What names an error no more closely than its status.
NAMES_NOTHING = (None, "404", "405", "NOT_FOUND")


def reported_error(report: ErrorReport, own_codes: Codes) -> ModelError:
    """The error that a server reported; `own_codes` are what the provider's codes mean."""
    error = _error_of(report, own_codes)
    error.retry_after = report.retry_after
    if error.retry_after is None:
        error.retry_after = retry_after(report.headers)
    error.request_id = request_id(report.headers)
    if report.request is not None and _is_of_wrong_path(error):
        url = report.request.url
        asked = f"{origin(url)}{url.path}"
        error.args = (f"{error.args[0]} (asked: {asked}; is base_url right?)",)
    if report.hint:
        error.args = (f"{error.args[0]}: {report.hint}",)
    return error


def _error_of(report: ErrorReport, own_codes: Codes) -> ModelError:
    body = read_report("" if report.body is None else report.body)
    if report.code is not None:
        body = Report(body.words, (report.code, *body.codes))
    words = body.words or "the provider gave no reason"
    status = _reported_status(body.codes, report.status)
    kind = _kind(body.codes, words, status, own_codes)
    if kind is FilterRefusal:
        code: str | None = _filter_code(body)
    else:
        code = _code_to_show(body.codes)
    retryable = _retryable(body.codes, status)
    return kind(words, status=report.status, code=code, retryable=retryable)


def _reported_status(codes: Sequence[str], status: int) -> int:
    """The status of the HTTP answer; where that is no error, the one that a code stands
    for, if there is such.
    """
    if status >= 400:
        return status
    numbers = [int(code) for code in codes if code.isdecimal() and len(code) == 3]
    return numbers[0] if numbers else status


def _code_to_show(codes: Sequence[str]) -> str | None:
    """The first code that is a word, else the first, else None."""
    words = [code for code in codes if not code.isdecimal()]
    return next(iter([*words, *codes]), None)


def _is_of_wrong_path(error: ModelError) -> bool:
    """Whether the server has no such path, so that `base_url` is wrong."""
    words = str(error.args[0])
    if error.status not in WRONG_PATH or not NO_SUCH_PATH.search(words):
        return False
    if "model" in words.lower():
        return False
    return error.code in NAMES_NOTHING or bool(NO_MORE_THAN_NOT_FOUND.fullmatch(words))


def origin(url: Any) -> str:
    """Scheme, host and port of an HTTP client's URL, without what may be secret."""
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.host}{port}"


# The kind


def _kind(
    codes: Sequence[str], words: str, status: int, own_codes: Codes
) -> type[ModelError]:
    normal = [part for code in codes for part in _normal(code)]
    if _is_filter_refusal(normal, words, status):
        return FilterRefusal
    own = {_normal(code)[0]: kind for code, kind in own_codes.items()}
    specific = _first_known(normal, own) or _first_known(normal, BY_CODE)
    return specific or _general_kind(normal, words, status)


def _general_kind(codes: Sequence[str], words: str, status: int) -> type[ModelError]:
    if status in ABOUT_THE_REQUEST and TOO_LONG_WORDS.search(words):
        return ContextTooLong
    if status == BAD_REQUEST and KEY_WORDS.search(words):
        return AuthenticationError
    if status >= 400:
        return _by_status(status, words)
    if OVERLOADED_WORDS.search(words):
        return Overloaded
    return _first_known(codes, BY_GENERIC_CODE) or ServerError


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


def _is_filter_refusal(codes: Sequence[str], words: str, status: int) -> bool:
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


def _retryable(codes: Sequence[str], status: int) -> bool | None:
    """Whether asking again may help; None where the kind of the error decides."""
    if NOT_RETRYABLE_CODES.intersection(
        part for code in codes for part in _normal(code)
    ):
        return False
    return True if status == CONFLICT else None


# Headers


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of a request, from the headers of its answer."""
    given = (headers.get(name) for name in REQUEST_ID_HEADERS)
    return next(filter(None, given), None)


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
