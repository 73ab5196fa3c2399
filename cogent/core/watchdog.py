"""Stopping a run: limits of time, and a word from outside.

Content is what counts: pings, comments and empty deltas do not reset the stall clock, because only a chunk that
reaches the user calls `enter` again. The clock stands still while the consumer is busy and while tools run. There is
one timer for a whole stream: it is set anew when it fires too early, not at each chunk.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import current_task
from collections.abc import Callable

from cogent.timeout import Timeout

STOPPED = "stopped"
TOO_SLOW = {
    "first": "no content came within {0:g} seconds",
    "stall": "no content came for {0:g} seconds",
    "total": "the run took longer than {0:g} seconds",
    "idle": "the stream was held for {0:g} seconds without asking for its next chunk",
}


class Watchdog:
    """Interrupts the task that waits inside a run, and remembers why.

    The run calls `enter` when it starts to wait and `leave` before it yields. An interruption cancels the waiting task;
    the run, on CancelledError, asks `interrupted()`, which takes the cancellation back if it was ours. While nobody
    waits inside, the reason is noted; a limit of time, or the end of the task that reads, has `abandoned` called.
    """

    __slots__ = (
        "_abandoned",
        "_before",
        "_cancelled",
        "_deadline",
        "_kind",
        "_left",
        "_limits",
        "_loop",
        "_reader",
        "_stall",
        "_task",
        "_timer",
        "_total",
        "_waiting",
        "reason",
    )

    def __init__(self, limits: Timeout, abandoned: Callable[[], Callable[[], None] | None]) -> None:
        self._limits = limits
        self._stall = limits.stall
        self._abandoned = abandoned
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._reader: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._total = self._deadline = math.inf
        self._left = 0.0  # when the consumer was given the last chunk
        self._kind = "first"
        self._before = 0
        self._cancelled = False
        self._waiting: list[asyncio.Future[None]] = []
        self.reason: str | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that the run was started on."""
        return self._loop

    def start(self) -> bool:
        """The run begins in this task; returns whether it was stopped even before."""
        self._loop = asyncio.get_running_loop()
        self._task = task = asyncio.current_task()
        self._before = task.cancelling() if task else 0
        self._follow(task)
        if self._limits.total is not None:
            self._total = self._loop.time() + self._limits.total
        if (when := min(self._total, self._loop.time() + (self._limits.idle or math.inf))) < math.inf:
            self._arm(when)
        return self.reason is not None

    def expect(self, kind: str) -> None:
        """Start the clock for the `first` content of a request; any other kind stops it."""
        self._kind = kind
        self._restart(self._limits.first if kind == "first" else None)

    def enter(self) -> bool:
        """A task waits inside again, after content; returns whether the run was interrupted meanwhile."""
        self._task = task = current_task(self._loop)
        self._before = task.cancelling() if task else 0
        if task is not self._reader:
            self._follow(task)
        if self._stall is not None or self._kind == "first":
            self._content_came()
        return self.reason is not None

    def leave(self) -> None:
        """The consumer is given a chunk, and nobody waits inside."""
        assert self._loop is not None
        self._task = None
        self._left = self._loop.time()

    def interrupt(self, reason: str) -> bool:
        """Stop the run for this reason; returns whether a task was inside. Call it on the run's own loop."""
        if self.reason is None:
            self.reason = reason
            # Once, and not beside the caller's own: a second cancellation would be left over, or swallow the first.
            if self._task is not None and self._task.cancelling() <= self._before:
                self._cancelled = self._task.cancel()
        return self._task is not None

    def interrupted(self) -> bool:
        """On CancelledError: whether it was our doing alone. If so it is taken back."""
        if not self._cancelled or self._task is None:
            return False
        return self._task.uncancel() <= self._before

    def overrun(self) -> tuple[str, str] | None:
        """The limit of time that ended the run, and what to say of it; None if it was none."""
        if self.reason not in TOO_SLOW:
            return None
        return self.reason, TOO_SLOW[self.reason].format(getattr(self._limits, self.reason))

    async def ended(self) -> None:
        """Wait until the run has ended."""
        assert self._loop is not None
        future = self._loop.create_future()
        self._waiting.append(future)
        await future

    def close(self) -> None:
        """The run has ended."""
        self._task = None
        self._follow(None)
        if self._timer is not None:
            self._timer.cancel()
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _follow(self, reader: asyncio.Task[object] | None) -> None:
        """Stop with the task that reads, if that is cancelled while it does something else with a chunk."""
        if self._reader is not None:
            self._reader.remove_done_callback(self._reader_ended)
        self._reader = reader
        if reader is not None:
            reader.add_done_callback(self._reader_ended)

    def _reader_ended(self, reader: asyncio.Task[object]) -> None:
        if reader.cancelled() and not self.interrupt(STOPPED):
            self._abandon()

    def _abandon(self) -> None:
        if (tell := self._abandoned()) is not None:
            tell()

    def _content_came(self) -> None:
        if self._kind == "first":
            self._kind = "stall"
        if self._kind == "stall":
            self._restart(self._stall)

    def _restart(self, limit: float | None) -> None:
        assert self._loop is not None
        self._deadline = math.inf if limit is None else self._loop.time() + limit
        if limit is not None and (self._timer is None or self._timer.when() > self._deadline):
            self._arm(self._deadline)

    def _arm(self, when: float) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        assert self._loop is not None
        now, self._timer = self._loop.time(), None
        idle = math.inf if self._limits.idle is None else self._limits.idle
        # While a task is inside, no idle time has begun; the timer then only comes by again.
        kind, deadline = (self._kind, self._deadline) if self._task is not None else ("idle", self._left + idle)
        if now >= min(self._total, deadline):
            if not self.interrupt("total" if now >= self._total else kind):
                self._abandon()
        elif (when := min(deadline, self._total, now + idle)) < math.inf:
            self._arm(when)
