"""The threads in which sync tools run: some for each turn, so that many computing tools
leave the event loop time.

Each turn has its own. One pool for the process would be full of tools that wait for the
tools of an agent inside them, and the loop's own pool is small, looks up names, and is
waited for at the loop's end: a tool that hangs would stop it.
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
from typing import Any

# Only one thread computes at a time, so each thread that computes adds a switch
# interval (5 ms) to each turn of the event loop. Measured with twenty of them: 20 to 30
# ms with 4 threads, 100 to 300 ms with 20, and 1.5 s to start 20.
FIRST_THREADS = 4
MAX_THREADS = 128
LOOK_SECONDS = 0.002  # between two looks at the loop
LATE_LOOK_SECONDS = 0.02  # after one that came late
PROMPT_LOOKS = 3  # so many in a row: while tools compute, the loop is prompt now and then by chance


@dataclass(slots=True, eq=False)
class Job:
    """A call that waits for a thread, runs in one, or has ended there."""

    function: Callable[[], object]
    name: str
    on_start: Callable[[], None]
    answer: asyncio.Future[object]
    context: Context = field(default_factory=copy_context)
    abandoned: bool = False
    ended: bool = False

    def run(self) -> tuple[object, BaseException | None]:
        """What the function returned, or what it raised."""
        threading.current_thread().name = f"tool {self.name}"
        try:
            return self.context.run(self.function), None
        except BaseException as error:  # noqa: BLE001  # handed over to the task that waits
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
        self._lock = (
            threading.Lock()
        )  # guards what follows and the flags of jobs; never held while a tool runs
        self._waiting: deque[Job] = deque()
        self._threads = 0  # those that take further jobs
        self._growth: asyncio.Handle | None = None
        self._prompt = 0  # how many times in a row the loop was prompt

    async def call(
        self, function: Callable[[], Any], name: str, on_start: Callable[[], None]
    ) -> Any:
        """Call the function in a thread, with the caller's context variables;
        `on_start` is called when it begins.
        """
        loop = asyncio.get_running_loop()
        job = Job(function, name, on_start, loop.create_future())
        with self._lock:
            self._waiting.append(job)
        if self._growth is None:
            # Not at once: further calls of the turn come before it, and their threads
            # start together.
            self._growth = loop.call_soon(self._grow, loop, None)
        try:
            return await job.answer
        finally:
            self._leave(job, loop)

    def _leave(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            elif not job.ended:
                job.abandoned = True
                self._threads -= 1
        if self._waiting and self._growth is None:
            self._growth = loop.call_soon(self._grow, loop, None)

    def _grow(self, loop: asyncio.AbstractEventLoop, due: float | None) -> None:
        """Start threads: the first ones, or, by a timer that was due at that time,
        more.
        """
        prompt = due is None or loop.time() - due < sys.getswitchinterval() / 2
        self._prompt = self._prompt + 1 if prompt else 0
        self._growth = None
        self._start(loop, min(self._limit() - self._threads, len(self._waiting)))
        if self._waiting:
            due = loop.time() + (LOOK_SECONDS if prompt else LATE_LOOK_SECONDS)
            self._growth = loop.call_at(due, self._grow, loop, due)

    def _limit(self) -> int:
        """How many threads there may be now."""
        if self._prompt <= PROMPT_LOOKS:
            return FIRST_THREADS
        self._prompt = 0
        return max(FIRST_THREADS, min(2 * self._threads, MAX_THREADS))

    def _start(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        # They take their jobs when the lock is free. Starting a thread waits until it
        # runs, which takes long while others compute.
        with self._lock:
            try:
                for _ in range(number):
                    threading.Thread(
                        target=self._work, args=(loop,), daemon=True
                    ).start()
                    self._threads += 1
            except (
                RuntimeError,
                MemoryError,
            ) as error:  # the system gives no more threads
                if self._threads:
                    return
                while self._waiting:
                    job = self._waiting.popleft()
                    job.ended = True
                    job.settle(None, error)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run jobs as long as there are any."""
        job = self._next(None)
        with suppress(RuntimeError):  # the loop has ended
            while job is not None:
                loop.call_soon_threadsafe(job.announce)
                value, error = job.run()
                done, job = job, self._next(job)
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
