"""What is particular to Anthropic: the request, what goes back in the next one, and how an answer is read."""

import asyncio
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import anthropic
import httpx2
import pytest
from pydantic import BaseModel, Field
from support.loopback import Loopback, Reply
from support.wire import anthropic_messages as messages
from support.wire import chat_completions
from support.wire.common import Json, encode, event

from cogent import (
    Agent,
    AuthenticationError,
    ConfigurationError,
    ContextTooLong,
    Message,
    Model,
    ModelError,
    Overloaded,
    RateLimited,
    Response,
    ServerError,
    StreamChunk,
    StreamInterrupted,
    tool,
)
from cogent.chunks import ToolCallDelta
from cogent.messages import ToolCall
from cogent.providers import Request
from cogent.providers.anthropic import encode_request
from cogent.providers.formats.messages_decoder import (
    StreamDecoder,
    decode_response,
    decode_usage,
)
from cogent.run.outputs import FinishWord, Item, Output, TokenCounts, Working

JSON = "application/json"
CALL = ("toolu_1", "add", '{"a": 1, "b": 2}')


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, address or profile of the machine's."""
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))


def model(server: Loopback, **settings: Any) -> Model:
    """A model whose server is the loopback one."""
    return Model(
        "anthropic:m",
        **{"base_url": server.url, "api_key": "key", "max_retries": 0, **settings},
    )


async def answer(
    asked: Model, message: str = "Go", *, stream: bool = True, **settings: Any
) -> Response:
    """The response of a run, streamed unless told otherwise."""
    history = settings.pop("history", None)
    async with Agent("a", asked, stream=stream, **settings) as agent:
        return await agent.run(message, history=history)


async def failure(asked: Model, **settings: Any) -> ModelError:
    """The error of a run."""
    with pytest.raises(ModelError) as raised:
        await answer(asked, **settings)
    return raised.value


def frames(*events: Json) -> list[bytes]:
    """The events as they are sent."""
    return [event(data, name=data["type"]) for data in events]


def block(index: int, start: Json, *deltas: Json) -> list[Json]:
    """The events of one content block."""
    given = [
        {"type": "content_block_delta", "index": index, "delta": delta}
        for delta in deltas
    ]
    opened = {"type": "content_block_start", "index": index, "content_block": start}
    return [opened, *given, {"type": "content_block_stop", "index": index}]


START: Json = {
    "type": "message_start",
    "message": {"model": "m-1", "usage": {"input_tokens": 5, "output_tokens": 1}},
}
STOP: Json = {"type": "message_stop"}


def end(reason: str | None = "end_turn", **usage: Any) -> list[Json]:
    """The events that end a message."""
    return [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason},
            "usage": {"output_tokens": 3, **usage},
        },
        STOP,
    ]


def parts(*events: Json) -> list[Output]:
    """What the events of one answer stand for, without chunks that say nothing and what only the clock needs."""
    decoder = StreamDecoder()
    decoded = [part for data in events for part in decoder.decode(data)]
    return [part for part in decoded if part not in (StreamChunk(), Working())]


def encoded(*history: Message) -> list[Json]:
    """The messages of a request with this conversation."""
    return encode_request(Request(Model("anthropic:m"), history))["messages"]


# The request


class Place(BaseModel):
    """Where to look."""

    city: str
    country: str | None = None


@tool
def weather(
    place: Place, unit: Literal["C", "F"] = "C", days: int = Field(1, ge=1, le=7)
) -> str:
    """Get the weather.

    Args:
        unit: Celsius or Fahrenheit.
    """
    return "mild"


async def test_the_request_is_written_by_hand(server: Loopback) -> None:
    """A request has the default limit, the instructions as `system`, and tools with their JSON schema."""
    server.reply(Reply(messages.text("Hi")))
    await answer(model(server), instructions="Be brief.", tools=[weather])
    request = server.requests[0]
    assert (request.path, request.headers["authorization"]) == (
        "/v1/messages",
        "Bearer key",
    )
    assert request.json == {
        "model": "m",
        "max_tokens": 8192,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Go"}]}],
        "stream": True,
        "tools": [
            {
                "name": "weather",
                "description": "Get the weather.",
                "input_schema": {
                    "type": "object",
                    "properties": {
                        "place": {"$ref": "#/$defs/Place"},
                        "unit": {
                            "type": "string",
                            "enum": ["C", "F"],
                            "default": "C",
                            "description": "Celsius or Fahrenheit.",
                        },
                        "days": {
                            "type": "integer",
                            "default": 1,
                            "minimum": 1,
                            "maximum": 7,
                        },
                    },
                    "required": ["place"],
                    "additionalProperties": False,
                    "$defs": {
                        "Place": {
                            "type": "object",
                            "title": "Place",
                            "description": "Where to look.",
                            "properties": {
                                "city": {"type": "string"},
                                "country": {
                                    "anyOf": [{"type": "string"}, {"type": "null"}],
                                    "default": None,
                                },
                            },
                            "required": ["city"],
                        }
                    },
                },
            }
        ],
    }


