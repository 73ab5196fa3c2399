"""The bytes of an answer on their way to an SDK: unpacked bit by bit, limited in size,
and their end remembered.

A response's byte stream is a public attribute, which is wrapped. All this is the same
for httpx and httpx2, whose classes the SDKs bring along, so that neither is imported
here.
"""

from __future__ import annotations

import asyncio
import codecs
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from functools import lru_cache
from typing import Any

from cogent.errors import ModelError, ServerError
from cogent.transport.errors import translate
from cogent.transport.event_stream import BLANK_LINE, EventStream, Mender, SdkReader
from cogent.transport.reported import ReportedError

MB = 1024 * 1024
MAX_EVENT_BYTES = 64 * MB
MAX_ANSWER_BYTES = 256 * MB  # for what is no stream
MAX_PAGE_BYTES = MB  # of an error or a redirect: more is not told anyway
TAIL_BYTES = 32  # bytes that the last line of a stream takes with what stands around it
MAX_DRAIN_SECONDS = (
    1.0  # seconds that a server may hold the connection after the end of its answer
)
MAX_INFLATE_BYTES = MB  # bytes that are unpacked at once
COMPRESSED = {"gzip", "x-gzip", "deflate"}  # what the HTTP clients ask for
WBITS_AUTO, WBITS_RAW = (
    zlib.MAX_WBITS | 32,
    -zlib.MAX_WBITS,
)  # gzip or zlib, as the head says; or deflate alone
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # may stand before a text, and says nothing
DONE = (b"data: [DONE]", b"data:[DONE]")  # the last line of a chat stream

Unpack = Callable[[bytes], Iterator[bytes]]


class CompressionError(Exception):
    """An answer is not compressed as it says."""


class AnswerBytes:
    """A byte stream around another; its base class besides is that of the HTTP client
    that the SDK uses.
    """

    first, begun = b"", False  # what came before the first byte that says something
    events: EventStream | None = None  # what is known of a body of server-sent events
    size = 0  # bytes of the event, or of the whole answer, that is coming in
    last = b""  # the last bytes that came

    def __init__(
        self,
        inner: Any,
        ends: tuple[bytes, ...],
        unpack: Unpack | None,
        mend: Mender | None,
        page: bool,
        most: int,
    ) -> None:
        self.__dict__.update(
            getattr(inner, "__dict__", {})
        )  # the SDKs look for notes of their own at each event
        self.inner, self.ends, self.unpack, self.page, self.most = (
            inner,
            ends,
            unpack,
            page,
            most,
        )
        self.mend = mend if most == sys.maxsize else _sliced(mend, most)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpack, mend, most = self.unpack, self.mend, self.most
        async with aclosing(aiter(self.inner)) as pieces:
            if (
                self.complete()
            ):  # the openai SDK begins anew to read what follows the end
                await drain(pieces)
                return
            try:
                async for packed in pieces:
                    for data in (packed,) if unpack is None else unpack(packed):
                        events = self.take_in(data)
                        for piece in (events,) if mend is None else mend(events):
                            yield piece
                            if len(piece) == most:
                                await asyncio.sleep(0)
                    if self.events is not None and self.events.failure is not None:
                        raise self.events.failure
                    if self.page and self.size > MAX_PAGE_BYTES:
                        return
                    if self.complete():
                        break
                rest = self.end()
                for piece in (rest,) if mend is None else mend(rest):
                    yield piece
            except CompressionError as error:
                if (
                    not self.page
                ):  # the status of an error counts, also where its words cannot be read
                    raise ServerError(
                        f"the answer is not compressed as it says: {error}", status=200
                    ) from error
            except (ModelError, ReportedError):
                raise
            except Exception as error:  # an HTTP client's: here, amid an answer, it means an end too early
                raise translate(error, began=True) from error
            await drain(pieces)

    def take_in(self, data: bytes) -> bytes:
        """What the SDK is to be given for these bytes: of a body of events, those that
        are whole with them.
        """
        if not self.begun:
            data = self.begin(data)
        self.size += len(data)
        if self.size > MB:
            if self.page:
                return b""
            self.size = self.checked(self.size, data)
        self.last = data if len(data) > TAIL_BYTES else (self.last + data)[-TAIL_BYTES:]
        return data if self.events is None else self.events.feed(data)

    def begin(self, data: bytes) -> bytes:
        """The first bytes without a byte order mark; none as long as they may be a part
        of such.

        A stream of events begins with its first byte that is no white space, and that
        byte is looked at.
        """
        self.first += data
        if BYTE_ORDER_MARK.startswith(self.first):
            return b""
        first = self.first.removeprefix(BYTE_ORDER_MARK)
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

    def end(self) -> bytes:
        """What the SDK is to be given of a last event without its blank line."""
        if self.events is None:
            return b""
        if not self.begun:
            self.events.empty()
        return self.events.end()

    def complete(self) -> bool:
        """Whether the last event is the one that ends a chat stream."""
        if (
            self.last.find(b"[DONE]") < 0
        ):  # `in` is four times as slow, and this is asked for each piece
            return False
        return (
            self.ends is BLANK_LINE
            and done(self.last)
            and self.last.endswith(self.ends)
        )

    def was_cut(self) -> bool:
        """Whether a body of events ended in the middle of one."""
        return self.events is not None and self.events.cut

    def checked(self, size: int, data: bytes) -> int:
        """The bytes so far of the event, or of the whole answer, that `data` belongs
        to.
        """
        edge = self.last[-3:] + data[:3]
        if any(end in data or end in edge for end in self.ends):
            return 0
        limit = MAX_EVENT_BYTES if self.ends else MAX_ANSWER_BYTES
        if size > limit:
            raise ServerError(
                f"the server sends more than {limit // MB} MB in one piece",
                status=200,
                retryable=False,
            )
        return size

    async def aclose(self) -> None:
        await self.inner.aclose()


