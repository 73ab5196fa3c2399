"""The bytes of an answer on their way to an SDK: unpacked bit by bit, limited in size, and their end remembered.

A response's byte stream is a public attribute, which is wrapped. All this is the same for httpx and httpx2, whose
classes the SDKs bring along, so that neither is imported here.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from functools import lru_cache
from typing import Any

from cogent.errors import ModelError, ServerError
from cogent.transport.errors import translate
from cogent.transport.event_stream import BLANK_LINE, EventStream

MB = 1024 * 1024
LARGEST_EVENT = 64 * MB
LARGEST_ANSWER = 256 * MB  # for what is no stream
LARGEST_PAGE = MB  # of an error or a redirect: more is not told anyway
LONGEST_END = 32  # bytes that the last line of a stream takes with what stands around it
LONGEST_CLOSING = 1.0  # seconds that a server may hold the connection after the end of its answer
UNPACKED = MB  # bytes that are unpacked at once
COMPRESSED = {"gzip", "x-gzip", "deflate"}  # what the HTTP clients ask for
WITH_A_HEAD, WITHOUT = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS  # gzip or zlib, as the head says; or deflate alone
MARK = b"\xef\xbb\xbf"  # may stand before a text, and says nothing
DONE = (b"data: [DONE]", b"data:[DONE]")  # the last line of a chat stream

Unpack = Callable[[bytes], Iterator[bytes]]
Mend = Callable[[bytes], Iterable[bytes]]


class AnswerBytes:
    """A byte stream around another; its base class besides is that of the HTTP client that the SDK uses."""

    first, begun = b"", False  # what came before the first byte that says something
    events: EventStream | None = None  # what is known of a body of server-sent events

    def __init__(
        self, inner: Any, ends: tuple[bytes, ...], unpack: Unpack | None, mend: Mend | None, page: bool, most: int
    ) -> None:
        self.__dict__.update(getattr(inner, "__dict__", {}))  # the SDKs look for notes of their own at each event
        self.inner, self.ends, self.unpack, self.mend, self.page = inner, ends, unpack, mend, page
        self.most, self.last = most, b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, unpack, mend, most = 0, self.unpack, self.mend, self.most
        async with aclosing(aiter(self.inner)) as pieces:
            if self.complete():  # one SDK begins anew to read what follows the end
                await drain(pieces)
                return
            try:
                async for packed in pieces:
                    for data in (packed,) if unpack is None else unpack(packed):
                        whole = data if self.begun else self.begin(data)
                        size += len(data)
                        if size > LARGEST_PAGE and self.page:
                            return
                        if size > MB:
                            size = self.checked(size, whole)
                        self.last = whole if len(whole) > LONGEST_END else (self.last + whole)[-LONGEST_END:]
                        if self.events is not None:
                            if self.events.document is not None:
                                self.events.document += whole
                                continue
                            self.events.feed(whole)
                        for piece in (whole,) if mend is None else mend(whole):
                            yield piece[:most]
                            for start in range(most, len(piece), most):
                                await asyncio.sleep(0)
                                yield piece[start : start + most]
                    if self.complete():
                        break
                if self.events is not None and (missing := self.end(self.events)):
                    yield missing
            except ModelError:
                raise
            except Exception as error:  # an HTTP client's: here, amid an answer, it means an end too early
                raise translate(error, began=True) from error
            await drain(pieces)

    def begin(self, data: bytes) -> bytes:
        """The first bytes without a byte order mark; none as long as they may be a part of such.

        A stream of events begins with its first byte that is no white space, and that byte is looked at.
        """
        self.first += data
        if MARK.startswith(self.first):
            return b""
        first = self.first.removeprefix(MARK)
        if self.events is not None:
            first = first.lstrip()
            if not first:
                self.first = b""
                return b""
            self.events.begin(first)
            if self.events.document is not None:
                self.ends = ()
        self.begun = True
        return first

    def end(self, events: EventStream) -> bytes:
        """What the last event of the body lacks."""
        if not self.begun:
            events.empty()
        missing = events.end()
        self.last += missing
        return missing

    def complete(self) -> bool:
        """Whether the last event is the one that ends a chat stream."""
        return b"[DONE]" in self.last and self.ends is BLANK_LINE and done(self.last) and self.last.endswith(self.ends)

    def checked(self, size: int, data: bytes) -> int:
        """The bytes so far of the event, or of the whole answer, that `data` belongs to."""
        edge = self.last[-3:] + data[:3]
        if any(end in data or end in edge for end in self.ends):
            return 0
        limit = LARGEST_EVENT if self.ends else LARGEST_ANSWER
        if size > limit:
            raise ServerError(f"the server sends more than {limit // MB} MB in one piece", status=200, retryable=False)
        return size

    async def aclose(self) -> None:
        await self.inner.aclose()


@lru_cache
def _class_over(base: type[Any]) -> type[AnswerBytes]:
    return type("AnswerBytes", (AnswerBytes, base), {})


def guarded(
    response: Any,
    ends: tuple[bytes, ...],
    mender: Callable[[], Mend] | None = None,
    most: int = sys.maxsize,
    takes_documents: bool = False,
) -> AnswerBytes:
    """The response's byte stream, wrapped the first time; `ends` are those of its events, if it has such.

    `mender` makes what changes the bytes before the SDK sees them, or raises the error that they report. `most` at a
    time are for an SDK whose stream can be left only where it waits for more: about as many as it reads in some
    milliseconds.
    """
    if isinstance(response.stream, AnswerBytes):
        return response.stream
    base = next(c for c in type(response.stream).__mro__ if c.__name__ == "AsyncByteStream")
    codings = [coding.strip() for coding in response.headers.get("content-encoding", "").lower().split(",")]
    unpack: Unpack | None = None
    if COMPRESSED.issuperset(codings):
        del response.headers["content-encoding"]
        for _ in codings:
            unpack = _chained(unpack, _unpacker())
    mend = mender() if mender is not None and "content-encoding" not in response.headers else None
    wrapped = _class_over(base)(response.stream, ends, unpack, mend, not response.is_success, most)
    if ends is BLANK_LINE and response.is_success and "content-encoding" not in response.headers:
        wrapped.events = EventStream(content_type(response), takes_documents)
    response.stream = wrapped
    return wrapped


def content_type(response: Any) -> str:
    """What the response says that it holds, without parameters."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def done(data: bytes) -> bool:
    """Whether the last line, ended or not, says that the stream is complete."""
    return data.rstrip().replace(b"\r", b"\n").rpartition(b"\n")[2] in DONE


