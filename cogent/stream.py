"""The handle on one run."""

from __future__ import annotations

import asyncio
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

    def __init__(
        self, plan: Plan, run: Run, context: dict[str, Any], streaming: bool = True, shown: bool = True
    ) -> None:
        self._run = run
        self._watchdog = Watchdog(plan.timeout)
        self._chunks = run_steps(plan, run, self._watchdog, context, streaming, shown)

    @property
    def response(self) -> Response:
        """The response: complete after the end; before it, and after a break or an error, as far as it came."""
        return self._run.response()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[StreamChunk]:
        if not self._watchdog.open:
            if self._watchdog.keeper is not None:
                return self._closed(self._watchdog.keeper)
            self._watchdog.begin(self._chunks)
        return self._chunks.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the run and wait until it has stopped; may be called twice, and from another task of the loop."""
        self._watchdog.interrupt(STOPPED)
        if self._watchdog.keeper is not None:
            await asyncio.shield(self._watchdog.keeper)

    def cancel(self) -> None:
        """Stop the run from any task or thread; the iteration then just ends, and no final chunk comes."""
        self._watchdog.stop()

    def __del__(self) -> None:
        self._watchdog.abandon()

    async def _closed(self, keeper: asyncio.Task[None]) -> StreamChunk:
        await asyncio.shield(keeper)
        try:
            check_time(self._run, self._watchdog)
        except ModelTimeout as error:
            error.partial = self.response
            raise
        raise StopAsyncIteration
