"""The handle on one run."""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from cogent.errors import CogentError, ConfigurationError, StreamInterrupted
from cogent.messages import Response, ToolCall
from cogent.run.approval import Tools
from cogent.run.closing import Stop, StreamCloser
from cogent.run.conversation import Run
from cogent.run.event_loop import NEEDS_ASYNCIO, running_loop
from cogent.run.loop import Chunks, run_steps, time_overrun
from cogent.run.pending import wants_approval
from cogent.run.plan import Job
from cogent.run.typed import PartialOutput
from cogent.type_variables import Out

if TYPE_CHECKING:
    from cogent.chunks import StreamChunk

OTHER_LOOP = (
    "this stream was begun in another event loop, which alone can read or close it; "
    "`cancel()` works anywhere"
)
SECOND_READER = (
    "another task waits for the next chunk of this stream: "
    "a stream has one reader at a time"
)


class _Reader:
    """Whoever reads the chunks of a run: one loop, or those who use it by hand."""

    def __init__(self, closer: StreamCloser, chunks: Chunks) -> None:
        self._closer: StreamCloser = closer
        self._chunks: Chunks = chunks
        self.has_read: bool = False

    def _handle(self) -> AgentStream[Any]:
        """The stream that is read."""
        raise NotImplementedError

    async def __anext__(self) -> StreamChunk:
        # The coroutine holds its reader, so that this is not dropped while it waits.
        closer = self._closer
        try:
            task = current_task()
        except RuntimeError:
            raise ConfigurationError(NEEDS_ASYNCIO) from None
        if task is not closer.reader or not closer.at_rest:
            await self._handle()._admit()
        self.has_read = True
        closer.waiting(task)
        try:
            chunk = await self._chunks.__anext__()
        except BaseException as error:
            self._handle()._failed(error)
            raise
        closer.yielding()
        return chunk


class AgentStream(_Reader, Generic[Out]):
    """The chunks of a run, as they come: `async for chunk in stream`.

    Nothing happens before the first chunk is asked for. Leaving the loop, leaving
    `async with stream`, `aclose()`, `cancel()` and dropping the stream all close the
    connection and cancel tools that still run. Reading on then just ends; after an
    error it raises that error again, and after a cancellation from outside
    StreamInterrupted.

    One chunk at a time is `await anext(stream)`, which leaves the run open in between;
    a stream that is then held and forgotten is closed with a RuntimeWarning after
    `Timeout.idle` seconds. A stream has one reader at a time and stays in the event
    loop that it was begun in: anything else is a ConfigurationError.
    """

    def __init__(self, job: Job) -> None:
        self._run: Run = job.run
        self._tools: Tools = job.plan.tools
        self._partial = PartialOutput(job.run, job.wanted)
        super().__init__(job.closer, run_steps(job))
        # A copy: the error that was raised holds the frames of its reader.
        self._failure: CogentError | None = None
        self._was_cancelled: bool = False

    @property
    def response(self) -> Response[Out]:
        """The response, complete after the end, else as far as it came."""
        return self._run.response()

    @property
    def partial(self) -> Any:
        """The answer so far of a run with an `output_type`, as plain JSON values.

        Its last string or number may be unfinished. None as long as there is nothing.
        The values are read anew only when more has come: treat them as read-only.
        """
        return self._partial.value()

    def awaits_approval(self, call: ToolCall) -> bool:
        """Whether a call of `response.pending` waits for True, False or a reason.

        Any other waits for what it gives where it runs: `results=` of the next run.
        """
        return wants_approval(call, self._tools)
