"""Values are handed out as copies: changing one changes neither the run, nor its history, nor what comes later."""

import copy
import json
import pickle
from dataclasses import fields
from typing import Any

import pytest
from conftest import Wire, sdk_wire
from support.loopback import Loopback, Reply

from cogent import Agent, Message, Response, StreamChunk, Timeout, ToolCall, tool
from cogent.chunks import ToolCallDelta
from cogent.json_values import copy_json
from cogent.messages import ToolResult
from cogent.run.conversation import Run
from cogent.run.copies import copy_message
from cogent.run.outputs import Item
from cogent.run.partial_calls import PartialCall
from cogent.run.turn import Turn

wire = sdk_wire

JSON = "application/json"
ARGUMENTS = '{"place": {"city": "Oslo"}, "days": [1, 2]}'
CALLED: list[Any] = []


@tool
def weather(place: dict[str, Any], days: list[int]) -> str:
    """Tell the weather."""
    CALLED.append(copy.deepcopy((place, days)))
    place["city"] = days[0] = "spoilt"  # type: ignore[assignment]
    return "sunny"


def spoil(value: Any) -> None:
    """Change every dict, list and text that can be reached from a value."""
    if isinstance(value, dict):
        for inner in value.values():
            spoil(inner)
        value["spoilt"] = "spoilt"
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append("spoilt")
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            inner = getattr(value, name)
            spoil(inner)
            if isinstance(inner, str):
                setattr(value, name, "spoilt")


def script(server: Loopback, wire: Wire, streamed: bool) -> None:
    """The server asks for the weather, and then tells it."""
    calls = [("c1", "weather", ARGUMENTS), ("c2", "weather", ARGUMENTS)]
    if streamed:
        made = [
            wire.send.tool_calls(*calls, text="Let me see.", reasoning="Hm."),
            wire.send.reasoning("So.", "Sunny."),
        ]
    else:
        made = [
            wire.send.plain_tool_calls(*calls, text="Let me see.", reasoning="Hm."),
            wire.send.plain_reasoning("So.", "Sunny."),
        ]
    server.reply(
        *[Reply(body, content_type=wire.mime if streamed else JSON) for body in made]
    )


def comparable(response: Response) -> Any:
    """A response without what time changes."""
    told = (
        json.dumps([m.to_dict() for m in response.messages]),
        repr(response.turns),
        response.content,
    )
    calls = [
        (call.id, call.name, call.arguments, call.result and call.result.content)
        for call in response.tool_calls
    ]
    metadata = {
        key: value
        for key, value in response.metadata.items()
        if key not in ("duration", "time_to_first_token")
    }
    for call in metadata["tool_calls"]:
        call.pop("duration", None)
    return told, calls, metadata


async def run_it(
    server: Loopback, wire: Wire, streamed: bool, spoiling: bool
) -> tuple[Any, list[Any]]:
    """The response, and what the server was asked, of a run whose reader changes all that it is given."""

    async def ask() -> Response:
        async with wire.agent(server, tools=[weather]) as agent:
            if not streamed:
                return await agent.run("Weather?")
            stream = agent.run_stream("Weather?")
            async for chunk in stream:
                if spoiling:
                    spoil(chunk)
                    spoil(stream.response)
            if spoiling:
                spoil(stream.response)
            return stream.response

    begun = len(server.requests)
    script(server, wire, streamed)
    response = await ask()
    return comparable(response), [request.json for request in server.requests[begun:]]


async def test_what_a_reader_changes_changes_nothing(
    server: Loopback, wire: Wire
) -> None:
    """A reader that spoils each chunk and each response gets and asks what one gets and asks that does not."""
    CALLED.clear()
    left_alone = await run_it(server, wire, True, False)
    spoilt = await run_it(server, wire, True, True)
    assert spoilt == left_alone
    assert "spoilt" not in json.dumps(spoilt[1])
    expected = json.loads(ARGUMENTS)
    assert [(expected["place"], expected["days"])] * 4 == CALLED


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "plain"])
async def test_a_tool_that_changes_its_arguments_changes_no_history(
    server: Loopback, wire: Wire, streamed: bool
) -> None:
    """The conversation keeps what the model asked for, whatever a tool does with it."""
    (told, calls, metadata), requests = await run_it(server, wire, streamed, False)
    assert "spoilt" not in json.dumps([told, calls, metadata, requests])


