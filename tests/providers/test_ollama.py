"""What is particular to Ollama: its request, its lines, its errors, its addresses."""

import asyncio
import json
import socket
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import pytest
from conftest import Wire
from ollama import ChatResponse, Options
from pydantic import BaseModel, Field
from support.loopback import Loopback, Reply
from support.scene import answer
from support.wire import chat_completions, ollama_chat

from cogent import (
    Agent,
    AuthenticationError,
    BadRequest,
    ConfigurationError,
    ConnectionFailed,
    Message,
    Model,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    Response,
    ServerError,
    StreamInterrupted,
    ToolCall,
    tool,
)
from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.providers.formats.ollama_schema import encode_schema
from cogent.providers.ollama import decode_response, read_error
from cogent.run.outputs import FinishWord, ModelName, Output, TokenCounts
from cogent.transport.errors import ErrorRules, translate

OLLAMA = Wire("ollama", ollama_chat, "")
CHAT = Wire("openai-chat", chat_completions)
JSON = "application/json"
both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own Ollama settings stay out of the tests."""
    for name in ("OLLAMA_HOST", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


async def run(
    server: Loopback, *replies: Reply, streaming: bool = True, **settings: Any
) -> Response:
    """The response of a run against these replies."""
    server.reply(*replies)
    return await answer(OLLAMA.agent(server, stream=streaming, **settings))


async def fail(
    server: Loopback, reply: Reply, streaming: bool = True, **settings: Any
) -> ModelError:
    """The error of a run against this reply."""
    with pytest.raises(ModelError) as raised:
        await run(server, reply, streaming=streaming, **settings)
    return raised.value


def refusal(status: int, error: Any, **headers: str) -> Reply:
    return Reply(
        json.dumps({"error": error}),
        status,
        JSON,
        {name.replace("_", "-"): headers[name] for name in headers},
    )


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# The request


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    """Where to look."""

    city: str
    zip: str | None = None


@tool
def forecast(
    place: Place,
    unit: Unit,
    days: Annotated[int, Field(ge=1, le=14)] = 3,
    hour: int | None = None,
    detail: Literal["low", "high"] = "low",
    tags: list[str] = [],  # noqa: B006  # the default belongs to the schema
    stops: list[Place] | None = None,
) -> str:
    """Forecast the weather.

    Args:
        place: The place.
        days: How many days.
        hour: The hour of the day.
        tags: Words to note.
    """
    return "sunny"


def told(parameter: dict[str, Any]) -> tuple[str, Any]:
    """The description of a parameter, and the JSON schema told in it."""
    words, _, schema = parameter["description"].partition("JSON schema: ")
    return words, json.loads(schema)


async def test_a_rich_tool_reaches_the_server_whole(server: Loopback) -> None:
    """Types, enums and flat items stay where Ollama reads them, and all else is told in the description."""
    await run(server, Reply(ollama_chat.text("ok")), tools=[forecast])
    (sent,) = server.requests[0].json["tools"]
    parameters = sent["function"].pop("parameters")
    assert sent == {
        "type": "function",
        "function": {"name": "forecast", "description": "Forecast the weather."},
    }
    assert parameters.keys() == {"type", "properties", "required"}
    assert (parameters["type"], parameters["required"]) == ("object", ["place", "unit"])
    place, unit, days, hour, detail, tags, stops = parameters["properties"].values()
    city = {
        "properties": {
            "city": {"type": "string"},
            "zip": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["city"],
        "title": "Place",
    }
    assert place["type"] == "object" and told(place) == ("The place. ", city)
    assert unit == {
        "type": "string",
        "enum": ["celsius", "kelvin"],
        **told_title(unit, "Unit"),
    }
    assert days["type"] == "integer" and told(days) == (
        "How many days. ",
        {"default": 3, "maximum": 14, "minimum": 1},
    )
    assert hour == {"type": ["integer", "null"], "description": "The hour of the day."}
    assert (detail["type"], detail["enum"], told(detail)) == (
        "string",
        ["low", "high"],
        ("", {"default": "low"}),
    )
    assert (tags["type"], tags["items"]) == ("array", {"type": "string"})
    assert told(tags) == ("Words to note. ", {"default": []})
    items = {"description": "Where to look.", "type": "object", **city}
    assert (
        stops["type"] == ["array", "null"]
        and "items" not in stops
        and told(stops) == ("", {"items": items})
    )


def told_title(parameter: dict[str, Any], title: str) -> dict[str, Any]:
    """The description that has nothing to tell but a title."""
    assert told(parameter) == ("", {"title": title})
    return {"description": parameter["description"]}


@pytest.mark.parametrize(
    ("parameter", "flat"),
    [
        ({}, {}),
        (
            {"type": "string", "description": "A word."},
            {"type": "string", "description": "A word."},
        ),
        ({"const": "a", "type": "string"}, {"type": "string", "enum": ["a"]}),
        (
            {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            {"type": ["integer", "null"]},
        ),
        (
            {"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]},
            {"type": ["string", "null"], "enum": ["a"]},
        ),
        (
            {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "description": "Either.",
            },
            {
                "type": ["integer", "string"],
                "description": 'Either. JSON schema: {"anyOf": [{"type": "integer"}, {"type": "string"}]}',
            },
        ),
        (
            {"type": "number", "minimum": 0},
            {"type": "number", "description": 'JSON schema: {"minimum": 0}'},
        ),
        (
            {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            {
                "type": "array",
                "description": 'JSON schema: {"items": {"type": "array", "items": {"type": "integer"}}}',
            },
        ),
    ],
)
def test_a_parameter_is_made_flat(
    parameter: dict[str, Any], flat: dict[str, Any]
) -> None:
    """What Ollama's own schema type has no field for is told in words, and nothing is told twice."""
    given = {
        "type": "object",
        "properties": {"x": parameter},
        "additionalProperties": False,
    }
    assert encode_schema(given) == {
        "type": "object",
        "properties": {"x": flat},
        "required": [],
    }


