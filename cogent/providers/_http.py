"""What holds for every HTTP answer, whichever SDK reads it: where it may come from, how large it may be, how it ends.

The SDKs take an HTTP client with event hooks, and an answer's byte stream is a public attribute, which is wrapped. All
this is the same for httpx and httpx2, whose classes the SDKs bring along, so that neither is imported here.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from functools import lru_cache
from typing import Any

from cogent.chunks import TurnUpdate
from cogent.errors import ServerError, StreamInterrupted
from cogent.providers._sdk import provider_error, translate
from cogent.timeout import Timeout

MB = 1024 * 1024
LARGEST_EVENT = 64 * MB
LARGEST_ANSWER = 256 * MB  # for what is no stream
LARGEST_PAGE = MB  # of an error or a redirect: more is not told anyway
MARK = b"\xef\xbb\xbf"  # may stand before a text, and says nothing
LONGEST_END = 32  # bytes that the last line of a stream takes with what stands around it
LONGEST_CLOSING = 1.0  # seconds that a server may hold the connection after the end of its answer
UNPACKED = MB  # bytes that are unpacked at once
JSON = "application/json"
STREAMED = "cogent.streamed"  # whether a request asked for a stream
COMPRESSED = ("gzip", "x-gzip", "deflate")  # what the HTTP clients ask for

Unpack = Callable[[bytes], Iterator[bytes]]

DONE = (b"data: [DONE]", b"data:[DONE]")  # the last line of a chat stream
BLANK_LINE = (b"\n\n", b"\r\n\r\n", b"\r\r")  # the end of a server-sent event


def client_settings(httpx: Any, timeout: Timeout, *hooks: Any) -> dict[str, Any]:
    """The arguments of an HTTP client of this library, httpx or httpx2; `hooks` are called for each response.

    The number of connections has no limit: an agent has as many as it has streams, and with a limit the clients look
    through all that wait and all that are open whenever one of them changes.
    """
    return {
        "timeout": httpx.Timeout(timeout.silence, connect=timeout.connect),
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=100),
        "event_hooks": {"request": [_refuse_what_was_not_asked_for], "response": [*hooks]},
    }


async def _refuse_what_was_not_asked_for(request: Any) -> None:
    """A request hook: an answer that had come before its question was sent is no answer to that.

    The HTTP clients keep what a server sends after the end of an answer, and take it for the next one. Only then is
    there an answer as soon as it is waited for, before the event loop has had its turn.
    """
    waited: list[bool] = []

    async def trace(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith("receive_response_headers.started"):
            asyncio.get_running_loop().call_soon(waited.append, True)
        elif event.endswith("receive_response_headers.complete") and not waited:
            raise ServerError("the server had sent an answer before the question", retryable=True)

    request.extensions["trace"] = trace


async def guard(response: Any, ends: tuple[bytes, ...] = BLANK_LINE) -> None:
    """A response hook: refuses redirects to another host, and limits the size of what is read.

    `ends` are the bytes of which one ends an event, where a stream was asked for.
    """
    if response.has_redirect_location:
        _check_redirect(response)
    asked = response.request
    if STREAMED not in asked.extensions:  # a request that was redirected has these of the one before, and no content
        asked.extensions[STREAMED] = b'"stream":true' in asked.content or asked.url.path.endswith(
            ":streamGenerateContent"
        )
    _guarded(response, ends if asked.extensions[STREAMED] and _kind(response) != JSON else ())


def _check_redirect(response: Any) -> None:
    """HTTP clients take only the Authorization header off such a request, and most keys are in another."""
    before = response.url
    after = before.join(response.headers["location"])
    upgrade = before.scheme == "http" and after.scheme == "https" and not (before.port or after.port)
    if before.host != after.host or not (upgrade or (before.scheme, before.port) == (after.scheme, after.port)):
        raise ServerError(
            f"the server redirects to {after.scheme}://{after.netloc.decode()}, where neither the key nor the question "
            "is sent: if that is right, give it as base_url",
            status=response.status_code,
            retryable=False,
        )


def _kind(response: Any) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


@lru_cache
def _stream_class(base: type[Any]) -> type[Any]:
    class Guarded(base):  # type: ignore[misc]  # the byte-stream class of whichever HTTP client the SDK uses
        first, begun = b"", False

        def __init__(self, inner: Any, ends: tuple[bytes, ...], unpack: Unpack | None, page: bool) -> None:
            self.__dict__.update(getattr(inner, "__dict__", {}))  # the SDKs look for notes of their own at each event
            self.inner, self.ends, self.unpack, self.page, self.last = inner, ends, unpack, page, b""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async with aclosing(_read(self.inner)) as pieces:
                if self.complete():  # one SDK begins anew to read what follows the end
                    await drain(pieces)
                    return
                async for packed in pieces:
                    for data in (packed,) if self.unpack is None else self.unpack(packed):
                        if not self.begun:
                            data = self.unmarked(data)
                            if not data:
                                continue
                        size += len(data)
                        if size > LARGEST_PAGE and self.page:
                            return
                        if size > MB:
                            size = self.checked(size, data)
                        self.last = data if len(data) > LONGEST_END else (self.last + data)[-LONGEST_END:]
                        yield data
                    if self.complete():
                        await drain(pieces)
                        return

        def unmarked(self, data: bytes) -> bytes:
            """The first bytes without a byte order mark; none as long as they may be a part of such."""
            self.first += data
            self.begun = not MARK.startswith(self.first)
            return self.first.removeprefix(MARK) if self.begun else b""

        def complete(self) -> bool:
            """Whether the last event is the one that ends a chat stream."""
            return self.ends is BLANK_LINE and done(self.last) and self.last.endswith(BLANK_LINE)

        def checked(self, size: int, data: bytes) -> int:
            """The bytes so far of the event, or of the whole answer, that `data` belongs to."""
            edge = self.last[-3:] + data[:3]
            if any(end in data or end in edge for end in self.ends):
                return 0
            limit = LARGEST_EVENT if self.ends else LARGEST_ANSWER
            if size > limit:
                raise ServerError(f"the server sends more than {limit // MB} MB in one piece", status=200)
            return size

        async def aclose(self) -> None:
            await self.inner.aclose()

    return Guarded


async def _read(stream: Any) -> AsyncGenerator[bytes, None]:
    async with aclosing(aiter(stream)) as pieces:
        try:
            async for data in pieces:
                yield data
        except Exception as error:  # an HTTP client's: here, in the middle of an answer, it means an end too early
            raise translate(error, began=True) from error


def done(data: bytes) -> bool:
    """Whether the last line, ended or not, says that the stream is complete."""
    return data.rstrip(b"\r\n").replace(b"\r", b"\n").rpartition(b"\n")[2] in DONE


async def drain(rest: AsyncIterator[object]) -> None:
    """Read what follows the end of an answer, whatever it is, only for its connection to be used again."""
    with suppress(Exception):
        async with asyncio.timeout(LONGEST_CLOSING):
            async for _ in rest:
                pass


def _guarded(response: Any, ends: tuple[bytes, ...]) -> Any:
    """The response's byte stream, wrapped the first time; `ends` are those of its events, if it has such."""
    if hasattr(response.stream, "ends"):
        return response.stream
    base = next(c for c in type(response.stream).__mro__ if c.__name__ == "AsyncByteStream")
    encodings = [coding.strip() for coding in response.headers.get("content-encoding", "").lower().split(",")]
    unpack: Unpack | None = None
    if encodings and all(coding in COMPRESSED for coding in encodings):
        del response.headers["content-encoding"]
        for _ in encodings:
            unpack = _chained(unpack, _unpacker())
    response.stream = _stream_class(base)(response.stream, ends, unpack, not response.is_success)
    return response.stream


