"""The bytes of an answer on their way to an SDK: limited in size, put into a form that
the SDK reads, and their end remembered.

- The byte stream of a response is a public attribute, which is replaced. All this is
  the same for httpx and httpx2, whose classes the SDKs bring along, so that neither is
  imported here.
- The clients of this library ask for no compression. Where a server compresses all the
  same, `inflate` takes the HTTP client's place.
- What follows the end of an answer is read only for the connection to be used again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from functools import lru_cache
from typing import Any, Protocol

from cogent.errors import ModelError, ServerError
from cogent.transport.errors import translate
from cogent.transport.event_stream import EventStream, SdkReader
from cogent.transport.inflate import inflate, take_codings
from cogent.transport.json_lines import JsonLines
from cogent.transport.plain_body import ErrorPage, WholeBody
from cogent.transport.reported import ReportedError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # may stand before a text, and says nothing
MAX_DRAIN_SECONDS = 1.0  # that a server may keep the connection after its answer
WRAPPED = "cogent.body"  # where a response keeps its AnswerBytes


class Body(Protocol):
    """How the bytes of one kind of body are handed on.

    `is_over` says that nothing of what follows counts, `is_cut` after the end that the
    last event lacks a part.
    """

    is_over: bool

    @property
    def is_cut(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """What the SDK is to be given with these bytes."""
        ...

    def end(self) -> bytes:
        """What the SDK is to be given at the end.

        Raises the error that the server reported in the body.
        """
        ...


class AnswerBytes:
    """The byte stream of a response in the place of the one that it wraps.

    An SDK whose stream can be left only where it waits for more bytes is given what
    comes in pieces of about `max_bytes`: as many as it reads in some milliseconds.
    """

    stream_observer: Any

    def __init__(self, response: Any, body: Body, max_bytes: int | None) -> None:
        self.body = body
        self._library = library_of(response)
        self._inner = response.stream
        self._codings = take_codings(response.headers)
        self._max_bytes = max_bytes
        self.is_left = False  # whether nobody wants what still comes
        # What makes of whole events fewer, where the SDK need not read them all.
        self.shorten: Callable[[bytes], bytes] | None = None
        self._first: bytes | None = b""  # what may be a byte order mark; then None
        # anthropic 2.14 (`AsyncStream._observer`) looks for this here at each event:
        # the user's tracing has put it on the stream, and ends its span with it.
        observer = getattr(self._inner, "stream_observer", None)
        if observer is not None:
            self.stream_observer = observer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self._pieces()) as pieces:
            # openai's `drain_response_async` reads the stream anew, behind `[DONE]`.
            if self.body.is_over:
                await drain(pieces)
                return
            try:
                async for piece in pieces:
                    data = self._feed(piece)
                    if data:
                        yield data
                    if self.body.is_over:
                        break
                yield self.body.end()
            except (ModelError, ReportedError):
                raise
            except Exception as error:  # the HTTP client's: mostly, an end too early
                if not self._is_unreadable_page(error):
                    raise self._translated(error) from error
            await self._read_rest(pieces)

    @property
    def is_cut(self) -> bool:
        """Whether the answer ended in the middle of an event."""
        return self.body.is_cut

    async def aclose(self) -> None:
        """Close the stream that is wrapped, and with it the connection."""
        await self._inner.aclose()

    def _feed(self, piece: bytes) -> bytes:
        if self._first is not None:
            piece = self._without_mark(piece)
        data = self.body.feed(piece)
        if data and self.shorten is not None:
            return self.shorten(data)
        return data

    def _without_mark(self, piece: bytes) -> bytes:
        """The first bytes without a byte order mark; none as long as they may be a part
        of such.
        """
        first = (self._first or b"") + piece
        if BYTE_ORDER_MARK.startswith(first):
            self._first = first
            return b""
        self._first = None
        return first.removeprefix(BYTE_ORDER_MARK)

    def _pieces(self) -> AsyncGenerator[bytes]:
        pieces: AsyncGenerator[bytes] = aiter(self._inner)
        for coding in reversed(self._codings):
            pieces = inflate(pieces, coding, self._library)
        if self._max_bytes is not None:
            pieces = self._slice(pieces, self._max_bytes)
        return pieces

    async def _slice(
        self, pieces: AsyncGenerator[bytes], max_bytes: int
    ) -> AsyncGenerator[bytes]:
        """The pieces, none of them longer, for an SDK that can be left only where it
        waits.
        """
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece[:max_bytes]
                for start in range(max_bytes, len(piece), max_bytes):
                    await asyncio.sleep(0)  # the SDK can be left here
                    yield piece[start : start + max_bytes]
                if self.is_left:  # a fast server would always have more to read
                    await asyncio.sleep(0)

    def _is_unreadable_page(self, error: Exception) -> bool:
        """Whether only the words of an error are lost, and its status counts."""
        is_page = isinstance(self.body, ErrorPage)
        return is_page and isinstance(error, self._library.DecodingError)

    def _translated(self, error: Exception) -> ModelError:
        if isinstance(error, self._library.DecodingError):
            return ServerError(f"the answer cannot be inflated: {error}", status=200)
        return translate(error, began=True)

    async def _read_rest(self, pieces: AsyncIterator[bytes]) -> None:
        if not isinstance(self.body, ErrorPage):
            await drain(pieces)


@lru_cache
def stream_class(own: type[Any], base: type[Any]) -> Any:
    """The class with this base: the HTTP clients take only streams of their own class."""
    return type(own.__name__, (own, base), {})


def library_of(response: Any) -> Any:
    """The HTTP client that a response is of: httpx or httpx2."""
    for name in ("httpx2", "httpx"):
        library: Any = sys.modules.get(name)
        if library is not None and isinstance(response, library.Response):
            return library
    raise TypeError(f"{type(response)} is no response of httpx or httpx2")


def wrap_body(
    response: Any, reader: SdkReader, *, is_streamed: bool = True
) -> AnswerBytes:
    """The response's byte stream, wrapped the first time.

    `reader` is what the SDK takes of a streamed answer.
    """
    earlier: AnswerBytes | None = response.extensions.get(WRAPPED)
    if earlier is not None:
        return earlier
    base = library_of(response).AsyncByteStream
    body = _make_body(response, reader, is_streamed)
    own_class = stream_class(AnswerBytes, base)
    wrapped: AnswerBytes = own_class(response, body, reader.max_bytes_per_read)
    response.extensions[WRAPPED] = wrapped
    response.stream = wrapped
    return wrapped


def _make_body(response: Any, reader: SdkReader, is_streamed: bool) -> Body:
    if not response.is_success:
        return ErrorPage(names_charset="charset" in _content_type_line(response))
    if not is_streamed:
        return WholeBody()
    if reader.json_lines:
        return JsonLines()
    return EventStream(content_type(response), reader)


def _content_type_line(response: Any) -> str:
    """What the response says that it holds, with parameters."""
    return str(response.headers.get("content-type", ""))


def content_type(response: Any) -> str:
    """What the response says that it holds, without parameters."""
    return _content_type_line(response).partition(";")[0].strip().lower()


async def drain(rest: AsyncIterator[object]) -> None:
    """Read what follows the end of an answer, whatever it is, only for its connection
    to be used again.
    """
    with suppress(Exception):
        async with asyncio.timeout(MAX_DRAIN_SECONDS):
            async for _ in rest:
                pass
