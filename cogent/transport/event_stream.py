"""A body of server-sent events, mended where the SDKs fail at what the format allows.

- A body that begins as a JSON document or a page is no stream, and one that does not is
  a stream, whatever its content type says: servers send events under
  `application/json`, `text/plain` and no type at all.
- The SDKs silently drop a last event without the blank line that ends one. Where its
  data are whole, a JSON object or `[DONE]`, only the line ends are missing, and they
  are supplied. Anything else was cut, and stays so.
- An SDK is given whole events only, of the fields that it understands. The SDKs of
  OpenAI and Groq read an event without data as JSON, and Groq's wraps one with a name;
  Gemini's reads every line as JSON that does not begin with `data: `; Anthropic's drops
  an event without a name. All of them wait for the blank line, so holding an event back
  until then delays nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from cogent.errors import ModelError, ServerError
from cogent.transport.error_body import ANSWER, is_error, read_report
from cogent.transport.reported import ReportedError

BLANK_LINE = (b"\n\n", b"\r\n\r\n", b"\r\r")  # the end of an event
EVENT_ENDS = (
    b"\n\n",
    b"\n\r",
    b"\r\r",
)  # as short as they can be told, also where line ends are mixed
EVENT_END = re.compile(rb"\n\n|\n\r\n?|\r\r\n?")
LINE_END = re.compile(rb"\r\n|\r|\n")
NOT_PASSED_ON = (b"", b"id", b"retry")  # fields; a comment is a field without a name
KNOWN = (b"data", b"event", *NOT_PASSED_ON)
EVENTS = "text/event-stream"
JSON = "application/json"
PAGE = "text/html"
MAX_SHOWN_BYTES = 100  # of data that are no JSON, in an error

Mender = Callable[[bytes], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkReader:
    """What an SDK's reader of a streamed body takes.

    What it does not take is not passed on to it. Each provider module has its own
    value; these defaults are those of a reader of server-sent events that takes all
    that the format allows.
    """

    reads_event_names: bool = True  # else it fails at an event that has a name
    needs_event_names: bool = False  # it drops an event that has no name
    reads_done: bool = True  # else it fails at `data: [DONE]`
    reads_json_documents: bool = False  # JSON outside of events is an answer too
    closes_after_bad_data: bool = True  # else data that are no JSON leave it open
    event_ends: tuple[bytes, ...] = BLANK_LINE  # the bytes of which one ends an event
    # Makes a function that changes the bytes of a stream before the SDK sees them, or
    # raises the error that they report.
    make_mender: Callable[[], Mender] | None = None
    # For an SDK whose stream can be left only where it waits for more bytes: about as
    # many as it reads in some milliseconds.
    max_bytes_per_read: int = sys.maxsize


@lru_cache
def _readable_pattern(reader: SdkReader) -> re.Pattern[bytes]:
    """Whole events that an SDK reads as they are: nearly all that ever come, told apart
    as cheaply as can be.
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
    """One such body as it comes in; `content_type` is what its head says of it,
    `reader` what the SDK takes that reads it.
    """

    def __init__(self, content_type: str, reader: SdkReader) -> None:
        self.content_type = content_type
        self.reader = reader
        self.readable = _readable_pattern(reader)
        self.document: bytearray | None = None  # of a body that is one JSON document
        self.in_events = (
            True  # not a JSON document that the SDK is to read: Gemini's does
        )
        self.unfinished = bytearray()  # what came since the last blank line
        self.failure: ServerError | None = (
            None  # for an event at which the SDK would fail and close nothing
        )

    def begin(self, first: bytes) -> None:
        """Look at the first bytes that are no white space.

        Raises ServerError for those of a page.
        """
        if first.startswith((b"{", b"[")):
            self.in_events = False
            other = self.content_type == JSON or not self.reader.reads_json_documents
        else:
            other = first.startswith(b"<") or (
                self.content_type != EVENTS and not _may_be_field(first)
            )
        if not other:
            return
        if self.content_type == PAGE or first.startswith(b"<"):
            raise self._not_a_stream(first)
        self.document = bytearray()

    def feed(self, data: bytes) -> bytes:
        """What the SDK is to be given of the events that are whole with these bytes."""
        if not self.unfinished and self._is_usual(data):
            return data
        if self.document is not None:
            self.document += data
            return b""
        if not self.in_events or (not self.unfinished and self._is_readable(data)):
            return data
        start = max(0, len(self.unfinished) - 1)  # a blank line may be cut in two
        self.unfinished += data if self.unfinished else data.lstrip(b"\r\n")
        whole = self._take_whole_events(start)
        if self.reader.reads_json_documents and self.unfinished.startswith(
            (b"{", b"[")
        ):  # Google's form of an error
            self.in_events = False
            whole += self.unfinished
            self.unfinished.clear()
        return whole

    def end(self) -> bytes:
        """What the SDK is to be given of the last event.

        Raises the error that came instead of a stream.
        """
        if self.document is not None:
            raise self._error_of(bytes(self.document))
        rest = bytes(self.unfinished)
        if not _is_whole(rest):
            return rest
        self.unfinished.clear()
        return self._readable(rest)

    def empty(self) -> None:
        """Called for a body without any byte.

        Raises ServerError if it was not even announced as a stream.
        """
        if self.content_type in (JSON, PAGE):
            raise ServerError(
                f"the server sent an empty answer of type {self.content_type}",
                status=200,
            )

    @property
    def cut(self) -> bool:
        """Whether the body ended in the middle of an event."""
        return bool(self.unfinished.strip())

    def _take_whole_events(self, start: int) -> bytes:
        """The events that are over, as the SDK reads them; `start` is where a blank
        line may be found.
        """
        last = max(self.unfinished.rfind(end, start) for end in EVENT_ENDS)
        found = EVENT_END.match(self.unfinished, last) if last >= 0 else None
        if found is None:
            return b""
        whole = bytes(self.unfinished[: found.end()])
        del self.unfinished[: found.end()]
        return (
            whole
            if self._is_readable(whole)
            else b"".join(map(self._readable, EVENT_END.split(whole)))
        )

    def _is_usual(self, data: bytes) -> bool:
        """Whether this is one event in the form in which nearly all come: a test that
        costs next to nothing.
        """
        if not data.endswith(b"\n\n") or data.find(b"\r") >= 0:  # `in` is slower
            return False
        if data.startswith(b"data: {"):
            return data.count(b"\n") == 2 and not self.reader.needs_event_names
        name_end = data.find(b"\ndata: {")
        return (
            name_end > 7
            and data.startswith(b"event: ")
            and data.count(b"\n") == 3
            and self.reader.reads_event_names
        )

    def _is_readable(self, events: bytes) -> bool:
        """Whether the SDK reads these events as they are."""
        if events.find(b"\r") >= 0 and events.count(b"\r") != events.count(b"\r\n"):
            return False
        return self.readable.fullmatch(events) is not None

    def _readable(self, event: bytes) -> bytes:
        """One event with no more than the SDK understands; nothing if that holds no
        data.
        """
        fields = [_field_of(line) for line in LINE_END.split(event)]
        data = [
            b"data: " + value.removeprefix(b" ") for value in _values(fields, b"data")
        ]
        names = [b"event:" + value for value in _values(fields, b"event")]
        if not data:
            is_event = all(name in KNOWN for name, _ in fields) and names != [
                b"event: error"
            ]
            return (
                b"" if is_event else event + b"\n\n"
            )  # no event, or an error without words: the SDK is to say so
        if data == [b"data: [DONE]"] and not self.reader.reads_done:
            return b""
        if not self.reader.closes_after_bad_data and self._fails_at(data[0]):
            return b""
        if self.reader.needs_event_names and not names:
            names = [b"event: message"]
        lines = [*names, *data] if self.reader.reads_event_names else data
        return b"\n".join(lines) + b"\n\n"

    def _fails_at(self, line: bytes) -> bool:
        """Whether the SDK would fail at these data; the failure is then kept, to be
        raised at the end.
        """
        text = line.removeprefix(b"data: ").strip()
        if text.startswith((b"{", b"[")):
            return False
        said = text[:MAX_SHOWN_BYTES].decode(errors="replace")
        self.failure = ServerError(
            f"the server sent what is no JSON object: {said!r}", status=200
        )
        return True

    def _error_of(self, document: bytes) -> ModelError | ReportedError:
        try:
            answer = json.loads(document)
        except (ValueError, RecursionError):
            return self._not_a_stream(document)
        if is_error(answer):
            return ReportedError(answer)
        error = self._not_a_stream(document)
        if (
            isinstance(answer, dict) and answer.keys() & ANSWER
        ):  # that was paid for: asking again would be paid twice
            error.retryable = False
        return error

    def _not_a_stream(self, body: bytes) -> ModelError:
        kind = self.content_type or "something else"
        if body.startswith((b"{", b"[")) and kind != JSON:
            kind = "a JSON document"
        words = read_report(body).words
        said = f": {words}" if words else ""
        return ServerError(
            f"the server answered with {kind} instead of a stream{said}", status=200
        )


def _may_be_field(first: bytes) -> bool:
    """Whether a body that begins so may begin with a field of an event."""
    name = LINE_END.split(first, 1)[0].partition(b":")[0]
    return any(
        field.startswith(name) if len(name) == len(first) else field == name
        for field in KNOWN
    )


def _field_of(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value


def _values(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """What the fields of this name say, without those that say nothing."""
    return [value for field, value in fields if field == name and value.strip()]


def _is_whole(event: bytes) -> bool:
    """Whether the data of an event without its blank line are complete, or it has only
    what no SDK is given.
    """
    lines = [
        line
        for line in LINE_END.split(event)
        if line.partition(b":")[0] not in NOT_PASSED_ON
    ]
    text = b"\n".join(
        line.removeprefix(b"data:") for line in lines if line.startswith(b"data:")
    ).strip()
    if not lines or text == b"[DONE]":
        return True
    if not text.startswith((b"{", b"[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
