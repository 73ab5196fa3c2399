"""Which events of Gemini's are plain text, that `past_sdk` keeps from the SDK.

Of each event the SDK makes a dozen models, which takes 200 to 300 µs; to read its JSON
takes 5.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from cogent.json_values import Json

PLACEHOLDER: bytes = b"data: {}\n\n"
EVENTS = re.compile(rb"(?:data: \{.*\n\r?\n)++")
DATA = re.compile(rb"data: (\{.*)\n\r?\n")
EVENT_FIELDS = {"candidates", "modelVersion", "responseId", "usageMetadata"}
CANDIDATE_FIELDS = {"content", "index"}
CONTENT_FIELDS = {"parts", "role"}
TEXT_ONLY = {"text"}


class PlainText(NamedTuple):
    """An event with a delta of text; `event` is all of it."""

    text: str
    event: Json


def split_events(data: bytes) -> list[bytes] | None:
    """The events, if each is one line of data."""
    if EVENTS.fullmatch(data) is None:
        return None
    return [b"data: " + body + b"\n\n" for body in DATA.findall(data)]


def read_plain_text(event: bytes) -> PlainText | None:
    """The event if it holds one text, and else only what stands beside each text."""
    try:
        body = json.loads(event.removeprefix(b"data: "))
    except (ValueError, RecursionError):
        return None
    part = _only_part(body)
    if part is None or part.keys() != TEXT_ONLY or not _has_plain_fields(body):
        return None
    text = part["text"]
    return PlainText(text, body) if text and isinstance(text, str) else None


def _only_part(event: Json) -> Json | None:
    """The part of an event with one candidate of one part."""
    candidate = _only(event.get("candidates"), CANDIDATE_FIELDS)
    if candidate is None or candidate.get("index"):
        return None
    content = candidate.get("content")
    if not isinstance(content, dict) or not content.keys() <= CONTENT_FIELDS:
        return None
    return _only(content.get("parts"), TEXT_ONLY)


def _only(values: object, fields: set[str]) -> Json | None:
    """The object that a list consists of, if it has no other fields."""
    if not isinstance(values, list) or len(values) != 1:
        return None
    value = values[0]
    return value if isinstance(value, dict) and value.keys() <= fields else None


def _has_plain_fields(event: Json) -> bool:
    if not event.keys() <= EVENT_FIELDS:
        return False
    names = (event.get("modelVersion"), event.get("responseId"))
    if not all(name is None or isinstance(name, str) for name in names):
        return False
    usage = event.get("usageMetadata")
    return usage is None or _has_plain_counts(usage)


def _has_plain_counts(usage: object) -> bool:
    """Whether all that is named a count is one."""
    if not isinstance(usage, dict):
        return False
    counts = [value for name, value in usage.items() if name.endswith("Count")]
    return all(type(count) is int for count in counts)