@lru_cache
def _class_over(base: type[Any]) -> type[AnswerBytes]:
    return type("AnswerBytes", (AnswerBytes, base), {})


def wrap_body(
    response: Any, reader: SdkReader, *, has_events: bool, is_stream: bool
) -> AnswerBytes:
    """The response's byte stream, wrapped the first time.

    `reader` says what the SDK takes that reads it, `has_events` whether it consists of
    events, and `is_stream` whether such was asked for.
    """
    if isinstance(response.stream, AnswerBytes):
        return response.stream
    base = next(
        c for c in type(response.stream).__mro__ if c.__name__ == "AsyncByteStream"
    )
    unpack = _take_over_unpacking(response)
    is_readable = response.is_success and "content-encoding" not in response.headers
    mend = None
    if reader.make_mender is not None and is_stream and is_readable:
        mend = reader.make_mender()
    wrapped = _class_over(base)(
        response.stream,
        reader.event_ends if has_events else (),
        unpack,
        mend,
        not response.is_success,
        reader.max_bytes_per_read,
    )
    if has_events and reader.event_ends is BLANK_LINE and is_readable:
        wrapped.events = EventStream(content_type(response), reader)
    response.stream = wrapped
    return wrapped


def _take_over_unpacking(response: Any) -> Unpack | None:
    """A function that unpacks the body, which the HTTP client then does not; None if
    there is nothing to unpack.
    """
    codings = [
        coding.strip()
        for coding in response.headers.get("content-encoding", "").lower().split(",")
    ]
    unpack: Unpack | None = None
    if COMPRESSED.issuperset(codings):
        del response.headers["content-encoding"]
        for _ in codings:
            unpack = _chained(unpack, _unpacker())
    if not response.is_success and "charset" not in response.headers.get(
        "content-type", ""
    ):
        unpack = _chained(unpack, _text_mender())
    return unpack


def content_type(response: Any) -> str:
    """What the response says that it holds, without parameters."""
    return (
        str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()
    )


def done(data: bytes) -> bool:
    """Whether the last line, ended or not, says that the stream is complete."""
    return data.rstrip().replace(b"\r", b"\n").rpartition(b"\n")[2] in DONE


async def drain(rest: AsyncIterator[object]) -> None:
    """Read what follows the end of an answer, whatever it is, only for its connection
    to be used again.
    """
    with suppress(Exception):
        async with asyncio.timeout(MAX_DRAIN_SECONDS):
            async for _ in rest:
                pass


def _sliced(mend: Mender | None, most: int) -> Mender:
    def mend_and_slice(data: bytes) -> Iterator[bytes]:
        for piece in (data,) if mend is None else mend(data):
            for start in range(0, len(piece), most):
                yield piece[start : start + most]

    return mend_and_slice


def _chained(first: Unpack | None, then: Unpack) -> Unpack:
    if first is None:
        return then
    return lambda packed: (data for piece in first(packed) for data in then(piece))


def _text_mender() -> Unpack:
    """A function that replaces what is no UTF-8: one SDK fails at it, and the error's
    status and words are lost.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def mend(data: bytes) -> Iterator[bytes]:
        yield decoder.decode(data).encode()

    return mend


def _unpacker() -> Unpack:
    """A function that unpacks a piece bit by bit: one of a few bytes can hold a
    gigabyte.
    """
    decompress, began = zlib.decompressobj(WBITS_AUTO), False

    def unpack(packed: bytes) -> Iterator[bytes]:
        nonlocal decompress, began
        full = False  # whether there may be more of what was already taken in
        while packed or full:
            try:
                data = decompress.decompress(packed, MAX_INFLATE_BYTES)
            except zlib.error as error:
                if began:
                    raise CompressionError(error) from error
                decompress, began = zlib.decompressobj(WBITS_RAW), True
                continue
            if data:
                began = True
                yield data
            packed, full = decompress.unconsumed_tail, len(data) == MAX_INFLATE_BYTES
            if decompress.eof:  # another member may follow
                packed = decompress.unused_data
                decompress = zlib.decompressobj(WBITS_AUTO)

    return unpack