async def test_settings_are_sent_as_the_api_names_them(server: Loopback) -> None:
    """Temperature joins the user's own extra body, and what `extra` holds goes to the SDK call as it is."""
    server.reply(Reply(messages.text("Hi")))
    search = {"type": "web_search_20250305", "name": "web_search"}
    extra = {
        "extra_body": {"top_k": 4},
        "extra_headers": {"anthropic-beta": "one"},
        "stop_sequences": ["END"],
        "tools": [search],
    }
    await answer(model(server, temperature=0.5, max_tokens=9, extra=extra), tools=[add])
    request = server.requests[0]
    assert request.headers["anthropic-beta"] == "one"
    assert {
        "temperature": 0.5,
        "top_k": 4,
        "max_tokens": 9,
        "stop_sequences": ["END"],
    }.items() <= request.json.items()
    assert [asked["name"] for asked in request.json["tools"]] == ["add", "web_search"]
    assert request.json["tools"][1] == search and "extra_body" not in request.json


async def test_extra_wins_over_what_cogent_would_send(server: Loopback) -> None:
    """A limit, a system prompt or a temperature in `extra` replaces ours."""
    server.reply(Reply(messages.text("Hi")))
    system = [
        {"type": "text", "text": "Cached.", "cache_control": {"type": "ephemeral"}}
    ]
    extra = {"max_tokens": 77, "system": system, "extra_body": {"temperature": 1}}
    await answer(model(server, temperature=0.5, extra=extra), instructions="Be brief.")
    sent = server.requests[0].json
    assert (sent["max_tokens"], sent["system"], sent["temperature"]) == (77, system, 1)


async def test_a_large_limit_needs_no_stream(server: Loopback) -> None:
    """A plain request with a limit for which the SDK by itself insists on streaming is made all the same."""
    server.reply(Reply(messages.plain_text("Hi"), content_type=JSON))
    response = await answer(model(server, max_tokens=64_000), stream=False)
    assert response.content == "Hi" and server.requests[0].json["max_tokens"] == 64_000


async def test_system_messages_join_the_instructions(server: Loopback) -> None:
    """System messages of the history follow the instructions, and are no turns of the conversation."""
    server.reply(Reply(messages.text("Hi")))
    history = [
        Message("system", "Speak French."),
        Message("user", "Salut"),
        Message("system", "Be kind."),
    ]
    await answer(model(server), instructions="Be brief.", history=history)
    sent = server.requests[0].json
    assert sent["system"] == "Be brief.\n\nSpeak French.\n\nBe kind."
    assert sent["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Salut"},
                {"type": "text", "text": "Go"},
            ],
        }
    ]


