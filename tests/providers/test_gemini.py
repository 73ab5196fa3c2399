"""What is particular to Gemini: parts that go back as they came, calls in pieces, running totals, its errors."""

import asyncio
import gc
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any

import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel, Field
from support.loopback import Loopback, Reply
from support.scene import streamed_answer
from support.wire import chat_completions, common, gemini_generate

from cogent import (
    Agent,
    AuthenticationError,
    BadRequest,
    ConfigurationError,
    Message,
    Model,
    ModelError,
    Overloaded,
    RateLimited,
    ServerError,
    StreamChunk,
    tool,
)
from cogent.chunks import ToolCallDelta
from cogent.messages import ToolCall
from cogent.providers import Request, _gemini_client, gemini
from cogent.providers.formats.gemini_decoder import StreamDecoder
from cogent.providers.formats.gemini_usage import decode_usage, read_usage, usage_of
from cogent.run.outputs import (
    FinishWord,
    Item,
    ModelName,
    Output,
    ProviderDetails,
    RequestId,
    Working,
)

KEY = "key-0123456789"
JSON = "application/json"
SIGNATURE = gemini_generate.SIGNATURE
VARIABLES = [
    *_gemini_client.KEYS,
    *_gemini_client.VERTEX,
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_GENAI_API_VERSION",
]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the SDK's variables is set, whatever the machine has."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def model(server: Loopback, **options: Any) -> Model:
    return Model(
        "gemini:gemini-test",
        **{"base_url": server.url, "api_key": KEY, "max_retries": 0, **options},
    )


def agent(
    server: Loopback, *, settings: dict[str, Any] | None = None, **options: Any
) -> Agent:
    return Agent("tester", model(server, **(settings or {})), **options)


async def failure(
    server: Loopback, reply: Reply, streaming: bool = True, **settings: Any
) -> ModelError:
    """The error of a run against this reply."""
    server.reply(reply)

    with pytest.raises(ModelError) as raised:
        async with agent(server, settings=settings, stream=streaming) as one:
            await one.run("Go")
    return raised.value


def events(*bodies: dict[str, Any]) -> list[bytes]:
    """A stream of these bodies."""
    return [common.event(body) for body in bodies]


def said(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    """The body of an event with these parts."""
    return {
        "candidates": [
            {"content": {"parts": parts, "role": "model"}, "index": 0, **candidate}
        ]
    }


def decoded(*bodies: dict[str, Any]) -> list[Output]:
    """What the decoder makes of these bodies, without a request id that says nothing."""
    decoder = StreamDecoder()
    parts = [
        p
        for body in bodies
        for p in decoder.decode(types.GenerateContentResponse.model_validate(body))
    ]
    return [part for part in [*parts, *decoder.close()] if part != RequestId("")]


# The request


class Unit(Enum):
    KELVIN = "kelvin"
    CELSIUS = "celsius"


class Place(BaseModel):
    city: str
    height: int = Field(0, ge=0)


async def test_a_rich_tool_is_declared_by_its_json_schema(server: Loopback) -> None:
    """The declaration holds the tool's JSON schema as it is, references and defaults included."""

    @tool
    def weather(
        place: Place, unit: Unit = Unit.KELVIN, days: Annotated[int, Field(gt=0)] = 1
    ) -> str:
        """Tell the weather.

        Args:
            days: How many days.
        """
        return ""

    server.reply(Reply(gemini_generate.text("ok")))
    await streamed_answer(agent(server, tools=[weather]))
    [request] = server.requests
    assert request.path == "/v1beta/models/gemini-test:streamGenerateContent?alt=sse"
    schema = {
        "$defs": {
            "Place": {
                "type": "object",
                "title": "Place",
                "properties": {
                    "city": {"type": "string"},
                    "height": {"type": "integer", "default": 0, "minimum": 0},
                },
                "required": ["city"],
            },
            "Unit": {"type": "string", "title": "Unit", "enum": ["kelvin", "celsius"]},
        },
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "place": {"$ref": "#/$defs/Place"},
            "unit": {"$ref": "#/$defs/Unit", "default": "kelvin"},
            "days": {
                "type": "integer",
                "default": 1,
                "exclusiveMinimum": 0,
                "description": "How many days.",
            },
        },
        "required": ["place"],
    }
    # The SDK leaves the names of inner fields in snake case, which Google's JSON allows.
    declaration = {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters_json_schema": schema,
    }
    assert request.json == {
        "contents": [{"role": "user", "parts": [{"text": "Go"}]}],
        "tools": [{"functionDeclarations": [declaration]}],
        "generationConfig": {},
    }


