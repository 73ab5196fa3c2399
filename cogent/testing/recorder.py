"""Recording the answers of real servers, as they come."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from cogent.errors import ConfigurationError
from cogent.testing.recording import COMPLETE, Exchange, Piece, write
from cogent.testing.redaction import RESPONSE_HEADERS, clean_request, kept_headers
from cogent.transport.body import library_of, stream_class
from cogent.transport.tape import Tape, present_tape, set_tape

TAKEN = "cogent.recorded"  # where a request keeps what is recorded of it


def record(path: str | os.PathLike[str]) -> Recorder:
    """Records what servers answer to the runs inside the `with`, into this file.

    It holds for the current task and those that it starts, and for clients that cogent
    makes. The file holds every request and the raw bytes of its answer with their
    timing; keys are left out, and all headers that nobody needs. It is written at
    the end of the block, over one that is there. Raises ConfigurationError.

    >>> with record("answer.jsonl"):
    ...     response = Agent("writer", "gpt-5.4").run_sync("Name a river.")
    """
    return Recorder(Path(path))


class Recorder:
    """What `record` returns: a context manager."""

    def __init__(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise ConfigurationError(
                f"there is no folder {str(path.parent)!r} for the recording"
            )
        self.clients: dict[object, Any] | None = None
        self._path = path
        self._taken: list[_Taken] = []
        self._outer: Tape | None = None

    def __enter__(self) -> Self:
        self._taken = []
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
        if self._taken:
            write(self._path, [taken.finished() for taken in self._taken])
        elif error is None:
            raise ConfigurationError(
                "nothing was recorded: no request was sent in this task by a client "
                "that cogent made"
            )

    def transport(self, httpx: Any) -> Any:
        """The servers answer."""
        return None

    async def on_request(self, request: Any) -> None:
        """Keep the request."""
        taken = _Taken(request, await request.aread())
        request.extensions[TAKEN] = taken
        self._taken.append(taken)

    def on_response(self, response: Any) -> None:
        """Keep the head, and the bytes as they come."""
        taken: _Taken | None = response.request.extensions.get(TAKEN)
        if taken is not None:
            taken.begin(response)
            base = library_of(response).AsyncByteStream
            response.stream = stream_class(_RecordedBody, base)(response.stream, taken)


class _Taken:
    """One exchange as it comes, with its secrets."""

    def __init__(self, request: Any, content: bytes) -> None:
        self._exchange, self._secrets = clean_request(request, content)
        self._began = perf_counter()
        self.is_left: bool = False  # whether the client has closed the answer

    def elapsed(self) -> float:
        """Seconds since the request was sent."""
        return perf_counter() - self._began

    def begin(self, response: Any) -> None:
        exchange = self._exchange
        exchange.head_after = exchange.end_after = self.elapsed()
        exchange.status = response.status_code
        exchange.response_headers = {
            name: self._secrets.text(value)
            for name, value in kept_headers(response.headers, RESPONSE_HEADERS).items()
        }

    def add(self, data: bytes) -> None:
        self._exchange.pieces.append(Piece(self.elapsed(), data))
        self._exchange.end_after = self.elapsed()

    def end(self, how: str) -> None:
        if how != COMPLETE and self.is_left:
            return  # the HTTP client calls that an error, too
        self._exchange.end = self._secrets.text(how)
        self._exchange.end_after = self.elapsed()

    def finished(self) -> Exchange:
        """The exchange as far as it came, without secrets."""
        exchange = self._exchange
        pieces = exchange.pieces
        coding = exchange.response_headers.get("content-encoding", "identity")
        data = [piece.data for piece in pieces]
        if coding == "identity":
            cleaned = self._secrets.pieces(data)
        else:
            inflated = self._secrets.inflated(data, coding)
            if inflated is None:
                return exchange
            del exchange.response_headers["content-encoding"]
            cleaned = [b""] * (len(pieces) - 1) + inflated
        exchange.pieces = [
            Piece(piece.after, clean)
            for piece, clean in zip(pieces, cleaned, strict=True)
            if clean
        ]
        return exchange


class _RecordedBody:
    """The bytes of a response, each kept as it passes."""

    def __init__(self, inner: Any, taken: _Taken) -> None:
        self._inner = inner
        self._taken = taken

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._inner)
        try:
            async for piece in pieces:
                self._taken.add(piece)
                yield piece
            self._taken.end(COMPLETE)
        except Exception as error:
            self._taken.end(f"{type(error).__name__}: {error}")
            raise
        finally:
            # The iterators of the HTTP clients are generators, and hold the connection.
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def aclose(self) -> None:
        self._taken.is_left = True
        await self._inner.aclose()