# Credentials and addresses


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
async def test_the_sdks_environment_variables_hold(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without settings, key and address come from the environment."""
    monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    server.reply(Reply(messages.text("Hi")))
    assert (await answer(Model("claude-test"))).content == "Hi"
    assert server.requests[0].headers["authorization"] == "Bearer from-the-environment"
    assert server.requests[0].json["model"] == "claude-test"


async def test_headers_of_the_environment_may_hold_the_key(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the SDK takes from its custom headers is a key."""
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Api-Key: from-a-header")
    server.reply(Reply(messages.text("Hi")))
    assert (await answer(model(server, api_key=None))).content == "Hi"
    assert server.requests[0].headers["x-api-key"] == "from-a-header"


async def test_a_missing_key_is_told_before_a_request(server: Loopback) -> None:
    """Without any credentials the error names the variable to set, and nothing is sent."""
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"):
        await answer(model(server, api_key=None))
    assert server.requests == []


async def test_a_profile_of_the_sdk_holds(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a key, the profile that the SDK finds on disk gives the token."""
    for folder, content in [
        ("configs", {"authentication": {"type": "user_oauth"}}),
        ("credentials", {"access_token": "from-a-profile"}),
    ]:
        (tmp_path / folder).mkdir(mode=0o700)
        (tmp_path / folder / "mine.json").write_text(json.dumps(content))
        (tmp_path / folder / "mine.json").chmod(0o600)
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("ANTHROPIC_PROFILE", "mine")
    server.reply(Reply(messages.text("Hi")))
    assert (await answer(model(server, api_key=None))).content == "Hi"
    assert server.requests[0].headers["authorization"] == "Bearer from-a-profile"


async def test_a_broken_profile_is_a_configuration_error(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that the SDK cannot read are told as such, not as a failure of the provider."""
    monkeypatch.setenv("ANTHROPIC_PROFILE", "nowhere")
    with pytest.raises(
        ConfigurationError, match=r"ANTHROPIC_API_KEY.*nowhere"
    ) as raised:
        await answer(model(server, api_key=None))
    assert isinstance(raised.value.__cause__, anthropic.AnthropicError)


@pytest.mark.parametrize("sync", [True, False])
async def test_a_function_gives_the_key_for_each_request(
    server: Loopback, sync: bool
) -> None:
    """api_key may be a function, sync or async, that is asked before every request."""
    keys = iter(["one", "two"])

    async def later() -> str:
        return next(keys)

    server.reply(Reply(messages.tool_calls(CALL)), Reply(messages.text("3")))
    await answer(
        model(server, api_key=(lambda: next(keys)) if sync else later), tools=[add]
    )
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer one",
        "Bearer two",
    ]
    assert all(
        "anthropic-beta" not in request.headers for request in server.requests
    )  # a key is no OAuth token


async def test_a_client_of_ones_own_is_used_and_left_open(server: Loopback) -> None:
    """A client that the user brought makes the requests, with its own key, and stays open when the agent is closed."""
    server.reply(Reply(messages.text("Hi")))
    async with anthropic.AsyncAnthropic(api_key="own", base_url=server.url) as client:
        await answer(Model("anthropic:m", client=client, api_key=lambda: "another"))
        assert not client.is_closed()
    assert server.requests[0].headers["authorization"] == "Bearer own"


# What goes back

CITATION = {
    "type": "web_search_result_location",
    "url": "https://example.org",
    "cited_text": "It rains.",
}
RESULT = {
    "type": "web_search_tool_result",
    "tool_use_id": "srv_1",
    "content": [{"url": "u", "encrypted_content": "e"}],
}
RICH = [
    {"type": "compaction", "content": "So far."},
    {"type": "thinking", "thinking": "I shall look.", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "b3BhcXVl"},
    {
        "type": "server_tool_use",
        "id": "srv_1",
        "name": "web_search",
        "input": {"query": "rain"},
    },
    RESULT,
    {"type": "text", "text": "It rains.", "citations": [CITATION, CITATION]},
    {"type": "a_block_of_next_year", "some": {"thing": [1]}},
    {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1, "b": 2}},
]
RICH_EVENTS = [
    START,
    *block(
        0,
        {"type": "compaction", "content": None},
        {"type": "compaction_delta", "content": "So far."},
    ),
    *block(
        1,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "I shall "},
        {"type": "thinking_delta", "thinking": "look."},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    *block(2, RICH[2]),
    *block(
        3,
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query": '},
        {"type": "input_json_delta", "partial_json": '"rain"}'},
    ),
    *block(4, RESULT),
    *block(
        5,
        {"type": "text", "text": ""},
        {"type": "citations_delta", "citation": CITATION},
        {"type": "text_delta", "text": "It "},
        {"type": "citations_delta", "citation": CITATION},
        {"type": "text_delta", "text": "rains."},
    ),
    *block(6, RICH[6]),
    *block(
        7,
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"a": 1, '},
        {"type": "input_json_delta", "partial_json": '"b": 2}'},
    ),
    *end("tool_use"),
]
RICH_BODY: Json = {
    "type": "message",
    "model": "m",
    "content": RICH,
    "stop_reason": "tool_use",
    "usage": {},
}
USER = {"role": "user", "content": [{"type": "text", "text": "Go"}]}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_every_block_goes_back_unchanged(server: Loopback, stream: bool) -> None:
    """The next step, and the next run, send each block exactly as it came, in order, and then the result."""
    first = (
        Reply(frames(*RICH_EVENTS))
        if stream
        else Reply(encode(RICH_BODY), content_type=JSON)
    )
    second = (
        Reply(messages.text("3"))
        if stream
        else Reply(messages.plain_text("3"), content_type=JSON)
    )
    server.reply(first, second, second)
    response = await answer(model(server), tools=[add], stream=stream)
    assert response.content == "It rains.3" and [
        call.name for call in response.tool_calls
    ] == ["web_search", "add"]
    step_two = server.requests[1].json["messages"]
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}
    assert step_two == [
        USER,
        {"role": "assistant", "content": RICH},
        {"role": "user", "content": [result]},
    ]
    stored = json.loads(
        json.dumps([message.to_dict() for message in response.messages])
    )
    await answer(model(server), "Sure?", tools=[add], stream=stream, history=stored)
    assert server.requests[2].json["messages"][:3] == step_two


