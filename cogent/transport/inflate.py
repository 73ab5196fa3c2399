"""Compressed answers, inflated bit by bit by the HTTP client that brought them.

The clients' own decoders inflate a whole piece at once, a gigabyte if need be (httpx
0.28). So another response of the same client is given the bytes in small slices, and
what comes of each can be measured before the next.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

SLICE_BYTES = 1024  # compressed, which hold at most about 1 MB
MAX_EMPTY_BYTES = 256 * 1024  # that hold nothing: a block of zstd has 128 KB
ALIASES = {"x-gzip": "gzip"}  # RFC 9110 section 8.4.1.3


def take_codings(headers: Any) -> list[str]:
    """The content codings of a response, in the order in which they were applied; its
    headers then have none, so that the client inflates nothing itself.
    """
    line: str = headers.get("content-encoding", "")
    headers.pop("content-encoding", None)
    codings = []
    for word in line.lower().split(","):
        coding = word.strip()
        if coding not in ("", "identity"):
            codings.append(ALIASES.get(coding, coding))
    return codings


async def inflate(
    packed: AsyncGenerator[bytes], coding: str, library: Any
) -> AsyncGenerator[bytes]:
    """The bytes without this coding; `library` is httpx or httpx2.

    Raises its DecodingError for what is not compressed so.
    """
    slices = Slices(packed)
    headers = {"content-encoding": coding}
    inflated = library.Response(200, headers=headers, content=slices).aiter_bytes()
    try:
        async for data in inflated:
            slices.empty_bytes = 0
            yield data
    finally:
        # httpx 0.28 leaves its generators open unless they are read to their end.
        slices.are_over = True
        async for _ in inflated:
            pass
        await packed.aclose()


class Slices:
    """Compressed bytes in small slices.

    When many of them hold nothing, what is compressed has ended: the decoder would keep
    what follows, so that is read and dropped here.
    """

    def __init__(self, packed: AsyncIterator[bytes]) -> None:
        self.empty_bytes: int = 0  # since the last slice that held something
        self.are_over: bool = False
        self._packed = packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._packed:
            for start in range(0, len(piece), SLICE_BYTES):
                if self.are_over:
                    return
                piece_slice = piece[start : start + SLICE_BYTES]
                self.empty_bytes += len(piece_slice)
                if self.empty_bytes <= MAX_EMPTY_BYTES:
                    yield piece_slice
            # Before more is waited for: the connection may be silent, or closed.
            if self.are_over:
                return
