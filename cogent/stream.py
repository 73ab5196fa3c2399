"""The handle on one run."""

from __future__ import annotations

import asyncio
import warnings
import weakref
from collections.abc import Awaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cogent.core.accumulate import Run
from cogent.core.loop import Plan, check_time, run_steps
from cogent.core.watchdog import STOPPED, Watchdog
from cogent.errors import ModelTimeout
from cogent.messages import Response

if TYPE_CHECKING:
    from cogent.chunks import StreamChunk


class AgentStream:
    """The chunks of a run, as they come: `async for chunk in stream`.

    Nothing happens before the first chunk is asked for. Leaving the loop and dropping the stream, leaving
    `async with stream`, `aclose()` and `cancel()` all close the connection and cancel tools that still run. A stream
    that is held and forgotten does so with a RuntimeWarning after `Timeout.idle` seconds.
    """

    def __init__(self, plan: Plan, run: Run, context: dict[str, Any], streaming: bool = True) -> None:
        self._run = run
        # Nothing but its user may keep a stream: one that is dropped has to go at once.
        self._watchdog = Watchdog(plan.timeout, weakref.WeakMethod(self._abandon))
        self._chunks = run_steps(plan, run, self._watchdog, context, streaming)
        self._closing: asyncio.Task[None] | None = None

    @property
    def response(self) -> Response:
        """The response: complete after the end; before it, and after a break or an error, as far as it came."""
        return self._run.response()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[StreamChunk]:
        if self._closing is not None:
            return self._closed(self._closing)
        return self._chunks.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the run and wait until it has stopped; may be called twice, and from another task of the loop."""
        if self._watchdog.loop is None or self._run.ended is not None:
            await self._chunks.aclose()
        elif self._closing is None and self._watchdog.interrupt(STOPPED):
            await self._watchdog.ended()
        else:
            await asyncio.shield(self._close(asyncio.get_running_loop()))

    def cancel(self) -> None:
        """Stop the run from any task or thread; the iteration then just ends, and no final chunk comes."""
        loop = self._watchdog.loop
        if loop is None:
            self._watchdog.interrupt(STOPPED)
        elif loop is _running():
            self._stop(loop)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._stop, loop)

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._watchdog.interrupt(STOPPED):
            self._close(loop)

    def _abandon(self) -> None:
        """A limit of time is over while the consumer does something else."""
        self._close(asyncio.get_running_loop())
        if self._watchdog.reason == "idle" and self._run.finished is None:
            warnings.warn(
                "a stream that nobody read on was closed: leave its loop and drop it, or use `async with`; "
                "Timeout(idle=...) sets how long it is kept",
                RuntimeWarning,
                stacklevel=2,
            )

    def _close(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = loop.create_task(self._chunks.aclose())
        return self._closing

    async def _closed(self, closing: asyncio.Task[None]) -> StreamChunk:
        await asyncio.shield(closing)
        try:
            check_time(self._run, self._watchdog)
        except ModelTimeout as error:
            error.partial = self.response
            raise
        raise StopAsyncIteration


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
