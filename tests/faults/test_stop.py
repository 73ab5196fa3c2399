"""Stopping: `soak/stop.py` plays each cell of its matrix, here once; there it is measured."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest
from conftest import Wire, each_sdk
from soak import stop
from support.loopback import Reply

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