async def drain(rest: AsyncIterator[object]) -> None:
    """Read what follows the end of an answer, whatever it is, only for its connection to be used again."""
    with suppress(Exception):
        async with asyncio.timeout(LONGEST_CLOSING):
            async for _ in rest:
                pass


def _chained(first: Unpack | None, then: Unpack) -> Unpack:
    if first is None:
        return then
    return lambda packed: (data for piece in first(packed) for data in then(piece))


def _unpacker() -> Unpack:
    """A function that unpacks a piece bit by bit: one of a few bytes can hold a gigabyte."""
    decompress, began = zlib.decompressobj(WITH_A_HEAD), False

    def unpack(packed: bytes) -> Iterator[bytes]:
        nonlocal decompress, began
        full = False  # whether there may be more of what was already taken in
        while packed or full:
            try:
                data = decompress.decompress(packed, UNPACKED)
            except zlib.error as error:
                if began:
                    raise ServerError(f"the answer is not compressed as it says: {error}", status=200) from error
                decompress, began = zlib.decompressobj(WITHOUT), True
                continue
            if data:
                began = True
                yield data
            packed, full = decompress.unconsumed_tail, len(data) == UNPACKED
            if decompress.eof:  # another member may follow
                packed = decompress.unused_data
                decompress = zlib.decompressobj(WITH_A_HEAD)

    return unpack