class Node(BaseModel):
    name: str
    children: list["Node"] = []
    parent: Optional["Node"] = None


async def test_a_schema_that_holds_itself_ends(server: Loopback) -> None:
    """A recursive model is put in place once, and inside it the reference stays as the model's name."""

    @tool
    def walk(root: Node) -> str:
        """Walk a tree."""
        return root.name

    await run(server, Reply(ollama_chat.text("ok")), tools=[walk])
    root = server.requests[0].json["tools"][0]["function"]["parameters"]["properties"][
        "root"
    ]
    _, schema = told(root)
    assert (root["type"], schema["title"]) == ("object", "Node")
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert walk.parameters["$defs"], "the tool's own schema is left alone"


async def test_settings_become_options(server: Loopback) -> None:
    """max_tokens and temperature join the user's options, which win, and the rest of `extra` goes as it is."""
    extra = {
        "think": True,
        "keep_alive": "5m",
        "options": {"num_ctx": 8192, "temperature": 0.1},
    }
    await run(
        server,
        Reply(ollama_chat.text("ok")),
        model={"max_tokens": 9, "temperature": 0.5, "extra": extra},
    )
    await run(
        server,
        Reply(ollama_chat.text("ok")),
        model={"max_tokens": 9, "extra": {"options": Options(num_ctx=8192)}},
    )
    await run(
        server, Reply(ollama_chat.text("ok")), streaming=True, instructions="Be brief."
    )
    full, typed, bare = (request.json for request in server.requests)
    assert (full["think"], full["keep_alive"]) == (True, "5m")
    assert full["options"] == {"num_predict": 9, "num_ctx": 8192, "temperature": 0.1}
    assert typed["options"] == {"num_predict": 9, "num_ctx": 8192}
    assert bare == {
        "model": "gpt-test",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Go"},
        ],
        "stream": True,
        "tools": [],  # the SDK's own
    }


