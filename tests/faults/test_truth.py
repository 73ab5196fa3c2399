"""A stream tells the truth: whole or broken off, stopped or not, and never one for the other."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from conftest import WIRES, Wire, sdk_wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.loopback import Loopback, Recorded, Reply
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    ollama_chat,
    openai_responses,
)

from cogent import Agent, ModelError, StreamChunk, StreamInterrupted, tool
from cogent.stream import AgentStream

JSON = "application/json"
PROMPT = 30.0  # seconds after which something hangs; a server sees in milliseconds that its client has left
FOREVER = 600.0  # seconds that no test waits for

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
few = settings(
    deadline=None,
    max_examples=6,  # for each of eight wires
    database=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture
    ],  # `wire` is the same value for all examples
)

wire = sdk_wire
ends = st.sampled_from(["clean", "close", "reset"])

RAN: list[str] = []


@tool
def search(query: str = "nothing") -> str:
    """Search."""
    RAN.append(query)
    return f"Found {query}."


# Letters of two, three and four bytes, and one that some line readers take for the end of a line.
TEXT = ("Grüße, ", "日本", "\u2028\n\n", "data: {}", "😀!")
CALLS = (
    ("c1", "search", '{"query": "Grüße"}'),
    ("c2", "search", '{"query": "[DONE]\\n"}'),
)
KINDS = {
    "text": lambda send: send.text(*TEXT, cached=3, reasoning_tokens=2),
    "calls": lambda send: send.tool_calls(*CALLS, text="Let me see.", interleaved=True),
    "reasoning": lambda send: send.reasoning("Hm… 日本.", "Grüße."),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def _events(send: Any, kind: str) -> list[bytes]:
    return KINDS[kind](send)


@dataclass
class Outcome:
    """What a run gave: its chunks, its error if there was one, and its stream."""

    stream: AgentStream
    chunks: list[StreamChunk] = field(default_factory=list)
    error: Any = None

    @property
    def text(self) -> str:
        return "".join(chunk.content for chunk in self.chunks)

    @property
    def kinds(self) -> set[str | None]:
        return {chunk.finish_reason for chunk in self.chunks}


async def _attempt(agent: Agent) -> Outcome:
    outcome = Outcome(agent.run_stream("Hi"))
    try:
        async for chunk in outcome.stream:
            outcome.chunks.append(chunk)
    except ModelError as error:
        outcome.error = error
    return outcome


@dataclass
class Bed:
    """A server, a loop and agents that many examples share, because making a client takes long."""

    server: Loopback
    runner: asyncio.Runner
    agents: dict[str, Agent]

    def attempt(self, wire: Wire, *replies: Reply) -> Outcome:
        RAN.clear()
        self.server.requests.clear()
        self.server.reply(*replies)
        return self.runner.run(_attempt(self.agents[wire.name]))


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with Loopback() as loopback, asyncio.Runner() as runner:
        agents = {wire.name: wire.agent(loopback, tools=[search]) for wire in WIRES}
        yield Bed(loopback, runner, agents)
        for agent in agents.values():
            runner.run(agent.aclose())


# The bytes


def _told(outcome: Outcome) -> list[dict[str, Any]]:
    """The chunks without what differs from run to run."""
    told = [chunk.to_dict() for chunk in outcome.chunks]
    for data in told:
        metadata = data["metadata"] or {}
        for timed in [
            metadata,
            data.get("tool_result", {}),
            *metadata.get("tool_calls", ()),
        ]:
            timed.pop("duration", None)
        metadata.pop("time_to_first_token", None)
    # Tools run side by side and may end in either order.
    return sorted(told, key=lambda data: str(data.get("tool_result", "")))


def _replies(wire: Wire, kind: str, **how: Any) -> list[Reply]:
    first = Reply(_events(wire.send, kind), **how)
    return [first, Reply(wire.send.text("Done."))] if kind == "calls" else [first]


@every_kind
@given(data=st.data())
@few
def test_where_the_bytes_are_split_makes_no_difference(
    bed: Bed, wire: Wire, kind: str, data: st.DataObject
) -> None:
    """However the network cuts the bytes, inside letters too, the chunks are the same."""
    size = len(b"".join(_events(wire.send, kind)))
    cuts = st.lists(st.integers(1, size - 1), unique=True, max_size=40).map(sorted)
    split = data.draw(st.sampled_from([1, 2, 3, 7]) | cuts, label="split")
    expected = bed.attempt(wire, *_replies(wire, kind))
    outcome = bed.attempt(wire, *_replies(wire, kind, split=split))
    assert outcome.error is None
    assert outcome.chunks[-1].is_final
    assert _told(outcome) == _told(expected)


def test_the_chunks_are_what_was_sent(bed: Bed, wire: Wire) -> None:
    """Each delta of the wire is one chunk with exactly its text, and the calls hold exactly their arguments."""
    outcome = bed.attempt(wire, *_replies(wire, "text"))
    assert tuple(chunk.content for chunk in outcome.chunks[:-1]) == TEXT
    assert outcome.chunks[-1].metadata["tokens"]["total_tokens"] == 18
    outcome = bed.attempt(wire, *_replies(wire, "calls"))
    assert sorted(RAN) == ["Grüße", "[DONE]\n"]
    assert outcome.text == "Let me see.Done."
    outcome = bed.attempt(wire, *_replies(wire, "reasoning"))
    assert "".join(chunk.reasoning for chunk in outcome.chunks) == "Hm… 日本."


# What a stream may lack at its end and be whole: so many events after the one that says why it ended, and the line ends
# of the last event that came, so many bytes.
MAY_LACK = {
    openai_responses: (0, 2),
    chat_completions: (2, 2),
    anthropic_messages: (1, 2),
    gemini_generate: (0, 4),
    ollama_chat: (0, 1),
}


def _whole(wire: Wire, kind: str) -> list[int]:
    """The sizes at which a stream can end and be whole, but for its own."""
    events, (missing, bytes_missing) = _events(wire.send, kind), MAY_LACK[wire.send]
    size = len(b"".join(events))
    ends_of_events = [
        len(b"".join(events[: len(events) - count])) for count in range(missing + 1)
    ]
    return [
        cut
        for end in ends_of_events
        for cut in range(end - bytes_missing, end + 1)
        if cut < size
    ]


def _cuts(wire: Wire, kind: str, end: str) -> st.SearchStrategy[int]:
    """Sizes to cut a stream to, often close to the end of an event."""
    events, whole = _events(wire.send, kind), _whole(wire, kind)
    size = len(b"".join(events))
    near = {
        len(b"".join(events[:place])) + off
        for place in range(len(events) + 1)
        for off in (-2, -1, 0, 1)
    }
    cuts = st.sampled_from(
        sorted(cut for cut in near if 0 <= cut < size)
    ) | st.integers(0, size - 1)
    # Where the connection itself says that bytes are missing, nothing makes a stream whole.
    return cuts.filter(lambda cut: end != "clean" or cut not in whole)


@every_kind
@given(data=st.data(), end=ends)
@few
def test_a_stream_that_is_cut_is_never_whole(
    bed: Bed, wire: Wire, kind: str, data: st.DataObject, end: Any
) -> None:
    """A stream that breaks off anywhere gives no final chunk, runs no tool and raises with the text so far."""
    cut = data.draw(_cuts(wire, kind, end), label="cut")
    outcome = bed.attempt(wire, Reply(_events(wire.send, kind), truncate=cut, end=end))
    assert isinstance(outcome.error, ModelError)
    assert (
        outcome.error.partial.content == outcome.stream.response.content == outcome.text
    )
    assert outcome.error.partial.finish_reason is None
    assert (outcome.kinds - {None}, RAN, len(bed.server.requests)) == (set(), [], 1)
    assert not any(chunk.is_final for chunk in outcome.chunks)


def test_a_stream_that_is_cut_near_its_end_is_never_whole(bed: Bed, wire: Wire) -> None:
    """A cut inside one of the last events is seen, though the finish reason may have come before."""
    events, whole = _events(wire.send, "calls"), _whole(wire, "calls")
    edges = [
        len(b"".join(events[:place]))
        for place in range(len(events) - 3, len(events) + 1)
    ]
    for cut in {edge + off for edge in edges for off in (-5, -1, 1)} - {
        *whole,
        edges[-1] + 1,
    }:
        outcome = bed.attempt(wire, Reply(events, truncate=cut))
        assert isinstance(outcome.error, ModelError), cut
        assert (RAN, outcome.chunks[-1].is_final) == ([], False)


lacking = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


@lacking
@every_kind
def test_a_stream_may_lack_what_follows_its_end(
    bed: Bed, wire: Wire, kind: str
) -> None:
    """A stream that ends between two events after its finish reason is whole, usage and [DONE] or not."""
    for cut in _whole(wire, kind):
        outcome = bed.attempt(wire, *_replies(wire, kind, truncate=cut))
        assert outcome.error is None, cut
        assert (
            outcome.chunks[-1].is_final and outcome.chunks[-1].finish_reason == "stop"
        )


@lacking
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_stream_that_is_lost_after_its_finish_reason(
    bed: Bed, wire: Wire, end: Any
) -> None:
    """Where the connection itself says that bytes are missing, the finish reason alone does not make a stream whole."""
    for cut in _whole(wire, "calls"):
        outcome = bed.attempt(
            wire, Reply(_events(wire.send, "calls"), truncate=cut, end=end)
        )
        assert isinstance(outcome.error, StreamInterrupted), cut
        assert RAN == []


@every_kind
@given(data=st.data(), end=ends)
@few
def test_a_plain_answer_that_is_cut_is_never_whole(
    bed: Bed, wire: Wire, kind: str, data: st.DataObject, end: Any
) -> None:
    """A plain answer that breaks off is an error, and no tool runs."""
    bodies = {
        "text": wire.send.plain_text("Hi."),
        "calls": wire.send.plain_tool_calls(*CALLS),
    }
    body = bodies.get(kind) or wire.send.plain_reasoning("Hm.", "Hi.")
    reply = Reply(
        body,
        content_type=JSON,
        truncate=data.draw(st.integers(0, len(body) - 1), label="cut"),
        end=end,
    )
    RAN.clear()
    bed.server.reply(reply)
    with pytest.raises(ModelError):
        bed.runner.run(bed.agents[wire.name].run("Hi"))
    assert RAN == []


@both_ways
@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_no_tool_runs_from_a_turn_that_was_limited(
    server: Loopback, wire: Wire, streaming: bool, finish: Any
) -> None:
    """Complete calls in a turn that was cut or filtered are listed as not executed, and the run ends there."""
    options = {"text": "Let me see.", "finish": finish}
    make = wire.send.tool_calls if streaming else wire.send.plain_tool_calls
    server.reply(
        Reply(
            make(*CALLS, **options),
            content_type="text/event-stream" if streaming else JSON,
        )
    )
    RAN.clear()
    response = await wire.agent(server, stream=streaming, tools=[search]).run("Hi")
    assert (response.finish_reason, response.content) == (finish, "Let me see.")
    listed = response.metadata["tool_calls"]
    assert [(call["name"], call["executed"]) for call in listed] == [
        ("search", False)
    ] * 2
    assert wire.bare or [call["id"] for call in listed] == ["c1", "c2"]
    assert "result" not in listed[0]
    assert (RAN, len(server.requests)) == ([], 1)
    assert not any(message.tool_calls for message in response.messages), (
        "a call without a result invalidates a history"
    )


async def test_strict_end_off_accepts_a_stream_without_an_end(
    server: Loopback, wire: Wire
) -> None:
    """A server that never says that its answer is complete can be used, with estimated tokens."""
    events = _events(wire.send, "text")
    size = _after(events, "😀!")
    server.reply(Reply(events, truncate=size))
    outcome = await _attempt(wire.agent(server, model={"strict_end": False}))
    assert outcome.error is None
    last = outcome.chunks[-1]
    assert (outcome.text, last.finish_reason, last.is_final) == (
        "".join(TEXT),
        "stop",
        True,
    )
    assert last.metadata["raw_finish_reason"] is None
    assert last.metadata["tokens"]["estimated"]


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_strict_end_off_accepts_no_broken_connection(
    server: Loopback, wire: Wire, end: Any
) -> None:
    """A connection that breaks is an error all the same."""
    events = _events(wire.send, "text")
    server.reply(Reply(events, truncate=_after(events, "😀!"), end=end))
    outcome = await _attempt(wire.agent(server, model={"strict_end": False}))
    assert isinstance(outcome.error, StreamInterrupted)
    assert outcome.error.partial.content == "".join(TEXT)


def _after(events: list[bytes], mark: str) -> int:
    """Where the first event that holds the mark ends."""
    place = next(place for place, event in enumerate(events) if mark.encode() in event)
    return len(b"".join(events[: place + 1]))


# Stopping


def _begun(wire: Wire, *deltas: str) -> list[bytes]:
    """The events of an answer up to and with these deltas."""
    events, last = wire.send.text(*deltas), json.dumps(deltas[-1]).encode()
    return events[
        : 1 + next(place for place, event in enumerate(events) if last in event)
    ]


Consumer = Callable[[AgentStream, list[str]], Awaitable[None]]


async def _until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, in vain at most as long as everything here may take."""
    deadline = time.monotonic() + PROMPT
    for _ in iter(condition, True):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _left(request: Recorded) -> bool:
    """Whether the server sees in time that the client has left."""
    return await asyncio.to_thread(request.wait_disconnected, PROMPT)


