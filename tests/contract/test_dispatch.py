"""Tool calls within a run: how they run, what the model reads of them, and what ends the run."""

import asyncio
import contextvars
import json
import threading
import time
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import read
from support.tool_runs import CHAT, LONG, SHORT, ask, failure, one, results, run, sent
from support.wire import openai_responses

from cogent import (
    MaxStepsExceeded,
    StreamChunk,
    Timeout,
    ToolError,
    ToolResult,
    tool,
)

BOTH = pytest.mark.parametrize(
    "wire", [CHAT, Wire("openai", openai_responses)], ids=lambda wire: wire.name
)

caller = contextvars.ContextVar("caller", default="nobody")


# How they run


async def test_async_tools_of_a_turn_run_at_the_same_time(server: Loopback) -> None:
    """Two calls that wait for each other both end."""
    ask(server, ("c1", "meet", "{}"), ("c2", "meet", "{}"))
    barrier = asyncio.Barrier(2)

    @tool(timeout=LONG)
    async def meet() -> str:
        await barrier.wait()
        return "met"

    chunks, _ = await run(server, meet)
    assert [result.content for result in results(chunks)] == ["met", "met"]


async def test_sync_tools_of_a_turn_run_at_the_same_time(server: Loopback) -> None:
    """Two sync calls that wait for each other both end, each in a thread of its own."""
    ask(server, ("c1", "meet", "{}"), ("c2", "meet", "{}"))
    barrier = threading.Barrier(2)

    def meet() -> str:
        barrier.wait(LONG)
        return "met"

    chunks, _ = await run(server, meet)
    assert [result.content for result in results(chunks)] == ["met", "met"]


@BOTH
async def test_result_chunks_come_as_tools_end_and_requests_have_call_order(
    server: Loopback, wire: Wire
) -> None:
    """The tool that ends first has the first chunk; the next request and the response keep the order of the calls."""
    ask(server, ("c1", "slow", "{}"), ("c2", "fast", "{}"), wire=wire)
    seen = asyncio.Event()

    async def slow() -> str:
        await seen.wait()
        await asyncio.sleep(2 * SHORT)
        return "tortoise"

    async def fast() -> str:
        seen.set()
        return "hare"

    chunks, response = await run(server, slow, fast, wire=wire)
    assert [(result.id, result.content) for result in results(chunks)] == [
        ("c2", "hare"),
        ("c1", "tortoise"),
    ]
    assert sent(server) == [("c1", "tortoise"), ("c2", "hare")]
    assert [call.id for call in response.tool_calls] == ["c1", "c2"]
    assert response.content == "Done" and chunks[-1].is_final


async def test_a_busy_consumer_still_gets_results_in_the_order_of_ending(
    server: Loopback,
) -> None:
    """Tools that end while the consumer is busy with a chunk are reported in the order in which they ended."""
    count = 8
    ask(
        server,
        *(
            (f"c{place}", "wait", json.dumps({"place": place}))
            for place in range(count)
        ),
    )
    may_end = [asyncio.Event() for _ in range(count)]
    ended: list[str] = []

    async def wait(place: int) -> str:
        await may_end[place].wait()
        ended.append(f"c{place}")
        return "ended"

    order = []
    may_end[3].set()
    async with CHAT.agent(server, tools=[wait]) as agent:
        async for chunk in agent.run_stream("Go"):
            if chunk.tool_result is None:
                continue
            order.append(chunk.tool_result.id)
            for event in (may_end[place] for place in (6, 1, 7, 0, 5, 2, 4)):
                event.set()
                await asyncio.sleep(0.01)  # lets that tool end before the next one may

    assert order == ended


async def test_a_sequential_tool_never_runs_beside_another(server: Loopback) -> None:
    """It waits for the calls before it and keeps those after it waiting; the others still run together."""
    names = ["other", "alone", "alone", "other", "other"]
    ask(
        server,
        *(
            (f"c{place}", name, json.dumps({"place": place}))
            for place, name in enumerate(names)
        ),
    )
    log: list[tuple[str, int]] = []
    barrier = asyncio.Barrier(2)

    @tool(sequential=True)
    async def alone(place: int) -> None:
        log.append(("begin", place))
        await asyncio.sleep(SHORT)
        log.append(("end", place))

    @tool(timeout=LONG)
    async def other(place: int) -> str:
        log.append(("begin", place))
        if place == 0:
            await asyncio.sleep(SHORT)
        else:
            await barrier.wait()
        log.append(("end", place))
        return "ended"

    chunks, _ = await run(server, alone, other)
    assert log[:6] == [(what, place) for place in range(3) for what in ("begin", "end")]
    assert log[6:8] == [("begin", 3), ("begin", 4)]
    assert not any(result.is_error for result in results(chunks))


