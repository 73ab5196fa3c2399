"""Compressed answers, inflated by the HTTP client that brought them."""

import gzip
from collections.abc import AsyncGenerator

import httpx
import httpx2
import pytest

from cogent.transport.inflate import MAX_EMPTY_BYTES, SLICE_BYTES, inflate, take_codings

MB = 1024 * 1024
both_clients = pytest.mark.parametrize(
    "library", [httpx, httpx2], ids=lambda library: library.__name__
)


async def pieces(*data: bytes) -> AsyncGenerator[bytes]:
    for piece in data:
        yield piece


@both_clients
async def test_no_piece_is_large(library: object) -> None:
    """What a few bytes hold comes in pieces of about a megabyte, and nothing is lost."""
    packed = gzip.compress(bytes(64 * MB))
    sizes = [len(data) async for data in inflate(pieces(packed), "gzip", library)]
    assert sum(sizes) == 64 * MB
    assert max(sizes) < SLICE_BYTES * 1100


@both_clients
async def test_what_follows_the_end_is_read_and_dropped(library: object) -> None:
    """The decoder, which keeps such bytes, is given only some of them."""
    rest = [bytes(MAX_EMPTY_BYTES)] * 64
    read = 0

    async def packed() -> AsyncGenerator[bytes]:
        nonlocal read
        for piece in (gzip.compress(b"text"), *rest):
            read += 1
            yield piece

    data = [data async for data in inflate(packed(), "gzip", library) if data]
    assert (data, read) == ([b"text"], 65)


@both_clients
async def test_leaving_early_closes_what_is_below(library: object) -> None:
    """The generator of the compressed bytes is closed with the one of the inflated."""
    packed = gzip.compress(bytes(8 * MB))
    source = pieces(packed[:2048], packed[2048:])
    inflated = inflate(source, "gzip", library)
    await anext(inflated)
    await inflated.aclose()
    assert source.ag_frame is None


@both_clients
async def test_leaving_early_waits_for_nothing_more(library: object) -> None:
    """Whoever closes it may do so because no more comes, or because the connection is gone."""

    async def packed() -> AsyncGenerator[bytes]:
        yield gzip.compress(b"text")
        raise AssertionError("it read on")

    inflated = inflate(packed(), "gzip", library)
    assert await anext(inflated) == b"text"
    await inflated.aclose()


@both_clients
async def test_what_is_not_compressed_so_is_an_error(library: object) -> None:
    """The client's own error says what is wrong."""
    with pytest.raises(library.DecodingError):
        [data async for data in inflate(pieces(b"plain text"), "gzip", library)]


@pytest.mark.parametrize(
    ("line", "codings"),
    [
        (None, []),
        ("identity", []),
        ("GZip", ["gzip"]),
        ("x-gzip", ["gzip"]),
        ("deflate, gzip", ["deflate", "gzip"]),
    ],
)
def test_the_codings_of_an_answer(line: str | None, codings: list[str]) -> None:
    """They are taken off the headers, so that the client inflates nothing by itself."""
    headers = httpx2.Headers({"content-encoding": line} if line else {})
    assert take_codings(headers) == codings
    assert "content-encoding" not in headers
