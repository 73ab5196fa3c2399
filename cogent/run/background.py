"""One event loop in a thread of its own, for callers without asyncio.

It is made when it is first needed, is the only one in the process, and ends with the
interpreter. Any number of threads may wait for it, also one that runs an event loop
itself. A forked child makes another, as it has no thread that would run this one.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from cogent.errors import ConfigurationError, StreamInterrupted
from cogent.run.event_loop import running_loop_if_any

T = TypeVar("T")

STOP_SECONDS = 1.0  # that an interrupted caller waits for its run to end
CLOSE_SECONDS = 5.0  # that the end of the interpreter waits for the loop to close
# Between two looks whether a thread that waits is interrupted: a lock does not notice
# Ctrl-C on Windows, nor anywhere an exception that another thread raises there.
LOOK_SECONDS = 0.1

INSIDE = (
    "a sync call inside cogent's background event loop would wait for itself: "
    "async tools and callbacks use `await agent.run(...)`, `run_stream` or `run_many`"
)
ENDED = "cogent's background event loop has ended, as the interpreter does"
CANCELLED = "the run was cancelled in the background event loop before its end"


class BackgroundLoop:
    """An event loop that runs in a daemon thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.is_closing: bool = False
        self._thread = threading.Thread(target=self._serve, name="cogent", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system, or the interpreter, gives no more
            self.loop.close()
            raise ConfigurationError(
                f"cogent's background event loop cannot be started: {error}"
            ) from error

    def close(self) -> None:
        """Cancel what runs, close the connections and end the thread."""
        self.is_closing = True
        with suppress(RuntimeError):  # the loop is closed already
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CLOSE_SECONDS)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            loop = runner.get_loop()
            while not self.is_closing:
                # A task's own exit is raised here too. Whoever waits for it gets it.
                with suppress(SystemExit, KeyboardInterrupt):
                    loop.run_forever()


class _Call(Generic[T]):
    """A coroutine of the background loop, and the thread that waits for it."""

    __slots__ = ("_background", "_make", "_outcomes", "_task")

    def __init__(
        self, background: BackgroundLoop, make: Callable[[], Awaitable[T]]
    ) -> None:
        self._background = background
        self._make = make
        self._task: asyncio.Task[None] | None = None
        # The value in a tuple, or the error.
        self._outcomes: SimpleQueue[tuple[T] | BaseException] = SimpleQueue()

    def wait(self) -> T:
        """Run it and return its value, or raise its error."""
        if self._background.is_closing:
            raise ConfigurationError(ENDED)
        # The coroutine sees the context variables of this thread.
        self._background.loop.call_soon_threadsafe(self._start)
        try:
            outcome = self._next_outcome()
        except BaseException:  # Ctrl-C, or what another signal handler raises
            self._stop()
            raise
        if isinstance(outcome, tuple):
            return outcome[0]
        try:
            if isinstance(outcome, asyncio.CancelledError):
                raise StreamInterrupted(CANCELLED) from None
            raise outcome
        finally:
            del outcome  # break the cycle error -> traceback -> frame -> error

    def _start(self) -> None:
        self._task = self._background.loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            value = await self._make()
        except BaseException as error:  # noqa: BLE001  # for the thread that waits
            # Only daemon threads wait while the interpreter ends, which ends them too.
            if not self._background.is_closing:
                self._outcomes.put(error)
        else:
            self._outcomes.put((value,))

    def _next_outcome(self) -> tuple[T] | BaseException:
        while True:
            with suppress(Empty):
                return self._outcomes.get(timeout=LOOK_SECONDS)

    def _stop(self) -> None:
        """Cancel it, and give it a moment to close its connection."""
        with suppress(RuntimeError, Empty):
            self._background.loop.call_soon_threadsafe(self._cancel)
            self._outcomes.get(timeout=STOP_SECONDS)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def wait_for(make: Callable[[], Awaitable[T]]) -> T:
    """Run what this makes on the background loop, and wait for its value here.

    It sees the context variables of the caller. Whatever interrupts the caller cancels
    it. Raises what it raises; ConfigurationError inside the background loop.
    """
    background = _get_background()
    if running_loop_if_any() is background.loop:
        raise ConfigurationError(INSIDE)
    return _Call(background, make).wait()


# The one loop of the process


class _Process:
    """What this process has."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.background: BackgroundLoop | None = None
        self.is_watched = False
        self.of_parents: list[BackgroundLoop] = []


_process = _Process()


def _get_background() -> BackgroundLoop:
    background = _process.background
    if background is not None:
        return background
    with _process.lock:
        if _process.background is None:
            _watch_process()
            _process.background = BackgroundLoop()
        return _process.background


def _watch_process() -> None:
    """Have the loop close at the end of the process, and be left behind by a fork."""
    if _process.is_watched:
        return
    _process.is_watched = True
    atexit.register(_close)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave_behind)


def _close() -> None:
    if _process.background is not None:
        _process.background.close()


def _leave_behind() -> None:
    """In a forked child: forget the parent's loop.

    It is never freed, as closing it would take its sockets out of the poll object that
    parent and child share.
    """
    if _process.background is not None:
        _process.of_parents.append(_process.background)
    _process.background = None
    _process.lock = threading.Lock()