async def test_the_results_of_a_turn_are_one_message(server: Loopback) -> None:
    """Results come in call order, in one user message, and those of failed calls say so."""
    calls = [CALL, ("toolu_2", "add", '{"a": "x", "b": 2}'), ("toolu_3", "nothing", "")]
    server.reply(Reply(messages.tool_calls(*calls)), Reply(messages.text("3")))
    await answer(model(server), tools=[add])
    _, assistant, results = server.requests[1].json["messages"]
    assert [called["id"] for called in assistant["content"]] == [
        "toolu_1",
        "toolu_2",
        "toolu_3",
    ]
    assert results["role"] == "user"
    assert [result["tool_use_id"] for result in results["content"]] == [
        "toolu_1",
        "toolu_2",
        "toolu_3",
    ]
    assert [result.get("is_error", False) for result in results["content"]] == [
        False,
        True,
        True,
    ]


def test_results_come_before_what_the_user_said_meanwhile() -> None:
    """A history with the user's words between a call and its result is put into the order that the API wants."""
    call = Message("assistant", tool_calls=[ToolCall("c", "add", {})])
    *_, last = encoded(
        Message("user", "Go"),
        call,
        Message("user", "Well?"),
        Message("tool", "3", tool_call_id="c"),
    )
    assert [sent["type"] for sent in last["content"]] == ["tool_result", "text"]


THOUGHT: Json = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
SAID: Json = {"type": "text", "text": "Yes."}


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ([THOUGHT, {"type": "text", "text": ""}, SAID], [THOUGHT, SAID]),
        ([THOUGHT, {"type": "text", "text": " \n"}, SAID], [THOUGHT, SAID]),
        ([SAID, THOUGHT], [SAID]),
        ([SAID, THOUGHT, {"type": "text", "text": ""}], [SAID]),
        ([SAID, {"type": "redacted_thinking", "data": "d"}], [SAID]),
    ],
)
def test_blocks_that_the_api_refuses_are_left_out(
    items: list[Json], kept: list[Json]
) -> None:
    """Text without a visible character and thinking at the end came from the API, which takes neither back."""
    sent = encoded(
        Message("user", "Go"),
        Message("assistant", "Yes.", provider="anthropic", items=items),
    )
    assert sent[1] == {"role": "assistant", "content": kept}


@pytest.mark.parametrize("items", [[], [{"type": "text", "text": ""}], [THOUGHT]])
def test_an_answer_that_said_nothing_is_no_message(items: list[Json]) -> None:
    """An assistant message of which nothing can be sent is left out, and the user's words around it join."""
    empty = Message("assistant", "", provider="anthropic", items=items)
    sent = encoded(Message("user", "One"), empty, Message("user", "Two"))
    assert sent == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "One"},
                {"type": "text", "text": "Two"},
            ],
        }
    ]


async def test_a_paused_turn_is_asked_on(server: Loopback) -> None:
    """After pause_turn the request is made again with what came so far as its last message, which the rest joins."""
    server_call = {
        "type": "server_tool_use",
        "id": "srv_1",
        "name": "web_search",
        "input": {"query": "rain"},
    }
    paused = [START, *block(0, SAID), *block(1, server_call), *end("pause_turn")]
    resumed = [
        START,
        *block(0, RESULT),
        *block(1, {"type": "text", "text": " It rains."}),
        *end(),
    ]
    server.reply(
        Reply(frames(*paused)), Reply(frames(*resumed)), Reply(messages.text("Bye"))
    )
    response = await answer(model(server))
    assert (response.content, response.finish_reason, response.metadata["steps"]) == (
        "Yes. It rains.",
        "stop",
        2,
    )
    assert server.requests[1].json["messages"] == [
        USER,
        {"role": "assistant", "content": [SAID, server_call]},
    ]
    await answer(model(server), "And?", history=response.messages)
    whole = [SAID, server_call, RESULT, {"type": "text", "text": " It rains."}]
    assert server.requests[2].json["messages"][1] == {
        "role": "assistant",
        "content": whole,
    }


# Conversations that move


