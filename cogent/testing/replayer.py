"""Replaying a recording: the real SDKs, over an HTTP client that asks nobody."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from cogent.errors import ConfigurationError, PlaybackError
from cogent.testing.recording import COMPLETE, LEFT, Exchange, read
from cogent.testing.redaction import clean_request
from cogent.transport.body import stream_class
from cogent.transport.tape import Tape, present_tape, set_tape
from cogent.validation import check_whole, is_number, shown

MAX_DIFF_LINES = 60
# The HTTP clients' own words, which are told from other errors of the protocol.
CUT = (
    "peer closed connection without sending complete message body "
    "(incomplete chunked read)"
)


def replay(
    path: str | os.PathLike[str],
    speed: float = 0,
    cut_at: int | None = None,
    stall_at: int | None = None,
) -> Replay:
    """Answers the runs inside the `with` from a recording, through the real SDKs.

    No server is asked, and no key is needed. `speed=1` keeps the timing that was
    recorded, 2 is twice as fast, and 0 waits for nothing. The connection breaks
    after `cut_at` bytes of the last response's body, or goes silent after `stall_at`.
    It holds for the current task and those that it starts, and for clients that cogent
    makes. A request is answered by the first recorded one that is equal and not used
    yet: method, path and body count, host and headers do not. Any other is a
    PlaybackError, which shows the difference. Raises ConfigurationError for a file that
    cannot be used.

    >>> agent = Agent("writer", "gpt-5.4")
    >>> with replay("answer.jsonl"):
    ...     print(agent.run_sync("Name a river."))
    The Nile.
    """
    if not is_number(speed) or speed < 0:
        raise ConfigurationError(f"speed is a number from 0; got {shown(speed)}")
    exchanges = read(Path(path))
    for name, place in (("cut_at", cut_at), ("stall_at", stall_at)):
        _check_place(name, place, exchanges[-1])
    if cut_at is not None and stall_at is not None:
        raise ConfigurationError("give cut_at or stall_at, not both")
    return Replay(Path(path), exchanges, speed, cut_at, stall_at)


def _check_place(name: str, place: int | None, last: Exchange) -> None:
    if place is None:
        return
    check_whole(place, name, at_least=0)
    if place > last.size:
        raise ConfigurationError(
            f"{name}={place} is behind the end: the body of the last response has "
            f"{last.size} bytes"
        )


class Replay:
    """What `replay` returns: a context manager."""

    def __init__(
        self,
        path: Path,
        exchanges: list[Exchange],
        speed: float,
        cut_at: int | None,
        stall_at: int | None,
    ) -> None:
        self.clients: dict[object, Any] | None = {}
        self._path = path
        self._exchanges = exchanges
        self._speed = speed
        self._stop_at = stall_at if cut_at is None else cut_at
        self._stalls = stall_at is not None
        self._unused = list(exchanges)
        self._outer: Tape | None = None

    def __enter__(self) -> Self:
        self._unused = list(self._exchanges)
        self._outer = present_tape()
        set_tape(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        set_tape(self._outer)

    def transport(self, httpx: Any) -> Any:
        """What answers instead of a server."""
        return _Transport(httpx, self)

    async def on_request(self, request: Any) -> None:
        """The transport looks at it."""

    def on_response(self, response: Any) -> None:
        """The transport made it."""

    def answer(self, httpx: Any, request: Any) -> _Answer:
        """The recorded answer to a request. Raises PlaybackError if there is none."""
        now, _ = clean_request(request, request.content)
        exchange = self._take(now)
        answer = _Answer(httpx, request, exchange, self._speed)
        if exchange is self._exchanges[-1] and self._stop_at is not None:
            answer.stop_at, answer.stalls = self._stop_at, self._stalls
        return answer

    def _take(self, now: Exchange) -> Exchange:
        for exchange in self._unused:
            if _question(exchange) == _question(now):
                # The one that breaks does so as often as it is asked for.
                if self._stop_at is None or exchange is not self._exchanges[-1]:
                    self._unused.remove(exchange)
                return exchange
        if not self._unused:
            raise PlaybackError(
                f"the recording {self._path} has no further answer: it has "
                f"{len(self._exchanges)}, and all were given. Asked for is "
                f"{now.method} {_path(now)}"
            )
        expected = self._unused[0]
        number = 1 + next(
            place for place, one in enumerate(self._exchanges) if one is expected
        )
        raise PlaybackError(
            f"the request is not the one that was recorded in {self._path} as request "
            f"{number}; record it anew if that is right:\n{_difference(expected, now)}"
        )


def _path(exchange: Exchange) -> str:
    parts = urlsplit(exchange.url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _question(exchange: Exchange) -> tuple[str, str, Any]:
    return exchange.method, _path(exchange), exchange.body


def _difference(recorded: Exchange, now: Exchange) -> str:
    lines = unified_diff(
        _shown(recorded), _shown(now), "recorded", "now", lineterm="", n=2
    )
    shortened = list(islice(lines, MAX_DIFF_LINES))
    if next(iter(lines), None) is not None:
        shortened.append("...")
    return "\n".join(shortened)


def _shown(exchange: Exchange) -> list[str]:
    body = exchange.body
    if not exchange.is_json:
        body = repr(body)
    text = json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True)
    return [f"{exchange.method} {_path(exchange)}", *text.splitlines()]


class _Transport:
    """A transport as httpx describes them, for httpx and httpx2."""

    def __init__(self, httpx: Any, replay: Replay) -> None:
        self._httpx = httpx
        self._replay = replay

    async def handle_async_request(self, request: Any) -> Any:
        """The recorded response."""
        await request.aread()
        answer = self._replay.answer(self._httpx, request)
        return await answer.respond()

    async def aclose(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Answer:
    """One recorded answer as it is given again."""

    def __init__(
        self, httpx: Any, request: Any, exchange: Exchange, speed: float
    ) -> None:
        self._httpx = httpx
        self._exchange = exchange
        self._speed = speed
        limits = request.extensions.get("timeout", {})
        self._read_seconds: float = limits.get("read") or math.inf
        self._began = perf_counter()
        self._closed = asyncio.Event()
        self.stop_at: int | None = None  # after so many bytes of the body
        self.stalls: bool = False  # and does not break, but goes silent

    async def respond(self) -> Any:
        """The head, with a body that comes."""
        exchange = self._exchange
        if exchange.status is None:
            await self._wait_until(exchange.end_after)
            raise self._httpx.ConnectError("it was recorded without an answer")
        await self._wait_until(exchange.head_after)
        body_class = stream_class(_Body, self._httpx.AsyncByteStream)
        return self._httpx.Response(
            exchange.status,
            headers=exchange.response_headers,
            stream=body_class(self),
            extensions={"http_version": b"HTTP/1.1"},
        )

    def close(self) -> None:
        """The client leaves: reading on fails, as it does with a connection."""
        self._closed.set()

    async def body(self) -> AsyncIterator[bytes]:
        """The bytes, in the pieces and at the times in which they came."""
        sent = 0
        for after, data in self._pieces():
            await self._wait_until(after)
            sent += len(data)
            yield data
        if self.stop_at is not None and sent == self.stop_at:
            await self._stop()
        await self._wait_until(self._exchange.end_after)
        self._raise_end()

    def _pieces(self) -> Iterator[tuple[float, bytes]]:
        left = math.inf if self.stop_at is None else self.stop_at
        for piece in self._exchange.pieces:
            data = piece.data if left >= len(piece.data) else piece.data[: int(left)]
            left -= len(data)
            if data:
                yield piece.after, data

    async def _stop(self) -> None:
        if not self.stalls:
            raise self._httpx.RemoteProtocolError(CUT)
        await self._sleep(math.inf)

    def _raise_end(self) -> None:
        end = self._exchange.end
        if end == COMPLETE:
            return
        if end == LEFT:
            raise self._httpx.RemoteProtocolError(f"{CUT}: it was recorded up to here")
        name, _, words = end.partition(": ")
        raise getattr(self._httpx, name, self._httpx.ReadError)(words)

    async def _wait_until(self, after: float) -> None:
        """Wait for the time that was recorded; at once with `speed=0`."""
        if self._speed:
            due = self._began + after / self._speed
            await self._sleep(due - perf_counter())
        else:
            await self._sleep(0)

    async def _sleep(self, seconds: float) -> None:
        """Wait, at most as long as the client waits for more bytes."""
        await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self._read_seconds, seconds)):
                await self._closed.wait()
        if self._closed.is_set():
            raise self._httpx.ReadError("the response was closed")
        if seconds > self._read_seconds:
            raise self._httpx.ReadTimeout("")


class _Body:
    """The byte stream of a response."""

    def __init__(self, answer: _Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.body()

    async def aclose(self) -> None:
        self._answer.close()
