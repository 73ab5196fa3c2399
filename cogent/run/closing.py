"""Stopping a run: limits of time, a request from outside, and nobody left who reads.

Content is what counts: pings, comments and empty deltas do not reset the stall clock, because only a chunk that
reaches the user lets a task call `waiting` again. The clock stands still while the consumer is busy and while tools
run. There is one timer for a whole stream: it is set anew when it fires too early, not at each chunk.

The order of calls: `attach` once, then for each chunk `waiting` and `yielding`, and `finished` when the run has ended.
"""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from cogent.timeout import Timeout

STOPPED = "stopped"  # by `aclose`, by `cancel` or because the loop was left
CANCELLED = "cancelled"  # with the task that read, or with the event loop
TOO_SLOW = {
    "first": "no content came within {0:g} seconds",
    "stall": "no content came for {0:g} seconds",
    "total": "the run took longer than {0:g} seconds",
    "idle": "the stream was held for {0:g} seconds without asking for its next chunk",
}
CANCEL_RETRY_SECONDS = 0.01
MAX_TIMER_SECONDS = 3600.0  # while its loop runs, a run is kept by its timer alone


class Watchdog:
    """Ends a run from outside, and remembers why.

    The reader calls `waiting` before it waits for a chunk and `yielding` when it has one. While a task waits inside the
    run, `request_stop` cancels that task; the run, on CancelledError, asks `take_back_cancellation`. While nobody is
    inside, the closer closes the run: a task of its own, so that the end of an event loop, which cancels its tasks and
    waits for them, finds every run closed before it comes to the generators.
    """

    def __init__(self, limits: Timeout) -> None:
        self._limits = limits
        self._stall = limits.stall
        self._task: asyncio.Task[object] | None = None  # that waits inside
        self._timer: asyncio.TimerHandle | None = None
        self._total = self._deadline = math.inf
        self._yielded_at = 0.0
        self._time: Callable[[], float] = float  # of the event loop, once there is one
        self._kind = "start"
        self._outer_cancellations = 0  # of the task inside when it came in
        self._cancelled = False
        self._may_close = asyncio.Event()
        self.open = False  # whether the run has begun, and may go on
        self.at_rest = False  # whether it is open and nobody waits inside
        self.reader: asyncio.Task[object] | None = None  # the task that asked for the last chunk
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closer: asyncio.Task[None] | None = None
        self.reason: str | None = None

    def attach(self, chunks: AsyncGenerator[object, None]) -> None:
        """The first chunk is asked for, on this loop: from now on the chunks are closed whatever happens."""
        self.loop = asyncio.get_running_loop()
        self._time = self.loop.time
        self.open = self.at_rest = True
        now = self.loop.time()
        self._total = now + (self._limits.total or math.inf)
        self._arm(min(self._total, now + (self._limits.idle or MAX_TIMER_SECONDS)))
        self.closer = self.loop.create_task(self._close_when_done(chunks))

    def expect(self, kind: str) -> None:
        """Start the clock for the `first` content of a request; any other kind (`tools`, `retry`, `end`) stops it."""
        self._kind = kind
        self._restart(self._limits.first if kind == "first" else None)

    def remaining(self) -> float:
        """Seconds until the limit of the whole run."""
        assert self.loop is not None
        return self._total - self.loop.time()

    def waiting(self, task: asyncio.Task[object] | None) -> None:
        """This task, which is the current one, waits inside for the next chunk."""
        self.at_rest = False
        self._task = task
        self._outer_cancellations = task.cancelling() if task else 0
        if task is not self.reader:
            self._follow(task)
        if self._stall is not None or self._kind == "first":
            self._content_came()

    def yielding(self) -> None:
        """The consumer is given a chunk, and nobody waits inside."""
        self._task = None
        self._yielded_at = self._time()
        self.at_rest = True
        if self.reason is not None:
            self._release()

    def request_stop(self, reason: str) -> None:
        """Stop the run for this reason. Call it on the run's own loop."""
        if self.reason is None:
            self.reason = reason
            if self.open:
                self._deliver()

    def request_stop_threadsafe(self) -> None:
        """Stop the run, from any task or thread."""
        self._on_loop(self.request_stop, STOPPED)

    def consumer_dropped(self) -> None:
        """Nobody reads on: a loop was left, or the stream is gone. May be called from any thread."""
        if self.open:
            self._on_loop(self._stop_dropped)

    def take_back_cancellation(self) -> bool:
        """On CancelledError: whether it was ours alone. If so it is taken back."""
        if not self._cancelled or self._task is None:
            return False
        return self._task.uncancel() <= self._outer_cancellations

    def overrun(self) -> tuple[str, str] | None:
        """The limit of time that ended the run, and what to say of it; None if it was none."""
        if self.reason not in TOO_SLOW:
            return None
        return self.reason, TOO_SLOW[self.reason].format(getattr(self._limits, self.reason))

    def finished(self) -> None:
        """The run has ended."""
        self._task = None
        self._follow(None)
        if self._timer is not None:
            self._timer.cancel()
        self._release()

    async def _close_when_done(self, chunks: AsyncGenerator[object, None]) -> None:
        try:
            await self._may_close.wait()
        except asyncio.CancelledError:  # the loop ends, and with it the task inside, if there is one
            self.request_stop(CANCELLED)
            await self._may_close.wait()
        held = self.reason == "idle" and self._kind != "end"
        await chunks.aclose()
        if held:
            warnings.warn(
                "a stream that nobody read on was closed: leave its loop and drop it, or use `async with`; "
                "Timeout(idle=...) sets how long it is kept",
                RuntimeWarning,
                stacklevel=1,
            )

    def _deliver(self) -> None:
        """Have the run end. Repeat: a library inside the run (anyio, an HTTP pool) may swallow one CancelledError."""
        assert self.loop is not None
        if not self.open:
            return
        if self._task is None:
            self._release()
            return
        # Not beside a cancellation of somebody else, the caller or an HTTP client: one of the two would be lost.
        if self._task.cancelling() <= self._outer_cancellations:
            self._cancelled = self._task.cancel()
        self.loop.call_later(CANCEL_RETRY_SECONDS, self._deliver)

    def _release(self) -> None:
        """Leave the rest to the closer."""
        self.open = self.at_rest = False
        self._may_close.set()

    def _on_loop(self, do: Callable[..., None], *arguments: str) -> None:
        if self.loop is None or self.loop is _running():
            do(*arguments)
        else:
            with suppress(RuntimeError):  # that loop is closed
                self.loop.call_soon_threadsafe(do, *arguments)

    def _stop_dropped(self) -> None:
        # A cancellation that arrives in the body of a loop leaves the loop too, and is no wish to end there.
        reader = self.reader
        is_cancelled = reader is not None and reader.cancelling() > self._outer_cancellations
        self.request_stop(CANCELLED if is_cancelled else STOPPED)

    def _follow(self, reader: asyncio.Task[object] | None) -> None:
        """Stop with the task that reads, if that is cancelled while it does something else with a chunk."""
        if self.reader is not None:
            self.reader.remove_done_callback(self._reader_ended)
        self.reader = reader
        if reader is not None:
            reader.add_done_callback(self._reader_ended)

    def _reader_ended(self, reader: asyncio.Task[object]) -> None:
        self.reader = None  # it may hold an exception, whose frames hold the stream
        if reader.cancelled():
            self.request_stop(CANCELLED)

    def _content_came(self) -> None:
        if self._kind == "first":
            self._kind = "stall"
        if self._kind == "stall":
            self._restart(self._stall)

    def _restart(self, limit: float | None) -> None:
        assert self.loop is not None
        self._deadline = math.inf if limit is None else self.loop.time() + limit
        if limit is not None and (self._timer is None or self._timer.when() > self._deadline):
            self._arm(self._deadline)

    def _arm(self, when: float) -> None:
        assert self.loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._fire)

    def _fire(self) -> None:
        assert self.loop is not None
        now, self._timer = self.loop.time(), None
        idle = self._limits.idle or math.inf
        if self.at_rest:
            kind, deadline = "idle", self._yielded_at + idle
        else:  # no idle time has begun, and the timer is re-armed
            kind, deadline = self._kind, self._deadline
        if now >= min(self._total, deadline):
            self.request_stop("total" if now >= self._total else kind)
        else:
            self._arm(min(deadline, self._total, now + min(idle, MAX_TIMER_SECONDS)))


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
