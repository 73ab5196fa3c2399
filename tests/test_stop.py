"""Stopping: `proof/stop.py` plays each cell of its matrix, here once; there it is measured."""

import asyncio
from collections.abc import Iterator

import pytest
from conftest import Wire
from proof import stop
from support.loopback import Reply

from cogent import StreamChunk
from cogent.stream import AgentStream


@pytest.fixture(scope="module")
def stage() -> Iterator[stop.Stage]:
    """The servers and the event loop that all cells share."""
    with stop.Stage() as running:
        yield running


@pytest.mark.parametrize(("way", "moment"), stop.PAIRS, ids=map(" - ".join, stop.PAIRS))
def test_a_stop_reaches_the_server_and_leaves_nothing(stage: stop.Stage, wire: Wire, way: str, moment: str) -> None:
    """The server sees it, tools are cancelled, the response has what came, and no task, socket or warning is left."""
    assert stage.play(wire, way, moment).faults == []


@pytest.mark.parametrize("reply", [stop.silence, stop.flood], ids=["silence", "text"])
def test_a_stop_may_be_the_last_thing_in_a_loop(stage: stop.Stage, wire: Wire, reply: stop.Answer) -> None:
    """A run that is left right before its loop ends is closed like any other, and the loop finds nothing to tell."""
    stage.server.begin(reply(wire))

    async def main() -> None:
        stream = wire.agent(stage.server).run_stream("Go")
        async with stream:
            await anext(stream)

    with asyncio.Runner() as runner, stop.complaints(runner.get_loop()) as told:
        runner.run(main())
        runner.close()
        assert stage.server.requests[0].wait_disconnected(stop.PATIENCE)
    assert told == []


def test_a_question_that_was_sent_is_counted(stage: stop.Stage, wire: Wire) -> None:
    """A run that is stopped before its answer began tells by an estimate what the model has read."""
    stage.server.begin(Reply(delay=stop.FOREVER))

    async def main() -> dict[str, object]:
        async with wire.agent(stage.server) as agent:
            stream = agent.run_stream("Go on and on.")
            waiting = asyncio.create_task(chunks(stream))
            await stop.until(lambda: stage.server.requests)
            stream.cancel()
            assert await waiting == []
            return stream.response.metadata["tokens"]

    tokens = asyncio.run(main())
    assert tokens["input_tokens"] and tokens["estimated"] is True


async def chunks(stream: AgentStream) -> list[StreamChunk]:
    return [chunk async for chunk in stream]
