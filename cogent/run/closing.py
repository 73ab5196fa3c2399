"""Stopping a run from outside.

What stops it: a request, also from another thread; a limit of time; a loop that was
left; the end of the event loop.

The order of calls:

1. `attach` once, when the first chunk is asked for: it starts the closing task and the
   one timer of the run.
2. For each chunk `waiting`, then `yielding`. In between the run calls `expect` when it
   goes on to another phase.
3. At any time a stop: `request_stop` on the run's event loop, `request_stop_threadsafe`
   and `consumer_dropped` from anywhere. Only the first one counts.
   - While a task waits inside the run, that task is cancelled, and the run, on
     CancelledError, asks `take_back_cancellation`.
   - While nobody waits inside, the closing task closes the run.
   For each request `begin_attempt`, then `end_attempt`: in between a limit of the phase
   may end the attempt alone, by a cancellation that `end_attempt` takes back.
4. `finished` once, when the run has ended, however it did.

The closing task is a task of its own: the end of an event loop cancels all tasks and
waits for them, and so finds every run closed before it comes to the generators. The
timer is set anew when it fires too early, not at each chunk.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from enum import Enum

from cogent.run.deadlines import LIMIT_OF_PHASE, Deadlines, Limit, Phase
from cogent.run.event_loop import interrupts_wait, running_loop_if_any
from cogent.timeout import Timeout

Chunks = AsyncGenerator[object, None]
Loop = asyncio.AbstractEventLoop
Task = asyncio.Task[object]

CANCEL_RETRY_SECONDS = 0.01
WAKE_SECONDS = 0.05  # between two looks for an interrupt
HELD = (
    "a stream that nobody read on was closed: "
    "leave its loop and drop it, or use `async with`; "
    "Timeout(idle=...) sets how long it is kept"
)


class Stop(Enum):
    """Why a run was stopped, other than by a limit of time."""

    REQUESTED = "requested"  # by `aclose`, by `cancel` or because the loop was left
    CANCELLED = "cancelled"  # with the task that read, or with the event loop


class StreamCloser:
    """Ends a run from outside, and remembers why."""

    def __init__(self, limits: Timeout) -> None:
        self._deadlines = Deadlines(limits)
        self._task: Task | None = None  # that waits inside
        self._timer: asyncio.TimerHandle | None = None
        self._waker: asyncio.TimerHandle | None = None
        self._yielded_at = 0.0
        self._time: Callable[[], float] = float  # later the event loop's clock
        self._outer_cancellations = 0  # of the task inside when it came in
        self._has_cancelled = False
        self._may_leave: Callable[[], bool] | None = None
        self._left_by: Limit | None = None
        self._may_close: asyncio.Future[None] | None = None
        self.open: bool = False  # whether the run has begun, and may go on
        self.at_rest: bool = False  # whether it is open and nobody waits inside
        # The task that asked for the last chunk.
        self.reader: Task | None = None
        self.loop: Loop | None = None
        self.closing: asyncio.Task[None] | None = None
        self.reason: Stop | Limit | None = None

    def attach(self, chunks: Chunks) -> None:
        """The first chunk is asked for, on this loop.

        From now on the chunks are closed whatever happens.
        """
        self.loop = asyncio.get_running_loop()
        self._time = self.loop.time
        self.open = True
        self.at_rest = True
        now = self._time()
        self._deadlines.start(now)
        first_check = self._deadlines.next_check(now, held_since=None)
        self._arm(first_check)
        if interrupts_wait():
            self._wake()
        self._may_close = self.loop.create_future()
        closing = self._close_when_done(chunks)
        self.closing = self.loop.create_task(closing)

    def expect(self, phase: Phase) -> None:
        """The run goes on to this phase, whose limit counts from now."""
        now = self._time()
        self._deadlines.enter(phase, now)
        self._arm_by(self._deadlines.phase_deadline)

    def begin_attempt(self, may_leave: Callable[[], bool]) -> None:
        """The model is asked.

        As long as `may_leave` says so, a limit of the phase ends this attempt and not
        the run.
        """
        self._may_leave = may_leave

    def end_attempt(self) -> tuple[Limit, str] | None:
        """The attempt is over, however it ended: the limit that ended it, if one did,
        and what to say of it. Its cancellation is then taken back.
        """
        self._may_leave = None
        limit, self._left_by = self._left_by, None
        if limit is None or self.reason is not None:
            return None
        is_alone = self.take_back_cancellation()
        self._has_cancelled = False
        return (limit, self._deadlines.message(limit)) if is_alone else None

    def remaining(self) -> float:
        """Seconds until the limit of the whole run."""
        return self._deadlines.remaining(self._time())

    def waiting(self, task: Task | None) -> None:
        """This task, which is the current one, waits inside for the next chunk."""
        self.at_rest = False
        self._task = task
        self._outer_cancellations = task.cancelling() if task else 0
        if task is not self.reader:
            self._follow(task)
        if self._deadlines.content_matters:
            self._deadlines.content_came(self._time())
            self._arm_by(self._deadlines.phase_deadline)

    def yielding(self) -> None:
        """The consumer is given a chunk, and nobody waits inside."""
        self._task = None
        self._yielded_at = self._time()
        self.at_rest = True
        if self.reason is not None:
            self._release()

    def request_stop(self, reason: Stop | Limit) -> None:
        """Stop the run for this reason. Call it on the run's own loop."""
        if self.reason is None:
            self.reason = reason
            if self.open:
                self._cancel_or_release()

    def request_stop_threadsafe(self) -> None:
        """Stop the run, from any task or thread."""
        self._on_loop(self._stop_requested)

    def consumer_dropped(self) -> None:
        """Nobody reads on: a loop was left, or the stream is gone.

        May be called from any thread.
        """
        if self.open:
            self._on_loop(self._stop_dropped)

    def take_back_cancellation(self) -> bool:
        """On CancelledError: take the cancellation back if this closer sent it.

        Returns False if somebody else cancelled the task too.
        """
        if not self._has_cancelled or self._task is None:
            return False
        cancellations = self._task.uncancel()
        return cancellations <= self._outer_cancellations

    def overrun(self) -> tuple[Limit, str] | None:
        """The limit of time that ended the run, and what to say of it, if one did."""
        limit = self.reason
        if isinstance(limit, Limit):
            return limit, self._deadlines.message(limit)
        return None

    def finished(self) -> None:
        """The run has ended."""
        self._task = None
        self._may_leave = None
        self._follow(None)
        if self._timer is not None:
            self._timer.cancel()
        if self._waker is not None:
            self._waker.cancel()
        self._release()

    async def _close_when_done(self, chunks: Chunks) -> None:
        assert self.loop is not None and self._may_close is not None
        try:
            await self._may_close
        except asyncio.CancelledError:
            # The loop ends, and with it the task inside, if there is one.
            self.request_stop(Stop.CANCELLED)
            if self.open:
                self._may_close = self.loop.create_future()
                await self._may_close
        has_ended = self._deadlines.phase is Phase.END
        await chunks.aclose()
        if self.reason is Limit.IDLE and not has_ended:
            warnings.warn(HELD, RuntimeWarning, stacklevel=1)

    def _cancel_or_release(self) -> None:
        """Have the run end.

        Repeat: a library inside the run (anyio, an HTTP pool) may swallow one
        CancelledError.
        """
        assert self.loop is not None
        if not self.open:
            return
        if self._task is None:
            self._release()
            return
        # Not while a cancellation by the caller or an HTTP client is under way: one of
        # the two would be lost.
        cancellations = self._task.cancelling()
        if cancellations <= self._outer_cancellations:
            self._has_cancelled = self._task.cancel()
        self.loop.call_later(CANCEL_RETRY_SECONDS, self._cancel_or_release)

    def _leave_attempt(self) -> None:
        """Have the attempt end, and the run go on. Repeat, as above."""
        if self._left_by is None or self._task is None or self.reason is not None:
            return
        assert self.loop is not None
        if self._task.cancelling() <= self._outer_cancellations:
            self._has_cancelled = self._task.cancel()
        self.loop.call_later(CANCEL_RETRY_SECONDS, self._leave_attempt)

    def _release(self) -> None:
        """Leave the rest to the closing task."""
        self.open = False
        self.at_rest = False
        if self._may_close is not None and not self._may_close.done():
            self._may_close.set_result(None)

    def _on_loop(self, do: Callable[[], None]) -> None:
        if self.loop is None or self.loop is running_loop_if_any():
            do()
        else:
            with suppress(RuntimeError):  # that loop is closed
                self.loop.call_soon_threadsafe(do)

    def _stop_requested(self) -> None:
        self.request_stop(Stop.REQUESTED)

    def _stop_dropped(self) -> None:
        # A cancellation that arrives in the body of a loop leaves the loop too, and is
        # no wish to end there.
        cancellations = 0 if self.reader is None else self.reader.cancelling()
        if cancellations > self._outer_cancellations:
            self.request_stop(Stop.CANCELLED)
        else:
            self.request_stop(Stop.REQUESTED)

    def _follow(self, reader: Task | None) -> None:
        """Stop with the task that reads.

        It may be cancelled while it does something else, with a chunk in its hands.
        """
        if self.reader is not None:
            self.reader.remove_done_callback(self._reader_ended)
        self.reader = reader
        if reader is not None:
            reader.add_done_callback(self._reader_ended)

    def _reader_ended(self, reader: Task) -> None:
        self.reader = None  # it may hold an exception, whose frames hold the stream
        if reader.cancelled():
            self.request_stop(Stop.CANCELLED)

    def _arm_by(self, deadline: float) -> None:
        """See that the timer fires by this time."""
        if self._timer is not None and self._timer.when() > deadline:
            self._arm(deadline)

    def _arm(self, when: float) -> None:
        assert self.loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._check_deadlines)

    def _wake(self) -> None:
        """Wake the event loop now and then, for an interrupt that waits for it."""
        assert self.loop is not None
        self._waker = self.loop.call_later(WAKE_SECONDS, self._wake)

    def _check_deadlines(self) -> None:
        self._timer = None
        now = self._time()
        held_since = self._yielded_at if self.at_rest else None
        limit = self._deadlines.expired(now, held_since)
        if limit is None:
            self._arm(self._deadlines.next_check(now, held_since))
        elif limit in LIMIT_OF_PHASE.values() and self._attempt_may_end():
            self._left_by = limit
            self._deadlines.enter(Phase.RETRY, now)
            self._arm(self._deadlines.next_check(now, held_since))
            self._leave_attempt()
        else:
            self.request_stop(limit)

    def _attempt_may_end(self) -> bool:
        return self._may_leave is not None and self._may_leave()
