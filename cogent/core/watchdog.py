"""Stopping a run: limits of time, a word from outside, and nobody left who reads.

Content is what counts: pings, comments and empty deltas do not reset the stall clock, because only a chunk that
reaches the user calls `enter` again. The clock stands still while the consumer is busy and while tools run. There is
one timer for a whole stream: it is set anew when it fires too early, not at each chunk.
"""

from __future__ import annotations

import asyncio
import math
import warnings
from asyncio import current_task
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from cogent.timeout import Timeout

STOPPED = "stopped"
TOO_SLOW = {
    "first": "no content came within {0:g} seconds",
    "stall": "no content came for {0:g} seconds",
    "total": "the run took longer than {0:g} seconds",
    "idle": "the stream was held for {0:g} seconds without asking for its next chunk",
}
AGAIN = 0.01  # seconds between two looks at a task that was told to stop
LONGEST_TIMER = 3600.0  # seconds; while its loop runs, a run is kept by its timer alone


class Watchdog:
    """Ends a run from outside, and remembers why.

    The run calls `enter` when it starts to wait and `leave` before it yields. While a task waits inside, `interrupt`
    cancels it; the run, on CancelledError, asks `interrupted()`, which takes the cancellation back if it was ours.
    While nobody is inside, the keeper closes the run: a task of its own, so that the end of a loop, which cancels its
    tasks and waits for them, finds every run closed before it comes to the generators.
    """

    def __init__(self, limits: Timeout) -> None:
        self._limits = limits
        self._stall = limits.stall
        self._task: asyncio.Task[object] | None = None
        self._reader: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._total = self._deadline = math.inf
        self._left = 0.0  # when the consumer was given the last chunk
        self._kind = "first"
        self._before = 0
        self._cancelled = self._abandoned = False
        self._over = asyncio.Event()
        self.open = False  # whether the run has begun, and may go on
        self.loop: asyncio.AbstractEventLoop | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.reason: str | None = None

    def begin(self, chunks: AsyncGenerator[object, None]) -> None:
        """The chunks are asked for, on this loop: from now on they are closed whatever happens."""
        self.loop = asyncio.get_running_loop()
        self.open = True
        self.keeper = self.loop.create_task(self._keep(chunks))

    def start(self) -> bool:
        """The run begins in this task; returns whether it was stopped even before."""
        assert self.loop is not None
        self._task = task = current_task()
        self._before = task.cancelling() if task else 0
        self._follow(task)
        now = self.loop.time()
        self._total = now + (self._limits.total or math.inf)
        self._arm(min(self._total, now + (self._limits.idle or LONGEST_TIMER)))
        return self.reason is not None

    def expect(self, kind: str) -> None:
        """Start the clock for the `first` content of a request; any other kind (`tools`, `retry`, `end`) stops it."""
        self._kind = kind
        self._restart(self._limits.first if kind == "first" else None)

    def remaining(self) -> float:
        """Seconds until the limit of the whole run."""
        assert self.loop is not None
        return self._total - self.loop.time()

    def enter(self) -> bool:
        """A task waits inside again, after content; returns whether the run was interrupted meanwhile."""
        self._task = task = current_task(self.loop)
        self._before = task.cancelling() if task else 0
        if task is not self._reader:
            self._follow(task)
        if self._stall is not None or self._kind == "first":
            self._content_came()
        return self.reason is not None

    def leave(self) -> None:
        """The consumer is given a chunk, and nobody waits inside."""
        assert self.loop is not None
        self._task = None
        self._left = self.loop.time()
        if self._abandoned:
            self.interrupt(STOPPED)

    def interrupt(self, reason: str) -> None:
        """Stop the run for this reason. Call it on the run's own loop."""
        if self.reason is None:
            self.reason = reason
            if self.open:
                self._deliver()

    def stop(self) -> None:
        """Stop the run, from any task or thread."""
        self._on_loop(self.interrupt, STOPPED)

    def abandon(self) -> None:
        """Nobody can ask for a chunk after the one that is waited for; may be called from any thread."""
        self._abandoned = True
        if self.open:
            self._on_loop(self._stop_abandoned)

    def interrupted(self) -> bool:
        """On CancelledError: whether it was our doing alone. If so it is taken back."""
        if not self._cancelled or self._task is None:
            return False
        return self._task.uncancel() <= self._before

    def overrun(self) -> tuple[str, str] | None:
        """The limit of time that ended the run, and what to say of it; None if it was none, or was told already."""
        if self.reason not in TOO_SLOW:
            return None
        kind, self.reason = self.reason, STOPPED
        return kind, TOO_SLOW[kind].format(getattr(self._limits, kind))

    def close(self) -> None:
        """The run has ended."""
        self._task = None
        self._follow(None)
        if self._timer is not None:
            self._timer.cancel()
        self._release()

    async def _keep(self, chunks: AsyncGenerator[object, None]) -> None:
        try:
            await self._over.wait()
        except asyncio.CancelledError:  # the loop ends, and with it the task inside, if there is one
            self.interrupt(STOPPED)
            await self._over.wait()
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
        """Have the run end: again and again, as what it waits for may take a cancellation for its own."""
        assert self.loop is not None
        if not self.open:
            return
        if self._task is None:
            self._release()
            return
        # Not beside another one, the caller's or an HTTP client's: it would be left over, or swallow that.
        if self._task.cancelling() <= self._before:
            self._cancelled = self._task.cancel()
        self.loop.call_later(AGAIN, self._deliver)

    def _release(self) -> None:
        """Leave the rest to the keeper."""
        self.open = False
        self._over.set()

    def _on_loop(self, do: Callable[..., None], *arguments: str) -> None:
        if self.loop is None or self.loop is _running():
            do(*arguments)
        else:
            with suppress(RuntimeError):  # that loop is closed
                self.loop.call_soon_threadsafe(do, *arguments)

    def _stop_abandoned(self) -> None:
        if self._task is None:
            self.interrupt(STOPPED)

    def _follow(self, reader: asyncio.Task[object] | None) -> None:
        """Stop with the task that reads, if that is cancelled while it does something else with a chunk."""
        if self._reader is not None:
            self._reader.remove_done_callback(self._reader_ended)
        self._reader = reader
        if reader is not None:
            reader.add_done_callback(self._reader_ended)

    def _reader_ended(self, reader: asyncio.Task[object]) -> None:
        self._reader = None  # it may hold an exception, whose frames hold the stream
        if reader.cancelled():
            self.interrupt(STOPPED)

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
        # While a task is inside, no idle time has begun; the timer then only comes by again.
        kind, deadline = (self._kind, self._deadline) if self._task is not None else ("idle", self._left + idle)
        if now >= min(self._total, deadline):
            self.interrupt("total" if now >= self._total else kind)
        else:
            self._arm(min(deadline, self._total, now + min(idle, LONGEST_TIMER)))


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