async def test_a_conversation_moves_in_with_names_that_the_api_takes(
    server: Loopback,
) -> None:
    """Ids and names that the API would refuse are rewritten, the same on call and result, and stay different."""
    calls = [
        ("functions.add:0", "add", '{"a": 1, "b": 2}'),
        ("functions.add.0", "no.such", "[1]"),
    ]
    server.reply(
        Reply(chat_completions.tool_calls(*calls)), Reply(chat_completions.text("3"))
    )
    source = Model(
        "openai-chat:m", base_url=f"{server.url}/v1", api_key="key", max_retries=0
    )
    moved = (await answer(source, tools=[add])).messages
    server.reply(Reply(messages.text("Still 3")))
    await answer(model(server), "Sure?", tools=[add], history=moved)
    _, assistant, results, said, _ = server.requests[2].json["messages"]
    ids = [called["id"] for called in assistant["content"]]
    assert (
        ids
        == [result["tool_use_id"] for result in results["content"]]
        == ["functions_2eadd_3a0", "functions_2eadd_2e0"]
    )
    assert [called["name"] for called in assistant["content"]] == ["add", "no_2esuch"]
    assert [called["input"] for called in assistant["content"]] == [
        {"a": 1, "b": 2},
        {"INVALID_JSON": "[1]"},
    ]
    assert said == {"role": "assistant", "content": [{"type": "text", "text": "3"}]}


def test_blocks_of_another_provider_stay_there() -> None:
    """Of a message that another provider made only text and calls are sent, whatever its items hold."""
    foreign = Message(
        "assistant",
        "Yes.",
        provider="openai",
        items=[{"type": "reasoning", "encrypted_content": "e"}],
    )
    assert encoded(Message("user", "Go"), foreign)[1] == {
        "role": "assistant",
        "content": [SAID],
    }


async def test_an_id_that_came_from_the_api_is_kept(server: Loopback) -> None:
    """A compatible server that gives unusual ids gets them back, on the result too."""
    server.reply(
        Reply(messages.tool_calls(("functions.add:0", *CALL[1:]))),
        Reply(messages.text("3")),
    )
    await answer(model(server), tools=[add])
    _, assistant, results = server.requests[1].json["messages"]
    assert (
        assistant["content"][0]["id"]
        == results["content"][0]["tool_use_id"]
        == "functions.add:0"
    )


async def test_a_conversation_moves_out_without_signatures(server: Loopback) -> None:
    """Another provider gets text, calls and results, and nothing of the blocks."""
    first = messages.tool_calls(
        CALL, text="Adding.", reasoning="Hm.", encrypted="signed"
    )
    server.reply(
        Reply(first), Reply(messages.text("3")), Reply(chat_completions.text("Still 3"))
    )
    moved = (await answer(model(server), tools=[add])).messages
    target = Model(
        "openai-chat:m", base_url=f"{server.url}/v1", api_key="key", max_retries=0
    )
    await answer(target, "Sure?", tools=[add], history=moved)
    _, call, result, said, _ = server.requests[2].json["messages"]
    assert (call["content"], call["tool_calls"][0]["id"]) == ("Adding.", "toolu_1")
    assert (result["tool_call_id"], result["content"], said["content"]) == (
        "toolu_1",
        "3",
        "3",
    )
    assert "signed" not in server.requests[2].body.decode()


# Reading the events


def call(
    index: int, id: str | None = None, name: str = "", arguments: str = ""
) -> StreamChunk:
    """A chunk with a piece of a tool call."""
    return StreamChunk(tool_call=ToolCallDelta(index, id, name, arguments))


def item(index: int, **value: Any) -> Item:
    """What is told of a block that is complete."""
    return Item(value, index)


def piece(text: str) -> Json:
    return {"type": "input_json_delta", "partial_json": text}