async def test_settings_go_where_the_sdk_takes_them(server: Loopback) -> None:
    """Limits, instructions and `extra` reach the request, and tools of Google's stand beside ours."""
    extra = {
        "seed": 7,
        "thinking_config": {"include_thoughts": True},
        "tools": [{"google_search": {}}],
        "http_options": {"headers": {"x-mine": "yes"}},
    }
    server.reply(Reply(gemini_generate.text("ok")))
    settings = {"temperature": 0.5, "max_tokens": 9, "extra": extra}
    await streamed_answer(
        agent(server, settings=settings, instructions="Be brief.", tools=[add])
    )
    [request] = server.requests
    assert request.json["generationConfig"] == {
        "temperature": 0.5,
        "maxOutputTokens": 9,
        "seed": 7,
        "thinkingConfig": {"include_thoughts": True},
    }
    assert request.json["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert {name for entry in request.json["tools"] for name in entry} == {
        "functionDeclarations",
        "googleSearch",
    }
    assert (
        request.headers["x-mine"] == "yes" and request.headers["x-goog-api-key"] == KEY
    )


async def test_system_messages_of_a_history_are_instructions(server: Loopback) -> None:
    """Gemini knows no system role, so such messages follow the instructions."""
    server.reply(Reply(gemini_generate.text("ok")))
    history = [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": "Hi"},
    ]
    await streamed_answer(agent(server, instructions="Be brief."), history=history)
    body = server.requests[0].json
    assert [part["text"] for part in body["systemInstruction"]["parts"]] == [
        "Be brief.",
        "Rhyme.",
    ]
    assert [content["parts"] for content in body["contents"]] == [
        [{"text": "Hi"}],
        [{"text": "Go"}],
    ]


async def test_an_unknown_setting_is_said_before_anything_is_sent(
    server: Loopback,
) -> None:
    """A misspelt name in `extra` is an error that names it, without its value, which may be a secret."""
    with pytest.raises(ConfigurationError, match="temprature") as raised:
        await streamed_answer(
            agent(server, settings={"extra": {"temprature": "hidden"}})
        )
    assert "hidden" not in str(raised.value)
    assert server.requests == []


# The client