async def _no_task_is_left() -> None:
    await _until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def _break_and_drop(stream: AgentStream, seen: list[str]) -> None:
    async for chunk in stream:
        seen.append(chunk.content)
        break


async def _break_in_a_block(stream: AgentStream, seen: list[str]) -> None:
    async with stream:
        async for chunk in stream:
            seen.append(chunk.content)
            break


async def _raise_in_the_loop(stream: AgentStream, seen: list[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        async for chunk in stream:
            seen.append(chunk.content)
            raise ZeroDivisionError


async def _close_twice(stream: AgentStream, seen: list[str]) -> None:
    async for chunk in stream:
        seen.append(chunk.content)
        await stream.aclose()
        await stream.aclose()


async def _cancel_in_the_loop(stream: AgentStream, seen: list[str]) -> None:
    async for chunk in stream:
        seen.append(chunk.content)
        stream.cancel()


async def _timeout_of_the_caller(stream: AgentStream, seen: list[str]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            async for chunk in stream:
                seen.append(chunk.content)
                if len(seen) == 1:
                    limit.reschedule(asyncio.get_running_loop().time() + 0.15)


async def _stop_from_outside(
    stream: AgentStream, seen: list[str], stop: Callable[[asyncio.Task[None]], Any]
) -> None:
    """Stop while another task consumes, once it has seen something; that task must end by itself."""

    async def consume() -> None:
        async for chunk in stream:
            seen.append(chunk.content)

    task = asyncio.create_task(consume())
    await _until(lambda: bool(seen))
    stopped = stop(task)
    if stopped is not None:
        await stopped
    await asyncio.wait([task], timeout=PROMPT)
    assert task.done()
    if not task.cancelled():
        task.result()


async def _close_from_another_task(stream: AgentStream, seen: list[str]) -> None:
    await _stop_from_outside(stream, seen, lambda task: stream.aclose())


async def _close_beside(stream: AgentStream, seen: list[str]) -> None:
    """Close it while another task waits for more, and leave that task to itself."""
    chunk = await anext(stream)
    waiting = asyncio.create_task(_consume(stream))
    await _until(lambda: stream.response.content != chunk.content)
    await stream.aclose()
    waiting.cancel()


async def _cancel_from_another_task(stream: AgentStream, seen: list[str]) -> None:
    await _stop_from_outside(stream, seen, lambda task: stream.cancel())


async def _cancel_from_another_thread(stream: AgentStream, seen: list[str]) -> None:
    await _stop_from_outside(
        stream, seen, lambda task: threading.Thread(target=stream.cancel).start()
    )


async def _cancel_the_task(stream: AgentStream, seen: list[str]) -> None:
    tasks = []

    def cancel(task: asyncio.Task[None]) -> None:
        tasks.append(task)
        task.cancel()

    await _stop_from_outside(stream, seen, cancel)
    assert tasks[0].cancelled(), (
        "a cancellation of the caller's own task is never swallowed"
    )


STOPS: dict[str, Consumer] = {
    "break and drop": _break_and_drop,
    "break in a block": _break_in_a_block,
    "an exception in the loop": _raise_in_the_loop,
    "aclose twice": _close_twice,
    "cancel in the loop": _cancel_in_the_loop,
    "a time-out of the caller": _timeout_of_the_caller,
    "aclose from another task": _close_from_another_task,
    "cancel from another task": _cancel_from_another_task,
    "cancel from another thread": _cancel_from_another_thread,
    "cancel of the task": _cancel_the_task,
}


@pytest.mark.parametrize("how", ["text", "stall"])
@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
async def test_stopping_closes_the_connection_at_once(
    server: Loopback, wire: Wire, stop: Consumer, how: str
) -> None:
    """However a run is stopped, the server sees it promptly, no task stays, and the response is what came so far."""
    events = _begun(wire, "Hel", "lo")
    pieces = [b"".join(events[:-1]), events[-1]]
    server.reply(
        Reply(pieces, forever=True)
        if how == "text"
        else Reply(pieces, pause=0.05, end="stall")
    )
    stream, seen = wire.agent(server).run_stream("Hi"), []
    # The stream itself must be dropped, because leaving a loop closes only what nobody holds.
    run_so_far = stream._run
    consuming = stop(stream, seen)
    del stream
    await consuming
    del consuming
    assert await _left(server.requests[0])
    await _no_task_is_left()
    response = run_so_far.response()
    assert seen[0] == "Hel"
    assert response.content == "".join(seen)
    assert response.finish_reason is None
    assert response.metadata["tokens"]["estimated"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "stop",
    [_close_twice, _break_in_a_block, _close_beside],
    ids=["aclose", "a block", "another task"],
)
async def test_aclose_returns_when_the_connection_is_closed(
    server: Loopback, wire: Wire, stop: Consumer
) -> None:
    """When `aclose()` or the end of the block returns, the closing is done and not only begun."""
    server.reply(Reply(_begun(wire, "Hel", "lo"), forever=True))
    stream = wire.agent(server).run_stream("Hi")
    await stop(stream, [])

    assert server.requests[0].wait_disconnected(PROMPT)


async def test_a_stream_that_was_stopped_just_ends(
    server: Loopback, wire: Wire
) -> None:
    """After a cancel the iteration ends without an error or a final chunk, as often as it is asked."""
    server.reply(Reply(_begun(wire, "Hel", "lo"), forever=True))
    stream = wire.agent(server).run_stream("Hi")
    first = await anext(stream)
    stream.cancel()
    rest = [chunk async for chunk in stream] + [chunk async for chunk in stream]
    await stream.aclose()
    assert stream.response.finish_reason is None
    chunks = [first, *rest]
    assert [chunk.content for chunk in chunks] == ["Hel"]


@pytest.mark.parametrize("from_task", [False, True], ids=["same task", "another task"])
async def test_cancel_holds_for_what_has_already_arrived(
    server: Loopback, wire: Wire, from_task: bool
) -> None:
    """A cancel between two chunks ends the run even when the whole answer has already come in."""
    server.reply(Reply(b"".join(wire.send.text("Hel", "lo", "!"))))

    async def cancel(stream: AgentStream) -> None:
        stream.cancel()

    stream = wire.agent(server).run_stream("Hi")
    seen = []
    async for chunk in stream:
        seen.append(chunk.content)
        if from_task:
            await asyncio.create_task(cancel(stream))
        else:
            stream.cancel()
    assert (seen, stream.response.finish_reason) == (["Hel"], None)


@pytest.mark.parametrize("stop", ["cancel", "aclose", "aclose in a block"])
async def test_stopping_before_the_first_chunk_sends_nothing(
    server: Loopback, wire: Wire, stop: str
) -> None:
    """A run that is stopped before it began sends no request and is an empty iteration."""
    stream = wire.agent(server).run_stream("Hi")
    if stop == "cancel":
        stream.cancel()
    elif stop == "aclose":
        await stream.aclose()
    else:
        async with stream:
            pass

    assert [chunk async for chunk in stream] == []
    assert server.requests == []


@pytest.mark.parametrize("stop", ["cancel", "aclose"])
async def test_stopping_while_the_first_chunk_is_awaited(
    server: Loopback, wire: Wire, stop: str
) -> None:
    """A run that is stopped while the server still thinks ends at once and empty."""
    server.reply(Reply(delay=FOREVER))
    stream = wire.agent(server).run_stream("Hi")

    async def consume() -> list[StreamChunk]:
        return [chunk async for chunk in stream]

    task = asyncio.create_task(consume())
    await _until(lambda: bool(server.requests))
    if stop == "cancel":
        stream.cancel()
    else:
        await stream.aclose()
    chunks = await asyncio.wait_for(task, PROMPT)
    assert await _left(server.requests[0])
    await _no_task_is_left()

    assert chunks == []


@pytest.mark.parametrize("order", ["stream first", "task first"])
@pytest.mark.parametrize("stop", ["cancel", "aclose"])
async def test_a_cancelled_task_stays_cancelled(
    server: Loopback, wire: Wire, stop: str, order: str
) -> None:
    """A task that is cancelled in the moment in which its stream is stopped ends as cancelled."""
    server.reply(Reply(_begun(wire, "Hel", "lo"), end="stall"))
    stream, seen = wire.agent(server).run_stream("Hi"), []

    async def consume() -> None:
        async for chunk in stream:
            seen.append(chunk.content)

    task = asyncio.create_task(consume())
    await _until(lambda: len(seen) == 2)
    if order == "task first":
        task.cancel()
    closing = (
        asyncio.create_task(stream.aclose()) if stop == "aclose" else stream.cancel()
    )
    if order == "stream first":
        task.cancel()
    await asyncio.wait([task, *([closing] if closing else [])], timeout=PROMPT)
    assert await _left(server.requests[0])
    await _no_task_is_left()

    assert task.cancelled()


@asynccontextmanager
async def _endless_tool(ended: list[str]) -> AsyncIterator[tuple[Any, asyncio.Event]]:
    started = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait for ever."""
        started.set()
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "never"

    yield wait, started


@pytest.mark.parametrize("stop", ["cancel", "aclose"])
async def test_stopping_cancels_tools_that_still_run(
    server: Loopback, wire: Wire, stop: str
) -> None:
    """A run that is stopped while a tool works cancels the tool, and its call is listed as not executed."""
    server.reply(Reply(wire.send.tool_calls(("c1", "wait", "{}"))))
    ended: list[str] = []
    async with _endless_tool(ended) as (wait, started):
        stream = wire.agent(server, tools=[wait]).run_stream("Hi")
        task = asyncio.create_task(_consume(stream))
        await asyncio.wait_for(started.wait(), PROMPT)
        stopped = stream.cancel() if stop == "cancel" else await stream.aclose()
        assert stopped is None
        await asyncio.wait_for(task, PROMPT)
        await _no_task_is_left()
        response = stream.response
    assert ended == ["cancelled"]
    assert [call["executed"] for call in response.metadata["tool_calls"]] == [False]
    assert [message.role for message in response.messages] == [
        "user",
        "assistant",
        "tool",
    ]
    assert (response.messages[-1].is_error, response.finish_reason) == (True, None)


async def _consume(stream: AgentStream) -> None:
    async for _ in stream:
        pass


async def test_stopping_after_the_end_changes_nothing(
    server: Loopback, wire: Wire
) -> None:
    """A run that has ended keeps its response, whatever is closed or cancelled afterwards."""
    server.reply(Reply(wire.send.text("Hello")))
    stream = wire.agent(server).run_stream("Hi")
    await _consume(stream)
    stream.cancel()
    await stream.aclose()
    await _no_task_is_left()
    assert (stream.response.content, stream.response.finish_reason) == ("Hello", "stop")
    assert "estimated" not in stream.response.metadata["tokens"]