async def test_a_value_that_json_cannot_hold(server: Loopback) -> None:
    """What the SDK cannot send or does not accept is the caller's mistake and is not tried again."""
    for extra in (
        {"options": {"seed": object()}},
        {"think": object()},
        {"tools": [{"type": 3}]},
    ):
        error = await fail(
            server, Reply(), model={"extra": extra, "max_retries": 2}, tools=[add]
        )
        assert (type(error), error.retryable) == (BadRequest, False)
    assert server.requests == []


# The conversation


async def test_the_next_step_repeats_the_turn(server: Loopback) -> None:
    """Thinking, text and calls go back as they came but without ids, and the results follow by name, in call order."""
    calls = [
        ("call_a", "add", '{"a": 1, "b": 2}'),
        ("call_b", "add", '{"a": 3, "b": 4}'),
    ]
    first = ollama_chat.tool_calls(*calls, text="Let me add.", reasoning="Two sums.")
    response = await run(
        server,
        Reply(first),
        Reply(ollama_chat.text("3 and 7")),
        tools=[add],
        model={"extra": {"think": True}},
    )
    expected = [
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "content": "Let me add.",
            "thinking": "Two sums.",
            "tool_calls": [
                {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}},
                {"function": {"name": "add", "arguments": {"a": 3, "b": 4}}},
            ],
        },
        {"role": "tool", "content": "3", "tool_name": "add"},
        {"role": "tool", "content": "7", "tool_name": "add"},
    ]
    assert server.requests[1].json["messages"] == expected
    stored = json.loads(
        json.dumps([message.to_dict() for message in response.messages])
    )
    server.reply(Reply(ollama_chat.text("Yes")))
    await answer(OLLAMA.agent(server, stream=True), "Sure?", history=stored)
    last = [
        {"role": "assistant", "content": "3 and 7"},
        {"role": "user", "content": "Sure?"},
    ]
    assert server.requests[2].json["messages"] == expected + last


async def test_calls_without_ids_get_some(server: Loopback) -> None:
    """Calls of the same function, with the same arguments too, stay apart, and no two in a run share an id."""
    calls = [("", "add", '{"a": 1, "b": 2}')] * 2
    replies = [
        *[Reply(ollama_chat.tool_calls(*calls))] * 2,
        Reply(ollama_chat.text("ok")),
    ]
    response = await run(server, *replies, tools=[add])
    assert len({call.id for call in response.tool_calls}) == 4 and all(
        call.id for call in response.tool_calls
    )
    assert [call.result.content for call in response.tool_calls if call.result] == [
        "3"
    ] * 4


async def test_a_conversation_comes_from_another_provider(server: Loopback) -> None:
    """Calls and results are taken over without ids and reasoning; arguments that are no object become one."""
    calls = [ToolCall("c1", "add", {"a": 1, "b": 2}), ToolCall("c2", "add", "{broken")]
    history = [
        Message("user", "Add"),
        Message(
            "assistant",
            tool_calls=calls,
            reasoning="secret",
            provider="openai-chat",
            items=[{"x": 1}],
        ),
        Message("tool", "3", tool_call_id="c1", name="add"),
        Message("tool", "Not JSON.", tool_call_id="c2", name="add", is_error=True),
    ]
    server.reply(Reply(ollama_chat.text("ok")))
    await answer(OLLAMA.agent(server, stream=True), history=history)
    assistant, *results = server.requests[0].json["messages"][1:-1]
    arguments = [{"a": 1, "b": 2}, {"INVALID_JSON": "{broken"}]
    assert assistant == {
        "role": "assistant",
        "tool_calls": [
            {"function": {"name": "add", "arguments": given}} for given in arguments
        ],
    }
    assert [result["content"] for result in results] == ["3", "Not JSON."]