USE: Json = {"type": "tool_use", "id": "t", "name": "f"}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"type": "ping"}], []),
        ([{"type": "an_event_of_next_year", "index": 0}], []),
        ([{}], []),
        (
            block(0, {"type": "text", "text": "Hi"}),
            [StreamChunk("Hi"), item(0, type="text", text="Hi")],
        ),
        (
            block(
                0, {"type": "text", "text": "H"}, {"type": "text_delta", "text": "i"}
            ),
            [StreamChunk("H"), StreamChunk("i"), item(0, type="text", text="Hi")],
        ),
        (block(0, THOUGHT), [StreamChunk(reasoning="Hm."), item(0, **THOUGHT)]),
        (
            block(
                0,
                {"type": "thinking", "thinking": ""},
                {"type": "signature_delta", "signature": "s"},
            ),
            [item(0, type="thinking", thinking="", signature="s")],
        ),
        (
            block(2, {**USE, "input": {}}, piece(""), piece('{"a"'), piece(": 1}")),
            [
                call(2, "t", "f"),
                call(2, arguments='{"a"'),
                call(2, arguments=": 1}"),
                item(2, **USE, input={"a": 1}),
            ],
        ),
        (
            block(2, {**USE, "input": {"a": 1}}),
            [
                call(2, "t", "f"),
                call(2, arguments='{"a": 1}'),
                item(2, **USE, input={"a": 1}),
            ],
        ),
        (
            block(2, {**USE, "input": {}}),
            [call(2, "t", "f"), call(2, arguments="{}"), item(2, **USE, input={})],
        ),
        (
            block(2, USE, piece("")),
            [call(2, "t", "f"), call(2, arguments="{}"), item(2, **USE, input={})],
        ),
        (
            block(2, {**USE, "input": {}}, piece('{"a": ')),
            [
                call(2, "t", "f"),
                call(2, arguments='{"a": '),
                item(2, **USE, input={"INVALID_JSON": '{"a": '}),
            ],
        ),
        (
            block(
                1, {**USE, "type": "server_tool_use", "input": {}}, piece('{"q": 1}')
            ),
            [
                StreamChunk(
                    tool_call=ToolCallDelta(1, "t", "f", provider_executed=True)
                ),
                StreamChunk(
                    tool_call=ToolCallDelta(
                        1, arguments='{"q": 1}', provider_executed=True
                    )
                ),
                item(1, type="server_tool_use", id="t", name="f", input={"q": 1}),
            ],
        ),
        ([STOP], [FinishWord("message_stop")]),
        (
            [*end(), *end(None)],
            [
                FinishWord("end_turn"),
                TokenCounts({"output_tokens": 3}),
                FinishWord("end_turn"),
                FinishWord("end_turn"),
                TokenCounts({"output_tokens": 3}),
                FinishWord("end_turn"),
            ],
        ),
        (
            [*block(0, SAID)[:1], STOP],
            [StreamChunk("Yes."), item(0, **SAID), FinishWord("message_stop")],
        ),
    ],
)
def test_events_and_what_they_stand_for(
    events: list[Json], expected: list[Output]
) -> None:
    """Blocks may come whole or in pieces; a server runs its own tools; unknown events are passed over."""
    assert parts(*events) == expected


def test_a_delta_belongs_to_the_block_that_is_open() -> None:
    """A text goes on in its own block, also after deltas of others with or without its index."""
    deltas = [
        (0, {"type": "text_delta", "text": "a"}),
        (0, {"type": "text_delta", "text": "b"}),
        (1, {"type": "text_delta", "text": "x"}),
        (0, {"type": "text_delta", "text": "c"}),
        (0, {"type": "thinking_delta", "thinking": "hm"}),
        (0, {"type": "text_delta", "text": "d"}),
        (0, {"type": "text_delta", "text": "e"}),
    ]
    events: list[Json] = [
        {"type": "content_block_delta", "index": index, "delta": delta}
        for index, delta in deltas
    ]
    outputs = parts(*events, STOP)
    items = [output.item for output in outputs if isinstance(output, Item)]
    assert items == [
        {"type": "text", "text": "abc"},
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "x"},
        {"type": "text", "text": "de"},
    ]


def test_the_recorded_events_are_left_as_they_were() -> None:
    """Decoding changes no event, so that the same recording gives the same answer again."""
    before = json.dumps(RICH_EVENTS)
    assert (
        parts(*RICH_EVENTS) == parts(*RICH_EVENTS) and json.dumps(RICH_EVENTS) == before
    )


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
async def test_stop_reasons(server: Loopback, word: str, finish: str) -> None:
    """Each stop reason has its finish reason, and the provider's own word stays visible."""
    server.reply(Reply(frames(START, *block(0, SAID), *end(word))))
    response = await answer(model(server))
    assert (response.finish_reason, response.metadata["raw_finish_reason"]) == (
        finish,
        word,
    )
    assert response.content == "Yes." and response.metadata["model"] == "m-1"


async def test_a_refusal_without_a_word_is_no_error(server: Loopback) -> None:
    """A prompt that is refused before any text ends with an empty answer."""
    server.reply(Reply(frames(START, *end("refusal"))))
    response = await answer(model(server))
    assert (response.content, response.finish_reason) == ("", "content_filter")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, {}),
        ({"input_tokens": 5, "output_tokens": None}, {"input_tokens_uncached": 5}),
        (
            {
                "cache_read_input_tokens": 2,
                "cache_creation_input_tokens": 3,
                "output_tokens_details": None,
            },
            {"cache_read_tokens": 2, "cache_write_tokens": 3},
        ),
        (
            {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
            {"output_tokens": 9, "reasoning_tokens": 4},
        ),
    ],
)
def test_usage_has_the_counts_that_were_given(
    usage: Json, expected: dict[str, int]
) -> None:
    """Null and missing counts are left out, so that they replace none that came before."""
    assert decode_usage(usage) == expected


