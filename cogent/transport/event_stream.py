"""A body of server-sent events, checked where the SDKs do not look: at its first byte and at its last event.

- A body that begins as a JSON document or a page is no stream, and one that does not is a stream, whatever its content
  type says: servers send events under `application/json`, `text/plain` and no type at all.
- The SDKs silently drop a last event without the blank line that ends one. Where its data are whole, a JSON object or
  `[DONE]`, only the line ends are missing, and they are supplied. Anything else was cut, and stays so.
"""

from __future__ import annotations

import json
import re

from cogent.errors import ModelError, ServerError
from cogent.transport.error_body import is_error
from cogent.transport.errors import provider_error

BLANK_LINE = (b"\n\n", b"\r\n\r\n", b"\r\r")  # the end of an event
LINE_END = re.compile(rb"\r\n|\r|\n")
FIELDS = b"deir:"  # the first letters of data, event, id and retry, and what a comment begins with
JSON = "application/json"
PAGE = "text/html"


class EventStream:
    """One such body as it comes in; `content_type` is what its head says of it.

    `takes_documents` is for an SDK that reads a JSON document in a stream as an event (Gemini's).
    """

    def __init__(self, content_type: str, takes_documents: bool) -> None:
        self.content_type = content_type
        self.takes_documents = takes_documents
        self.document: bytearray | None = None  # of a body that is one JSON document
        self.unfinished = bytearray()  # what came since the last blank line

    def begin(self, first: bytes) -> None:
        """Look at the first bytes that are no white space. Raises ServerError for those of a page."""
        if first.startswith((b"{", b"[")):
            other = self.content_type == JSON or not self.takes_documents
        else:
            other = first.startswith(b"<") or (self.content_type in (JSON, PAGE) and first[0] not in FIELDS)
        if not other:
            return
        if self.content_type == PAGE or first.startswith(b"<"):
            raise self._not_a_stream()
        self.document = bytearray()

    def feed(self, data: bytes) -> None:
        """Remember what belongs to an unfinished event."""
        if data.endswith(BLANK_LINE):
            self.unfinished.clear()
            return
        start = max(0, len(self.unfinished) - 3)  # a blank line may be cut in two
        self.unfinished += data
        ends = BLANK_LINE if b"\r" in self.unfinished[start:] else BLANK_LINE[:1]
        for end in ends:
            place = self.unfinished.rfind(end, start)
            if place >= 0:
                del self.unfinished[: place + len(end)]
                start = 0

    def end(self) -> bytes:
        """What the last event lacks. Raises the error that came instead of a stream."""
        if self.document is not None:
            raise self._error_of(bytes(self.document))
        lines = LINE_END.split(bytes(self.unfinished))
        data = b"\n".join(line.removeprefix(b"data:") for line in lines if line.startswith(b"data:"))
        if not _whole(data):
            return b""
        self.unfinished.clear()
        return b"\n\n"

    def empty(self) -> None:
        """Called for a body without any byte. Raises ServerError if it was not even announced as a stream."""
        if self.content_type in (JSON, PAGE):
            raise self._not_a_stream()

    @property
    def cut(self) -> bool:
        """Whether the body ended in the middle of an event."""
        return bool(self.unfinished.strip())

    def _error_of(self, document: bytes) -> ModelError:
        try:
            answer = json.loads(document)
        except (ValueError, RecursionError):
            return self._not_a_stream()
        return provider_error(answer) if is_error(answer) else self._not_a_stream()

    def _not_a_stream(self) -> ModelError:
        kind = self.content_type or "something else"
        if self.document is not None and kind != JSON:
            kind = "a JSON document"
        return ServerError(f"the server answered with {kind} instead of a stream", status=200)


def _whole(data: bytes) -> bool:
    """Whether the data of an event are complete."""
    text = data.strip()
    if text == b"[DONE]":
        return True
    if not text.startswith((b"{", b"[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
