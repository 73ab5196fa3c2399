"""What the next request holds: the conversation, exactly as the provider needs it back."""

import asyncio
import json
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from conftest import WIRES, Wire
from pydantic import BaseModel, Field
from support.loopback import Loopback, Reply
from support.scene import streamed_answer
from support.wire import chat_completions, openai_responses

from cogent import Agent, ConfigurationError, Message, Model, Response, tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


CALL = ("call_7", "add", '{"a": 1, "b": 2}')


def sent(server: Loopback) -> list[list[dict[str, Any]]]:
    """The conversation in each request so far."""
    bodies = [request.json for request in server.requests]
    return [
        body.get("input") or body.get("contents") or body["messages"] for body in bodies
    ]


async def test_responses_items_go_back_unchanged(server: Loopback) -> None:
    """The next step sends reasoning with its encrypted content, text and call exactly as they came, in order."""
    first = openai_responses.tool_calls(CALL, text="Let me add. ", reasoning="Adding.")
    server.reply(Reply(first), Reply(openai_responses.text("3")))
    response = await streamed_answer(WIRES[0].agent(server, tools=[add]))
    events = [json.loads(event.split(b"data: ")[1]) for event in first]
    items = [
        event["item"]
        for event in events
        if event["type"] == "response.output_item.done"
    ]
    assert {item["type"] for item in items} == {"reasoning", "message", "function_call"}
    assert next(item for item in items if item["type"] == "reasoning")[
        "encrypted_content"
    ]
    step_two = sent(server)[1]
    assert step_two[1:-1] == items
    assert step_two[-1] == {
        "type": "function_call_output",
        "call_id": "call_7",
        "output": "3",
    }
    # And once more in the next run, through history.
    server.reply(Reply(openai_responses.text("Sure")))
    await streamed_answer(
        WIRES[0].agent(server, tools=[add]), "Sure?", history=response.messages
    )
    again = sent(server)[2]
    assert again[: len(step_two)] == step_two and again[-1] == {
        "role": "user",
        "content": "Sure?",
    }


async def test_chat_history_has_calls_and_results(server: Loopback) -> None:
    """A chat request repeats the assistant's calls, each followed by its result, in call order."""
    calls = [CALL, ("call_8", "add", '{"a": 2, "b": 2}')]
    server.reply(
        Reply(chat_completions.tool_calls(*calls, interleaved=True)),
        Reply(chat_completions.text("ok")),
    )
    await streamed_answer(WIRES[1].agent(server, tools=[add], instructions="Add."))
    system, user, assistant, *results = sent(server)[1]
    assert (system["role"], user["role"]) == ("system", "user")
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_7", "call_8"]
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {
        "a": 1,
        "b": 2,
    }
    assert results == [
        {"role": "tool", "tool_call_id": "call_7", "content": "3"},
        {"role": "tool", "tool_call_id": "call_8", "content": "4"},
    ]


