"""Calls that the provider leaves to its client: a run ends with them, and a later one goes on with their answers."""

import json
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.wire.common import encode, event

from cogent import (
    Agent,
    ConfigurationError,
    Message,
    Model,
    Response,
    StreamChunk,
    tool,
)
from cogent.messages import ToolCall

Json = dict[str, Any]
RESPONSES = [wire for wire in WIRES if wire.send.__name__.endswith("openai_responses")]

SHELL = {"type": "exec", "command": ["ls", "-a"], "env": {}}
CLICK = {"type": "click", "x": 3, "y": 4, "button": "left"}
PATCH = {"type": "create_file", "path": "a.txt", "diff": "+hello"}
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOLS = [{"type": "function", "name": "later", "parameters": {}}]

CUSTOM = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "call_1",
    "name": "run_sql",
    "input": "select 1",
}
COMPUTER = {
    "type": "computer_call",
    "id": "cu_1",
    "call_id": "call_1",
    "action": CLICK,
    "pending_safety_checks": [],
}
LOCAL_SHELL = {
    "type": "local_shell_call",
    "id": "lsh_1",
    "call_id": "call_1",
    "action": SHELL,
    "status": "completed",
}
COMMANDS = {
    "type": "shell_call",
    "id": "sh_1",
    "call_id": "call_1",
    "action": {"commands": ["ls"]},
}
APPLY = {
    "type": "apply_patch_call",
    "id": "apc_1",
    "call_id": "call_1",
    "operation": PATCH,
    "status": "completed",
}
SEARCH = {
    "type": "tool_search_call",
    "id": "ts_1",
    "call_id": "call_1",
    "execution": "client",
}
SEARCH["arguments"] = {"query": "later"}  # type: ignore[assignment]
REQUEST = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "name": "delete",
    "server_label": "files",
}
REQUEST["arguments"] = '{"path": "a.txt"}'
ALL = [CUSTOM, COMPUTER, LOCAL_SHELL, COMMANDS, APPLY, SEARCH, REQUEST]
WITH_RESULTS = ALL[:-1]

ARGUMENTS: dict[str, Any] = {
    "custom_tool_call": "select 1",
    "computer_call": {"action": CLICK, "pending_safety_checks": []},
    "local_shell_call": SHELL,
    "shell_call": {"commands": ["ls"]},
    "apply_patch_call": PATCH,
    "tool_search_call": {"query": "later"},
    "mcp_approval_request": {"path": "a.txt"},
}
OUTPUTS: dict[str, tuple[Any, Json]] = {
    "custom_tool_call": ("1", {"type": "custom_tool_call_output", "output": "1"}),
    "computer_call": (
        PNG,
        {
            "type": "computer_call_output",
            "output": {"type": "computer_screenshot", "image_url": PNG},
        },
    ),
    "local_shell_call": (
        {"stdout": "."},
        {"type": "local_shell_call_output", "output": '{"stdout":"."}'},
    ),
    "shell_call": (
        ".",
        {
            "type": "shell_call_output",
            "output": [
                {
                    "stdout": ".",
                    "stderr": "",
                    "outcome": {"type": "exit", "exit_code": 0},
                }
            ],
        },
    ),
    "apply_patch_call": (
        "Done",
        {"type": "apply_patch_call_output", "status": "completed", "output": "Done"},
    ),
    "tool_search_call": (
        TOOLS,
        {
            "type": "tool_search_output",
            "execution": "client",
            "status": "completed",
            "tools": TOOLS,
        },
    ),
}


@pytest.fixture(params=RESPONSES, ids=lambda wire: wire.name)
def responses(request: pytest.FixtureRequest) -> Wire:
    """Each provider that speaks the Responses format."""
    return request.param


@pytest.fixture(params=[True, False], ids=["streamed", "plain"])
def streamed(request: pytest.FixtureRequest) -> bool:
    """Both ways to ask."""
    return request.param


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def answer_of(
    *items: Json, streamed: bool, status: str = "completed", **more: Any
) -> Reply:
    """An answer that is these items, as a stream of events or whole."""
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    response = {"model": "m", "status": status, "output": items, "usage": usage, **more}
    if not streamed:
        return Reply(encode(response), content_type="application/json")
    events: list[Json] = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate(items)
    ]
    events.append({"type": f"response.{status}", "response": response})
    return Reply([event(data, data["type"]) for data in events])


