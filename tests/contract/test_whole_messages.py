"""Streams in which a message, or a block of one, comes whole instead of in deltas."""

import json
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.wire.common import event

from cogent import Response, tool

Json = dict[str, Any]
CHAT = [wire for wire in WIRES if wire.send.__name__.endswith("chat_completions")]
(ANTHROPIC,) = [wire for wire in WIRES if wire.provider == "anthropic"]


@pytest.fixture(params=CHAT, ids=lambda wire: wire.name)
def chat(request: pytest.FixtureRequest) -> Wire:
    """Each provider that speaks Chat Completions."""
    return request.param


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


async def play(wire: Wire, server: Loopback, *events: Json) -> Response:
    """The response of a run whose first answer is these events; after a call it ends with text."""

    called = "tool_call" in json.dumps(events) or "tool_use" in json.dumps(events)
    body = b"".join(event(data, data.get("type", "")) for data in events)
    end = b"data: [DONE]\n\n" if wire in CHAT else b""
    server.reply(Reply(body + end), *[Reply(wire.send.text("Done."))] * called)
    async with wire.agent(server, tools=[weather]) as agent:
        stream = agent.run_stream("Go")
        texts = [chunk.content async for chunk in stream]
        assert "".join(texts) == stream.response.content
        return stream.response


def chunk(finish: str | None = None, **said: Any) -> Json:
    """A chunk of a chat stream whose choice has these fields."""
    return {"model": "m", "choices": [{"index": 0, "finish_reason": finish, **said}]}


HELLO = {"role": "assistant", "content": "Hello"}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk("stop", message=HELLO)],
        [chunk("stop", message=HELLO, delta=None)],
        [chunk(message=HELLO), chunk("stop", delta={})],
        [
            chunk(delta={"content": "Hel"}, message=HELLO),
            chunk("stop", delta={"content": "lo"}, message=HELLO),
        ],
        [chunk(delta={"content": "Hello"}), chunk("stop", message=HELLO)],
        [chunk(delta={"content": "Hello"}), chunk("stop", delta={}, message=HELLO)],
    ],
)
async def test_a_chat_message_that_comes_whole_is_given_once(
    chat: Wire, server: Loopback, chunks: list[Json]
) -> None:
    """A choice may have a message instead of a delta; after deltas it only repeats them."""
    response = await play(chat, server, *chunks)
    assert (response.content, response.finish_reason) == ("Hello", "stop")


async def test_a_call_in_a_whole_chat_message_is_run(
    chat: Wire, server: Loopback
) -> None:
    """The same holds for a call."""
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    response = await play(chat, server, chunk("tool_calls", message=message))
    assert [call.result.content for call in response.tool_calls if call.result] == [
        "rain in Oslo"
    ]


TEXT = {"type": "text", "text": "Hello"}
USE = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "weather",
    "input": {"city": "Oslo"},
}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}


def message_of(
    content: list[Json],
    blocks: list[Json],
    *,
    stop: bool = True,
    reason: str = "end_turn",
) -> list[Json]:
    """A message that starts with this content, and then has these blocks without deltas."""
    start = {
        "id": "msg_1",
        "role": "assistant",
        "model": "m",
        "content": content,
        "usage": {"input_tokens": 3},
    }
    events: list[Json] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(blocks):
        events.append(
            {"type": "content_block_start", "index": index, "content_block": block}
        )
        events.append({"type": "content_block_stop", "index": index})
    usage = {"output_tokens": 5}
    events.append(
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}
    )
    return [*events, *[{"type": "message_stop"}] * stop]


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize(
    ("content", "blocks"),
    [
        ([], [THINKING, TEXT]),
        ([THINKING, TEXT], []),
        ([THINKING, TEXT], [THINKING, TEXT]),
    ],
)
async def test_anthropic_blocks_that_come_whole_are_given_once(
    server: Loopback, content: list[Json], blocks: list[Json], stop: bool
) -> None:
    """A text may stand only in its block's start, or in that of the message; both are one text."""
    response = await play(ANTHROPIC, server, *message_of(content, blocks, stop=stop))
    assert response.content == "Hello"
    assert response.messages[-1].reasoning == "Hm."
    assert response.messages[-1].items == [THINKING, TEXT]


async def test_blocks_that_follow_those_of_the_message_come_after_them(
    server: Loopback,
) -> None:
    """A message may begin with what a program has done meanwhile; the indexes go on from there."""
    start, *later, usage, stop = message_of([THINKING], [TEXT])
    later = [{**data, "index": 1} for data in later]
    response = await play(ANTHROPIC, server, start, *later, usage, stop)
    assert response.content == "Hello"
    assert response.messages[-1].items == [THINKING, TEXT]


@pytest.mark.parametrize("reason", ["tool_use", "max_tokens"])
async def test_the_start_of_a_message_may_say_why_it_ends(
    server: Loopback, reason: str
) -> None:
    """Where nothing but the end follows: a call runs only after a normal one."""
    start, _, stop = message_of([USE], [])
    start["message"]["stop_reason"] = reason
    response = await play(ANTHROPIC, server, start, stop)
    ran = [call.result.content for call in response.tool_calls if call.result]
    assert ran == (["rain in Oslo"] if reason == "tool_use" else [])
    assert response.finish_reason == ("stop" if reason == "tool_use" else "length")


@pytest.mark.parametrize(("content", "blocks"), [([], [USE]), ([USE], [])])
async def test_an_anthropic_call_that_comes_whole_is_run(
    server: Loopback, content: list[Json], blocks: list[Json]
) -> None:
    """The same holds for a call."""
    response = await play(
        ANTHROPIC, server, *message_of(content, blocks, reason="tool_use")
    )
    assert [call.result.content for call in response.tool_calls if call.result] == [
        "rain in Oslo"
    ]