@pytest.mark.parametrize("name", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
async def test_the_variables_of_the_sdk_work(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Key and address come from the SDK's own variables where the model does not set them."""
    monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    server.reply(Reply(gemini_generate.text("ok")))
    await streamed_answer(Agent("a", "gemini-test"))
    assert server.requests[0].headers["x-goog-api-key"] == "from-the-environment"


@pytest.mark.parametrize(
    ("version", "variable", "expected"),
    [(None, None, "v1beta"), ("v1", None, "v1"), (None, "v1alpha", "v1alpha")],
)
async def test_the_version_of_the_api(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    variable: str | None,
    expected: str,
) -> None:
    """It is v1beta unless the model or the SDK's variable says otherwise."""
    if variable:
        monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", variable)
    server.reply(Reply(gemini_generate.text("ok")))
    await streamed_answer(agent(server, settings={"api_version": version}))
    assert server.requests[0].path.startswith(f"/{expected}/models/")


async def test_vertex_is_asked_where_the_variables_say_so(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the SDK's switch for Vertex AI the request goes to its paths, in its own version."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    server.reply(Reply(gemini_generate.text("ok")))
    assert (await streamed_answer(agent(server))).content == "ok"
    assert server.requests[0].path.startswith(
        "/v1beta1/publishers/google/models/gemini-test:"
    )


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (None, "GEMINI_API_KEY or GOOGLE_API_KEY"),
        (lambda: KEY, "no function as api_key"),
    ],
)
async def test_an_unusable_key_is_said_before_a_request(
    server: Loopback, key: Any, words: str
) -> None:
    """A missing key names its variables, and a function is refused, since the SDK takes none."""
    with pytest.raises(ConfigurationError, match=words):
        await streamed_answer(agent(server, settings={"api_key": key}))
    assert server.requests == []


async def test_a_client_of_the_users_own_stays_open(server: Loopback) -> None:
    """The user's own client is used as it is, and works after the agent was closed."""
    server.reply(*[Reply(gemini_generate.text("ok"))] * 2)
    options = types.HttpOptions(base_url=server.url, api_version="v1")
    with genai.Client(api_key=KEY, http_options=options) as client:
        texts = []
        for _ in range(2):
            texts.append(
                (
                    await streamed_answer(Agent("a", Model("gemini:m", client=client)))
                ).content
            )
        await client.aio.aclose()
    assert texts == ["ok", "ok"]
    assert {request.path for request in server.requests} == {
        "/v1/models/m:streamGenerateContent?alt=sse"
    }


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector stands still."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("own", [False, True], ids=["our client", "the user's client"])
@pytest.mark.parametrize("end", ["stall", "forever"])
async def test_leaving_closes_the_connection_at_once(
    server: Loopback, own: bool, end: Any
) -> None:
    """A break reaches the server without the garbage collector, whether it is silent or sends on and on."""
    begun = gemini_generate.text("Hel", "lo")[:2]
    server.reply(
        Reply(begun, forever=True) if end == "forever" else Reply(begun, end=end)
    )
    options = types.HttpOptions(base_url=server.url)
    client = genai.Client(api_key=KEY, http_options=options) if own else None
    one = Agent("a", model(server, client=client))
    stream = one.run_stream("Go")
    async with stream:
        async for chunk in stream:
            if chunk.content == "lo":
                break
    left = await asyncio.to_thread(server.requests[0].wait_disconnected, 5)
    await one.aclose()
    if client is not None:
        await client.aio.aclose()

    assert left


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("own", [False, True], ids=["our client", "the user's client"])
async def test_an_error_in_the_stream_closes_the_connection(
    server: Loopback, own: bool
) -> None:
    """After an error event of a server that stays silent the connection is closed at once."""
    server.reply(
        Reply(
            gemini_generate.error_event("Full.", None, "UNAVAILABLE", ["Hel"]),
            end="stall",
        )
    )
    options = types.HttpOptions(base_url=server.url)
    client = genai.Client(api_key=KEY, http_options=options) if own else None
    one = Agent("a", model(server, client=client))
    with pytest.raises(Overloaded):
        async for _ in one.run_stream("Go"):
            pass
    left = await asyncio.to_thread(server.requests[0].wait_disconnected, 5)
    await one.aclose()
    if client is not None:
        await client.aio.aclose()

    assert left


# History


async def test_the_parts_of_an_answer_go_back_unchanged(server: Loopback) -> None:
    """Step two sends thoughts, text and calls as they came, signatures included, each text in one part."""
    calls = [("fc-1", "add", '{"a": 1, "b": 2}'), ("fc-2", "add", '{"a": 2}')]
    first = gemini_generate.tool_calls(*calls, text="Let me add. ", reasoning="Adding.")
    server.reply(Reply(first), Reply(gemini_generate.text("3 and 3")))
    response = await streamed_answer(agent(server, tools=[add]))
    user, said_before, results = server.requests[1].json["contents"]
    assert (
        user == {"role": "user", "parts": [{"text": "Go"}]}
        and said_before["role"] == "model"
    )
    thought, text, one, two = said_before["parts"]
    assert (thought, text) == (
        {"text": "Adding.", "thought": True},
        {"text": "Let me add. "},
    )
    assert one["functionCall"] == {
        "id": "fc-1",
        "name": "add",
        "args": {"a": 1, "b": 2},
    }
    assert urlsafe_b64decode(one["thoughtSignature"]) == urlsafe_b64decode(SIGNATURE)
    assert two == {"functionCall": {"id": "fc-2", "name": "add", "args": {"a": 2}}}
    assert results["role"] == "user"
    assert [part["functionResponse"] for part in results["parts"]] == [
        {"id": "fc-1", "name": "add", "response": {"output": "3"}},
        {"id": "fc-2", "name": "add", "response": {"output": "3"}},
    ]
    # And once more in the next run, through JSON.
    stored = json.loads(
        json.dumps([message.to_dict() for message in response.messages])
    )
    server.reply(Reply(gemini_generate.text("Sure")))
    await streamed_answer(agent(server, tools=[add]), "Sure?", history=stored)
    again = server.requests[2].json["contents"]
    assert again[:3] == [user, said_before, results]
    assert [
        urlsafe_b64decode(part["thoughtSignature"]) for part in again[3]["parts"][1:]
    ] == [urlsafe_b64decode(SIGNATURE)]


async def test_made_up_ids_are_not_sent_back(server: Loopback) -> None:
    """A call without an id gets one here, and neither it nor its result has one in the next request."""
    call = {"functionCall": {"name": "add", "args": {"a": None}}}
    server.reply(
        Reply(events(said(call), said({"text": ""}, finishReason="STOP"))),
        Reply(gemini_generate.text("ok")),
    )
    response = await streamed_answer(agent(server, tools=[add]))
    assert response.tool_calls[0].id and response.tool_calls[0].result is not None
    _, before, results = server.requests[1].json["contents"]
    assert before["parts"] == [call]
    [result] = results["parts"]
    assert set(result["functionResponse"]) == {"name", "response"}
    assert set(result["functionResponse"]["response"]) == {"error"}


async def test_foreign_calls_come_with_the_documented_stand_in(
    server: Loopback,
) -> None:
    """A conversation with another provider goes to Gemini with ids, and a signature on a turn's first call only."""
    calls = [("call_7", "add", '{"a": 1}'), ("call_8", "add", "no JSON")]
    server.reply(
        Reply(chat_completions.tool_calls(*calls, reasoning="Hm.")),
        Reply(chat_completions.text("2")),
    )
    other = Agent(
        "a", Model("openai-chat:m", base_url=server.url, api_key=KEY), tools=[add]
    )
    response = await streamed_answer(other)
    server.reply(Reply(gemini_generate.text("ok")))
    await streamed_answer(
        agent(server, tools=[add]), "Sure?", history=response.messages
    )
    _, before, results, text, _ = server.requests[2].json["contents"]
    one, two = before["parts"]
    assert one["functionCall"] == {"id": "call_7", "name": "add", "args": {"a": 1}}
    assert (
        urlsafe_b64decode(one["thoughtSignature"])
        == b"skip_thought_signature_validator"
    )
    assert two == {
        "functionCall": {
            "id": "call_8",
            "name": "add",
            "args": {"INVALID_JSON": "no JSON"},
        }
    }
    assert [part["functionResponse"]["id"] for part in results["parts"]] == [
        "call_7",
        "call_8",
    ]
    assert text == {"role": "model", "parts": [{"text": "2"}]}


async def test_gemini_history_goes_to_another_provider(server: Loopback) -> None:
    """Another provider gets text, calls and results, and nothing of Gemini's own parts."""
    server.reply(
        Reply(gemini_generate.tool_calls(("fc-1", "add", '{"a": 1}'), text="Hm. "))
    )
    server.reply(Reply(gemini_generate.text("2")))
    response = await streamed_answer(agent(server, tools=[add]))
    server.reply(Reply(chat_completions.text("ok")))
    other = Agent("a", Model("openai-chat:m", base_url=server.url, api_key=KEY))
    await streamed_answer(other, "Sure?", history=response.messages)
    _, before, result, *_ = server.requests[2].json["messages"]
    assert (
        before["content"] == "Hm. "
        and before["tool_calls"][0]["id"] == result["tool_call_id"] == "fc-1"
    )
    assert "ignature" not in server.requests[2].body.decode()


def test_a_result_without_a_name_gets_that_of_its_call() -> None:
    """A result in a history of the user's own is named after its call, as Gemini demands."""
    messages = [
        Message("assistant", tool_calls=[ToolCall("c1", "add", {"a": 1})]),
        Message("tool", "2", tool_call_id="c1"),
    ]
    request = Request(Model("gemini:m"), messages)
    response = gemini.encode_request(request)["contents"][1]["parts"][0][
        "function_response"
    ]
    assert response == {"id": "c1", "name": "add", "response": {"output": "2"}}


# The answer


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (said({"text": "a"}), [StreamChunk("a"), Item({"text": "a"})]),
        (
            said({"text": "r", "thought": True}),
            [
                StreamChunk(reasoning="r"),
                Item({"text": "r", "thought": True}),
            ],
        ),
        (said({"text": ""}), []),
        (said({}), []),
        ({"candidates": []}, []),
        ({"candidates": [{"index": 0}]}, []),
        ({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]}, []),
        (
            said({"text": "", "thoughtSignature": SIGNATURE}),
            [Item({"text": "", "thought_signature": SIGNATURE})],
        ),
        (
            said({"executableCode": {"code": "1", "language": "PYTHON"}}),
            [
                StreamChunk(
                    tool_call=ToolCallDelta(
                        1,
                        "code_execution_1",
                        "code_execution",
                        '{"code": "1", "language": "PYTHON"}',
                        provider_executed=True,
                    )
                ),
                Working(),
                Item({"executable_code": {"code": "1", "language": "PYTHON"}}),
            ],
        ),
        (said(finishReason="MAX_TOKENS"), [FinishWord("MAX_TOKENS")]),
        (
            {"promptFeedback": {"blockReason": "SAFETY"}},
            [
                FinishWord("blocked:SAFETY"),
                ProviderDetails({"prompt_feedback": {"block_reason": "SAFETY"}}),
            ],
        ),
        ({"promptFeedback": {"safetyRatings": []}}, []),
        (
            {"modelVersion": "m", "responseId": "r"},
            [RequestId("r"), ModelName("m")],
        ),
    ],
)
def test_what_an_event_says(body: dict[str, Any], expected: list[Any]) -> None:
    """Each kind of event gives its parts, and what is to be sent back."""
    assert decoded(body) == expected