async def test_a_sync_tool_does_not_block_the_loop(server: Loopback) -> None:
    """While a sync tool waits, an async one called after it goes on."""
    ask(server, ("c1", "wait", "{}"), ("c2", "release", "{}"))
    released = threading.Event()

    def wait() -> str:
        return "released" if released.wait(5) else "blocked"

    async def release() -> None:
        released.set()

    await run(server, wait, release)
    assert sent(server)[0] == ("c1", "released")


@pytest.mark.parametrize("in_thread", [True, False])
async def test_a_sync_tool_runs_in_a_thread_unless_told_otherwise(
    server: Loopback, in_thread: bool
) -> None:
    """Only `run_in_thread=False` calls a sync function in the thread of the event loop."""

    @tool(run_in_thread=in_thread)
    def thread() -> str:
        return threading.current_thread().name

    assert (
        (await one(server, thread)).content != threading.current_thread().name
    ) is in_thread


@pytest.mark.parametrize("kind", ["thread", "loop", "async"])
async def test_tools_see_the_callers_context_variables(
    server: Loopback, kind: str
) -> None:
    """What the caller set in a ContextVar is there in the tool, in whichever way it runs."""

    @tool(name="who", run_in_thread=kind == "thread")
    def who() -> str:
        return caller.get()

    @tool(name="who")
    async def who_async() -> str:
        return caller.get()

    caller.set("somebody")
    result = await one(server, who_async if kind == "async" else who)
    assert result.content == "somebody"


# What the model reads


async def test_results_that_are_no_strings_are_sent_as_json(server: Loopback) -> None:
    """A dict reaches the model as JSON."""
    result = await one(
        server, tool(name="weather")(lambda: {"city": "Zürich", "degrees": [3, None]})
    )
    assert (
        result.content == '{"city":"Zürich","degrees":[3,null]}' and not result.is_error
    )


async def test_a_method_of_an_instance_is_called_on_it(server: Loopback) -> None:
    """A decorated method given through its instance is called on that instance, with real arguments."""

    class Counter:
        def __init__(self) -> None:
            self.total = 40

        @tool
        def add(self, number: int) -> int:
            self.total += number
            return self.total

    counter = Counter()
    assert (await one(server, counter.add, '{"number": "2"}')).content == "42"
    assert counter.total == 42


@BOTH
async def test_tools_share_the_callers_context_which_is_in_no_request(
    server: Loopback, wire: Wire
) -> None:
    """Tools get the very dict that the caller gave, and nothing of it is sent to the provider."""
    ask(server, ("c1", "remember", '{"key": "k"}'), wire=wire)
    context = {"secret-key": "secret-value"}

    def remember(key: str, context: dict[str, Any]) -> str:
        context[key] = len(context)
        return "noted"

    await run(server, remember, wire=wire, context=context)
    assert context == {"secret-key": "secret-value", "k": 1}
    assert sent(server) == [("c1", "noted")]
    assert not any(
        b"secret" in request.body or b"context" in request.body
        for request in server.requests
    )


async def test_without_a_context_tools_get_an_empty_dict_of_their_own_run(
    server: Loopback,
) -> None:
    """A run that was given no context hands over an empty dict, and no run sees what another put in."""

    def remember(context: dict[str, Any]) -> str:
        context["seen"] = True
        return str(len(context))

    agent = CHAT.agent(server, tools=[remember])
    for _ in range(2):
        ask(server, ("c1", "remember", "{}"))
        chunks, _ = await read(agent)
        assert [result.content for result in results(chunks)] == ["1"]


def number(value: int) -> str:
    return str(value)


