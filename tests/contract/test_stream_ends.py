"""Where a stream of events begins and ends: what is whole although its last blank line is missing, and what is none."""

import json
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.scene import answer
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    openai_responses,
)

from cogent import ModelError, ServerError, StreamInterrupted
from cogent.messages import Response

ENDS = {
    anthropic_messages: b"message_stop",
    chat_completions: b'"finish_reason":"stop"',
    gemini_generate: b'"finishReason"',
    openai_responses: b"response.completed",
}
KEYED = [wire for wire in WIRES if not wire.bare]
by_wire = pytest.mark.parametrize("wire", KEYED, ids=lambda wire: wire.name)
both_ends = pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=repr)


async def ask(server: Loopback, wire: Wire, reply: Reply) -> Response:
    """What comes of one streamed answer."""
    server.reply(reply)
    return await answer(wire.agent(server, stream=True))


async def failure(server: Loopback, wire: Wire, reply: Reply) -> ModelError:
    """The error of one streamed answer."""
    with pytest.raises(ModelError) as raised:
        await ask(server, wire, reply)
    return raised.value


def body_of(wire: Wire) -> bytes:
    """A whole answer, whose lines end with a line feed."""
    return b"".join(wire.send.text("Hello, ", "world.")).replace(b"\r\n", b"\n")


@by_wire
@both_ends
@pytest.mark.parametrize("kept", [0, 1], ids=["no line end", "no blank line"])
async def test_a_last_event_without_its_blank_line_counts(
    server: Loopback, wire: Wire, line_end: bytes, kept: int
) -> None:
    """A stream whose last event is whole is complete, whichever line ends it has and lacks."""
    body = body_of(wire).rstrip(b"\n").replace(b"\n", line_end) + line_end * kept
    response = await ask(server, wire, Reply(body))
    assert (response.content, response.finish_reason) == ("Hello, world.", "stop")
    assert response.metadata["tokens"]["total_tokens"] == 18


@by_wire
async def test_a_last_event_may_come_byte_by_byte(server: Loopback, wire: Wire) -> None:
    """A last event without its blank line counts in any pieces."""
    assert (
        await ask(server, wire, Reply(body_of(wire).rstrip(b"\n"), split=1))
    ).content == "Hello, world."


@pytest.mark.parametrize(
    "wire",
    [w for w in KEYED if w.format is chat_completions],
    ids=lambda w: w.name,
)
@pytest.mark.parametrize(
    "last",
    [b"data: [DONE] ", b"data: [DONE] \n", b"data: [DONE]\t\r\n", b"data:[DONE]", b""],
    ids=repr,
)
async def test_the_last_line_of_a_chat_stream_may_have_blanks(
    server: Loopback, wire: Wire, last: bytes
) -> None:
    """White space after `[DONE]` means nothing, and `[DONE]` may be missing after the finish reason."""
    body = body_of(wire).removesuffix(b"data: [DONE]\n\n")
    assert (
        await ask(server, wire, Reply((body + last) if last else body.rstrip(b"\n")))
    ).content == "Hello, world."


def finishing(wire: Wire) -> tuple[int, int]:
    """Where the event begins that says that the answer is complete, and where its data end."""
    events = [
        event.replace(b"\r\n", b"\n") for event in wire.send.text("Hello, ", "world.")
    ]
    place = next(
        place for place, event in enumerate(events) if ENDS[wire.format] in event
    )
    start = len(b"".join(events[:place]))
    return start, start + len(events[place].rstrip(b"\n"))


@by_wire
async def test_a_last_event_that_is_cut_is_an_interruption(
    server: Loopback, wire: Wire
) -> None:
    """Wherever the event that ends an answer is cut, the answer is not taken for a whole one."""
    start, end = finishing(wire)
    for cut in sorted({start + 1, start + 5, *range(start + 10, end, 40), end - 1}):
        error = await failure(server, wire, Reply(body_of(wire)[:cut]))
        assert isinstance(error, StreamInterrupted), body_of(wire)[start:cut]
        assert error.partial is not None and error.partial.content == "Hello, world."


@by_wire
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_lost_connection_completes_no_event(
    server: Loopback, wire: Wire, end: Any
) -> None:
    """An event without its blank line is not completed where the connection was lost."""
    _, stop = finishing(wire)
    error = await failure(server, wire, Reply(body_of(wire), truncate=stop, end=end))
    assert isinstance(error, StreamInterrupted)


@by_wire
async def test_an_error_as_an_unfinished_last_event_keeps_its_words(
    server: Loopback, wire: Wire
) -> None:
    """An error event is raised in the provider's words also without the blank line after it."""
    body = b"".join(
        wire.send.error_event(
            "The GPU is on fire.", None, "server_error", after=("Hello",)
        )
    )
    error = await failure(server, wire, Reply(body.rstrip(b"\r\n")))
    assert "The GPU is on fire." in str(error)
    assert error.partial is not None and error.partial.content == "Hello"


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "text/html",
        "",
    ],
)
async def test_a_stream_is_known_by_its_first_byte(
    server: Loopback, wire: Wire, kind: str
) -> None:
    """A stream under another content type is read as the stream that it is."""
    body = b"".join(wire.send.text("Hello, ", "world."))
    response = await ask(
        server, wire, Reply(body, content_type=kind, framing="chunked", split=3)
    )
    assert (response.content, response.finish_reason) == ("Hello, world.", "stop")


@by_wire
@pytest.mark.parametrize(
    "before", [b"\n\n", b"\xef\xbb\xbf", b": hello\n\n", b"\r\n \n"], ids=repr
)
async def test_what_may_stand_before_a_stream(
    server: Loopback, wire: Wire, before: bytes
) -> None:
    """A byte order mark, blank lines and comments before the first event say nothing."""
    reply = Reply(
        before + body_of(wire),
        content_type="application/json",
        framing="chunked",
        split=2,
    )
    assert (await ask(server, wire, reply)).content == "Hello, world."


@by_wire
@pytest.mark.parametrize(
    "kind", ["application/json", "text/event-stream", "text/plain", ""]
)
async def test_a_json_error_in_the_place_of_a_stream_keeps_its_words(
    server: Loopback, wire: Wire, kind: str
) -> None:
    """A JSON error object that answers a streamed request is that error, whatever it is labelled."""
    body = wire.send.error_body("The GPU is on fire.", None, "server_error")
    spaced = json.dumps(json.loads(body), indent=2).encode()
    error = await failure(
        server,
        wire,
        Reply(b"\n" + spaced, content_type=kind, framing="chunked", split=5),
    )
    assert "The GPU is on fire." in str(error)


@by_wire
@pytest.mark.parametrize(
    "body",
    [b"null", b'"Hello"', b"[]", b"{}", b'{"error": {"mess', b"12", b""],
    ids=repr,
)
async def test_other_json_in_the_place_of_a_stream(
    server: Loopback, wire: Wire, body: bytes
) -> None:
    """JSON that is no error, or is cut, is a server's fault that names what came."""
    error = await failure(server, wire, Reply(body, content_type="application/json"))
    assert type(error) is ServerError and "application/json" in str(error)


@by_wire
async def test_a_whole_answer_in_the_place_of_a_stream(
    server: Loopback, wire: Wire
) -> None:
    """A server that does not stream has answered, and was paid: it is not asked again for the same."""
    error = await failure(
        server,
        wire,
        Reply(wire.send.plain_text("Done"), content_type="application/json"),
    )
    assert (
        type(error) is ServerError and not error.retryable and len(server.requests) == 1
    )
