"""The same stories on every provider: a new one joins by its entry in `conftest.WIRES`."""

import asyncio
import json
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import Outcome, play

from cogent import (
    AuthenticationError,
    BadRequest,
    ConnectionFailed,
    ModelError,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamInterrupted,
    tool,
)

PROMPT = 30.0  # seconds after which something hangs; a server sees in milliseconds that its client has left


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def tell(server: Loopback, wire: Wire, *replies: Any, **settings: Any) -> Outcome:
    """Run an agent with the tool `add` against these replies."""
    return await play(server, wire, *replies, tools=[add], **settings)


SUM = ("call_1", "add", '{"a": 1, "b": 2}')


async def test_parallel_calls_are_all_answered(server: Loopback, wire: Wire) -> None:
    """Every call of a turn runs, and the next request has the results in call order."""
    calls = [
        SUM,
        ("call_2", "add", '{"a": 3, "b": 4}'),
        ("call_3", "add", '{"a": 5, "b": 6}'),
    ]
    outcome = await tell(
        server, wire, wire.send.tool_calls(*calls), wire.send.text("3, 7 and 11")
    )
    assert (
        outcome.finish_reasons == ["tool_calls", "stop"]
        and outcome.response.content == "3, 7 and 11"
    )
    results = [
        call.result.content for call in outcome.response.tool_calls if call.result
    ]
    assert results == ["3", "7", "11"]
    body = json.dumps(server.requests[1].json)
    assert body.index('"3"') < body.index('"7"') < body.index('"11"')


async def test_reasoning_then_a_tool(server: Loopback, wire: Wire) -> None:
    """Reasoning before a call is reasoning, and the conversation goes on after it."""
    outcome = await tell(
        server,
        wire,
        wire.send.tool_calls(SUM, reasoning="I must add."),
        wire.send.text("3"),
    )
    assert "".join(chunk.reasoning for chunk in outcome.chunks) == "I must add."
    assert (
        outcome.finish_reasons == ["tool_calls", "stop"]
        and outcome.response.content == "3"
    )


async def test_an_unknown_tool_is_told_to_the_model(
    server: Loopback, wire: Wire
) -> None:
    """A call of a tool that does not exist is an error result that names those that do, and the run goes on."""
    outcome = await tell(
        server,
        wire,
        wire.send.tool_calls(("c1", "subtract", "{}")),
        wire.send.text("Sorry."),
    )
    result = outcome.response.tool_calls[0].result
    assert result is not None and result.is_error and "add" in result.content
    assert outcome.finish_reasons[-1] == "stop" and "no tool" in json.dumps(
        server.requests[1].json
    )


async def test_arguments_that_do_not_fit_are_told_to_the_model(
    server: Loopback, wire: Wire
) -> None:
    """A missing argument is an error result, and the run goes on."""
    outcome = await tell(
        server,
        wire,
        wire.send.tool_calls(("c1", "add", '{"a": 1}')),
        wire.send.text("Sorry."),
    )
    result = outcome.response.tool_calls[0].result
    assert (
        result is not None and result.is_error and "b: Field required" in result.content
    )
    assert outcome.finish_reasons[-1] == "stop"


async def test_usage_is_the_whole_runs(server: Loopback, wire: Wire) -> None:
    """The final chunk counts both turns, and the response tells them apart."""
    outcome = await tell(
        server,
        wire,
        wire.send.tool_calls(SUM, usage=(11, 7)),
        wire.send.text("3", usage=(20, 1)),
        stream=True,
    )
    tokens = outcome.response.metadata["tokens"]
    assert (
        tokens["input_tokens"],
        tokens["output_tokens"],
        tokens["total_tokens"],
    ) == (31, 8, 39)
    assert [
        (turn.usage.input_tokens, turn.usage.output_tokens)
        for turn in outcome.response.turns
    ] == [
        (11, 7),
        (20, 1),
    ]
    assert "estimated" not in tokens