def text_of(text: str, *, streamed: bool) -> Reply:
    """An answer that is this text."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return answer_of(
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [part]},
        streamed=streamed,
    )


async def go(
    wire: Wire,
    server: Loopback,
    message: str | None,
    *replies: Reply,
    streamed: bool = True,
    **options: Any,
) -> tuple[list[StreamChunk], Response]:
    """The chunks, of a streamed run, and the response."""

    server.reply(*replies)
    async with wire.agent(server, tools=[weather]) as agent:
        if not streamed:
            return [], await agent.run(message, **options)
        stream = agent.run_stream(message, **options)
        return [chunk async for chunk in stream], stream.response


def saved(response: Response) -> list[Json]:
    """The conversation as another process reads it."""
    written = json.dumps([message.to_dict() for message in response.messages])
    return list(json.loads(written))


def id_of(item: Json) -> str:
    """The id by which an item is answered."""
    return item.get("call_id") or item["id"]


@pytest.mark.parametrize("item", ALL, ids=lambda item: item["type"])
async def test_a_run_ends_with_a_call_that_waits(
    responses: Wire, server: Loopback, item: Json, streamed: bool
) -> None:
    """The last chunk says what waits; there is no empty answer, and nothing is asked again."""
    reply = answer_of(item, streamed=streamed)
    chunks, response = await go(responses, server, "Go", reply, streamed=streamed)
    expected = {
        "id": id_of(item),
        "name": item.get("name", item["type"]),
        "type": item["type"],
        "arguments": ARGUMENTS[item["type"]],
    }
    (call,) = response.pending
    assert (call.id, call.name, call.type, call.arguments) == tuple(expected.values())
    assert response.finish_reason == "tool_calls"
    assert response.metadata["pending"] == [expected]
    assert response.tool_calls == [call] and call.result is None
    assert len(server.requests) == 1
    if streamed:
        assert [chunk.finish_reason for chunk in chunks[-2:]] == [
            "tool_calls",
            "tool_calls",
        ]
        assert [chunk.is_final for chunk in chunks[-2:]] == [False, True]
        assert chunks[-2].metadata is not None and chunks[-2].metadata[
            "tool_calls"
        ] == [expected]


@pytest.mark.parametrize("item", WITH_RESULTS, ids=lambda item: item["type"])
async def test_a_result_goes_back_as_the_output_item_of_its_call(
    responses: Wire, server: Loopback, item: Json, streamed: bool
) -> None:
    """A string or a JSON value becomes what the API expects, also in another process and without a message."""
    _, response = await go(
        responses, server, "Go", answer_of(item, streamed=streamed), streamed=streamed
    )
    value, output = OUTPUTS[item["type"]]
    reply = text_of("Done.", streamed=streamed)
    _, end = await go(
        responses,
        server,
        None,
        reply,
        streamed=streamed,
        history=saved(response),
        results={id_of(item): value},
    )
    assert end.content == "Done." and end.pending == []
    assert server.requests[1].json["input"][1:] == [
        item,
        {"call_id": id_of(item), **output},
    ]


@pytest.mark.parametrize("item", ALL, ids=lambda item: item["type"])
async def test_an_output_item_of_the_callers_own_goes_back_as_it_is(
    responses: Wire, server: Loopback, item: Json
) -> None:
    """Who knows the API better than cogent writes the item."""
    own = {
        "type": "output_of_next_year",
        "call_id": id_of(item),
        "answer": {"a": [1, None]},
    }
    if item is REQUEST:
        own = {
            "type": "mcp_approval_response",
            "approval_request_id": "mcpr_1",
            "approve": True,
            "id": "mcpa_1",
        }
    _, response = await go(responses, server, "Go", answer_of(item, streamed=True))
    reply = text_of("Done.", streamed=True)
    _, end = await go(
        responses,
        server,
        "And?",
        reply,
        history=saved(response),
        results={id_of(item): own},
    )
    assert server.requests[1].json["input"][1:] == [
        item,
        own,
        {"role": "user", "content": "And?"},
    ]
    await go(
        responses, server, "More", text_of("Yes.", streamed=True), history=end.messages
    )
    assert server.requests[2].json["input"][1:3] == [item, own]


@pytest.mark.parametrize(
    ("approval", "expected"),
    [
        (True, {"approve": True}),
        (False, {"approve": False}),
        ("too risky", {"approve": False, "reason": "too risky"}),
    ],
)
async def test_an_approval_goes_back_as_the_answer_to_its_request(
    responses: Wire, server: Loopback, approval: bool | str, expected: Json
) -> None:
    """Yes, no, or no with a reason."""
    _, response = await go(responses, server, "Go", answer_of(REQUEST, streamed=True))
    reply = text_of("Done.", streamed=True)
    await go(
        responses,
        server,
        None,
        reply,
        history=saved(response),
        approvals={"mcpr_1": approval},
    )
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_1",
        **expected,
    }
    assert server.requests[1].json["input"][1:] == [REQUEST, answer]


@pytest.mark.parametrize(
    ("item", "output"),
    [
        (CUSTOM, {"type": "custom_tool_call_output", "output": "not now"}),
        (LOCAL_SHELL, {"type": "local_shell_call_output", "output": "not now"}),
        (
            APPLY,
            {
                "type": "apply_patch_call_output",
                "status": "failed",
                "output": "not now",
            },
        ),
    ],
    ids=lambda value: value["type"],
)
async def test_a_call_may_be_turned_down(
    server: Loopback, item: Json, output: Json
) -> None:
    """A reason instead of a result tells the model that nothing ran."""
    _, response = await go(RESPONSES[0], server, "Go", answer_of(item, streamed=True))
    reply = text_of("Done.", streamed=True)
    await go(
        RESPONSES[0],
        server,
        None,
        reply,
        history=response.messages,
        approvals={"call_1": "not now"},
    )
    assert server.requests[1].json["input"][-1] == {"call_id": "call_1", **output}


FUNCTION = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_9",
    "name": "weather",
    "arguments": '{"city":"Oslo"}',
}


async def test_functions_of_the_same_turn_are_run(
    responses: Wire, server: Loopback, streamed: bool
) -> None:
    """What can be run is run before the run ends, and is not run again when it goes on."""
    items = [CUSTOM, FUNCTION, {**REQUEST}]
    _, response = await go(
        responses, server, "Go", answer_of(*items, streamed=streamed), streamed=streamed
    )
    assert [call.id for call in response.pending] == ["call_1", "mcpr_1"]
    assert {
        call.id: call.result and call.result.content for call in response.tool_calls
    } == {
        "call_9": "rain in Oslo",
        "call_1": None,
        "mcpr_1": None,
    }
    reply = text_of("Done.", streamed=streamed)
    answers = {"results": {"call_1": 1}, "approvals": {"mcpr_1": True}}
    await go(
        responses,
        server,
        None,
        reply,
        streamed=streamed,
        history=saved(response),
        **answers,
    )
    sent = server.requests[1].json["input"][1:]
    assert sent[:3] == items
    assert sorted(item["type"] for item in sent[3:]) == [
        "custom_tool_call_output",
        "function_call_output",
        "mcp_approval_response",
    ]


@pytest.mark.parametrize(
    ("item", "output"),
    [
        (
            COMMANDS,
            {
                "type": "shell_call_output",
                "id": "sho_1",
                "call_id": "call_1",
                "output": [],
            },
        ),
        (SEARCH, {"type": "tool_search_output", "call_id": "call_1", "tools": []}),
        (
            LOCAL_SHELL,
            {"type": "local_shell_call_output", "id": "call_1", "output": ""},
        ),
        (
            REQUEST,
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "approval_request_id": "mcpr_1",
                "output": "gone",
            },
        ),
        ({**SEARCH, "execution": "server"}, None),
    ],
)
async def test_what_the_provider_has_answered_itself_does_not_wait(
    responses: Wire, server: Loopback, item: Json, output: Json | None, streamed: bool
) -> None:
    """A call whose output is in the same response goes back with that, and nobody is asked."""
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi"}],
    }
    items = [item, *([output] if output else []), message]
    _, response = await go(
        responses, server, "Go", answer_of(*items, streamed=streamed), streamed=streamed
    )
    assert (response.content, response.finish_reason, response.pending) == (
        "Hi",
        "stop",
        [],
    )
    assert "pending" not in response.metadata
    await go(
        responses,
        server,
        "And?",
        text_of("Yes.", streamed=True),
        history=saved(response),
    )
    assert server.requests[1].json["input"][1:-1] == items


async def test_a_turn_that_was_cut_off_has_no_pending_calls(
    responses: Wire, server: Loopback, streamed: bool
) -> None:
    """Nothing is asked of the caller by an answer that reached its limit, and nothing of it goes back."""
    reply = answer_of(
        CUSTOM,
        streamed=streamed,
        status="incomplete",
        incomplete_details={"reason": "max_output_tokens"},
    )
    _, response = await go(responses, server, "Go", reply, streamed=streamed)
    assert (response.finish_reason, response.pending) == ("length", [])
    await go(
        responses,
        server,
        "And?",
        text_of("Yes.", streamed=True),
        history=saved(response),
    )
    assert [item["role"] for item in server.requests[1].json["input"]] == [
        "user",
        "user",
    ]


async def test_the_input_of_a_custom_tool_may_come_in_pieces(
    responses: Wire, server: Loopback
) -> None:
    """The pieces count where the end event leaves them out."""
    opened = {**CUSTOM, "input": ""}
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
        *[
            {
                "type": "response.custom_tool_call_input.delta",
                "output_index": 0,
                "item_id": "ctc_1",
                "delta": piece,
            }
            for piece in ("select", " 1")
        ],
        {"type": "response.output_item.done", "output_index": 0, "item": opened},
        {
            "type": "response.completed",
            "response": {"status": "completed", "output": []},
        },
    ]
    _, response = await go(
        responses, server, "Go", Reply([event(data, data["type"]) for data in events])
    )
    assert [call.arguments for call in response.pending] == ["select 1"]
    assert response.messages[-1].items == [CUSTOM]


async def test_a_model_that_does_not_reason_gets_its_items_too(
    server: Loopback,
) -> None:
    """A call of its own type has no other form than its item."""
    wire = RESPONSES[0]
    agent = Agent(
        "a",
        Model(
            "openai:gpt-4.1", base_url=f"{server.url}/v1", api_key="key", max_retries=0
        ),
    )
    _, response = await go(wire, server, "Go", answer_of(CUSTOM, streamed=True))
    server.reply(text_of("Done.", streamed=False))
    await agent.run(history=response.messages, results={"call_1": "1"})
    output = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"}
    assert server.requests[1].json["input"][1:] == [CUSTOM, output]


async def test_another_provider_gets_call_and_result_in_its_own_form(
    wire: Wire, server: Loopback
) -> None:
    """A conversation may go on elsewhere once its calls are answered."""
    if wire.provider in ("openai", "azure"):
        pytest.skip("these send the items themselves")
    call = ToolCall("call_1", "run_sql", "select 1", type="custom_tool_call")
    asked = Message("assistant", tool_calls=[call], provider="openai", items=[CUSTOM])
    _, response = await go(
        wire,
        server,
        None,
        Reply(wire.send.text("Done."), content_type=wire.mime),
        history=[Message("user", "Go"), asked],
        results={
            "call_1": {
                "type": "custom_tool_call_output",
                "call_id": "call_1",
                "output": "one row",
            }
        },
    )
    assert response.content == "Done."
    sent = server.requests[0].body.decode()
    assert "select 1" in sent and "one row" in sent and "run_sql" in sent
    assert "custom_tool_call" not in sent


# What is refused before any request

ASKED = Message(
    "assistant",
    tool_calls=[
        ToolCall("call_1", "run_sql", "select 1", type="custom_tool_call"),
        ToolCall("mcpr_1", "delete", {}, type="mcp_approval_request"),
        ToolCall("cu_1", "computer_call", {}, type="computer_call"),
    ],
    provider="openai",
    items=[CUSTOM, REQUEST, {**COMPUTER, "call_id": "cu_1"}],
)
HISTORY = [Message("user", "Go"), ASKED]


@pytest.mark.parametrize("message", [None, "And now?"])
@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {},
            [
                "'call_1' (run_sql)",
                "'mcpr_1' (delete)",
                "results={'call_1'",
                "approvals={'mcpr_1'",
                "leave",
            ],
        ),
        ({"results": {"call_1": 1}}, ["'mcpr_1'", "'cu_1'"]),
        ({"results": {"call_7": 1}}, ["'call_7'", "'call_1', 'mcpr_1', 'cu_1'"]),
        (
            {"results": {"call_1": 1}, "approvals": {"call_1": False}},
            ["'call_1'", "twice"],
        ),
        ({"approvals": {"call_1": True}}, ["'call_1'", "results={'call_1'"]),
        ({"approvals": {"mcpr_1": 1}}, ["approvals['mcpr_1']", "True, False"]),
        ({"results": {"mcpr_1": True}}, ["'mcpr_1'", "approvals={'mcpr_1'"]),
        ({"results": ["call_1"]}, ["results is a dict"]),
        ({"approvals": True}, ["approvals is a dict"]),
        ({"results": {"call_1": iter([1])}}, ["results['call_1']"]),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(
    message: str | None, answers: Json, words: list[str]
) -> None:
    """The error says which call, and what to write."""
    agent = Agent("a", Model("openai:gpt-test", api_key="key"))
    with pytest.raises(ConfigurationError) as caught:
        agent.run_stream(message, history=HISTORY, **answers)
    for word in words:
        assert word in str(caught.value)


async def test_a_computer_is_answered_with_a_screenshot(server: Loopback) -> None:
    """Text is no screenshot, which is said before any request."""
    answers = {
        "results": {"call_1": 1, "cu_1": "clicked"},
        "approvals": {"mcpr_1": False},
    }
    with pytest.raises(ConfigurationError, match="screenshot"):
        await go(RESPONSES[0], server, None, history=HISTORY, **answers)
    assert server.requests == []


@pytest.mark.parametrize(
    "history", [None, [], [Message("user", "Go"), Message("assistant", "Yes.")]]
)
def test_a_message_is_needed_where_nothing_is_to_be_answered(history: Any) -> None:
    """A run without a message goes on from a question or a result."""
    with pytest.raises(ConfigurationError, match="left out only when"):
        Agent("a", Model("openai:gpt-test", api_key="key")).run_stream(history=history)


async def test_a_function_that_was_never_answered_takes_a_result(
    wire: Wire, server: Loopback
) -> None:
    """Results are for functions too, on every provider."""
    asked = Message(
        "assistant", tool_calls=[ToolCall("call_1", "weather", {"city": "Oslo"})]
    )
    reply = Reply(wire.send.text("Done."), content_type=wire.mime)
    history = [Message("user", "Go"), asked]
    _, response = await go(
        wire, server, None, reply, history=history, results={"call_1": {"sky": "grey"}}
    )
    assert response.messages[2] == Message(
        "tool", '{"sky":"grey"}', tool_call_id="call_1", name="weather"
    )
    assert "grey" in server.requests[0].body.decode()


def test_a_call_of_its_own_type_survives_saving() -> None:
    """What was written reads back, and what was written before there were types is a function."""
    assert Message.from_dict(json.loads(json.dumps(ASKED.to_dict()))) == ASKED
    old = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "name": "f", "arguments": {}}],
        "content": "",
    }
    assert Message.from_dict(old).tool_calls == [ToolCall("1", "f", {})]
    assert Message.from_dict(old).to_dict() == old
