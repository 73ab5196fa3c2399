"""Errors among the events of a stream, found before the SDK reads them.

The SDKs of Gemini and Ollama expect an error event in one form, and fail at any other
with its words lost: a code that is a string, an error that is text, a list. What is no
error is not touched.
"""

from __future__ import annotations

import json

from cogent.transport.error_body import is_error
from cogent.transport.reported import ReportedError

# One of them is in every error, and hardly in an answer.
MARKS = (b'"error', b'"detail"', b'"message":"', b'"message": "')
MAX_ERROR_BYTES = 1024 * 1024  # an event that is larger is no error


def may_be_error(data: bytes) -> bool:
    """Whether an error may be among these events: a quick look at each piece."""
    return any(mark in data for mark in MARKS)


def find_error(event: bytes) -> ReportedError | None:
    """The error that an event reports, if it does."""
    if len(event) > MAX_ERROR_BYTES or not may_be_error(event):
        return None
    value = json_of(event)
    return ReportedError(value) if is_error(value) else None


def json_of(event: bytes) -> object:
    """The JSON value of an event's `data:` lines, or of all of it where it has none;
    None if that is no JSON.
    """
    data = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    try:
        value: object = json.loads(b"\n".join(data) if data else event)
    except (ValueError, RecursionError):
        return None
    return value