async def test_an_empty_answer_is_no_answer(server: Loopback, wire: Wire) -> None:
    """A 200 without a body is an interrupted stream."""
    outcome = await tell(server, wire, Reply(b"", content_type=wire.mime))
    assert (
        isinstance(outcome.error, StreamInterrupted | ServerError)
        and not outcome.is_final
    )


STATUSES = {
    400: BadRequest,
    401: AuthenticationError,
    403: PermissionDenied,
    404: ModelNotFound,
    429: RateLimited,
    500: ServerError,
    503: Overloaded,
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
async def test_each_status_has_its_error(
    server: Loopback, wire: Wire, status: int, streaming: bool
) -> None:
    """The same status is the same error on every provider and both transports, with its fields filled in."""
    server.reply(
        Reply(
            wire.send.error_body("Something is wrong.", None, "some_error"),
            status,
            "application/json",
        )
    )

    with pytest.raises(STATUSES[status]) as raised:
        async with wire.agent(server, stream=streaming) as agent:
            await agent.run("Go")
    error = raised.value
    assert type(error) is STATUSES[status] and "Something is wrong." in str(error)
    assert (error.status, error.provider, error.model) == (
        status,
        wire.provider,
        "gpt-test",
    )
    assert (
        error.retryable == (status in (429, 500, 503)) and error.__cause__ is not None
    )


async def test_an_error_inside_the_stream_is_raised(
    server: Loopback, wire: Wire
) -> None:
    """An error that comes after text, inside a 200, ends the run with that text as the partial."""
    outcome = await tell(
        server,
        wire,
        wire.send.error_event(
            "It broke.", "server_error", "server_error", after=["Hel", "lo"]
        ),
    )
    assert (
        isinstance(outcome.error, ModelError)
        and "It broke." in str(outcome.error)
        and not outcome.is_final
    )
    assert outcome.response.content == "Hello"


async def test_a_page_instead_of_a_stream_is_an_error(
    server: Loopback, wire: Wire
) -> None:
    """HTML with a 200, as a proxy or a wrong base_url gives, is an error of ours."""
    outcome = await tell(
        server,
        wire,
        Reply("<html><body>Welcome</body></html>", content_type="text/html"),
    )
    assert isinstance(outcome.error, ModelError) and not outcome.is_final


async def test_an_error_instead_of_a_stream_is_that_error(
    server: Loopback, wire: Wire
) -> None:
    """A plain JSON error with a 200, where a stream was asked for, is raised in the server's own words."""
    body = wire.send.error_body(
        "You have no more quota.", "insufficient_quota", "insufficient_quota"
    )
    outcome = await tell(server, wire, Reply(body, content_type="application/json"))
    assert isinstance(outcome.error, ModelError) and "You have no more quota." in str(
        outcome.error
    )


async def test_a_server_that_is_not_there(server: Loopback, wire: Wire) -> None:
    """A refused connection is ConnectionFailed, and asking again may help."""
    agent = wire.agent(server)
    server.close()

    with pytest.raises(ConnectionFailed) as raised:
        async with agent:
            await agent.run("Go")
    assert raised.value.retryable


async def test_stopping_twice_is_stopping_once(server: Loopback, wire: Wire) -> None:
    """Two cancels while a chunk is awaited just end the iteration; the waiting task is not cancelled itself."""
    server.reply(
        Reply(
            wire.send.text("Hello", " again")[:-2] or b" ",
            end="stall",
            content_type=wire.mime,
        )
    )
    async with wire.agent(server) as agent:
        stream, begun, seen = agent.run_stream("Go"), asyncio.Event(), []

        async def consume() -> str:
            async for chunk in stream:
                seen.append(chunk.content)
                begun.set()
            await asyncio.sleep(
                0
            )  # where a cancellation that was left over would strike
            return "".join(seen)

        task = asyncio.create_task(consume())
        await begun.wait()
        await asyncio.sleep(
            0.05
        )  # until all has come that will, and the next chunk is awaited
        stream.cancel()
        stream.cancel()
        await stream.aclose()
        assert (await task).startswith("Hello")