def broken(value: int) -> str:
    return str({}["the key"])


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("broken", '{"value": 1}', "The tool 'broken' failed: KeyError: 'the key'."),
        ("number", '{"value": ', "not a JSON object: Expecting value"),
        ("number", "[1]", "not a JSON object: it is list"),
        ("number", '{"value": "many"}', "value: Input should be a valid integer"),
        ("number", "", "value: Field required"),
        ("missing", "{}", "There is no tool 'missing'. The tools are: number, broken."),
    ],
    ids=[
        "exception",
        "bad json",
        "no object",
        "wrong type",
        "no arguments",
        "unknown tool",
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(
    server: Loopback, name: str, arguments: str, told: str
) -> None:
    """A failed call is a short error result without a traceback, the next request holds it, and the run goes on."""
    ask(server, ("c1", name, arguments))
    chunks, response = await run(server, number, broken)
    (result,) = results(chunks)
    assert result.is_error and told in result.content and len(result.content) < 200
    assert not any(
        word in result.content for word in ("Traceback", "http", ".py", "\n")
    )
    assert (result.id, result.name) == ("c1", name) and sent(server) == [
        ("c1", result.content)
    ]
    assert response.content == "Done" and response.finish_reason == "stop"
    assert response.metadata["tool_calls"][0]["is_error"] is True


async def test_a_failed_call_leaves_the_others_alone(server: Loopback) -> None:
    """Beside a call that fails, the turn's other calls end with their own results."""
    ask(server, ("c1", "broken", '{"value": 1}'), ("c2", "number", '{"value": 2}'))
    _, response = await run(server, number, broken)
    outcomes = [
        (call.result.is_error, call.result.content)
        for call in response.tool_calls
        if call.result
    ]
    assert len(outcomes) == 2 and outcomes[0][0] and outcomes[1] == (False, "2")


# Time-outs


async def sleep_long() -> None:
    await asyncio.sleep(LONG)


def assert_timed_out(result: ToolResult) -> None:
    assert (
        result.is_error
        and result.content == f"The tool 'sleep' did not end within {SHORT} seconds."
    )
    assert SHORT <= result.duration < LONG / 2


async def test_a_tool_may_have_its_own_time_out(server: Loopback) -> None:
    """A tool that takes longer than its `timeout` is cancelled, and the model is told so."""
    assert_timed_out(await one(server, tool(name="sleep", timeout=SHORT)(sleep_long)))


async def test_the_agents_tool_time_out_holds_for_all_tools(server: Loopback) -> None:
    """`Timeout(tool=...)` limits a tool that has no time-out of its own."""
    assert_timed_out(
        await one(server, tool(name="sleep")(sleep_long), timeout=Timeout(tool=SHORT))
    )


async def test_a_tools_own_time_out_replaces_the_agents(server: Loopback) -> None:
    """A tool with a longer time-out of its own may take longer than the agent's."""

    @tool(timeout=LONG)
    async def nap() -> str:
        await asyncio.sleep(5 * SHORT)
        return "rested"

    assert (await one(server, nap, timeout=Timeout(tool=SHORT))).content == "rested"


async def test_a_tools_own_timeout_error_is_told_as_such(server: Loopback) -> None:
    """A TimeoutError that the tool raised itself is not reported as the limit set here."""

    @tool(timeout=LONG)
    async def fetch() -> None:
        raise TimeoutError("the printer is silent")

    assert (
        await one(server, fetch)
    ).content == "The tool 'fetch' failed: TimeoutError: the printer is silent."


# What ends the run


async def test_on_error_raise_ends_the_run_with_what_was_done(server: Loopback) -> None:
    """ToolError carries the cause and the partial response, cancels the other tools, and nothing more is asked."""
    calls = [
        (f"c{place}", name, "{}") for place, name in enumerate(["fine", "bad", "slow"])
    ]
    server.reply(Reply(CHAT.send.tool_calls(*calls, text="Let me see.")))
    cancelled: list[str] = []

    async def fine() -> str:
        return "fine"

    @tool(on_error="raise")
    async def bad() -> None:
        await asyncio.sleep(5 * SHORT)
        raise ZeroDivisionError("by zero")

    async def slow() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            cancelled.append("slow")
            raise

    async with CHAT.agent(server, tools=[fine, bad, slow]) as agent:
        error = await failure(agent.run_stream("Go"), ToolError)
        assert cancelled == ["slow"] and len(asyncio.all_tasks()) == 1
    assert "'bad'" in str(error) and isinstance(error.__cause__, ZeroDivisionError)
    partial = error.partial
    assert (
        partial is not None
        and partial.content == "Let me see."
        and partial.finish_reason is None
    )
    assert [call.result and call.result.content for call in partial.tool_calls] == [
        "fine",
        None,
        None,
    ]
    answered = [
        message.tool_call_id for message in partial.messages if message.role == "tool"
    ]
    assert answered == ["c0", "c1", "c2"] and len(server.requests) == 1


async def test_on_error_raise_covers_the_time_out(server: Loopback) -> None:
    """A time-out of a tool with `on_error="raise"` ends the run too."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "sleep", "{}"))))
    sleep = tool(name="sleep", timeout=SHORT, on_error="raise")(sleep_long)
    agent = CHAT.agent(server, tools=[sleep])
    error = await failure(agent.run_stream("Go"), ToolError)
    assert "did not end within" in str(error) and isinstance(
        error.__cause__, TimeoutError
    )


async def test_the_tools_of_the_last_step_run_before_max_steps_ends_the_run(
    server: Loopback,
) -> None:
    """With `max_steps=1` the calls are announced and run; then MaxStepsExceeded carries their results."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "number", '{"value": 7}'))))
    chunks: list[StreamChunk] = []

    with pytest.raises(MaxStepsExceeded) as caught:
        async with CHAT.agent(server, tools=[number], max_steps=1) as agent:
            async for chunk in agent.run_stream("Go"):
                chunks.append(chunk)
    assert [chunk.finish_reason for chunk in chunks[-2:]] == ["tool_calls", None]
    assert chunks[-1].tool_result is not None and chunks[-1].tool_result.content == "7"
    partial = caught.value.partial
    assert (
        partial is not None and partial.tool_calls[0].result == chunks[-1].tool_result
    )
    assert (partial.messages[-1].role, partial.messages[-1].content) == ("tool", "7")
    assert len(server.requests) == 1


class Worker:
    """A tool that never ends by itself, and one that ends as soon as the other has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def endless(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def quick(self) -> str:
        await self.begun.wait()
        return "quick"


async def test_no_tool_runs_after_a_break_at_their_announcement(
    server: Loopback,
) -> None:
    """The tool_calls chunk comes before any tool starts, so that leaving there starts none."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "act", "{}"))))
    acted: list[float] = []

    @tool(run_in_thread=False)
    def act() -> None:
        acted.append(time.monotonic())

    async with (
        CHAT.agent(server, tools=[act]) as agent,
        agent.run_stream("Go") as stream,
    ):
        async for chunk in stream:
            if chunk.finish_reason == "tool_calls":
                await asyncio.sleep(SHORT)
                break
    assert acted == [] and len(server.requests) == 1


# Ids


async def test_call_ids_that_the_server_left_out_are_made_up_once(
    server: Loopback,
) -> None:
    """A made-up id is the same in deltas, metadata, result and the next request, and no two calls share one."""
    first = [("", "number", '{"value": 1}'), ("", "number", '{"value": 2}')]
    server.reply(
        Reply(CHAT.send.tool_calls(*first)),
        Reply(CHAT.send.tool_calls(("", "number", '{"value": 3}'))),
    )
    server.reply(Reply(CHAT.send.text("Done")))
    chunks, response = await run(server, number)
    deltas = list(
        dict.fromkeys(
            chunk.tool_call.id for chunk in chunks if chunk.tool_call is not None
        )
    )
    assert len(deltas) == 3 and all(deltas)
    announced = [
        chunk.metadata["tool_calls"]
        for chunk in chunks
        if chunk.finish_reason == "tool_calls"
    ]
    assert [call["id"] for calls in announced for call in calls] == deltas
    assert {result.id: result.content for result in results(chunks)} == dict(
        zip(deltas, "123", strict=True)
    )
    assert sent(server, request=2) == list(zip(deltas, "123", strict=True))
    asked = [
        call["id"]
        for m in server.requests[2].json["messages"]
        for call in m.get("tool_calls", ())
    ]
    assert asked == deltas == [call.id for call in response.tool_calls]
