"""The threads in which sync tools run.

Each turn has its own, and few at first, so that tools that compute leave the event loop
time. One pool for the process would be full of tools that wait for the tools of an
agent inside them. The loop's own pool is small, looks up names, and is waited for at
the loop's end, which a tool that hangs would stop.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

# Only one thread computes at a time, so each thread that computes adds a switch
# interval (5 ms) to each turn of the event loop. Measured with twenty of them: 20 to 30
# ms with 4 threads, 100 to 300 ms with 20, and 1.5 s to start 20.
FIRST_THREADS = 4
MAX_THREADS = 128
LOOK_SECONDS = 0.002  # between two looks at the loop
LATE_LOOK_SECONDS = 0.02  # after one that came late
# So many in a row: while tools compute, the loop is prompt now and then by chance.
PROMPT_LOOKS = 3

Loop = asyncio.AbstractEventLoop
Act = Callable[[], None]


def do_nothing() -> None:
    """For a call of which nobody counts the time from its start."""


@dataclass(slots=True, eq=False)
class Job:
    """A call that waits for a thread, runs in one, or has ended there."""

    function: Callable[[], object]
    name: str
    on_start: Act
    answer: asyncio.Future[object]
    context: Context = field(default_factory=copy_context)
    abandoned: bool = False
    ended: bool = False

    def run(self) -> tuple[object, BaseException | None]:
        """What the function returned, or what it raised."""
        threading.current_thread().name = f"tool {self.name}"
        try:
            return self.context.run(self.function), None
        except (StopIteration, GeneratorExit, KeyboardInterrupt) as error:
            # These mean something else to an event loop.
            return None, _as_runtime_error(error)
        except BaseException as error:  # noqa: BLE001  # for the task that waits
            return None, error

    def settle(self, value: object, error: BaseException | None) -> None:
        """Give the outcome to the task that waits; called in the thread of its loop."""
        if self.answer.done():  # nobody waits any more
            return
        if error is None:
            self.answer.set_result(value)
        else:
            self.answer.set_exception(error)

    def announce(self) -> None:
        """Say that the function begins; called in the thread of the loop."""
        if not self.answer.done():
            self.on_start()


class ToolThreads:
    """The threads of one turn; used from one event loop.

    Four threads start at once. As long as calls wait for a thread and the loop is
    prompt, which it is while tools wait for something or compute outside of Python,
    their number doubles, up to 128. A call that was given up does not count, though its
    thread cannot be stopped. All are daemons: a tool that hangs keeps no program from
    ending.
    """

    def __init__(self) -> None:
        # Guards what follows and the flags of jobs; never held while a tool runs.
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._threads = 0  # those that take further jobs
        self._growth: asyncio.Handle | None = None
        self._prompt_looks = 0  # how many times in a row the loop was prompt

    async def call(
        self, function: Callable[[], Any], name: str, on_start: Act = do_nothing
    ) -> Any:
        """Call the function in a thread, with the caller's context variables.

        `on_start` is called when it begins. Raises what the function raises, but
        RuntimeError for exceptions that an event loop would take for its own.
        """
        loop = asyncio.get_running_loop()
        job = Job(function, name, on_start, loop.create_future())
        with self._lock:
            self._waiting.append(job)
        self._grow_soon(loop)
        try:
            return await job.answer
        finally:
            self._leave(job, loop)

    def _grow_soon(self, loop: Loop) -> None:
        """Start threads for the calls that wait, if they do.

        Not at once: further calls of the turn come before it, and their threads start
        together.
        """
        if self._waiting and self._growth is None:
            self._growth = loop.call_soon(self._grow, loop, None)

    def _leave(self, job: Job, loop: Loop) -> None:
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            elif not job.ended:
                job.abandoned = True
                self._threads -= 1
        self._grow_soon(loop)

    def _grow(self, loop: Loop, due: float | None) -> None:
        """Start threads: the first ones, or more by a timer, which was due then."""
        is_prompt = due is None or _is_prompt(loop.time() - due)
        self._prompt_looks = self._prompt_looks + 1 if is_prompt else 0
        self._growth = None
        free = self._limit() - self._threads
        self._start(loop, min(free, len(self._waiting)))
        if self._waiting:
            seconds = LOOK_SECONDS if is_prompt else LATE_LOOK_SECONDS
            due = loop.time() + seconds
            self._growth = loop.call_at(due, self._grow, loop, due)

    def _limit(self) -> int:
        """How many threads there may be now."""
        if self._prompt_looks <= PROMPT_LOOKS:
            return FIRST_THREADS
        self._prompt_looks = 0
        doubled = min(2 * self._threads, MAX_THREADS)
        return max(FIRST_THREADS, doubled)

    def _start(self, loop: Loop, number: int) -> None:
        # The threads take their jobs when the lock is free. Starting one waits until it
        # runs, which takes long while others compute.
        with self._lock:
            try:
                for _ in range(number):
                    work = partial(self._work, loop)
                    threading.Thread(target=work, daemon=True).start()
                    self._threads += 1
            except (RuntimeError, MemoryError) as error:  # the system gives no more
                if not self._threads:
                    self._fail_all(error)

    def _fail_all(self, error: Exception) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            job.ended = True
            job.settle(None, error)

    def _work(self, loop: Loop) -> None:
        """Run jobs as long as there are any."""
        job = self._next(None)
        with suppress(RuntimeError):  # the loop has ended
            while job is not None:
                loop.call_soon_threadsafe(job.announce)
                value, error = job.run()
                done = job
                job = self._next(done)
                loop.call_soon_threadsafe(done.settle, value, error)

    def _next(self, done: Job | None) -> Job | None:
        with self._lock:
            if done is not None:
                done.ended = True
                if done.abandoned:
                    return None
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None


def _as_runtime_error(error: BaseException) -> RuntimeError:
    texts = [argument for argument in error.args if isinstance(argument, str)]
    return RuntimeError(": ".join([type(error).__name__, *texts]))


def _is_prompt(late_seconds: float) -> bool:
    return late_seconds < sys.getswitchinterval() / 2
