"""Server-sent events in every form that the format allows: what an SDK cannot read is put into a form that it can."""

import pytest
from conftest import SDK_WIRES, Wire
from support.loopback import Loopback, Reply
from support.scene import answer

from cogent.messages import Response
from cogent.providers import anthropic, gemini, groq, openai
from cogent.transport.event_stream import EventStream, SdkReader
from cogent.transport.reported import ReportedError

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


def events_of(wire: Wire) -> list[bytes]:
    """The events of a whole answer, whose lines end with a line feed."""
    return [
        event.replace(b"\r\n", b"\n") for event in wire.send.text("Hello, ", "world.")
    ]


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


USUAL: dict[SdkReader, bytes] = {
    openai.SDK_READER: b'event: a\ndata: {"b": 1}\n\ndata: {"c": 2}\n\ndata: [DONE]\n\n',
    anthropic.SDK_READER: b'event: a\ndata: {"b": 1}\n\nevent: c\ndata: {"d": 2}\n\n',
    groq.SDK_READER: b'data: {"b": 1}\n\ndata: {"c": 2}\n\ndata: [DONE]\n\n',
    gemini.SDK_READER: b'data: {"b": 1}\n\ndata: {"c": 2}\n\n',
}
by_reader = pytest.mark.parametrize(
    "reader", USUAL, ids=["openai", "anthropic", "groq", "gemini"]
)


@by_reader
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=repr)
def test_what_an_sdk_reads_is_not_touched(reader: SdkReader, end: bytes) -> None:
    """Whole events in the usual form are passed on as the same object."""
    body = USUAL[reader].replace(b"\n", end)
    assert EventStream("text/event-stream", reader).feed(body) is body


@by_reader
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=repr)
def test_a_cut_anywhere_changes_nothing(reader: SdkReader, end: bytes) -> None:
    """Wherever the bytes are cut in two, the SDK gets the same events, and never a part of one."""
    body = USUAL[reader].replace(b"data: {", b": ping\ndata: {") + b"id: 7\n\n"
    body = body.replace(b"\n", end)
    for cut in range(len(body) + 1):
        events = EventStream("text/event-stream", reader)
        passed_on = [events.feed(body[:cut]), events.feed(body[cut:]), events.end()]
        assert b"".join(passed_on) == USUAL[reader]
        assert all(piece.endswith(b"\n\n") for piece in passed_on if piece)
        assert not events.is_cut


@by_reader
def test_data_of_several_lines_stay_together(reader: SdkReader) -> None:
    """Several lines of data are one event, as the format wants it."""
    events = EventStream("text/event-stream", reader)
    given = events.feed(b'event: x\ndata: {"b":\ndata:\ndata: 1}\n\n').removeprefix(
        b"event: x\n"
    )
    assert given == b'data: {"b":\ndata: 1}\n\n'


BUSY = b'{"error": {"message": "busy"}}'


@pytest.mark.parametrize("error", [b"data: %b\n\n" % BUSY, BUSY, b"data: %b" % BUSY])
def test_an_error_that_the_sdk_would_lose_is_raised_behind_the_events_before_it(
    error: bytes,
) -> None:
    """Whether it comes as an event, outside of events or without a blank line, the SDK gets what came before it."""
    before = b'data: {"b": 1}\n\n'
    for cut in range(len(before + error) + 1):
        events = EventStream("text/event-stream", gemini.SDK_READER)
        data = before + error
        assert events.feed(data[:cut]) + events.feed(data[cut:]) == before
        with pytest.raises(ReportedError) as raised:
            events.end()
        assert raised.value.body == {"error": {"message": "busy"}}


def test_json_outside_of_events_is_given_when_it_is_whole() -> None:
    """An SDK that reads such JSON waits for the end of its line."""
    events = EventStream("text/event-stream", gemini.SDK_READER)
    assert events.feed(b'{"a":\n') == b""
    assert events.feed(b" 1}") == b'{"a":\n 1}\n'
    assert events.feed(b'\n\ndata: {"b": 2}\n\n') == b'data: {"b": 2}\n\n'