def test_names_are_given_when_they_change() -> None:
    """Each event repeats the model and the id of the answer, which are given once."""
    body = {"modelVersion": "m", "responseId": "r", **said({"text": "a"})}
    outputs = decoded(body, body, {**body, "modelVersion": "m2"})
    named = [one for one in outputs if isinstance(one, ModelName | RequestId)]
    assert named == [RequestId("r"), ModelName("m"), ModelName("m2")]


def test_texts_are_joined_up_to_a_signature() -> None:
    """Deltas of one text are one part to send back; a thought, a signature or a call begins another."""
    signed = {"text": "d", "thoughtSignature": SIGNATURE}
    bodies = [
        {"text": "t", "thought": True},
        {"text": "a"},
        {"text": "b"},
        signed,
        {"text": "e"},
    ]
    items = [part.item for part in decoded(said(*bodies)) if isinstance(part, Item)]
    assert items == [
        {"text": "t", "thought": True},
        {"text": "ab"},
        {"text": "d", "thought_signature": SIGNATURE},
        {"text": "e"},
    ]


def piece(path: str, *, more: bool = True, **value: Any) -> dict[str, Any]:
    """A part with a piece of the arguments of the open call."""
    return {
        "functionCall": {
            "partialArgs": [{"jsonPath": path, **value}],
            "willContinue": more,
        }
    }


