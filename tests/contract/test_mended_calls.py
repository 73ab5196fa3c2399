"""What a provider sent goes back with the right call, whatever became of its id, and as every server takes it."""

import json
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback
from support.scene import STREAMED, answer
from support.sent import calling, moved, read, saying, search, weather

from cogent import Message, ToolCall

NAMED = {wire.name: wire for wire in WIRES}
Call = tuple[str, str, str]
EACH_WITH_OWN_CALLS = pytest.mark.parametrize(
    "wire",
    [NAMED["openai"], NAMED["openai-chat"], NAMED["anthropic"], NAMED["gemini"]],
    ids=lambda w: w.name,
)

# Ids of a turn's calls, where the new id of one is the id with which another came.
IDS = [
    ("c", "c", "c_2"),
    ("c", "c", "c", "c_2", "c_3"),
    ("c_2", "c", "c"),
    ("", "call_1_0"),
    ("call_1_1", ""),
    ("", "", "call_1_0", "call_1_1"),
    ("x" * 200, "x" * 200, "x" * 38 + "_2"),
    ("é", "é", "_e9_2"),
]


def asking(ids: tuple[str, ...]) -> list[Call]:
    """Calls with these ids, each about another city."""
    return [
        (id, "weather", json.dumps({"city": f"Town {place}"}))
        for place, id in enumerate(ids)
    ]


def check_pairs(wire: Wire, body: Any, calls: int) -> None:
    """Every call has an id of its own, and the result of its own arguments."""
    found = read(wire, body)
    cities = [arguments["city"] for _, _, arguments in found.calls]
    assert len(cities) == calls
    assert [text for _, text in found.results] == [f"Rain in {city}" for city in cities]
    assert [id for id, _, _ in found.calls] == [id for id, _ in found.results]
    ids = [id for id, _, _ in found.calls if id is not None]
    assert len(set(ids)) == len(ids)


@STREAMED
@EACH_WITH_OWN_CALLS
@pytest.mark.parametrize("ids", IDS, ids=lambda ids: ascii([id[:10] for id in ids]))
async def test_a_new_id_that_another_call_came_with(
    server: Loopback, wire: Wire, stream: bool, ids: tuple[str, ...]
) -> None:
    """Each call goes back with the result of its own arguments, also where the new id of one is another's first id."""
    calls = asking(ids)
    server.reply(
        *[calling(wire, stream, *calls, reasoning="Hm.")] * 2, saying(wire, stream)
    )
    response = await answer(wire.agent(server, tools=[weather, search], stream=stream))
    for turn, request in enumerate(server.requests[1:], 1):
        check_pairs(wire, request.json, turn * len(ids))
    check_pairs(
        wire,
        await moved(server, wire, [message.to_dict() for message in response.messages]),
        2 * len(ids),
    )


async def test_results_without_a_name_and_an_id_are_read_as_they_were_written(
    server: Loopback, wire: Wire
) -> None:
    """An empty name and no name are the same, so that a history that was stored gives the same request."""
    history = [
        Message("user", "Go"),
        Message(
            "assistant", tool_calls=[ToolCall("a", "weather", {}), ToolCall("", "", {})]
        ),
        Message("tool", "first", name=""),
        Message("tool", "second", tool_call_id="", name=""),
    ]
    stored = [json.loads(json.dumps(message.to_dict())) for message in history]
    sent, read_again = (
        await moved(server, wire, history),
        await moved(server, wire, stored),
    )
    assert sent == read_again
    assert [text for _, text in read(wire, sent).results] == ["first", "second"]


async def test_a_text_of_the_assistant_says_that_it_is_a_message(
    server: Loopback,
) -> None:
    """Servers of the Responses API that are not OpenAI's tell items apart by their type alone."""
    body = await moved(
        server, NAMED["openai"], [Message("user", "Hi"), Message("assistant", "Hello")]
    )
    assert body["input"][1] == {
        "type": "message",
        "role": "assistant",
        "content": "Hello",
    }
