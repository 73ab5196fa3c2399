"""A model that plays a script: what a user's own tests see of it, and that it goes through the real loop."""

import json
import pickle
import time
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from support.scene import read

from cogent import (
    Agent,
    AuthenticationError,
    BadRequest,
    CogentError,
    ConfigurationError,
    ConnectionFailed,
    ContextTooLong,
    Image,
    Model,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    OutputError,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamInterrupted,
    Timeout,
    Tool,
    ToolCall,
    ToolError,
    ToolResult,
    Usage,
    tool,
)
from cogent.sources import Source
from cogent.testing import (
    Cut,
    Delay,
    Finish,
    PlaybackError,
    Reasoning,
    ScriptedModel,
)

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
ADD = ToolCall("c1", "add", {"a": 1, "b": 2})


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def run(
    *script: Any, streaming: bool = True, settings: Any = None, **agent: Any
) -> tuple[Any, ScriptedModel, Any]:
    """The chunks and the response of a run, its model, and its error."""
    model = ScriptedModel(*script, **(settings or {}))
    one: Agent[Any] = Agent("a", model, **agent)
    try:
        if streaming:
            return await read(one), model, None
        return (None, await one.run("Go")), model, None
    except CogentError as error:
        return (None, error.partial), model, error


@both_ways
async def test_a_script_goes_through_the_real_loop(streaming: bool) -> None:
    """A call runs its tool, the next request has its result, and the metadata is that of any run."""
    (_, response), model, _ = await run(
        [Reasoning("Hm. "), "I add. ", ADD],
        ["It ", "is 3."],
        streaming=streaming,
        tools=[add],
        instructions="Be brief.",
    )
    assert response.content == "I add. It is 3."
    assert [call.result.content for call in response.tool_calls] == ["3"]
    metadata = response.metadata
    assert (metadata["provider"], metadata["model"]) == ("scripted", "model")
    assert response.messages[1].reasoning == "Hm. "
    first, second = model.requests
    assert first.instructions == "Be brief."
    assert [one.name for one in first.tools] == ["add"]
    assert [message.role for message in first.messages] == ["user"]
    assert second.messages[-1].content == "3" and model.unplayed == 0


async def test_a_list_is_a_chunk_for_each_text() -> None:
    """What a front end gets piece by piece can be written down piece by piece."""
    (chunks, _), _, _ = await run(["Hel", "lo"])
    assert [chunk.content for chunk in chunks] == ["Hel", "lo", ""]


@both_ways
async def test_wrong_calls_are_played_too(streaming: bool) -> None:
    """Arguments that do not fit, or are no JSON, and tools that do not exist are told to the model."""
    calls = [
        ToolCall("c1", "add", {"a": "one"}),
        ToolCall("c2", "add", "{broken"),
        ToolCall("c3", "subtract", {}),
    ]
    (_, response), model, _ = await run(
        calls, "Sorry.", streaming=streaming, tools=[add]
    )
    told = [message.content for message in model.requests[1].messages[-3:]]
    assert "do not fit" in told[0] and "not a JSON object" in told[1]
    assert "no tool 'subtract'" in told[2] and response.content == "Sorry."


@both_ways
async def test_sources_files_and_figures(streaming: bool) -> None:
    """Whatever else a provider sends beside the text can be played."""
    source = Source(url="https://example.org", title="Example")
    searched = ToolCall("s1", "web_search", {"q": "x"}, provider_executed=True)
    (_, response), _, _ = await run(
        [
            searched,
            ToolResult("s1", "web_search", "found", provider_executed=True),
            "Text.",
            source,
            Image(b"\x89PNG\r\n\x1a\n", "image/png"),
            Usage(11, 7, cache_read_tokens=3),
        ],
        streaming=streaming,
    )
    assert [one.url for one in response.sources] == ["https://example.org"]
    assert [one.media_type for one in response.files] == ["image/png"]
    tokens = response.metadata["tokens"]
    assert (tokens["input_tokens"], tokens["output_tokens"]) == (11, 7)
    assert tokens["cache_read_tokens"] == 3 and "estimated" not in tokens
    assert response.tool_calls[0].result.content == "found"


class Invoice(BaseModel):
    """What an invoice says."""

    number: str


@dataclass
class Total:
    """An amount."""

    amount: int


@pytest.mark.parametrize("value", [Invoice(number="A1"), Total(3), {"a": 1}])
@both_ways
async def test_a_value_is_a_typed_answer(value: Any, streaming: bool) -> None:
    """A value of the output_type is played as its JSON, and read as any answer is."""
    kind = type(value) if not isinstance(value, dict) else dict[str, int]
    (_, response), model, _ = await run(value, streaming=streaming, output_type=kind)
    assert response.output == value
    assert model.requests[0].output is not None


async def test_an_answer_that_does_not_fit_is_told_to_the_model() -> None:
    """The script's next answer is that of the second try."""
    (_, response), model, _ = await run(
        "no JSON", Invoice(number="A1"), output_type=Invoice
    )
    assert response.output == Invoice(number="A1")
    assert "cannot be used" in model.requests[1].messages[-1].content
    _, _, error = await run("no", "no", output_type=Invoice)
    assert isinstance(error, OutputError)


ERRORS: list[type[ModelError]] = [
    AuthenticationError,
    PermissionDenied,
    ModelNotFound,
    BadRequest,
    ContextTooLong,
    RateLimited,
    Overloaded,
    ServerError,
    ConnectionFailed,
    ModelTimeout,
    StreamInterrupted,
]