START: dict[str, Any] = {
    "functionCall": {"name": "f", "willContinue": True},
    "thoughtSignature": SIGNATURE,
}
END: dict[str, Any] = {"functionCall": {}}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], {}),
        (
            [
                piece("$.a", stringValue="x"),
                piece("$.a", stringValue="y"),
                piece("$.a", stringValue=""),
            ],
            {"a": "xy"},
        ),
        (
            [piece("$.a", numberValue=1), piece("$.b", boolValue=False)],
            {"a": 1, "b": False},
        ),
        ([piece("$.a", nullValue="NULL_VALUE")], {"a": None}),
        (
            [piece("$.a.b[1].c", stringValue="x"), piece("$.a.b[0]", numberValue=2)],
            {"a": {"b": [2, {"c": "x"}]}},
        ),
        ([piece("$['odd name'][0]", stringValue="x")], {"odd name": ["x"]}),
    ],
)
def test_arguments_in_pieces_are_put_together(
    pieces: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    """Pieces of arguments become the call's JSON once it is whole, and go back as a whole call."""
    first, last, item = decoded(said(START), *map(said, pieces), said(END))
    assert isinstance(first, StreamChunk) and first.tool_call == ToolCallDelta(
        0, None, "f"
    )
    assert (
        isinstance(last, StreamChunk)
        and last.tool_call is not None
        and last.tool_call.index == 0
    )
    assert json.loads(last.tool_call.arguments) == expected
    call = {"name": "f", "args": expected}
    assert item == Item({"function_call": call, "thought_signature": SIGNATURE})


async def test_a_call_that_is_cut_off_does_not_run(server: Loopback) -> None:
    """A turn that ends inside the pieces of a call runs no tool, although the arguments so far would do."""
    cut = events(
        said(START), said(piece("$.a", numberValue=1)), said(finishReason="STOP")
    )
    ran: list[int] = []

    def f(a: int = 0) -> None:
        ran.append(a)

    server.reply(Reply(cut), Reply(gemini_generate.text("ok")))
    response = await streamed_answer(agent(server, tools=[f]))
    assert (
        ran == []
        and response.tool_calls[0].result is not None
        and response.tool_calls[0].result.is_error
    )


async def test_two_equal_calls_are_two(server: Loopback) -> None:
    """Calls without ids, even the same twice, each run once, in their order."""
    call = {"functionCall": {"name": "add", "args": {"a": 1}}}
    server.reply(
        Reply(events(said(call, call), said(call, finishReason="STOP"))),
        Reply(gemini_generate.text("ok")),
    )
    response = await streamed_answer(agent(server, tools=[add]))
    assert [called.arguments for called in response.tool_calls] == [{"a": 1}] * 3
    assert len({called.id for called in response.tool_calls}) == 3
    assert len(server.requests[1].json["contents"][2]["parts"]) == 3


async def test_an_answer_goes_on_after_its_first_finish_reason(
    server: Loopback,
) -> None:
    """STOP may come in the middle, and what follows belongs to the answer."""
    server.reply(
        Reply(
            events(
                said({"text": "a"}, finishReason="STOP"),
                said({"text": "b"}, finishReason="STOP"),
            )
        )
    )
    assert (await streamed_answer(agent(server))).content == "ab"


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
async def test_a_blocked_prompt_is_an_empty_answer(
    server: Loopback, streaming: bool
) -> None:
    """A prompt that was refused ends as content_filter, without text, without an error and without a guess."""
    body = gemini_generate.blocked("JAILBREAK")
    reply = (
        Reply(b"data: " + body + b"\n\n")
        if streaming
        else Reply(body, content_type=JSON)
    )
    server.reply(reply)
    async with agent(server, stream=streaming) as one:
        response = await one.run("Go")
    assert (response.content, response.finish_reason) == ("", "content_filter")
    assert response.metadata["raw_finish_reason"] == "blocked:JAILBREAK"
    assert (
        response.metadata["tokens"]["input_tokens"] == 11
        and "estimated" not in response.metadata["tokens"]
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"promptTokenCount": 5}, {"input_tokens": 5, "output_tokens": 0}),
        (
            {
                "promptTokenCount": 5,
                "candidatesTokenCount": 2,
                "thoughtsTokenCount": 3,
                "totalTokenCount": 10,
            },
            {"input_tokens": 5, "output_tokens": 5, "reasoning_tokens": 3},
        ),
        (
            {
                "promptTokenCount": 5,
                "candidatesTokenCount": 2,
                "cachedContentTokenCount": 4,
            },
            {"input_tokens": 5, "output_tokens": 2, "cache_read_tokens": 4},
        ),
        ({"trafficType": "ON_DEMAND"}, {}),
    ],
)
def test_usage(usage: dict[str, Any], expected: dict[str, int]) -> None:
    """Thoughts count as output, cached tokens are part of the input, and no figure is made up."""
    made = types.GenerateContentResponseUsageMetadata.model_validate(usage)
    assert decode_usage(usage_of(made)) == expected
    assert decode_usage(read_usage(usage)) == expected


