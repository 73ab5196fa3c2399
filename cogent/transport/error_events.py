"""Errors among the events of a stream, found before the SDK reads them.

The SDKs of Gemini and Ollama expect an error event in one form, and fail at any other
with its words lost: a code that is a string, an error that is text, a list. So an event
that may be an error is looked at here first, and its error is raised out of the byte
stream. What is no error is passed on unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from cogent.transport.error_body import is_error
from cogent.transport.reported import ReportedError

MARKS = (
    b'"error',
    b'"detail"',
    b'"message":"',
    b'"message": "',
)  # one of them is in every error, hardly in an answer
SSE_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
LINE_BOUNDARY = re.compile(rb"\n")
MAX_ERROR_BYTES = (
    1024 * 1024
)  # an event that is larger is no error, and is not remembered


class ErrorEvents:
    """Passes bytes on up to the first error event, then raises that as a ReportedError.

    `boundary` ends an event. With `documents`, JSON outside of events, which is
    Google's form of an error, is held back until it is whole.
    """

    def __init__(
        self,
        boundary: re.Pattern[bytes],
        *,
        documents: bool = False,
    ) -> None:
        self._boundary = boundary
        self._documents = documents
        self._remember(b"", 0)

    def __call__(self, data: bytes) -> Iterator[bytes]:
        in_events = not self._documents or data[:1] == b"d"
        if (
            in_events
            and not self._unfinished
            and data.endswith(b"\n")
            and not _is_marked(data)
        ):
            yield data  # whole events, as nearly always
            return
        self._unfinished.append(data)
        self._unfinished_bytes += len(data)
        if self._unfinished_bytes > MAX_ERROR_BYTES:
            yield b"".join(self._unfinished)[self._passed_on :]
            self._remember(b"", 0)
            return
        if not self._may_end_event(data):
            self._passed_on += len(data)
            yield data
            return
        text = b"".join(self._unfinished)
        start, error = self._first_error(text)
        last = text[start:]
        end = start if error is not None or self._is_held(last) else len(text)
        passed_on = self._passed_on
        self._remember(last, max(end, passed_on) - start)
        if passed_on < end:
            yield text[passed_on:end]
        if error is not None:
            raise error

    def _remember(self, unfinished: bytes, passed_on: int) -> None:
        """Begin anew with the bytes of an event that is not over, of which the SDK has
        so many.
        """
        self._unfinished = [unfinished] if unfinished else []
        self._unfinished_bytes = len(unfinished)
        self._passed_on = passed_on

    def _first_error(self, text: bytes) -> tuple[int, ReportedError | None]:
        """Where the first error event, or else the last event, begins, and the error."""
        start = 0
        for found in self._boundary.finditer(text):
            error = self._error_in(text[start : found.start()])
            if error is not None:
                return start, error
            start = found.end()
        return start, self._error_in(text[start:])

    def _may_end_event(self, data: bytes) -> bool:
        """Whether an event may end in this piece, or JSON that is to be held back begin
        in it.
        """
        first = (
            self._documents
            and len(self._unfinished) == 1
            and data.lstrip()[:1] in (b"{", b"[")
        )
        return (
            first
            or b"\n" in data
            or b"\r" in data
            or data.rstrip()[-1:] in (b"}", b"]")
        )

    def _is_held(self, event: bytes) -> bool:
        """Whether this is the beginning of JSON outside of events."""
        return (
            self._documents
            and event.lstrip()[:1] in (b"{", b"[")
            and _json_of(event) is None
        )

    def _error_in(self, event: bytes) -> ReportedError | None:
        """The error that a whole event reports, if it does."""
        value = _json_of(event) if _is_marked(event) else None
        return ReportedError(value) if is_error(value) else None


def _is_marked(data: bytes) -> bool:
    return any(mark in data for mark in MARKS)


def _json_of(event: bytes) -> object:
    """The JSON value of an event's `data:` lines, or of all of it where it has none;
    None if that is no JSON.
    """
    data = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    try:
        value: object = json.loads(b"\n".join(data) if data else event)
    except (ValueError, RecursionError):
        return None
    return value