async def test_a_conversation_goes_to_another_provider(server: Loopback) -> None:
    """The ids that were made up tie each call to its result where a provider wants ids."""
    calls = [("", "add", '{"a": 1, "b": 2}'), ("", "add", '{"a": 3, "b": 4}')]
    history = (
        await run(
            server,
            Reply(ollama_chat.tool_calls(*calls, reasoning="Hm.")),
            Reply(ollama_chat.text("ok")),
            tools=[add],
        )
    ).messages
    server.reply(Reply(chat_completions.text("ok")))
    await answer(CHAT.agent(server, stream=True), history=history)
    assistant, *results = server.requests[2].json["messages"][1:4]
    assert "thinking" not in json.dumps(server.requests[2].json)
    assert [call["id"] for call in assistant["tool_calls"]] == [
        result["tool_call_id"] for result in results
    ]
    assert [result["content"] for result in results] == ["3", "7"]


# The lines


def line(message: dict[str, Any], **more: Any) -> ChatResponse:
    return ChatResponse(
        **{
            "model": "m",
            "message": {"role": "assistant", **message},
            "done": False,
            **more,
        }
    )


CALL = {"function": {"name": "f", "arguments": {"a": [1, None]}}}
ASKED = StreamChunk(tool_call=ToolCallDelta(name="f", arguments='{"a": [1, null]}'))
SAID = ModelName("m")


@pytest.mark.parametrize(
    ("event", "parts"),
    [
        (line({"content": "a"}), [StreamChunk("a")]),
        (line({"content": "", "thinking": "t"}), [StreamChunk(reasoning="t")]),
        (
            line({"content": "a", "thinking": "t"}),
            [StreamChunk(reasoning="t"), StreamChunk("a")],
        ),
        (line({"content": None, "tool_calls": None}), [SAID]),
        (line({"content": ""}), [SAID]),
        (line({"tool_calls": [CALL, {"id": "x", **CALL}]}), [ASKED, ASKED, SAID]),
        (line({"content": "a", "tool_calls": [CALL]}), [StreamChunk("a"), ASKED]),
        (
            line({}, done=True, done_reason="length"),
            [SAID, FinishWord("length")],
        ),
        (
            line({"content": "a"}, done=True),
            [StreamChunk("a"), SAID, FinishWord("stop")],
        ),
        (
            line({}, done=True, done_reason="stop", prompt_eval_count=0, eval_count=7),
            [
                SAID,
                FinishWord("stop"),
                TokenCounts({"input_tokens": 0, "output_tokens": 7}),
            ],
        ),
        (line({}, done_reason="stop"), [SAID]),
    ],
)
def test_a_line_has_its_parts(event: ChatResponse, parts: list[Output]) -> None:
    """Reasoning, text and calls come in this order, and only `done` ends a turn, with or without a reason."""
    assert list(decode_response(event)) == parts


@both_ways
async def test_the_counts_are_the_servers(server: Loopback, streaming: bool) -> None:
    """The counts of each turn are added up; where there are none, they are estimated and marked so."""
    make = (
        ollama_chat.text
        if streaming
        else lambda *deltas, **more: [ollama_chat.plain_text(*deltas, **more)]
    )
    counted = await run(
        server,
        Reply(make("Hello", usage=(18, 64)), content_type=JSON),
        streaming=streaming,
    )
    assert {
        "input_tokens": 18,
        "output_tokens": 64,
        "total_tokens": 82,
    }.items() <= counted.metadata["tokens"].items()
    assert "estimated" not in counted.metadata["tokens"]
    unknown = await run(
        server, Reply(make("Hello", usage=None), content_type=JSON), streaming=streaming
    )
    assert (
        unknown.metadata["tokens"]["estimated"] is True
        and unknown.metadata["tokens"]["output_tokens"] == 2
    )


async def test_a_turn_that_was_cut_runs_nothing(server: Loopback) -> None:
    """Calls of an answer that ended with "length" are shown but not run."""
    response = await run(
        server,
        Reply(ollama_chat.tool_calls(("", "add", '{"a": 1, "b": 2}'), finish="length")),
        tools=[add],
    )
    assert (
        response.finish_reason == "length"
        and response.metadata["raw_finish_reason"] == "length"
    )
    assert [call["executed"] for call in response.metadata["tool_calls"]] == [False]