async def test_usage_is_a_running_total(server: Loopback) -> None:
    """Of the totals that come with each event the last one counts, and it is not added up."""
    totals = [
        {"promptTokenCount": 5, "candidatesTokenCount": count} for count in (1, 2, 3)
    ]
    bodies = [said({"text": "x"}) | {"usageMetadata": total} for total in totals]
    server.reply(Reply(events(*bodies, said(finishReason="STOP"))))
    tokens = (await streamed_answer(agent(server))).metadata["tokens"]
    assert (tokens["input_tokens"], tokens["output_tokens"]) == (5, 3)


# Errors


def refused(
    code: int, status: str, *details: dict[str, Any], message: str = "No."
) -> Reply:
    """An HTTP error as Google sends it."""
    error = {"code": code, "message": message, "status": status, "details": details}
    return Reply(json.dumps({"error": error}), code, JSON)


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (refused(400, "INVALID_ARGUMENT"), BadRequest, "INVALID_ARGUMENT"),
        (
            refused(400, "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}),
            AuthenticationError,
            "API_KEY_INVALID",
        ),
        (refused(429, "RESOURCE_EXHAUSTED"), RateLimited, "RESOURCE_EXHAUSTED"),
        (refused(503, "UNAVAILABLE"), Overloaded, "UNAVAILABLE"),
        (Reply("<html>Bad gateway</html>", 502, "text/html"), ServerError, "502"),
    ],
)
@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
async def test_a_refused_request(
    server: Loopback, reply: Reply, kind: type[ModelError], code: str, streaming: bool
) -> None:
    """Google's statuses and reasons become our errors, caused by the SDK's."""
    error = await failure(server, reply, streaming)
    assert (type(error), error.status, error.code) == (kind, reply.status, code)
    assert isinstance(error.__cause__, genai.errors.APIError)