def _chained(first: Unpack | None, then: Unpack) -> Unpack:
    if first is None:
        return then
    return lambda packed: (data for piece in first(packed) for data in then(piece))


def _unpacker() -> Unpack:
    """A function that unpacks a piece bit by bit: one of a few bytes can hold a gigabyte."""
    formats = [zlib.MAX_WBITS | 32, -zlib.MAX_WBITS]  # gzip or zlib, as its head says; or deflate without a head
    decompress, began = zlib.decompressobj(formats[0]), False

    def unpack(packed: bytes) -> Iterator[bytes]:
        nonlocal decompress, began
        full = False  # whether there may be more of what was already taken in
        while packed or full:
            try:
                data = decompress.decompress(packed, UNPACKED)
            except zlib.error as error:
                if not began:
                    decompress, began = zlib.decompressobj(formats[1]), True
                    continue
                raise ServerError(f"the answer is not compressed as it says: {error}", status=200) from error
            if data:
                began = True
                yield data
            packed, full = decompress.unconsumed_tail, len(data) == UNPACKED
            if decompress.eof:  # another member may follow
                packed = decompress.unused_data
                decompress = zlib.decompressobj(formats[0])

    return unpack


async def opened(response: Any) -> TurnUpdate:
    """What the head of a streamed answer tells. Raises the error told by JSON instead of a stream, or ServerError."""
    kind = _kind(response)
    if kind == JSON:
        with suppress(ValueError):  # JSON that is none is told like any other page
            answer = json.loads(await response.aread())
            if isinstance(answer, dict) and answer.get("error"):
                raise provider_error(answer["error"])
    if kind in (JSON, "text/html"):
        raise ServerError(f"the server answered with {kind} instead of a stream", status=200)
    return answered(response.headers)


