"""What a request sends back is valid, whatever the model or the user put into the conversation."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.scene import STREAMED, answer
from support.sent import (
    Sent,
    _entries,
    calling,
    moved,
    read,
    saying,
    search,
    weather,
)
from support.wire import (
    chat_completions,
)

from cogent import Agent, Message, Model, Response, ToolCall
from cogent.run.history import fit_history, server_address

Json = dict[str, Any]

OPENAI, CHAT, AZURE, AZURE_CHAT, GROQ, ANTHROPIC, GEMINI, MISTRAL, OLLAMA = WIRES
EACH_WITH_TEXT = pytest.mark.parametrize(
    "wire", [OPENAI, CHAT, AZURE_CHAT, GROQ], ids=lambda w: w.name
)
EACH_WITH_IDS = pytest.mark.parametrize(
    "wire", [OPENAI, CHAT, GROQ, ANTHROPIC, GEMINI], ids=lambda w: w.name
)
FORMS = pytest.mark.parametrize(
    "form", [list, lambda h: [m.to_dict() for m in h]], ids=["messages", "dicts"]
)

# What the model wrote, and the object that it becomes in the next request.
ARGUMENTS: list[tuple[str, Json]] = [
    ('{"city": "Os', {"INVALID_JSON": '{"city": "Os'}),
    (
        '{"city": "Oslo"}{"city": "Oslo"}',
        {"INVALID_JSON": '{"city": "Oslo"}{"city": "Oslo"}'},
    ),
    ("", {}),
    (" \n", {}),
    ("null", {}),
    ('["Oslo"]', {"INVALID_JSON": '["Oslo"]'}),
    ("5", {"INVALID_JSON": "5"}),
    ('"Oslo"', {"INVALID_JSON": '"Oslo"'}),
    ('{"city": "Os\nlo"}', {"INVALID_JSON": '{"city": "Os\nlo"}'}),
    ('{"city": NaN}', {"INVALID_JSON": '{"city": NaN}'}),
    ('{"city":  "Oslo"}', {"city": "Oslo"}),
]
NAMES = [
    "functions.search",
    "weather<|channel|>commentary",
    "",
    "x" * 100_000,
    "søk",
    "a b",
    "search\n",
]
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def two_turns(
    server: Loopback,
    wire: Wire,
    stream: bool,
    *calls: tuple[str, str, str],
    **more: Any,
) -> Response:
    """A run in which the model asks for these calls, and then ends."""
    server.reply(calling(wire, stream, *calls, **more), saying(wire, stream))
    return await answer(wire.agent(server, tools=[weather, search], stream=stream))


# Arguments


@STREAMED
@EACH_WITH_TEXT
async def test_arguments_go_back_as_an_object(
    server: Loopback, wire: Wire, stream: bool
) -> None:
    """Arguments that are no JSON object are one in the next request; the user sees what the model wrote."""
    calls = [
        (f"call_{place}", "weather", written)
        for place, (written, _) in enumerate(ARGUMENTS)
    ]
    response = await two_turns(server, wire, stream, *calls, reasoning="Hm.")
    found = read(wire, server.requests[1].json)
    assert [arguments for _, _, arguments in found.calls] == [
        sent for _, sent in ARGUMENTS
    ]
    assert [call.arguments for call in response.tool_calls[:-1]] == [
        written for written, _ in ARGUMENTS[:-1]
    ]
    assert response.tool_calls[-1].arguments == {"city": "Oslo"}


async def test_good_arguments_in_a_kept_item_stay_as_they_were_written(
    server: Loopback,
) -> None:
    """An item that needs no mending goes back with every blank that the model wrote."""
    await two_turns(server, OPENAI, True, ("call_1", "weather", '{"city":  "Oslo"}'))
    assert server.requests[1].json["input"][1]["arguments"] == '{"city":  "Oslo"}'


@STREAMED
async def test_an_input_that_is_no_object_goes_back_as_one(
    server: Loopback, stream: bool
) -> None:
    """A block of a compatible server whose input is no object is mended in the kept item too."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": None}
    server.reply(anthropic_answer(stream, block), saying(ANTHROPIC, stream))
    await answer(ANTHROPIC.agent(server, tools=[weather], stream=stream))
    assert read(ANTHROPIC, server.requests[1].json).calls == [
        ("toolu_1", "weather", {})
    ]


