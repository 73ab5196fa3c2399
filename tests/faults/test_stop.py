"""Stopping: `soak/stop.py` plays each cell of its matrix, here once; there it is measured."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest
from conftest import Wire, each_sdk
from soak import stop
from support.loopback import Loopback, Reply
from support.waiting import PROMPT_SECONDS, left, no_task_is_left, until

from cogent import StreamChunk
from cogent.stream import AgentStream


@pytest.fixture(scope="module")
def stage() -> Iterator[stop.Stage]:
    """The servers and the event loop that all cells share."""
    with stop.Stage() as running:
        yield running


@each_sdk
@pytest.mark.parametrize(("way", "moment"), stop.PAIRS, ids=map(" - ".join, stop.PAIRS))
def test_a_stop_reaches_the_server_and_leaves_nothing(
    stage: stop.Stage, wire: Wire, way: str, moment: str
) -> None:
    """The server sees it, tools are cancelled, the response has what came, and no task, socket or warning is left."""
    assert stage.play(wire, way, moment).faults == []


async def leave_block(stream: AgentStream) -> None:
    async with stream:
        await anext(stream)


async def drop(stream: AgentStream) -> None:
    async for _ in stream:
        break


async def lose(stream: AgentStream) -> None:
    await anext(stream)
    circle: list[object] = [stream]
    circle.append(circle)


HELD: list[AgentStream] = []


async def hold(stream: AgentStream) -> None:
    await anext(stream)
    HELD[:] = [stream]


@pytest.mark.parametrize(
    "leave", [leave_block, drop, lose, hold], ids=lambda leave: leave.__name__
)
@pytest.mark.parametrize("reply", [stop.silence, stop.flood], ids=["silence", "text"])
def test_a_stop_may_be_the_last_thing_in_a_loop(
    stage: stop.Stage,
    wire: Wire,
    reply: stop.Answer,
    leave: Callable[[AgentStream], Awaitable[None]],
) -> None:
    """A run that is left, or still held, when its loop ends is closed like any other, without a complaint."""
    stage.server.begin(reply(wire))
    with asyncio.Runner() as runner, stop.complaints(runner.get_loop()) as told:
        runner.run(leave(wire.agent(stage.server).run_stream("Go")))
        runner.close()
        assert stage.server.requests[0].wait_disconnected(stop.PATIENCE)
    assert told == []


def test_a_stream_that_is_lost_in_a_circle_is_closed_by_the_garbage_collector(
    stage: stop.Stage, wire: Wire
) -> None:
    """A stream that only a circle of references holds is closed when that is collected, without a complaint."""
    stage.server.begin(stop.silence(wire))

    async def main() -> None:
        agent = wire.agent(stage.server)
        await lose(agent.run_stream("Go"))
        gc.collect()
        assert await stop.until(lambda: stage.server.requests[0].disconnected)

    with asyncio.Runner() as runner, stop.complaints(runner.get_loop()) as told:
        runner.run(main())
        runner.close()
    assert told == []


async def test_a_question_that_was_sent_is_counted(
    stage: stop.Stage, wire: Wire
) -> None:
    """A run that is stopped before its answer began tells by an estimate what the model has read."""
    stage.server.begin(Reply(delay=stop.FOREVER))
    async with wire.agent(stage.server) as agent:
        stream = agent.run_stream("Go on and on.")
        waiting = asyncio.create_task(chunks(stream))
        await stop.until(lambda: stage.server.requests)
        stream.cancel()
        assert await waiting == []
        tokens = stream.response.metadata["tokens"]
    assert tokens["input_tokens"] and tokens["estimated"] is True


async def chunks(stream: AgentStream) -> list[StreamChunk]:
    return [chunk async for chunk in stream]


# What the matrix has not


def begun(wire: Wire, *deltas: str) -> list[bytes]:
    """The events of an answer up to and with these deltas."""
    events, last = wire.send.text(*deltas), json.dumps(deltas[-1]).encode()
    return events[
        : 1 + next(place for place, event in enumerate(events) if last in event)
    ]


@each_sdk
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


@each_sdk
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


@each_sdk
@pytest.mark.parametrize("order", ["stream first", "task first"])
@pytest.mark.parametrize("stop", ["cancel", "aclose"])
async def test_a_cancelled_task_stays_cancelled(
    server: Loopback, wire: Wire, stop: str, order: str
) -> None:
    """A task that is cancelled in the moment in which its stream is stopped ends as cancelled."""
    server.reply(Reply(begun(wire, "Hel", "lo"), end="stall"))
    stream, seen = wire.agent(server).run_stream("Hi"), []

    async def consume() -> None:
        async for chunk in stream:
            seen.append(chunk.content)

    task = asyncio.create_task(consume())
    await until(lambda: len(seen) == 2)
    if order == "task first":
        task.cancel()
    closing = (
        asyncio.create_task(stream.aclose()) if stop == "aclose" else stream.cancel()
    )
    if order == "stream first":
        task.cancel()
    await asyncio.wait([task, *([closing] if closing else [])], timeout=PROMPT_SECONDS)
    assert await left(server.requests[0])
    await no_task_is_left()

    assert task.cancelled()


@each_sdk
async def test_stopping_after_the_end_changes_nothing(
    server: Loopback, wire: Wire
) -> None:
    """A run that has ended keeps its response, whatever is closed or cancelled afterwards."""
    server.reply(Reply(wire.send.text("Hello")))
    stream = wire.agent(server).run_stream("Hi")
    async for _ in stream:
        pass
    stream.cancel()
    await stream.aclose()
    await no_task_is_left()
    assert (stream.response.content, stream.response.finish_reason) == ("Hello", "stop")
    assert "estimated" not in stream.response.metadata["tokens"]
