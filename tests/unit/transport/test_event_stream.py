"""Streams of events in every form that the format allows: what an SDK cannot read is put into a form that it can."""

import pytest

from cogent.providers import anthropic, gemini, groq, openai
from cogent.transport.event_stream import EventStream, SdkReader
from cogent.transport.reported import ReportedError

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