@FORMS
async def test_arguments_in_a_history_go_as_an_object(
    server: Loopback, wire: Wire, form: Any
) -> None:
    """The same holds for a history of the user's own, on every provider."""
    calls = [
        ToolCall(f"call_{place}", "weather", written)
        for place, (written, _) in enumerate(ARGUMENTS)
    ]
    found = read(
        wire,
        await moved(
            server,
            wire,
            form([Message("user", "Go"), Message("assistant", tool_calls=calls)]),
        ),
    )
    assert [arguments for _, _, arguments in found.calls] == [
        sent for _, sent in ARGUMENTS
    ]


@pytest.mark.parametrize(
    ("given", "sent"),
    [(None, {}), ([1], {"INVALID_JSON": "[1]"}), (5, {"INVALID_JSON": "5"})],
)
def test_arguments_of_another_type_become_an_object(given: Any, sent: Json) -> None:
    """What a user's history holds instead of a string or a dict is taken as the JSON that it is."""
    history = [Message("assistant", tool_calls=[ToolCall("c", "weather", given)])]
    assert fit_history(history, "openai", None)[0].tool_calls[0].arguments == sent


# Names


@STREAMED
async def test_names_go_back_as_the_api_takes_them(
    server: Loopback, wire: Wire, stream: bool
) -> None:
    """A name that no function can have is mapped in the next request; the user sees the model's own."""
    # With arguments, as a call of Ollama's that has neither these nor a name is none.
    calls = [(f"call_{place}", name, '{"q": "x"}') for place, name in enumerate(NAMES)]
    response = await two_turns(server, wire, stream, *calls, reasoning="Hm.")
    assert [call.name for call in response.tool_calls] == NAMES
    assert all(
        call.result is not None and call.result.is_error for call in response.tool_calls
    )
    body = server.requests[1].json
    found = read(wire, body)
    mapped = [name for _, name, _ in found.calls]
    assert len(mapped) == len(NAMES) and all(NAME.fullmatch(name) for name in mapped)
    for name, (_, text) in zip(mapped, found.results, strict=True):
        assert f"'{name}'" in text and len(text) < 300
    if wire is GEMINI:
        assert [
            part["functionResponse"]["name"] for part in body["contents"][2]["parts"]
        ] == mapped
    if wire is OLLAMA:
        assert [message["tool_name"] for message in body["messages"][2:]] == mapped


@FORMS
async def test_names_in_a_history_go_as_the_api_takes_them(
    server: Loopback, wire: Wire, form: Any
) -> None:
    """Names in a user's history are mapped too, and a name of any length is short where it is repeated."""
    history = [
        Message("user", "Go"),
        Message("assistant", tool_calls=[ToolCall(n[:9], n, {}) for n in NAMES]),
    ]
    history += [
        Message("tool", "No.", tool_call_id=name[:9], name=name) for name in NAMES
    ]
    body = await moved(server, wire, form(history))
    assert all(NAME.fullmatch(name) for _, name, _ in read(wire, body).calls)
    assert len(json.dumps(body)) < 9_000


async def test_two_names_that_map_to_one_keep_their_results(
    server: Loopback, wire: Wire
) -> None:
    """Calls whose names become the same are still told apart, each with its own result."""
    long = "x" * 64
    history = [
        Message("user", "Go"),
        Message(
            "assistant",
            tool_calls=[
                ToolCall("c1", long + "a", {"n": 1}),
                ToolCall("c2", long + "b", {"n": 2}),
            ],
        ),
        Message("tool", "two", tool_call_id="c2", name=long + "b"),
        Message("tool", "one", tool_call_id="c1", name=long + "a"),
    ]
    found = read(wire, await moved(server, wire, history))
    assert [arguments for _, _, arguments in found.calls] == [{"n": 1}, {"n": 2}]
    assert [text for _, text in found.results] == ["one", "two"]