async def test_a_history_is_copied_when_a_run_begins(
    server: Loopback, wire: Wire
) -> None:
    """What becomes of a history after a run began, or of the messages that a run gave, does not reach the other."""
    script(server, wire, True)
    server.reply(Reply(wire.send.text("Hi"), content_type=wire.mime))
    async with wire.agent(server, tools=[weather], stream=True) as agent:
        first = await agent.run("Weather?")
        stream = agent.run_stream("And now?", history=first.messages)
        before = json.dumps([message.to_dict() for message in first.messages])
        spoil(first.messages)
        async for _ in stream:
            pass
        after = json.dumps(
            [
                message.to_dict()
                for message in stream.response.messages[: len(first.messages) - 1]
            ]
        )
        assert after == before
    assert "spoilt" not in json.dumps(server.requests[-1].json)


async def test_a_history_of_dicts_is_copied_too(server: Loopback, wire: Wire) -> None:
    """Messages that come as dicts stay the caller's as well."""
    server.reply(Reply(wire.send.text("Hi"), content_type=wire.mime))
    call = {"id": "c1", "name": "weather", "arguments": {"place": {"city": "Oslo"}}}
    history = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1", "name": "weather"},
    ]
    before = copy.deepcopy(history)
    async with wire.agent(server, stream=True) as agent:
        response = await agent.run("Hi", history=history)

    spoil(response)
    assert history == before


async def test_items_are_no_constants_of_a_decoder(
    server: Loopback, wire: Wire
) -> None:
    """What one response's items are changed to shows in no later answer."""
    seen = []
    for _ in range(2):
        server.reply(Reply(wire.send.reasoning("Hm.", "Yes."), content_type=wire.mime))
        response = await wire.agent(server, stream=True).run("Hi")
        seen.append(json.dumps(response.messages[-1].to_dict()))
        spoil(response)
    assert seen[0] == seen[1]


def test_a_copy_of_json_shares_nothing_at_any_depth() -> None:
    """Nesting that recursion could not follow is copied too."""
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep, {"a": 1}]
    copied = copy_json({"deep": deep})
    inner, given = copied["deep"], deep
    while given:
        assert inner is not given and inner[1] is not given[1] and inner[1] == {"a": 1}
        inner, given = inner[0], given[0]
    while deep:  # freeing it would recurse as well
        deep = deep.pop(0)
    while copied:
        copied = copied.pop("deep") if isinstance(copied, dict) else copied.pop(0)


# Agents


SETTINGS = {
    "name": "b",
    "model": "gpt-other",
    "instructions": "new",
    "tools": (),
    "stream": True,
    "max_steps": 3,
}


@pytest.mark.parametrize("name", [*SETTINGS, "timeout", "temperature"])
def test_the_attributes_of_an_agent_are_read_only(name: str) -> None:
    """An attribute that changed nothing would mislead: setting and deleting one says to make a new agent."""
    agent = Agent("a", "gpt-test", instructions="old", tools=[weather])
    before = {setting: getattr(agent, setting) for setting in SETTINGS}
    with pytest.raises(AttributeError, match=f"new Agent.*{name}"):
        setattr(agent, name, SETTINGS.get(name, Timeout()))
    with pytest.raises(AttributeError, match="new Agent"):
        delattr(agent, name)
    assert {setting: getattr(agent, setting) for setting in SETTINGS} == before


def test_the_tools_of_an_agent_are_read_only() -> None:
    """The mapping of tools can be read, and not changed."""
    agent = Agent("a", "gpt-test", tools=[weather])
    with pytest.raises(TypeError):
        agent.tools["other"] = weather  # type: ignore[index]
    assert (list(agent.tools), "weather" in agent.tools) == (["weather"], True)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))]
)
def test_a_copy_of_an_agent_is_the_same_and_read_only(again: Any) -> None:
    """Copies and pickles keep the configuration and what it forbids."""
    agent = Agent(
        "a",
        "gpt-test",
        instructions="old",
        tools=[weather],
        stream=True,
        max_steps=3,
        timeout=5,
    )
    other = again(agent)
    assert all(
        getattr(other, name) == getattr(agent, name)
        for name in SETTINGS
        if name != "tools"
    )
    assert (list(other.tools), other.timeout) == (["weather"], agent.timeout)
    with pytest.raises(AttributeError):
        other.instructions = "new"
    with pytest.raises(TypeError):
        other.tools["other"] = weather