async def test_later_counts_replace_earlier_ones(server: Loopback) -> None:
    """The counts at the end are totals, not more to be added, and the input includes what the cache read and wrote."""
    first = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 1,
    }
    opened = {"type": "message_start", "message": {"model": "m", "usage": first}}
    server.reply(
        Reply(
            frames(
                opened,
                *block(0, SAID),
                *end(input_tokens=7, cache_creation_input_tokens=None),
            )
        )
    )
    tokens = (await answer(model(server))).metadata["tokens"]
    assert (
        tokens["input_tokens"],
        tokens["output_tokens"],
        tokens["total_tokens"],
    ) == (127, 3, 130)
    assert (tokens["cache_read_tokens"], tokens["cache_write_tokens"]) == (
        100,
        20,
    ) and "estimated" not in tokens


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_the_request_id_is_told(server: Loopback, stream: bool) -> None:
    """The id that the API gives each request is in the metadata."""
    body = messages.text("Hi") if stream else messages.plain_text("Hi")
    kind = "text/event-stream" if stream else JSON
    server.reply(Reply(body, content_type=kind, headers={"request-id": "req_1"}))
    assert (await answer(model(server), stream=stream)).metadata["request_ids"] == [
        "req_1"
    ]


# The end of a stream


def after(*events: Json, more: bytes = b"", **how: Any) -> Reply:
    """An answer of one text and what follows it."""
    return Reply([*frames(START, *block(0, SAID), *events), more], **how)


ENDS: dict[str, Reply] = {
    "a [DONE] line": after(*end(), more=b"event: data\ndata: [DONE]\n\n"),
    "an error": after(
        *end(),
        more=b'event: error\ndata: {"type":"error","error":{"type":"api_error"}}\n\n',
    ),
    "more text": after(*end(), *block(1, SAID)),
    "a reset": after(*end(), more=b": x\n\n", end="reset"),
    "an open connection": after(*end(), end="stall"),
    "no message_stop": after(*end()[:1]),
    "no reason": after(*end(None)),
}


@pytest.mark.parametrize("reply", ENDS.values(), ids=ENDS)
async def test_nothing_after_the_end_matters(server: Loopback, reply: Reply) -> None:
    """An answer is whole at message_stop, or with a stop reason at a clean end, whatever follows."""
    server.reply(reply)
    response = await answer(model(server), timeout=60)
    assert (response.content, response.finish_reason) == ("Yes.", "stop")


async def test_the_connection_is_kept_for_the_next_request(server: Loopback) -> None:
    """What a proxy adds after the end is read, so that the next request needs no new connection."""
    more = b'event: vertex_event\ndata: {"type": "vertex_event"}\n\n'
    server.reply(after(*end(), more=more), after(*end(), more=more))
    async with Agent("a", model(server), stream=True) as agent:
        for _ in range(2):
            await agent.run("Go")
    assert [request.connection for request in server.requests] == [1, 1]


async def test_an_end_without_a_reason_is_none(server: Loopback) -> None:
    """A message_delta that gives no reason does not end an answer."""
    server.reply(after(*end(None)[:1]))
    error = await failure(model(server))
    assert type(error) is StreamInterrupted
    assert error.partial is not None and error.partial.content == "Yes."


async def test_a_call_of_a_turn_that_was_cut_does_not_run(server: Loopback) -> None:
    """With max_tokens in the middle of a call's input nothing is run, and no half call goes back."""
    ran: list[int] = []

    @tool
    def note(a: int) -> None:
        ran.append(a)

    use = {"type": "tool_use", "id": "t", "name": "note", "input": {}}
    server.reply(
        Reply(
            frames(
                START,
                *block(0, SAID),
                *block(1, use, piece('{"a": 1}')),
                *end("max_tokens"),
            )
        )
    )
    response = await answer(model(server), tools=[note])
    assert ran == [] and response.finish_reason == "length"
    assert encoded(*response.messages)[1:] == [{"role": "assistant", "content": [SAID]}]


async def test_a_page_instead_of_a_stream_is_not_read_on(server: Loopback) -> None:
    """Where a page comes instead of a stream the connection is closed at once, however long the page is."""
    server.reply(Reply(["<html>"], content_type="text/html", forever=True))
    async with Agent("a", model(server)) as agent:
        with pytest.raises(ServerError, match="text/html"):
            async for _ in agent.run_stream("Go"):
                pass
        left = await asyncio.to_thread(server.requests[0].wait_disconnected, 10)

    assert left