def answered(headers: Mapping[str, str]) -> TurnUpdate:
    """The first part of every answer: the provider's id for the request, if it gave one."""
    return TurnUpdate(request_id=headers.get("x-request-id") or headers.get("request-id"))


def end_of(response: Any) -> Callable[[], None]:
    """Watch the last bytes of an HTTP response; the function returned raises StreamInterrupted if they break off.

    A stream that is cut after its finish reason still lacks what follows, usage above all. The SDKs drop an unfinished
    last event silently and do not tell whether they saw `[DONE]`, so the response's own byte stream is asked.
    """
    stream = _guarded(response, BLANK_LINE)

    def check() -> None:
        readable = "content-encoding" not in response.headers
        if readable and stream.last and not done(stream.last) and not stream.last.endswith(BLANK_LINE):
            raise StreamInterrupted("the answer broke off in the middle of an event")

    return check


async def leave(events: Any) -> None:
    """Close an SDK's stream, and end the generators behind it by reading on.

    Left to the garbage collector or the end of the loop, they would be closed all at once, each while another closes
    it, and the loop would complain. What is read of a closed stream is at most what had already come.
    """
    await events.close()
    with suppress(Exception):  # reading a closed stream fails, and that is the end of it
        async for _ in events:
            pass


async def cut(events: AsyncIterator[object]) -> None:
    """End an SDK's generators, and with them the connection of an answer that is not read to its end.

    Generators that hold each other in a circle have nothing else to close: closing the outermost closes no other before
    the garbage collector comes by. A read that is cancelled ends them all, beginning with the innermost.
    """
    interrupted, ended = False, False

    async def read() -> None:
        nonlocal ended
        ended = True
        ended = await anext(events, None) is None

    while not ended:
        reading = asyncio.ensure_future(read())
        stop = asyncio.get_running_loop().call_soon(reading.cancel)  # when it waits, or has found what had already come
        while not reading.done():
            try:
                await asyncio.wait([reading])
            except asyncio.CancelledError:  # later: a loop that is ending would find the generators half closed
                interrupted = True
        stop.cancel()
        if not reading.cancelled() and reading.exception() is not None:
            break
    if interrupted:
        raise asyncio.CancelledError