def test_a_subclass_of_agent_may_have_attributes_of_its_own() -> None:
    """Only the configuration is read-only there."""

    class Counted(Agent):
        runs = 0

    agent = Counted("a", "gpt-test")
    agent.runs += 1
    with pytest.raises(AttributeError):
        agent.name = "b"  # type: ignore[misc]
    assert (agent.runs, agent.name) == (1, "a")


# Chunks


def test_delta_may_be_left_out() -> None:
    """A chunk takes its five first fields in order; `delta` is the content where it is not given."""
    assert StreamChunk("Hi", "Hi", False, None, None) == StreamChunk("Hi")
    assert (StreamChunk("Hi").delta, StreamChunk().delta) == ("Hi", "")
    with pytest.raises(ValueError, match="delta"):
        StreamChunk("Hi", "")


# The response at every chunk


def work(pieces: list[StreamChunk]) -> int:
    """How many steps a text function of ours takes to make a response after each piece: characters that are parsed."""
    run = Run("openai-chat", "m", [Message("user", "Hi")])
    turn = run.begin_turn()
    for piece in pieces:
        turn.add(piece)
        run.response()
    return sum(
        len(texts)
        for texts in (
            turn._text,
            turn._thoughts,
            *(call.arguments for call in turn._calls.all),
        )
    )


def call_piece(arguments: str) -> StreamChunk:
    return StreamChunk(tool_call=ToolCallDelta(0, "c1", "weather", arguments))


@pytest.mark.parametrize(
    "make", [StreamChunk, lambda text: StreamChunk(reasoning=text), call_piece]
)
def test_reading_the_response_keeps_no_pieces(make: Any) -> None:
    """However many pieces came, a response is made of one text each: reading it after each piece stays cheap."""
    assert work([make("ab") for _ in range(500)]) == 1


def test_the_arguments_of_a_call_are_parsed_once() -> None:
    """Arguments that are asked for after each piece are looked through once, and parsed when they are complete."""
    text = json.dumps({"rows": [{"a": '}\\"{', "b": [n, {}]} for n in range(50)]})
    call = PartialCall(0, 0, "c1")
    for came, letter in enumerate(text):
        assert call.arguments_object() is None
        assert (call._parsed_from, len(call.arguments)) == ("", min(came, 1))
        assert call._scanned >= came - 1
        call.arguments.append(letter)
    assert call.arguments_object() == json.loads(text)
    assert call._parsed_from == text


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x"}',
        '{"a": "\\\\"}',
        '{"a": "\\""}',
        " {} ",
        "[]",
        '{"a"',
        "",
        "{}}",
        '{"a": "}"}',
        "null",
        '"{"',
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_arguments_are_an_object_or_not(text: str, size: int) -> None:
    """Asking in between changes nothing in what the arguments are in the end."""
    call = PartialCall(0, 0, "c1")
    for start in range(0, len(text), size):
        call.arguments.append(text[start : start + size])
        call.arguments_object()
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    assert call.arguments_object() == (expected if isinstance(expected, dict) else None)
    call.replace_arguments('{"b": 1}')
    assert call.to_tool_call() == ToolCall("c1", "", {"b": 1})


def test_an_item_is_handed_out_as_a_copy() -> None:
    """A provider's item that its decoder uses again is not what a message holds."""
    constant = Item({"field": ["a"]}, position=-1)
    turn = Turn("1")
    turn.update(constant)
    spoil(turn.items())
    assert constant.item == {"field": ["a"]}


def test_a_copy_has_every_field() -> None:
    """A message and its calls are copied with all that they hold, and share no list, dict or result."""
    call = ToolCall(
        "c",
        "f",
        {"a": [1]},
        ToolResult("c", "f", "1", True, 2.0, ["1"]),
        "custom_tool_call",
    )
    message = Message(
        "assistant",
        "text",
        [call],
        "id",
        "name",
        True,
        "Hm.",
        "openai",
        [{"a": [1]}],
        "http://x",
        ["text"],
    )
    empty = {
        field.name for field in fields(message) if not getattr(message, field.name)
    }
    assert not empty, "each field has a value here, so that none can be forgotten"
    copied = copy_message(message)
    assert copied == message
    spoil(copied)
    assert message.tool_calls == [call] and message.items == [{"a": [1]}]
    assert message.parts == ["text"]
    assert call == ToolCall(
        "c",
        "f",
        {"a": [1]},
        ToolResult("c", "f", "1", True, 2.0, ["1"]),
        "custom_tool_call",
    )