# Ids


def anthropic_answer(stream: bool, *blocks: Json) -> Reply:
    """A Messages answer of these content blocks, each with its whole input at its start."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {},
    }
    end = {"stop_reason": "tool_use", "stop_sequence": None}
    if not stream:
        return Reply(
            json.dumps({**message, **end, "content": blocks}),
            content_type="application/json",
        )
    events: list[Json] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(blocks):
        events.append(
            {"type": "content_block_start", "index": index, "content_block": block}
        )
        events.append({"type": "content_block_stop", "index": index})
    events += [
        {"type": "message_delta", "delta": end, "usage": {}},
        {"type": "message_stop"},
    ]
    return Reply(
        [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    )


@STREAMED
@EACH_WITH_IDS
async def test_two_calls_with_one_id_both_run(
    server: Loopback, wire: Wire, stream: bool
) -> None:
    """Calls that come with one id are two calls, and each has its own id and result from then on."""
    calls = [
        ("grep:3", "weather", '{"city": "Oslo"}'),
        ("grep:3", "weather", '{"city": "Rome"}'),
    ]
    response = await two_turns(server, wire, stream, *calls, reasoning="Hm.")
    assert [call.result and call.result.content for call in response.tool_calls] == [
        "Rain in Oslo",
        "Rain in Rome",
    ]
    found = read(wire, server.requests[1].json)
    assert [arguments["city"] for _, _, arguments in found.calls] == ["Oslo", "Rome"]
    assert [text for _, text in found.results] == ["Rain in Oslo", "Rain in Rome"]
    ids = [id for id, _, _ in found.calls]
    assert ids == [id for id, _ in found.results] and len(set(ids)) == 2
    assert ids[0] == "grep:3", "an id that the server gave goes back as it came"
    assert NAME.fullmatch(str(ids[1]))
    assert len({call.id for call in response.tool_calls}) == 2


@STREAMED
@EACH_WITH_IDS
async def test_two_calls_without_arguments_with_one_id_both_run(
    server: Loopback, wire: Wire, stream: bool
) -> None:
    """The same with calls that have no arguments, where only the place tells them apart."""
    response = await two_turns(
        server, wire, stream, ("c", "weather", "{}"), ("c", "search", "{}")
    )
    assert [call.name for call in response.tool_calls] == ["weather", "search"]
    found = read(wire, server.requests[1].json)
    assert [name for _, name, _ in found.calls] == ["weather", "search"]
    assert [text for _, text in found.results] == ["Rain in Bergen", "found "]


@STREAMED
@EACH_WITH_IDS
async def test_ids_that_come_again_in_a_later_turn_are_new(
    server: Loopback, wire: Wire, stream: bool
) -> None:
    """A server that counts its calls anew in each turn gets ids that differ, the same in each later request."""
    calls = [
        ("call_0", "weather", '{"city": "Oslo"}'),
        ("call_1", "search", '{"q": "a"}'),
    ]
    server.reply(
        *[calling(wire, stream, *calls, reasoning="Hm.")] * 3, saying(wire, stream)
    )
    response = await answer(wire.agent(server, tools=[weather, search], stream=stream))
    found = [read(wire, request.json) for request in server.requests[1:]]
    ids = [id for id, _, _ in found[2].calls]
    assert ids == [id for id, _ in found[2].results] and len(set(ids)) == 6
    assert found[2].calls[:4] == found[1].calls and found[1].calls[:2] == found[0].calls
    assert [call.id for call in response.tool_calls] == ids
    again = read(
        wire,
        await moved(server, wire, [message.to_dict() for message in response.messages]),
    )
    assert again == found[2]


@pytest.mark.parametrize("target", WIRES, ids=lambda w: f"to-{w.name}")
@EACH_WITH_IDS
async def test_ids_that_came_again_move_to_another_provider(
    server: Loopback, wire: Wire, target: Wire
) -> None:
    """After a change of provider every call still has its own result."""
    rounds = [
        [("call_0", "weather", json.dumps({"city": city}))] for city in ("Oslo", "Rome")
    ]
    server.reply(*[calling(wire, True, *calls) for calls in rounds], saying(wire, True))
    response = await answer(wire.agent(server, tools=[weather], stream=True))
    found = read(target, await moved(server, target, response.messages))
    assert [arguments["city"] for _, _, arguments in found.calls] == ["Oslo", "Rome"]
    assert [text for _, text in found.results] == ["Rain in Oslo", "Rain in Rome"]


async def test_ids_that_repeat_in_a_history_are_told_apart(
    server: Loopback, wire: Wire
) -> None:
    """A history in which ids repeat, within a turn and between turns, has different ones when it is sent."""
    history = [Message("user", "Go")]
    for turn in range(2):
        cities = [f"{turn}{number}" for number in range(2)]
        history.append(
            Message(
                "assistant",
                tool_calls=[ToolCall("call_0", "weather", {"city": c}) for c in cities],
            )
        )
        history += [
            Message("tool", f"Rain in {city}", tool_call_id="call_0") for city in cities
        ]
    found = read(wire, await moved(server, wire, history))
    assert [f"Rain in {arguments['city']}" for _, _, arguments in found.calls] == [
        text for _, text in found.results
    ]
    assert wire.bare or len({id for id, _ in found.results}) == 4
    longer = [
        *history,
        Message("assistant", tool_calls=[ToolCall("call_0_2", "weather", {})]),
    ]
    assert read(wire, await moved(server, wire, longer)).calls[:4] == found.calls


@pytest.mark.parametrize(
    "id", ["functions.search:0", "x" * 500, "", "ü b", "\n"], ids=ascii
)
async def test_strange_ids_in_a_history_are_mapped(
    server: Loopback, wire: Wire, id: str
) -> None:
    """Ids that another server gave are mapped to what every API takes, two that map to one still being two."""
    history = [
        Message("user", "Go"),
        Message(
            "assistant",
            tool_calls=[
                ToolCall(id, "weather", {"n": 1}),
                ToolCall(id + "y", "weather", {"n": 2}),
            ],
        ),
        Message("tool", "two", tool_call_id=id + "y"),
        Message("tool", "one", tool_call_id=id),
    ]
    found = read(wire, await moved(server, wire, history))
    assert [text for _, text in found.results] == ["one", "two"]
    if not wire.bare:
        assert all(NAME.fullmatch(str(id)) for id, _, _ in found.calls)


async def test_an_item_without_a_call_id_is_given_one(server: Loopback) -> None:
    """A call of a Responses server that has no id goes back with the one that its result names."""
    call = {"type": "function_call", "name": "weather", "arguments": "{}"}
    body = {
        "id": "r",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [call],
    }
    server.reply(
        Reply(json.dumps(body), content_type="application/json"), saying(OPENAI, False)
    )
    await answer(OPENAI.agent(server, tools=[weather]))
    found = read(OPENAI, server.requests[1].json)
    assert found.calls[0][0] == found.results[0][0] and found.calls[0][0]


@STREAMED
async def test_item_ids_that_repeat_go_back_once(
    server: Loopback, stream: bool
) -> None:
    """An item's own id, which the Responses API refuses when it comes twice, is left out where it comes again."""
    server.reply(
        *[calling(OPENAI, stream, ("call_1", "weather", "{}"), reasoning="Hm.")] * 2,
        saying(OPENAI, stream),
    )
    await answer(OPENAI.agent(server, tools=[weather], stream=stream))
    items = server.requests[2].json["input"]
    ids = [item["id"] for item in items if "id" in item]
    assert len(ids) == len(set(ids)) == 2
    assert [item["type"] for item in items[1:]] == [
        "reasoning",
        "function_call",
        "function_call_output",
    ] * 2