def chat_events(*deltas: dict[str, Any], finish: str = "tool_calls") -> list[bytes]:
    """A chat stream of these deltas, for what only some compatible servers send."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    return [
        b"data: %s\n\n" % json.dumps({"model": "m", "choices": [choice]}).encode()
        for choice in choices
    ]


def tool_call(**more: Any) -> dict[str, Any]:
    function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    return {"index": 0, "id": "c1", "type": "function", "function": function, **more}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_chat_reasoning_goes_back_under_its_own_name(
    server: Loopback, field: str
) -> None:
    """Reasoning is sent back in the field in which the server sent it, and in no other."""
    server.reply(
        Reply(
            chat_events(
                {field: "I shall "}, {field: "add."}, {"tool_calls": [tool_call()]}
            )
        )
    )
    server.reply(Reply(chat_completions.text("3")))
    await streamed_answer(WIRES[1].agent(server, tools=[add]))
    assistant = sent(server)[1][1]
    assert assistant[field] == "I shall add." and set(assistant) == {
        "role",
        "content",
        "tool_calls",
        field,
    }


async def test_chat_reasoning_details_and_signatures_go_back(server: Loopback) -> None:
    """Details of reasoning are joined piece by piece, and what else a call carried stays with that call."""
    signature = {"google": {"thought_signature": "c2ln"}}
    server.reply(
        Reply(
            chat_events(
                {
                    "reasoning": "A",
                    "reasoning_details": [
                        {"type": "reasoning.text", "index": 0, "text": "A"}
                    ],
                },
                {
                    "reasoning_details": [
                        {
                            "type": "reasoning.text",
                            "index": 0,
                            "text": "B",
                            "signature": "sig",
                        }
                    ]
                },
                {
                    "reasoning_details": [
                        {"type": "reasoning.encrypted", "index": 1, "data": "xyz"}
                    ]
                },
                {"tool_calls": [tool_call(extra_content=signature)]},
            )
        ),
        Reply(chat_completions.text("3")),
    )
    await streamed_answer(WIRES[1].agent(server, tools=[add]))
    assistant = sent(server)[1][1]
    assert assistant["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "AB", "signature": "sig"},
        {"type": "reasoning.encrypted", "index": 1, "data": "xyz"},
    ]
    assert assistant["tool_calls"][0]["extra_content"] == signature


@pytest.mark.parametrize("source", WIRES, ids=lambda w: f"from-{w.name}")
@pytest.mark.parametrize("target", WIRES, ids=lambda w: f"to-{w.name}")
async def test_a_conversation_moves_between_providers(
    server: Loopback, source: Wire, target: Wire
) -> None:
    """History of any provider is accepted by any other, and every call in it keeps its result."""
    server.reply(
        Reply(source.send.tool_calls(CALL, reasoning="Hm. ")),
        Reply(source.send.text("It is 3")),
    )
    response = await streamed_answer(source.agent(server, tools=[add]))
    server.reply(Reply(target.send.text("Still 3")))
    stored = json.loads(
        json.dumps([message.to_dict() for message in response.messages])
    )
    moved = await streamed_answer(
        target.agent(server, tools=[add]), "Sure?", history=stored
    )
    assert moved.content == "Still 3"
    conversation = json.dumps(sent(server)[2])
    id = response.tool_calls[0].id
    assert conversation.count(f'"{id}"') == (0 if target.bare or target.own_ids else 2)
    assert conversation.count('"3"') == 1 and "It is 3" in conversation
    assert ("encrypted_content" in conversation) == (
        source is target and source.send is openai_responses
    )


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_a_turn_that_was_cut_leaves_no_open_call(
    server: Loopback, wire: Wire, reason: str
) -> None:
    """Calls of a turn that did not end normally are not replayed: a call without a result would be refused."""
    server.reply(Reply(wire.send.tool_calls(CALL, text="Adding", finish=reason)))
    response = await streamed_answer(wire.agent(server, tools=[add]))
    assert response.metadata["tool_calls"][0]["executed"] is False
    server.reply(Reply(wire.send.text("ok")))
    await streamed_answer(
        wire.agent(server, tools=[add]), "Go on", history=response.messages
    )
    assert "call_7" not in json.dumps(sent(server)[1]) and "Adding" in json.dumps(
        sent(server)[1]
    )


async def test_a_call_that_may_have_been_cut_off_is_not_run(server: Loopback) -> None:
    """Where an end is only assumed (strict_end=False), a call without whole arguments is neither run nor replayed."""
    name_only = {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": ""},
    }
    server.reply(
        Reply(chat_events({"content": "Well"}, {"tool_calls": [name_only]})[:-1])
    )
    response = await streamed_answer(
        WIRES[1].agent(server, model={"strict_end": False}, tools=[add])
    )
    assert response.finish_reason == "stop" and response.tool_calls[0].result is None
    assert [(message.role, message.tool_calls) for message in response.messages] == [
        ("user", []),
        ("assistant", []),
    ]


async def test_a_stopped_run_can_be_continued(server: Loopback, wire: Wire) -> None:
    """After a stop while a tool runs, the conversation holds a result for every call and can go on."""
    server.reply(Reply(wire.send.tool_calls(CALL, ("call_8", "wait", "{}"))))
    started = asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.sleep(60)

    async with (
        wire.agent(server, tools=[add, wait]) as agent,
        agent.run_stream("Go") as stream,
    ):
        async for chunk in stream:
            if chunk.tool_result:
                break
    stopped = stream.response
    assert stopped.finish_reason is None and [m.role for m in stopped.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    assert (
        stopped.messages[2].content == "3"
        and "Not executed" in stopped.messages[3].content
    )
    server.reply(Reply(wire.send.text("ok")))
    assert (
        await streamed_answer(
            wire.agent(server, tools=[add]), "Go on", history=stopped.messages
        )
    ).content == "ok"


async def test_models_that_do_not_reason_are_not_asked_to_encrypt(
    server: Loopback,
) -> None:
    """`include` is left out for names known not to reason, and dropped when the provider refuses it."""
    refusal = {
        "error": {
            "message": "Encrypted content is not supported with this model.",
            "param": "include",
        }
    }
    server.reply(
        Reply(openai_responses.text("one")),
        Reply(json.dumps(refusal), 400, "application/json"),
        Reply(openai_responses.text("two")),
    )
    for name in ("gpt-4o-mini", "my-deployment"):
        agent = Agent(
            "a",
            Model(
                f"openai:{name}",
                base_url=f"{server.url}/v1",
                api_key="k",
                max_retries=0,
            ),
        )
        await streamed_answer(agent)
    assert ["include" in request.json for request in server.requests] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([{"content": "no role"}], "no role"),
        ([{"role": "user", "content": "x", "colour": "red"}], "colour"),
        ([{"role": "robot", "content": "x"}], "robot"),
        ([{"role": "user", "content": None}], "content is a string"),
    ],
)
def test_history_that_is_none_is_refused(
    history: list[dict[str, Any]], words: str
) -> None:
    """A history entry that is no message is an error before anything is sent, and says what is wrong."""
    with pytest.raises(ConfigurationError, match=words):
        Agent("a", "openai:m").run_stream("Go", history=history)


def test_a_response_is_not_a_history() -> None:
    """Passing the response instead of its messages says what to pass."""
    with pytest.raises(ConfigurationError, match=r"response\.messages"):
        Agent("a", "openai:m").run_stream(
            "Go", history=Response("", None, {}, [], [], [])
        )  # type: ignore[arg-type]


async def test_the_callers_history_is_left_alone(server: Loopback, wire: Wire) -> None:
    """A run does not change the list that it was given."""
    history = [Message("user", "Hi"), Message("assistant", "Hello")]
    server.reply(Reply(wire.send.text("ok")))
    response = await streamed_answer(wire.agent(server), history=history)
    assert len(history) == 2 and len(response.messages) == 4


class Priority(Enum):
    """How urgent something is."""

    LOW = "low"
    HIGH = "high"


class Guest(BaseModel):
    """Somebody who stays."""

    name: str
    age: Annotated[int, Field(ge=0, description="In years")]


@tool
def book(
    guests: list[Guest],
    priority: Priority,
    board: Literal["half", "full"] = "half",
    note: str | None = None,
) -> str:
    """Book a room.

    Args:
        guests: Who comes.
        note: Anything else.
    """
    return "booked"


PARAMETERS = {
    "type": "object",
    "properties": {
        "guests": {
            "type": "array",
            "items": {"$ref": "#/$defs/Guest"},
            "description": "Who comes.",
        },
        "priority": {"$ref": "#/$defs/Priority"},
        "board": {"type": "string", "enum": ["half", "full"], "default": "half"},
        "note": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "default": None,
            "description": "Anything else.",
        },
    },
    "required": ["guests", "priority"],
    "additionalProperties": False,
    "$defs": {
        "Guest": {
            "type": "object",
            "title": "Guest",
            "description": "Somebody who stays.",
            "properties": {
                "name": {"type": "string"},
                "age": {"type": "integer", "minimum": 0, "description": "In years"},
            },
            "required": ["name", "age"],
        },
        "Priority": {
            "type": "string",
            "title": "Priority",
            "description": "How urgent something is.",
            "enum": ["low", "high"],
        },
    },
}
BOOK = {"name": "book", "description": "Book a room.", "parameters": PARAMETERS}


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (WIRES[0], {"type": "function", "strict": False, **BOOK}),
        (WIRES[1], {"type": "function", "function": BOOK}),
    ],
    ids=["openai", "openai-chat"],
)
async def test_a_rich_tool_reaches_the_model_whole(
    server: Loopback, wire: Wire, expected: dict[str, Any]
) -> None:
    """Nested models, enums, literals, optionals, defaults and descriptions are all in the request's schema."""
    server.reply(Reply(wire.send.text("ok")))
    await streamed_answer(wire.agent(server, tools=[book]))
    assert server.requests[0].json["tools"] == [expected]
