"""Answers that keep coming without anything in them do not put the time limits off."""

import zlib

import pytest
from conftest import Wire, sdk_wire
from support.loopback import Reply
from support.odd_answers import (
    EMPTY_BLOCK,
    LIMITLESS,
    SAID,
    chunk,
    empty_delta,
    flood,
    head,
    member,
)
from support.pace import pace
from support.scene import JSON
from support.timed_runs import Scene, Stage, begun, ends, play, warm_up

from cogent import Timeout

wire = sdk_wire


def trickles(wire: Wire, *said: str) -> dict[str, Reply]:
    """Answers that keep coming, byte by byte, without anything in them."""
    start = begun(wire, *said)
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(start) + packer.flush(zlib.Z_SYNC_FLUSH)
    kind = f"content-type: {wire.mime}"
    after = {
        "a line": Reply(
            [start + b'{"x": "' if wire.bare else start + b": ", b"a"], forever=True
        ),
        "a chunk's size": Reply(
            [chunk(start or b" "), b"0"],
            raw=head("transfer-encoding: chunked"),
            forever=True,
        ),
        "empty blocks": Reply(
            [first, EMPTY_BLOCK], raw=head("content-encoding: gzip"), forever=True
        ),
        "many empty blocks": flood(
            first,
            EMPTY_BLOCK * 9999,
            raw=head("content-encoding: gzip"),
            size=LIMITLESS,
        ),
        "empty members": flood(
            member(start),
            member() * 999,
            raw=head("content-encoding: gzip"),
            size=LIMITLESS,
        ),
        "empty deltas": flood(
            start, empty_delta(wire) * 99, raw=head(), size=LIMITLESS
        ),
    }
    if said:
        return after
    return after | {
        "a header": Reply(
            [b"a"], raw=f"HTTP/1.1 200 OK\r\n{kind}\r\nx: ".encode(), forever=True
        ),
        "1xx": Reply([b"HTTP/1.1 103 Early Hints\r\n\r\n"], raw=b"", forever=True),
        "many 1xx": flood(
            b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99, raw=b"", size=LIMITLESS
        ),
        "an error page": Reply([b"a"], 500, "text/html", forever=True),
        "a page": Reply([b"a"], 200, JSON, forever=True, framing="chunked"),
    }


@pytest.mark.parametrize("said", [(), SAID], ids=["first", "stall"])
@pace.attempts
def test_a_trickle_holds_nothing(wire: Wire, said: tuple[str, ...]) -> None:
    """Bytes that bring no content, one now and then or more than can be read, do not put the time limits off."""
    warm_up(wire.name)
    kind = "stall" if said else "first"
    with Stage() as stage:
        scenes = {name: Scene([reply]) for name, reply in trickles(wire, *said).items()}
        seen = play(stage, wire, scenes, timeout=Timeout(**{kind: pace(0.3)}))
    assert ends(seen) == dict.fromkeys(scenes, (kind, "".join(said)))
