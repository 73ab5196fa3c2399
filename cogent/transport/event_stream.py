"""A body of server-sent events, mended where the SDKs fail at what the format allows.

- A body that begins as a JSON document or a page is no stream, and one that does not is
  a stream, whatever its content type says: servers send events under
  `application/json`, `text/plain` and no type at all.
- An SDK is given whole events only, of the fields that it understands. The SDKs of
  OpenAI and Groq read an event without data as JSON, and Groq's wraps one with a name;
  Gemini's reads every line as JSON that does not begin with `data: `; Anthropic's drops
  an event without a name. All of them wait for the blank line, so holding an event back
  until then delays nothing.
- The SDKs silently drop a last event without the blank line that ends one. Where its
  data are whole, a JSON object or `[DONE]`, only the line ends are missing, and they
  are supplied. Anything else was cut, and stays so.
- An error is raised behind the events that came before it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache

from cogent.errors import ModelError, ServerError
from cogent.transport.error_body import ANSWER, is_error, read_report
from cogent.transport.error_events import (
    MAX_ERROR_BYTES,
    find_error,
    json_of,
    may_be_error,
)
from cogent.transport.plain_body import check_size
from cogent.transport.reported import ReportedError

EVENT_ENDS = (b"\n\n", b"\n\r", b"\r\r")  # the shortest that tell one, of any mixture
EVENT_END = re.compile(rb"\n\n|\n\r\n?|\r\r\n?")
LINE_END = re.compile(rb"\r\n|\r|\n")
DONE = b"[DONE]"
DONE_LINE = b"data: [DONE]"  # the last of a chat stream
DONE_BYTES = 32  # that the last line takes with what stands around it
JSON_START = (b"{", b"[")
JSON_END = (b"}", b"]")
SILENT_FIELDS = (b"", b"id", b"retry")  # a comment is a field without a name
FIELDS = (b"data", b"event", *SILENT_FIELDS)
EVENTS = "text/event-stream"
JSON = "application/json"
PAGE = "text/html"
MAX_SHOWN_BYTES = 100  # of data that are no JSON, in an error

Fields = list[tuple[bytes, bytes]]  # of one event: name and value of each


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkReader:
    """What an SDK's reader of a streamed answer takes.

    What it does not take is not passed on to it. Each provider module has its own
    value; the defaults are those of a reader of server-sent events that takes all that
    the format allows.
    """

    reads_event_names: bool = True  # else it fails at an event that has a name
    needs_event_names: bool = False  # it drops an event that has no name
    reads_done: bool = True  # else it fails at `data: [DONE]`
    reads_errors: bool = True  # else it loses the words of errors among the events
    reads_json_documents: bool = False  # JSON outside of events is an answer too
    json_lines: bool = False  # it reads lines of JSON, and no server-sent events
    max_bytes_per_read: int | None = None  # where it can be left only between reads


@lru_cache
def _readable_pattern(reader: SdkReader) -> re.Pattern[bytes]:
    """Whole events that an SDK reads as they are: nearly all that ever come. The test is
    as cheap as it can be.
    """
    if reader.needs_event_names:
        name = rb"event: .+\n"
    elif reader.reads_event_names:
        name = rb"(?:event: .+\n)?"
    else:
        name = b""
    data = rb"data: [{\[].*" if reader.reads_done else rb"data: \{.*"
    return re.compile(rb"(?:" + name + data + rb"\n\r?\n)++")


class EventStream:
    """One such body as it comes in; `content_type` is what its head says of it."""

    def __init__(self, content_type: str, reader: SdkReader) -> None:
        self.is_over: bool = False  # after `[DONE]`, and at an error
        self._content_type = content_type
        self._reader = reader
        self._readable = _readable_pattern(reader)
        self._takes_unnamed = reader.reads_errors and not reader.needs_event_names
        self._takes_named = reader.reads_errors and reader.reads_event_names
        self._unfinished = bytearray()  # what came since the last blank line
        self._has_begun = False
        self._in_document = False  # what comes is JSON outside of events, or a page
        self._is_foreign = False  # it is nothing that the SDK reads
        self._failure: Exception | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the body ended in the middle of an event."""
        if self.is_over or self._in_document:
            return False
        return bool(self._unfinished.strip())

    def feed(self, data: bytes) -> bytes:
        """What the SDK is to be given of the events that are whole with these bytes."""
        if not self._unfinished:
            if self._is_usual(data):
                self._has_begun = True
                return data
            if self._is_readable(data):
                self._has_begun = True
                self._look_for_done(data)
                return data
            data = data.lstrip(b"\r\n") if self._has_begun else data.lstrip()
        start = max(0, len(self._unfinished) - 1)  # a blank line may be cut in two
        self._unfinished += data
        check_size(len(self._unfinished))
        if not self._has_begun:
            self._begin()
        if not self._in_document:
            return self._take_whole_events(start)
        return self._take_document()

    def end(self) -> bytes:
        """What the SDK is to be given of the last event.

        Raises the error that came in an event, or instead of a stream.
        """
        rest = bytes(self._unfinished)
        if self._is_foreign:
            raise self._error_of_document(rest)
        if not self._has_begun:
            self._check_empty()
        if not self._in_document and _is_whole(rest):
            self._unfinished.clear()
            rest = self._readable_event(rest)
        if self._failure is not None:
            raise self._failure
        return rest

    # How a body begins

    def _begin(self) -> None:
        """Look at the first bytes that are no white space.

        Raises ServerError for those of a page.
        """
        first = bytes(self._unfinished)
        if not first:
            return
        self._has_begun = True
        is_json = first.startswith(JSON_START)
        if is_json:
            is_read = self._reader.reads_json_documents and self._content_type != JSON
        else:
            is_read = self._begins_events(first)
        self._is_foreign = not is_read
        self._in_document = is_json or self._is_foreign
        is_page = self._content_type == PAGE or first.startswith(b"<")
        if self._is_foreign and is_page:
            raise self._not_a_stream(first)

    def _begins_events(self, first: bytes) -> bool:
        if first.startswith(b"<"):
            return False
        return self._content_type == EVENTS or _may_be_field(first)

    def _check_empty(self) -> None:
        """Raise ServerError if the empty body was not even announced as a stream."""
        if self._content_type in (JSON, PAGE):
            raise ServerError(
                f"the server sent an empty answer of type {self._content_type}",
                status=200,
            )

    # Whole events

    def _is_usual(self, data: bytes) -> bool:
        """Whether this is one event in the form in which nearly all come: a test that
        costs next to nothing.
        """
        if not data.endswith(b"\n\n") or data.find(b"\r") >= 0:  # `in` is slower
            return False
        lines = data.count(b"\n")
        if lines == 2:
            return self._takes_unnamed and data.startswith(b"data: {")
        if lines == 3 and self._takes_named:
            return data.startswith(b"event: ") and data.find(b"\ndata: {") > 7
        return False

    def _is_readable(self, events: bytes) -> bool:
        """Whether the SDK reads these whole events as they are."""
        if events.find(b"\r") >= 0 and events.count(b"\r") != events.count(b"\r\n"):
            return False
        if self._readable.fullmatch(events) is None:
            return False
        return self._reader.reads_errors or not may_be_error(events)

    def _take_whole_events(self, start: int) -> bytes:
        """The events that are over, as the SDK reads them; `start` is where a blank
        line may be found.
        """
        end = self._end_of_events(start)
        whole = bytes(self._unfinished[:end])
        del self._unfinished[:end]
        events = self._readable_events(whole)
        if self._reader.reads_json_documents:
            self._in_document = self._unfinished.startswith(JSON_START)
        return events + self._take_document() if self._in_document else events

    def _end_of_events(self, start: int) -> int:
        """Where the last blank line ends; 0 if there is none."""
        last = max(self._unfinished.rfind(end, start) for end in EVENT_ENDS)
        found = EVENT_END.match(self._unfinished, last) if last >= 0 else None
        return found.end() if found is not None else 0

    def _readable_events(self, whole: bytes) -> bytes:
        """The same events as the SDK reads them, up to the first error."""
        self._look_for_done(whole)
        if not whole or self._is_readable(whole):
            return whole
        events = []
        for event in EVENT_END.split(whole):
            events.append(self._readable_event(event))
            if self._failure is not None:
                break
        return b"".join(events)

    def _look_for_done(self, events: bytes) -> None:
        """Take note of whether the last of these events ends a chat stream."""
        if events.find(DONE, -DONE_BYTES) < 0:
            return
        last_line = LINE_END.split(events[-DONE_BYTES:].rstrip())[-1]
        if last_line.replace(b"data:[", b"data: [") == DONE_LINE:
            self.is_over = True

    # One event

    def _readable_event(self, event: bytes) -> bytes:
        """One event with no more than the SDK understands; nothing if that holds no
        data.
        """
        fields = _fields_of(event)
        names = _values(fields, b"event")
        data = _values(fields, b"data")
        if not data:
            return self._readable_without_data(event, fields, names)
        if data == [DONE] and not self._reader.reads_done:
            return b""
        self._failure = self._failure_of(event, data[0])
        if self._failure is not None:
            self.is_over = True
            return b""
        lines = _lines(b"event: ", self._readable_names(names))
        lines += _lines(b"data: ", data)
        return b"\n".join(lines) + b"\n\n"

    def _readable_without_data(
        self, event: bytes, fields: Fields, names: list[bytes]
    ) -> bytes:
        """Nothing, but for an error without words and for what is no event: the SDK is
        to say so.
        """
        if all(name in FIELDS for name, _ in fields) and names != [b"error"]:
            return b""
        return event + b"\n\n"

    def _readable_names(self, names: list[bytes]) -> list[bytes]:
        if not self._reader.reads_event_names:
            return []
        if self._reader.needs_event_names and not names:
            return [b"message"]
        return names

    def _failure_of(self, event: bytes, data: bytes) -> Exception | None:
        """The error that an event reports, or is, where the SDK would lose it."""
        if self._reader.reads_errors:
            return None
        if data.lstrip().startswith(JSON_START):
            return find_error(event)
        shown = data[:MAX_SHOWN_BYTES].decode(errors="replace")
        return ServerError(
            f"the server sent what is no JSON object: {shown!r}", status=200
        )

    # What is no event

    def _take_document(self) -> bytes:
        """JSON outside of events when it is whole, for an SDK that reads it.

        Google reports an error so, also behind events.
        """
        if self._is_foreign or len(self._unfinished) > MAX_ERROR_BYTES:
            return b""
        document = bytes(self._unfinished)
        is_ended = document.rstrip().endswith(JSON_END)
        value = json_of(document) if is_ended else None
        if value is None:
            return b""
        self._unfinished.clear()
        self._in_document = False
        if is_error(value):
            self._failure = ReportedError(value)
            self.is_over = True
            return b""
        return document + b"\n"

    def _error_of_document(self, document: bytes) -> Exception:
        try:
            answer = json.loads(document)
        except (ValueError, RecursionError):
            return self._not_a_stream(document)
        if is_error(answer):
            return ReportedError(answer)
        error = self._not_a_stream(document)
        if isinstance(answer, dict) and answer.keys() & ANSWER:
            error.retryable = False  # the answer was billed
        return error

    def _not_a_stream(self, body: bytes) -> ModelError:
        kind = self._content_type or "something else"
        if body.startswith(JSON_START) and kind != JSON:
            kind = "a JSON document"
        words = read_report(body).words
        said = f": {words}" if words else ""
        return ServerError(
            f"the server answered with {kind} instead of a stream{said}", status=200
        )


def _may_be_field(first: bytes) -> bool:
    """Whether a body that begins so may begin with a field of an event."""
    name = LINE_END.split(first, 1)[0].partition(b":")[0]
    is_whole_name = len(name) < len(first)
    if is_whole_name:
        return name in FIELDS
    return any(field.startswith(name) for field in FIELDS)


def _fields_of(event: bytes) -> Fields:
    """The name of each line and what follows its colon."""
    fields = []
    for line in LINE_END.split(event):
        name, _, value = line.partition(b":")
        fields.append((name, value.removeprefix(b" ")))
    return fields


def _values(fields: Fields, name: bytes) -> list[bytes]:
    """What the fields of this name say, without those that say nothing."""
    return [value for field, value in fields if field == name and value.strip()]


def _lines(start: bytes, values: list[bytes]) -> list[bytes]:
    return [start + value for value in values]


def _is_whole(event: bytes) -> bool:
    """Whether the data of an event without its blank line are complete, or it has only
    what no SDK is given.
    """
    fields = _fields_of(event)
    data = b"\n".join(_values(fields, b"data")).strip()
    if data == DONE or all(name in SILENT_FIELDS for name, _ in fields):
        return True
    return data.startswith(JSON_START) and json_of(event) is not None