async def test_the_wait_that_google_asks_for() -> None:
    """The delay in the details of an error is the error's `retry_after`."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "48.5s"}
    with Loopback() as server:
        error = await failure(server, refused(429, "RESOURCE_EXHAUSTED", info))
    assert (type(error), error.retry_after) == (RateLimited, 48.5)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("UNAVAILABLE", Overloaded),
        ("RESOURCE_EXHAUSTED", RateLimited),
        ("INTERNAL", ServerError),
    ],
)
async def test_an_error_in_the_stream(
    server: Loopback, status: str, kind: type[ModelError]
) -> None:
    """An error in the middle of an answer keeps its class and the text before it, and its status is 200."""
    error = await failure(
        server,
        Reply(gemini_generate.error_event("Sorry.", None, status, ["Hel", "lo"])),
    )
    assert (type(error), error.status, error.code) == (kind, 200, status)
    assert (
        error.partial is not None
        and error.partial.content == "Hello"
        and "Sorry." in str(error)
    )


async def test_a_cancelled_answer_is_the_servers_fault(server: Loopback) -> None:
    """When Google cancels an answer, the request was not wrong and may be sent again."""
    error = await failure(
        server,
        Reply(gemini_generate.error_event("Cancelled.", None, "CANCELLED", ["Hel"])),
    )
    assert (type(error), error.retryable) == (ServerError, True)


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
async def test_an_error_without_a_number(server: Loopback, streaming: bool) -> None:
    """An error object without Google's code, on which the SDK stumbles, is the server's fault."""
    body = json.dumps({"error": {"message": "odd"}})
    reply = Reply(body) if streaming else Reply(body, content_type=JSON)
    assert type(await failure(server, reply, streaming)) is ServerError


async def test_an_error_in_a_plain_answer(server: Loopback) -> None:
    """An error object with status 200, which the SDK drops, is raised by its own number."""
    body = gemini_generate.error_body("Slow down.", None, "RESOURCE_EXHAUSTED")
    error = await failure(server, Reply(body, content_type=JSON), streaming=False)
    assert (type(error), error.status, error.code) == (
        RateLimited,
        200,
        "RESOURCE_EXHAUSTED",
    )


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
async def test_an_answer_that_is_none(server: Loopback, streaming: bool) -> None:
    """A page with status 200 is an error and no empty answer."""
    error = await failure(
        server, Reply("<html>Log in</html>", content_type="text/html"), streaming
    )
    assert (type(error), error.status) == (ServerError, 200)