@pytest.mark.parametrize("split", [None, 1, 2, 3])
@both_ways
async def test_line_separators_of_other_alphabets_are_text(
    server: Loopback, streaming: bool, split: int | None
) -> None:
    """NEL and the separators of lines and paragraphs arrive as they are, in whatever pieces the bytes come."""
    text = "one\x85two\u2028three\u2029four — é 🙂\v\f\x1c\r\n"
    body = ollama_chat.text(text) if streaming else ollama_chat.plain_text(text)
    assert (
        await run(
            server, Reply(body, split=split, content_type=JSON), streaming=streaming
        )
    ).content == text


# Errors


@both_ways
async def test_a_model_that_is_not_there_can_be_pulled(
    server: Loopback, streaming: bool
) -> None:
    """A missing model is ModelNotFound and says how to get it, and a wrong path does not."""
    error = await fail(server, refusal(404, "model 'gpt-test' not found"), streaming)
    assert (type(error), error.status, error.retryable) == (ModelNotFound, 404, False)
    assert "model 'gpt-test' not found" in str(
        error
    ) and "`ollama pull gpt-test`" in str(error)
    assert "pull" not in str(
        await fail(server, Reply("404 page not found", 404, "text/plain"), streaming)
    )


@both_ways
async def test_a_server_that_is_not_there_can_be_started(streaming: bool) -> None:
    """Where nobody listens the error says how to start Ollama and where the address comes from."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = "http://{}:{}".format(*listener.getsockname())
    agent = Agent("a", Model("ollama:m", base_url=url, max_retries=0), stream=streaming)
    with pytest.raises(
        ConnectionFailed, match=r"cannot reach the server.*`ollama serve`.*OLLAMA_HOST"
    ) as raised:
        await answer(agent)
    assert raised.value.retryable and raised.value.__cause__ is not None


@both_ways
@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (400, '"m" does not support tools', BadRequest),
        (401, "unauthorized", AuthenticationError),
        (429, {"message": "too many", "code": "rate_limit_exceeded"}, RateLimited),
        (500, "model runner has unexpectedly stopped", ServerError),
        (503, "server busy, please try again", Overloaded),
        (200, "an error was encountered while running the model", ServerError),
    ],
)
async def test_an_error_has_its_class(
    server: Loopback, streaming: bool, status: int, detail: Any, kind: type[ModelError]
) -> None:
    """An error in a status or in a 200 has the server's words, its class, and no word of the SDK's."""
    error = await fail(server, refusal(status, detail), streaming)
    words = detail if isinstance(detail, str) else detail["message"]
    assert (type(error), error.status) == (kind, status)
    assert words in str(error) and "status code" not in str(error)


@both_ways
async def test_the_wait_that_was_asked_for_is_known(
    server: Loopback, streaming: bool
) -> None:
    """`retry-after` is told, though the SDK's error has no headers."""
    assert (
        await fail(server, refusal(429, "slow down", retry_after="7"), streaming)
    ).retry_after == 7


async def test_an_error_in_the_stream_keeps_the_text(server: Loopback) -> None:
    """An error line after text ends the run with the server's words and the text so far."""
    error = await fail(
        server,
        Reply(ollama_chat.error_event("unexpected EOF", None, "", after=("Hel", "lo"))),
    )
    assert (type(error), error.status) == (
        ServerError,
        200,
    ) and "unexpected EOF" in str(error)
    assert error.partial is not None and error.partial.content == "Hello"


def test_every_part_of_a_line_is_known_as_one() -> None:
    """Wherever an object breaks off it is told apart from a line that never was JSON."""
    message = {"role": "assistant", "content": 'a "q" \u2028 {}', "tool_calls": [CALL]}
    whole = json.dumps({"message": message, "n": [1.5e-3, True, None], "done": False})
    for size in range(1, len(whole)):
        assert type(translated(decoding(whole[:size]))) is StreamInterrupted, whole[
            :size
        ]
    for text in ("<html>", "", "oops", "{not json at all}", '{"a": 1} trailing words'):
        assert type(translated(decoding(text))) is ServerError, text


