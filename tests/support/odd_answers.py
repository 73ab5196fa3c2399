"""Answers that no server should send: what the loopback server would not make by itself."""

import gzip
from itertools import repeat

from conftest import Wire

from support.loopback import Reply

MB = 1024 * 1024


SAID = ("Hel", "lo")  # the text of an answer that is not whole


LIMITLESS = 2**40  # bytes


EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # of deflate: it unpacks to nothing


def head(
    *lines: str, status: str = "HTTP/1.1 200 OK", kind: str = "text/event-stream"
) -> bytes:
    """The head of an answer, for what the loopback server would not send by itself."""
    named = (
        ()
        if any(line.lower().startswith("content-type") for line in lines)
        else (f"content-type: {kind}",)
    )
    return "\r\n".join([status, *named, *lines, "", ""]).encode("latin-1")


def chunk(data: bytes, extension: str = "") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension.encode(), data)


def flood(*pieces: bytes, raw: bytes | None = None, size: int = 350 * MB) -> Reply:
    """An answer whose last piece is sent again and again, as fast as it is taken, up to more than anybody takes."""
    return Reply(
        pieces[:-1],
        raw=raw,
        more=repeat(pieces[-1], size // len(pieces[-1])),
        end="close",
    )


def member(data: bytes = b"") -> bytes:
    return gzip.compress(data, mtime=0)


def empty_delta(wire: Wire) -> bytes:
    return next(one for one in wire.send.text("xyz") if b'"xyz"' in one).replace(
        b'"xyz"', b'""'
    )
