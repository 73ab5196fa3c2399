"""Server-sent events in every form that the format allows are read on every wire."""

import pytest
from conftest import SDK_WIRES, Wire
from support.loopback import Loopback, Reply
from support.scene import answer

from cogent.messages import Response

SSE_WIRES = [wire for wire in SDK_WIRES if not wire.bare]


by_wire = pytest.mark.parametrize("wire", SSE_WIRES, ids=lambda wire: wire.name)


both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)


BEFORE_EACH_EVENT = {
    "a comment": b": ping\n\n",
    "a comment in the event": b": ping\n",
    "an empty comment": b":\n\n",
    "an id": b"id: 7\n",
    "an id without a value": b"id\n",
    "an id, then a comment": b"id: 7\n\n: ping\n\n",
    "a retry field": b"retry: 3000\n",
    "a retry field of its own": b"retry: 3000\n\n",
    "no data": b"data:\n\n",
    "a blank as data": b"data: \n\n",
    "the word data": b"data\n\n",
    "a name without data": b"event: ping\n\n",
    "an unknown field": b"trace: 12\n",
    "blank lines": b"\n\n\n",
}


async def ask(
    server: Loopback,
    wire: Wire,
    body: bytes,
    *,
    split: int | None = None,
    streaming: bool = True,
) -> Response:
    """What comes of one answer with this body."""
    server.reply(Reply(body, split=split))
    return await answer(wire.agent(server, stream=streaming))


def check(response: Response) -> None:
    """All of the answer has come."""
    assert (response.content, response.finish_reason) == ("Hello, world.", "stop")
    assert response.metadata["tokens"]["total_tokens"] == 18


@by_wire
@pytest.mark.parametrize("split", [None, 1], ids=["whole", "in bytes"])
@pytest.mark.parametrize("what", BEFORE_EACH_EVENT)
async def test_what_may_stand_before_an_event(
    server: Loopback, wire: Wire, what: str, split: int | None
) -> None:
    """Fields that say nothing to a reader, comments and events without data change nothing."""
    before = BEFORE_EACH_EVENT[what]
    body = b"".join(before + event for event in events_of(wire)) + b": bye\n\n"
    check(await ask(server, wire, body, split=split))


@by_wire
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=repr)
async def test_fields_without_a_blank(server: Loopback, wire: Wire, end: bytes) -> None:
    """The blank behind the colon may be missing, with any line end."""
    body = (
        b"".join(events_of(wire))
        .replace(b"data: ", b"data:")
        .replace(b"event: ", b"event:")
    )
    check(await ask(server, wire, body.replace(b"\n", end), split=7))


@by_wire
@both_ways
@pytest.mark.parametrize("name", [b"", b"event: message\n", b"event:\n"], ids=repr)
async def test_events_without_their_names(
    server: Loopback, wire: Wire, name: bytes, streaming: bool
) -> None:
    """Data say themselves what they are: a name may be missing, or be the default of the format."""
    lines = b"".join(events_of(wire)).split(b"\n")
    body = b"\n".join(line for line in lines if not line.startswith(b"event:")).replace(
        b"data: {", name + b"data: {"
    )
    if not streaming and wire.name == "gemini":
        pytest.skip("the SDK takes no stream for a plain answer")
    check(await ask(server, wire, body, streaming=streaming))


@by_wire
@pytest.mark.parametrize(
    "last", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE]"], ids=repr
)
async def test_done_may_end_every_stream(
    server: Loopback, wire: Wire, last: bytes
) -> None:
    """Gateways end streams of all providers with the last event of a chat stream."""
    body = b"".join(events_of(wire)).removesuffix(b"data: [DONE]\n\n")
    check(await ask(server, wire, body + last))


@by_wire
@pytest.mark.parametrize(
    "last", [b": bye", b": bye\n", b"id: 7", b"retry: 1\r"], ids=repr
)
async def test_a_last_line_that_says_nothing_is_no_cut(
    server: Loopback, wire: Wire, last: bytes
) -> None:
    """A comment, an id or a retry field at the end, without its blank line, interrupts nothing."""
    check(await ask(server, wire, b"".join(events_of(wire)) + last))


@by_wire
async def test_the_name_may_follow_the_data(server: Loopback, wire: Wire) -> None:
    """The fields of an event may stand in any order."""
    turned = [
        b"\n".join(reversed(event.rstrip(b"\n").split(b"\n"))) + b"\n\n"
        for event in events_of(wire)
    ]
    check(await ask(server, wire, b"".join(turned)))


def events_of(wire: Wire) -> list[bytes]:
    """The events of a whole answer, whose lines end with a line feed."""
    return [
        event.replace(b"\r\n", b"\n") for event in wire.send.text("Hello, ", "world.")
    ]