def translated(error: Exception) -> ModelError:
    return translate(error, began=True, rules=ErrorRules(read_error=read_error))


def decoding(text: str) -> json.JSONDecodeError:
    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads(text)
    return raised.value


@both_ways
@pytest.mark.parametrize(
    "body", ["[]", "42", "null", "{}", '{"message": "x"}', "<html>Log in</html>"]
)
async def test_what_is_no_answer_is_the_servers_fault(
    server: Loopback, streaming: bool, body: str
) -> None:
    """JSON that is no object, an object without a message and a page are errors of the server."""
    assert (
        type(await fail(server, Reply(body, content_type=JSON), streaming))
        is ServerError
    )


@both_ways
async def test_a_key_that_the_server_repeats_is_taken_out(
    server: Loopback, streaming: bool
) -> None:
    """A key in the server's message is not in the error."""
    error = await fail(
        server,
        refusal(401, "bad key sk-canary-0123"),
        streaming,
        model={"api_key": "sk-canary-0123"},
    )
    assert (
        "bad key" in str(error)
        and "canary" not in f"{error}{error!r}{error.__cause__!r}"
    )


# The client


async def test_the_address_and_the_key_come_from_the_environment(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OLLAMA_HOST and OLLAMA_API_KEY hold where the model has no settings of its own, which go first."""
    server.reply(*[Reply(ollama_chat.text("ok"))] * 3)
    await answer(
        Agent("a", Model("ollama:llama3.2:3b", base_url=server.url), stream=True)
    )
    monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
    monkeypatch.setenv("OLLAMA_API_KEY", "from-outside")
    await answer(Agent("a", "ollama:m", stream=True))
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")
    await answer(
        Agent(
            "a",
            Model("ollama:m", base_url=f"{server.url}/at/", api_key="own"),
            stream=True,
        )
    )
    assert [request.headers.get("authorization") for request in server.requests] == [
        None,
        "Bearer from-outside",
        "Bearer own",
    ]
    assert [request.path for request in server.requests] == [
        "/api/chat",
        "/api/chat",
        "/at/api/chat",
    ]
    assert server.requests[0].json["model"] == "llama3.2:3b"


@both_ways
async def test_details_are_durations_and_log_probabilities(
    server: Loopback, streaming: bool
) -> None:
    """What Ollama tells beside the answer stands in the details, under its own names."""
    probable = [{"token": token, "logprob": -0.5} for token in ("a", "b")]
    lines = [
        {"message": {"role": "assistant", "content": one["token"]}, "logprobs": [one]}
        for one in probable
    ]
    end = {"done": True, "total_duration": 7, "load_duration": 0}
    if streaming:
        lines.append({"message": {"role": "assistant", "content": ""}, **end})
    else:
        whole = {
            "message": {"role": "assistant", "content": "ab"},
            "logprobs": probable,
        }
        lines = [{**whole, **end}]
    body = "".join(json.dumps({"model": "m", **line}) + "\n" for line in lines)
    reply = Reply(body, content_type=OLLAMA.mime if streaming else JSON)
    response = await run(server, reply, streaming=streaming)
    assert response.content == "ab"
    assert response.metadata["provider_details"] == {
        "logprobs": probable,
        "total_duration": 7,
    }


async def test_a_key_is_a_string() -> None:
    """A function as the key, which this SDK does not know, is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="string"):
        await answer(Agent("a", Model("ollama:m", api_key=lambda: "key")))


async def test_closing_the_agent_closes_its_connections(server: Loopback) -> None:
    """An agent keeps its connection for the next run and gives it up when it is closed."""
    server.reply(*[Reply(ollama_chat.text("ok"))] * 2)

    async def run_twice() -> bool:
        async with OLLAMA.agent(server, stream=True) as agent:
            for _ in range(2):
                await agent.run("Go")
            assert {request.connection for request in server.requests} == {1}
            assert server.open_connections == 1
        return await asyncio.to_thread(server.requests[1].wait_disconnected, 10)

    assert await run_twice()