# Errors


@pytest.mark.parametrize("begun", [(), ("Once",)], ids=["first", "after text"])
@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("overloaded_error", "Overloaded", Overloaded),
        ("rate_limit_error", "Slow down.", RateLimited),
        ("api_error", "Internal server error", ServerError),
        ("authentication_error", "No.", AuthenticationError),
        (
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
            ContextTooLong,
        ),
        ("a_type_of_next_year", "Hm.", ServerError),
    ],
)
async def test_an_error_in_the_stream_is_raised_by_its_type(
    server: Loopback,
    kind: str,
    message: str,
    expected: type[ModelError],
    begun: Iterable[str],
) -> None:
    """An error event inside a 200 raises what its type says, with the text so far."""
    body = messages.error_event(message, None, kind, after=tuple(begun))
    server.reply(Reply(body, headers={"request-id": "req_1"}))
    error = await failure(model(server))
    assert type(error) is expected and error.partial is not None
    assert (error.status, error.code, error.request_id) == (200, kind, "req_1")
    assert message in str(error) and error.partial.content == "".join(begun)


@pytest.mark.parametrize(
    "line", [b"event: error\ndata: the proxy gave up\n\n", b"event: error\ndata: \n\n"]
)
async def test_an_error_event_that_is_no_json(server: Loopback, line: bytes) -> None:
    """What a proxy puts in place of the error object is still an error of ours."""
    server.reply(Reply([*frames(START), line]))
    assert type(await failure(model(server))) is ServerError


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (
            {
                "type": "error",
                "error": {"type": "overloaded_error", "message": "Busy."},
            },
            Overloaded,
            "overloaded_error",
        ),
        ({"type": "error", "message": "Busy."}, ServerError, None),
    ],
)
async def test_an_error_under_another_event_name(
    server: Loopback, data: Json, kind: type[ModelError], code: str | None
) -> None:
    """An error object is an error whatever its event is called, and even if it is flat."""
    server.reply(Reply([*frames(START), event(data, name="data")]))
    error = await failure(model(server))
    assert (type(error), error.code) == (kind, code) and "Busy." in str(error)


async def test_an_error_in_a_plain_answer(server: Loopback) -> None:
    """An error object in a plain 200 is raised."""
    server.reply(
        Reply(messages.error_body("Busy.", None, "overloaded_error"), content_type=JSON)
    )
    assert type(await failure(model(server), stream=False)) is Overloaded


def test_a_whole_answer_gives_the_parts_of_a_stream() -> None:
    """A plain answer and a stream of the same content stand for the same text, reasoning, calls and items."""
    spoken: Json = {"reasoning": "Hm.", "text": "Yes.", "pieces": 1}
    streamed = [
        json.loads(sent.split(b"data: ")[1])
        for sent in messages.tool_calls(CALL, **spoken)
    ]
    whole = list(decode_response(json.loads(messages.plain_tool_calls(CALL, **spoken))))
    assert _told(parts(*streamed)) == _told(whole)


def _told(outputs: Iterable[Output]) -> list[Any]:
    chunks = [output for output in outputs if isinstance(output, StreamChunk)]
    items = [output for output in outputs if isinstance(output, Item)]
    words = {output.word for output in outputs if isinstance(output, FinishWord)}
    usage: dict[str, int] = {}
    for output in outputs:
        if isinstance(output, TokenCounts):
            usage |= output.counts
    return [chunks, items, usage, words]


def test_the_sdks_tracing_sees_every_event(server: Loopback) -> None:
    """What the SDK's tracing puts on the body of an answer is called for each of its events."""
    seen: list[str] = []

    class Observer:
        def begin(self) -> None:
            seen.append("begin")

        def item(self, item: Any) -> None:
            seen.append(item["type"])

        def end(self, how: str, error: Exception | None = None) -> None:
            seen.append(how)

    async def trace(response: httpx2.Response) -> None:
        response.stream.stream_observer = Observer()

    async def run() -> Response:
        http = httpx2.AsyncClient(event_hooks={"response": [trace]})
        async with anthropic.AsyncAnthropic(
            api_key="key", base_url=server.url, http_client=http
        ) as client:
            return await answer(Model("anthropic:m", client=client))

    server.reply(Reply(messages.text("Hi")))
    assert asyncio.run(run()).content == "Hi"
    assert seen[0] == "begin" and "content_block_delta" in seen