@both_ways
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
async def test_every_error_is_raised_as_it_is(
    kind: type[ModelError], streaming: bool
) -> None:
    """At once, unless the model has retries; with the name of the model in it."""
    _, model, error = await run(kind("It broke."), "Never", streaming=streaming)
    assert type(error) is kind and str(error) == "scripted:model: It broke."
    assert len(model.requests) == 1


async def test_an_error_in_the_middle_of_an_answer() -> None:
    """What came before it is in the partial."""
    _, _, error = await run(["Hel", ServerError("It broke.", code="x")])
    assert isinstance(error, ServerError) and error.partial is not None
    assert error.partial.content == "Hel"


async def test_other_exceptions_are_those_of_an_sdk() -> None:
    """They come out as a ModelError, as any failure of an SDK."""
    _, _, error = await run(ValueError("odd"))
    assert isinstance(error, ModelError) and isinstance(error.__cause__, ValueError)


@both_ways
async def test_retries_go_on_in_the_script(streaming: bool) -> None:
    """With `max_retries` the next answer is that of the next try."""
    wait = RateLimited("Slow down.", retry_after=0)
    (_, response), model, _ = await run(
        wait, wait, "Hello.", streaming=streaming, settings={"max_retries": 2}
    )
    assert response.content == "Hello." and len(model.requests) == 3


@both_ways
async def test_a_cut_answer_is_an_error(streaming: bool) -> None:
    """As from any provider, and the tools of the turn do not run."""
    _, _, error = await run(
        ["Hel", ADD, Cut()], "Never", streaming=streaming, tools=[add]
    )
    assert isinstance(error, StreamInterrupted) and error.partial is not None
    assert error.partial.content == "Hel"
    assert [call.result for call in error.partial.tool_calls] == [None]


@both_ways
async def test_an_answer_may_end_for_another_reason(streaming: bool) -> None:
    """`Finish` says which, and tools do not run then."""
    (_, response), _, _ = await run(
        ["Hel", Finish("length")], streaming=streaming, tools=[add]
    )
    assert response.finish_reason == "length"


async def test_a_delay_is_time_that_limits_count() -> None:
    """Nothing comes for so long; a limit of the agent ends it."""
    began = time.monotonic()
    (_, response), _, _ = await run(["a", Delay(0.05), "b"])
    assert response.content == "ab" and time.monotonic() - began >= 0.05
    _, _, error = await run(["a", Delay(60), "b"], timeout=Timeout(stall=0.05))
    assert isinstance(error, ModelTimeout) and error.kind == "stall"


async def test_calls_that_wait_are_pending() -> None:
    """So do those of tools that run elsewhere, and of the client's own kinds."""
    there = Tool.from_schema("there", "Runs there.", {"type": "object"}, None)
    shell = ToolCall("s1", "shell", {"command": "ls"}, type="local_shell_call")
    (_, response), _, _ = await run([ToolCall("c1", "there", {}), shell], tools=[there])
    assert response.finish_reason == "tool_calls"
    assert [(call.id, call.type) for call in response.pending] == [
        ("c1", "function"),
        ("s1", "local_shell_call"),
    ]


@both_ways
async def test_a_script_that_is_over_says_so(streaming: bool) -> None:
    """The error counts the requests and shows how the last one ends; another model is not asked instead."""
    _, _, error = await run(ADD, streaming=streaming, tools=[add])
    assert isinstance(error, PlaybackError)
    assert str(error).startswith("the script has no answer for request 2: it has 1.")
    assert "tool message '3'" in str(error)
    other = ScriptedModel("Never")
    with pytest.raises(PlaybackError, match="request 1: it has 0"):
        await Agent("a", [ScriptedModel(), other]).run("Go")
    assert other.requests == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (RateLimited, "the class RateLimited"),
        (
            CogentError("x"),
            "answer 2 of the script is the error CogentError, which no model",
        ),
        (
            ["a", ToolError("x")],
            "answer 2 of the script is the error ToolError, which no model",
        ),
        (
            OutputError("x"),
            "answer 2 of the script is the error OutputError, which no model",
        ),
        (5, "answer 2 of the script has 5"),
        (None, "answer 2 of the script has None"),
        (["a", b"b"], "an answer is a text"),
        (Invoice, "answer 2 of the script has"),
        ([Delay(-1)], "a Delay is a number of seconds"),
        (Delay("x"), "a Delay is a number of seconds"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_answer_is_refused_where_it_is_written(
    answer: Any, words: str
) -> None:
    """With the place of the answer in the script."""
    with pytest.raises(ConfigurationError, match=words):
        ScriptedModel("Hello.", answer)


async def test_requests_are_kept_as_they_were() -> None:
    """The conversation goes on, and what was asked before stays; the model's id is free."""
    model = ScriptedModel("One.", "Two.", id="openai:gpt-5.4")
    agent: Agent = Agent("a", model)
    first = await agent.run("Go")
    second = await agent.run("On", history=first.messages)
    assert [len(request.messages) for request in model.requests] == [1, 3]
    assert second.metadata["provider"] == "openai"
    assert second.metadata["model"] == "gpt-5.4"
    assert json.dumps(second.to_dict())


async def test_a_scripted_model_is_a_model() -> None:
    """It stands wherever a Model does: in a list, in an override, in a pickle."""
    real: Agent = Agent("a", "openai:m")
    with real.override(model=[ScriptedModel(Overloaded("Full.")), ScriptedModel("Hi")]):
        response = await real.run("Go")
    assert response.content == "Hi"
    assert response.metadata["attempts"][0]["error"] == "Overloaded"
    model = ScriptedModel("One.", [ADD, Cut()], RateLimited("x"))
    assert isinstance(model, Model) and repr(model).startswith("ScriptedModel(")
    copied = pickle.loads(pickle.dumps(model))
    assert copied.unplayed == 3
