"""The plain text in a stream of Gemini, past the SDK.

Of each event the SDK makes a dozen models, which takes 200 to 300 µs; to read its JSON
takes 5. So events are looked at on their way to the SDK. What holds text and counts and
nothing else is kept here, and the SDK is given an empty event in its place, so that all
events keep their order. Whatever is not as plain as that is the SDK's.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Self

from cogent.json_values import Json

EMPTY = b"data: {}\n\n"
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


class PastSdk:
    """The events of a stream: those that the SDK made, and the texts that it was not
    given.

    `shorten` is for the bytes before the SDK reads them. It relies on the SDK reading
    on only when it has given all events of what it read.
    """

    def __init__(self, events: AsyncIterator[Any]) -> None:
        self._events = events
        self._is_plain = True  # what comes are events that can be told apart
        # For each event that the SDK was given since: what it stands for, if anything.
        self._given: deque[list[PlainText] | None] = deque()
        self._texts: deque[PlainText] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._texts:
            event = await anext(self._events)
            texts = self._given.popleft() if self._given else None
            if texts is None:
                return event
            self._texts.extend(texts)
        return self._texts.popleft()

    def shorten(self, events: bytes) -> bytes:
        """Whole events, with an empty one for all texts that follow each other."""
        self._is_plain = self._is_plain and EVENTS.fullmatch(events) is not None
        if not self._is_plain:
            return events
        shortened = []
        run: list[PlainText] = []
        for data in DATA.findall(events):
            text = read_plain_text(data)
            if text is None:
                run = []
                self._given.append(None)
                shortened.append(b"data: " + data + b"\n\n")
                continue
            if not run:
                self._given.append(run)
                shortened.append(EMPTY)
            run.append(text)
        return b"".join(shortened)


def read_plain_text(data: bytes) -> PlainText | None:
    """The event if it holds one text, and else only what stands beside each text."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return None
    part = _only_part(event)
    if part is None or part.keys() != TEXT_ONLY or not _has_plain_fields(event):
        return None
    text = part["text"]
    return PlainText(text, event) if text and isinstance(text, str) else None


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
