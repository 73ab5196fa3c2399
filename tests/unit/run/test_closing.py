"""Stopping a run from outside: a run of a few lines under a StreamCloser, on a real event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable

import pytest

from cogent import Timeout
from cogent.run.closing import Stop, StreamCloser
from cogent.run.deadlines import Limit, Phase

SOON = 0.01


class Scene:
    """A run that gives 1, then waits for `gate` before it gives 2, and what became of it."""

    def __init__(self, limits: Timeout | None = None, swallows: int = 0) -> None:
        self.closer = StreamCloser(limits or Timeout())
        self.gate = asyncio.Event()
        self.swallows = (
            swallows  # cancellations that a library inside takes for its own
        )
        self.was_closed = False
        self.chunks = self._run()
        self.closer.attach(self.chunks)

    async def _run(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
            self.closer.expect(Phase.FIRST_CONTENT)
            await self._wait()
            yield 2
        except asyncio.CancelledError:
            if not self.closer.take_back_cancellation():
                raise
        finally:
            self.was_closed = True
            self.closer.finished()

    async def _wait(self) -> None:
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                if not self.swallows:
                    raise
                self.swallows -= 1
                task = asyncio.current_task()
                assert task is not None
                task.uncancel()

    async def read(self) -> int | None:
        """The next chunk, or None at the end."""
        self.closer.waiting(asyncio.current_task())
        chunk = await anext(self.chunks, None)
        self.closer.yielding()
        return chunk

    async def closed(self) -> None:
        """Wait until the closing task is done."""
        assert self.closer.closing is not None
        await self.closer.closing


async def test_a_run_that_nobody_stops_goes_to_its_end() -> None:
    """Without a stop all chunks come, and the closing task ends with the run."""
    scene = Scene()
    scene.gate.set()
    assert [await scene.read() for _ in range(3)] == [1, 2, None]
    await scene.closed()
    assert scene.closer.reason is None and not scene.closer.open


async def test_a_stop_while_the_reader_waits_ends_the_wait() -> None:
    """The task that waits inside gets no chunk, and is not cancelled itself."""
    scene = Scene()
    await scene.read()
    task = asyncio.create_task(scene.read())
    await asyncio.sleep(SOON)
    scene.closer.request_stop(Stop.REQUESTED)
    assert await task is None
    assert scene.was_closed and task.cancelling() == 0
    await scene.closed()


@pytest.mark.parametrize("swallows", [1, 3])
async def test_a_cancellation_that_is_swallowed_is_sent_again(swallows: int) -> None:
    """A library inside the run may take a cancellation for its own: the stop comes again until the run ends."""
    scene = Scene(swallows=swallows)
    await scene.read()
    task = asyncio.create_task(scene.read())
    await asyncio.sleep(SOON)
    scene.closer.request_stop(Stop.REQUESTED)
    done, _ = await asyncio.wait([task], timeout=30)
    assert done and scene.was_closed


async def test_a_stop_while_the_consumer_holds_a_chunk_closes_the_run() -> None:
    """While nobody waits inside, the closing task closes the chunks."""
    scene = Scene()
    await scene.read()
    assert scene.closer.at_rest
    scene.closer.request_stop(Stop.REQUESTED)
    await scene.closed()
    assert scene.was_closed and not scene.closer.open


async def test_the_first_reason_counts() -> None:
    """A second stop changes nothing."""
    scene = Scene()
    await scene.read()
    scene.closer.request_stop(Limit.TOTAL)
    scene.closer.request_stop(Stop.REQUESTED)
    await scene.closed()
    assert scene.closer.reason is Limit.TOTAL


@pytest.mark.parametrize("stop", ["request_stop_threadsafe", "consumer_dropped"])
async def test_a_stop_from_another_thread(stop: str) -> None:
    """Another thread may stop the run, which happens on the run's own loop."""
    scene = Scene()
    await scene.read()
    act: Callable[[], None] = getattr(scene.closer, stop)
    thread = threading.Thread(target=act)
    thread.start()
    await scene.closed()
    thread.join()
    assert scene.was_closed and scene.closer.reason is Stop.REQUESTED


async def test_a_cancellation_by_somebody_else_is_not_taken_back() -> None:
    """A reader that its own program cancels is cancelled, whatever the closer did."""
    scene = Scene()
    await scene.read()
    task = asyncio.create_task(scene.read())
    await asyncio.sleep(SOON)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.was_closed
    await scene.closed()


async def test_a_reader_that_is_cancelled_between_two_chunks_stops_the_run() -> None:
    """A task that ends as cancelled while it holds a chunk takes the run with it."""
    scene = Scene()

    async def read_and_work() -> None:
        await scene.read()
        await asyncio.sleep(3600)

    task = asyncio.create_task(read_and_work())
    await asyncio.sleep(SOON)
    task.cancel()
    await asyncio.wait([task])
    await scene.closed()
    assert scene.closer.reason is Stop.CANCELLED


async def test_a_limit_of_time_ends_a_wait() -> None:
    """The timer stops the run when the limit of its phase runs out, and the closer says which one it was."""
    scene = Scene(Timeout(first=SOON))
    await scene.read()
    assert await scene.read() is None
    overrun = scene.closer.overrun()
    assert overrun == (Limit.FIRST, "no content came within 0.01 seconds")
    await scene.closed()


async def test_a_stream_that_is_held_too_long_is_closed_with_a_warning() -> None:
    """While nobody asks for the next chunk the idle limit counts."""
    scene = Scene(Timeout(idle=SOON))
    await scene.read()
    with pytest.warns(RuntimeWarning, match="nobody read on"):
        await scene.closed()
    assert scene.closer.reason is Limit.IDLE


def test_the_end_of_the_event_loop_closes_the_run() -> None:
    """A loop that ends cancels the closing task, which closes the run before the loop's generators are."""

    async def main() -> Scene:
        scene = Scene()
        await scene.read()
        return scene

    scene = asyncio.run(main())
    assert scene.was_closed and scene.closer.reason is Stop.CANCELLED


async def test_a_stop_before_the_run_begins_is_kept() -> None:
    """A stop before the first chunk is asked for is the reason, and there is nothing to close yet."""
    closer = StreamCloser(Timeout())
    closer.request_stop_threadsafe()
    assert closer.reason is Stop.REQUESTED and closer.closing is None