@pytest.mark.parametrize("place", [{}, {"index": None}], ids=["no index", "index null"])
async def test_calls_without_an_index_and_with_one_id_both_run(
    server: Loopback, place: Json
) -> None:
    """Calls that come whole in one delta are told apart by their place in it."""
    calls = [
        {**place, "id": "c", "function": {"name": name, "arguments": ""}}
        for name in ("weather", "weather")
    ]
    choice = {"index": 0, "delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}
    server.reply(
        Reply(f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"),
        saying(CHAT, True),
    )
    await answer(CHAT.agent(server, tools=[weather], stream=True))
    assert [text for _, text in read(CHAT, server.requests[1].json).results] == [
        "Rain in Bergen"
    ] * 2


async def test_a_signature_stays_with_its_call_whatever_its_id(
    server: Loopback,
) -> None:
    """What else a chat call carried goes back on that call, also where two calls came with one id."""
    calls = [
        {
            "index": index,
            "id": "c",
            "function": {"name": "weather", "arguments": "{}"},
            "extra_content": {"n": index},
        }
        for index in range(2)
    ]
    choice = {"index": 0, "delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}
    server.reply(
        Reply(f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"),
        saying(CHAT, True),
    )
    await answer(CHAT.agent(server, tools=[weather], stream=True))
    again = server.requests[1].json["messages"][1]["tool_calls"]
    assert [call["extra_content"] for call in again] == [{"n": 0}, {"n": 1}]
    assert len({call["id"] for call in again}) == 2


# Own items


async def test_own_items_go_only_to_the_server_that_made_them(
    server: Loopback, wire: Wire
) -> None:
    """Another server of the same provider gets the text and the calls, and nothing that only the first can read."""
    server.reply(
        calling(wire, True, ("call_1", "weather", "{}"), reasoning="SECRET"),
        saying(wire, True),
    )
    response = await answer(wire.agent(server, tools=[weather], stream=True))
    assert "SECRET" in json.dumps(server.requests[1].json)
    stored = json.loads(
        json.dumps([message.to_dict() for message in response.messages])
    )
    with Loopback() as other:
        other.reply(saying(wire, True))
        await answer(
            wire.agent(other, tools=[weather], stream=True), "Go on", history=stored
        )
        body = json.dumps(other.requests[0].json)
        assert read(wire, other.requests[0].json).calls[0][1:] == ("weather", {})
        assert (
            "SECRET" not in body
            and '"encrypted_content"' not in body
            and "Rain in Bergen" in body
        )
    assert "SECRET" in json.dumps(await moved(server, wire, stored))


async def test_the_address_is_kept_with_a_message(server: Loopback, wire: Wire) -> None:
    """A message says which server made it, and only an assistant's does; the address holds no key and no query."""
    server.reply(saying(wire, True))
    response = await answer(wire.agent(server, stream=True))
    [user, assistant] = response.messages
    assert user.address is None and assistant.address is not None
    assert (
        assistant.address.startswith(server.url)
        and assistant.to_dict()["address"] == assistant.address
    )
    assert Message.from_dict(assistant.to_dict()) == assistant


async def test_items_that_were_saved_without_an_address_go_to_their_provider(
    server: Loopback, wire: Wire
) -> None:
    """What an earlier version saved goes back to the same provider, wherever that is."""
    response = await two_turns(
        server, wire, True, ("call_1", "weather", "{}"), reasoning="SECRET"
    )
    stored = [message.to_dict() for message in response.messages]
    for message in stored:
        message.pop("address", None)
    with Loopback() as other:
        other.reply(saying(wire, True))
        await answer(
            wire.agent(other, tools=[weather], stream=True), "Go on", history=stored
        )
        assert "SECRET" in json.dumps(other.requests[0].json)


async def test_the_address_of_a_client_of_the_users_own_counts(
    server: Loopback,
) -> None:
    """A client that the user brought has an address too, and what it made goes to no other server."""
    from openai import AsyncOpenAI

    async def asked(address: str, history: Sequence[Message]) -> Response:
        async with AsyncOpenAI(
            api_key="k", base_url=f"{address}/v1?key=secret"
        ) as client:
            model = Model("openai-chat:m", client=client)
            return await Agent("a", model, stream=True).run("Go", history=history)

    server.reply(Reply(chat_completions.reasoning("SECRET", "Yes.")))
    first = await asked(server.url, [])
    assert str(first.messages[-1].address).startswith(
        server.url
    ) and "secret" not in str(first.messages[-1].address)
    with Loopback() as other:
        other.reply(saying(CHAT, True))
        await asked(other.url, first.messages)
        assert "SECRET" not in other.requests[0].body.decode()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://user:pass@Example.com:443/v1/?key=s#x", "https://example.com/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/a/b/", "http://[::1]:8000/a/b"),
        ("https://example.com:80/", "https://example.com:80"),
        ("local", "local"),
        (None, None),
    ],
)
def test_an_address_is_scheme_host_port_and_path(
    url: str | None, address: str | None
) -> None:
    """One server has one address, and credentials and queries are no part of it."""
    assert server_address(url) == address


# Reasoning alone


def reasoning_only(wire: Wire, stream: bool) -> Reply:
    """An answer with reasoning and without a text."""
    if stream:
        return Reply(wire.send.reasoning("Hm.", ""), content_type=wire.mime)
    return Reply(wire.send.plain_reasoning("Hm.", ""), content_type="application/json")


@STREAMED
async def test_a_turn_of_reasoning_alone_is_left_out(
    server: Loopback, wire: Wire, stream: bool
) -> None:
    """An answer that was only reasoning stays in the history and is not sent, so that no empty message is."""
    server.reply(reasoning_only(wire, stream), saying(wire, stream))
    agent = wire.agent(server, stream=stream)
    first = await answer(agent, "One")
    await answer(agent, "Two", history=first.messages)
    body = server.requests[1].json
    assert [text for kind, text in _entries(wire, body) if kind == "text"] == [
        "One",
        "Two",
    ]
    assert "Hm." not in json.dumps(body) and '"assistant"' not in json.dumps(body)


async def test_an_empty_answer_of_the_assistant_is_left_out(
    server: Loopback, wire: Wire
) -> None:
    """A message of the assistant without anything in it is not sent."""
    history = [Message("user", "One"), Message("assistant", ""), Message("user", "Two")]
    texts = [entry for _, entry in _entries(wire, await moved(server, wire, history))]
    assert len(texts) == 3


def chat_stream(*deltas: Json) -> Reply:
    """A chat stream of these deltas that asks for a tool at its end."""
    call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": "{}"}}
    choices = [
        {"index": 0, "delta": delta} for delta in [*deltas, {"tool_calls": [call]}]
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    return Reply(
        [f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices]
    )


DETAILS = [{"type": "reasoning.text", "index": 0, "text": "Hm."}]


@STREAMED
@pytest.mark.parametrize("wire", [CHAT, AZURE_CHAT, GROQ], ids=lambda w: w.name)
@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": ""},
        {"reasoning": ""},
        {"reasoning_content": "", "reasoning": "Hm."},
        {"reasoning_content": "Hm.", "reasoning": "Hm."},
        {"reasoning_content": "Hm.", "reasoning_details": DETAILS},
        {"reasoning_content": "", "reasoning_details": DETAILS},
        {"reasoning": "Hm.", "reasoning_details": DETAILS},
        {"reasoning_details": DETAILS},
    ],
    ids=lambda fields: "+".join(
        f"{name}={bool(value)}" for name, value in fields.items()
    ),
)
async def test_reasoning_fields_go_back_as_they_came(
    server: Loopback, wire: Wire, stream: bool, fields: Json
) -> None:
    """Every field of reasoning that the server sent goes back, also an empty one, and one beside another."""
    if stream:
        server.reply(chat_stream({"role": "assistant", **fields}))
    else:
        call = {
            "id": "c1",
            "type": "function",
            "function": {"name": "weather", "arguments": "{}"},
        }
        message = {"role": "assistant", "content": None, "tool_calls": [call], **fields}
        choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
        server.reply(
            Reply(json.dumps({"choices": choices}), content_type="application/json")
        )
    server.reply(saying(wire, stream))
    await answer(wire.agent(server, tools=[weather], stream=stream))
    again = server.requests[1].json["messages"][1]
    assert {
        name: value for name, value in again.items() if "reasoning" in name
    } == fields


async def test_a_field_that_begins_empty_goes_back_with_its_text(
    server: Loopback,
) -> None:
    """An empty first piece of reasoning does not hide the text that follows."""
    server.reply(
        chat_stream(
            {"reasoning_content": ""},
            {"reasoning_content": "Hm."},
            {"reasoning_content": ""},
        )
    )
    server.reply(saying(CHAT, True))
    await answer(CHAT.agent(server, tools=[weather], stream=True))
    assert server.requests[1].json["messages"][1]["reasoning_content"] == "Hm."


# Calls and results


async def test_a_call_without_a_result_is_given_one(
    server: Loopback, wire: Wire
) -> None:
    """Every call of a user's history has a result in the request, right after its message."""
    calls = [ToolCall("c1", "weather", {"n": 1}), ToolCall("c2", "weather", {"n": 2})]
    history = [
        Message("user", "Go"),
        Message("assistant", tool_calls=calls),
        Message("tool", "two", tool_call_id="c2"),
        Message("user", "And?"),
    ]
    found = read(wire, await moved(server, wire, history))
    assert (
        found.results[0][1].startswith("Not executed") and found.results[1][1] == "two"
    )


async def test_a_result_without_a_call_is_left_out(
    server: Loopback, wire: Wire
) -> None:
    """A result whose call is not in the history, as after cutting its beginning off, is not sent."""
    history = [
        Message("tool", "lost", tool_call_id="c9", name="weather"),
        Message("user", "Go"),
    ]
    assert read(wire, await moved(server, wire, history)) == Sent([], [])


async def test_results_are_put_after_their_calls(server: Loopback, wire: Wire) -> None:
    """Results that stand after the user's next words go where the APIs want them, in call order."""
    calls = [ToolCall("c1", "weather", {"n": 1}), ToolCall("c2", "weather", {"n": 2})]
    history = [
        Message("user", "Go"),
        Message("assistant", tool_calls=calls),
        Message("user", "Well?"),
        Message("tool", "two", tool_call_id="c2"),
        Message("tool", "one", tool_call_id="c1"),
    ]
    assert [
        text for _, text in read(wire, await moved(server, wire, history)).results
    ] == [
        "one",
        "two",
    ]


async def test_results_without_an_id_go_to_the_calls_in_their_order(
    server: Loopback, wire: Wire
) -> None:
    """In a history of a server without ids a result belongs to the next call, or to that of its name."""
    calls = [
        ToolCall("", "weather", {}),
        ToolCall("", "search", {}),
        ToolCall("", "weather", {}),
    ]
    history = [
        Message("user", "Go"),
        Message("assistant", tool_calls=calls),
        Message("tool", "two", name="search"),
        Message("tool", "one"),
        Message("tool", "three", name="weather"),
    ]
    assert [
        text for _, text in read(wire, await moved(server, wire, history)).results
    ] == [
        "one",
        "two",
        "three",
    ]


async def test_items_that_do_not_fit_their_message_are_left_out(
    server: Loopback, wire: Wire
) -> None:
    """A message whose calls the user took out goes without them, in its items too."""
    response = await two_turns(
        server,
        wire,
        True,
        ("c1", "weather", "{}"),
        ("c2", "search", "{}"),
        reasoning="Hm.",
    )
    history = [message for message in response.messages if message.tool_call_id != "c2"]
    history[1].tool_calls.pop()
    assert [
        name for _, name, _ in read(wire, await moved(server, wire, history)).calls
    ] == ["weather"]


async def test_the_history_itself_is_left_alone(server: Loopback, wire: Wire) -> None:
    """What is mended is mended in the request only."""
    calls = [ToolCall("a.b", "x.y", "[1]"), ToolCall("a.b", "x.y", "")]
    history = [
        Message("user", "Go"),
        Message("assistant", tool_calls=calls),
        Message("tool", "1", tool_call_id="a.b"),
    ]
    before = json.dumps([message.to_dict() for message in history])
    await moved(server, wire, history)
    assert json.dumps([message.to_dict() for message in history]) == before
