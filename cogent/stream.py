"""The handle on one run."""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

from cogent.errors import CogentError, ConfigurationError, StreamInterrupted
from cogent.messages import Response, ToolCall
from cogent.reprs import cut
from cogent.run.approval import Tools
from cogent.run.closing import Stop, StreamCloser
from cogent.run.conversation import Run
from cogent.run.event_loop import NEEDS_ASYNCIO, running_loop
from cogent.run.pending import wants_approval
from cogent.run.plan import Job
from cogent.run.typed import PartialOutput
from cogent.type_variables import Out

if TYPE_CHECKING:
    from cogent.chunks import StreamChunk
    from cogent.run.loop import Chunks

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

    >>> async def main():
    ...     stream = Agent("writer", ScriptedModel(["The ", "Nile."])).run_stream("Hi")
    ...     print([chunk.content async for chunk in stream], stream.response)
    >>> asyncio.run(main())
    ['The ', 'Nile.', ''] The Nile.
    """

    def __init__(self, job: Job) -> None:
        from cogent.run.loop import run_steps  # what carries requests out

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

    async def text(self, *, accumulated: bool = False) -> AsyncGenerator[str, None]:
        """The text alone, piece by piece, or each time all of it so far.

        For front ends: those that add what they are given take the pieces, those that
        replace what they show take `accumulated=True`. That begins anew where the model
        answers anew, as its answer was not of the `output_type`. Dropping or closing
        this generator stops the run.
        """
        so_far = ""
        async for chunk in self:
            if accumulated and chunk.metadata and "output_retry" in chunk.metadata:
                so_far = ""
            if not chunk.content:
                continue
            if accumulated:
                so_far += chunk.content
                yield so_far
            else:
                yield chunk.content

    async def show(self) -> Response[Out]:
        """Show the run while it goes, and return its response.

        In a notebook it is one output that grows, with the reasoning and the tools
        folded; in a terminal the text as it comes, the rest dimmed, the Markdown drawn
        where `rich` is installed; elsewhere, as in a pipe, the plain text.

            response = await agent.run_stream("Why is the sky blue?").show()

        An interrupt stops the model; what came stays, is marked as stopped, and is in
        the `response` of a stream that has a name. Raises what reading raises, and
        ConfigurationError for a stream that was read already.
        """
        from cogent.display import show

        return await show(self)

    def __aiter__(self) -> AsyncIterator[StreamChunk]:
        """An iterator for one loop.

        Dropping it stops the run, which is how the stream learns that a loop was left.
        One that never gave a chunk stops nothing.
        """
        return _LoopIterator(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the run and wait until it has stopped.

        It may be called twice, and from another task of the loop. Raises
        ConfigurationError in another loop than that of the run.
        """
        closing = self._closer.closing
        if closing is None:
            self._closer.request_stop(Stop.REQUESTED)
        elif not closing.done():
            self._check_loop()
            self._closer.request_stop(Stop.REQUESTED)
            await asyncio.shield(closing)

    def cancel(self) -> None:
        """Stop the run from any task or thread.

        The iteration then just ends, and no final chunk comes.
        """
        self._closer.request_stop_threadsafe()

    def __del__(self) -> None:
        self._closer.consumer_dropped()

    @property
    def _was_begun(self) -> bool:
        """Whether a chunk was asked for, or the run was closed before."""
        return self._closer.closing is not None or self._closer.reason is not None

    def __repr__(self) -> str:
        run = self._run
        said = cut(run.response().content)
        return f"<AgentStream of {run.provider}:{run.model}, {self._state()}: {said}>"

    def _state(self) -> str:
        if self._run.finished is not None:
            return f"ended by {self._run.finished.finish_reason!r}"
        if self._failure is not None:
            return f"failed by {type(self._failure).__name__}"
        if self._closer.reason is not None:
            return "stopped"
        return "open" if self._closer.open else "not begun"

    def _handle(self) -> AgentStream[Any]:
        return self

    def _failed(self, error: BaseException) -> None:
        """Remember what ended the run, for whoever reads on."""
        if isinstance(error, CogentError):
            self._failure = _copy_error(error)
        elif not isinstance(error, StopAsyncIteration):
            self._was_cancelled = True

    async def _admit(self) -> None:
        """Begin the run, or let another task read on.

        Raises what there is instead of a chunk.
        """
        closer = self._closer
        if closer.closing is None:
            closer.attach(self._chunks)
            return
        if closer.open or not closer.closing.done():
            self._check_loop()
        if not closer.open:
            await asyncio.shield(closer.closing)
            raise self._end()
        if not closer.at_rest:
            raise ConfigurationError(SECOND_READER)

    def _check_loop(self) -> None:
        if running_loop() is not self._closer.loop:
            raise ConfigurationError(OTHER_LOOP)

    def _end(self) -> Exception:
        """What reading on after the end raises."""
        if self._run.finished is not None:
            return StopAsyncIteration()
        if self._failure is None:
            self._failure = self._find_failure()
        if self._failure is None:
            return StopAsyncIteration()
        failure = _copy_error(self._failure)
        failure.partial = self.response
        return failure

    def _find_failure(self) -> CogentError | None:
        """The error of a run that ended by a cancellation, or while nobody waited."""
        if self._was_cancelled or self._closer.reason is Stop.CANCELLED:
            return StreamInterrupted(
                "the task that read the stream was cancelled before the end; "
                "`partial` has what came",
                provider=self._run.provider,
                model=self._run.model,
            )
        from cogent.run.loop import time_overrun

        return time_overrun(self._run, self._closer)


class _LoopIterator(_Reader):
    """What `async for` holds while its loop lasts; it keeps the stream."""

    def __init__(self, stream: AgentStream[Any]) -> None:
        super().__init__(stream._closer, stream._chunks)
        self._stream = stream

    def _handle(self) -> AgentStream[Any]:
        return self._stream

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Stop the run, for those who close an iterator."""
        await self._stream.aclose()

    def __del__(self) -> None:
        if self.has_read:
            self._closer.consumer_dropped()


def _copy_error(error: CogentError) -> CogentError:
    """The same error without its traceback, to be raised again."""
    copied = error.__class__.__new__(error.__class__, *error.args)
    copied.__dict__.update(error.__dict__)
    copied.__cause__ = error.__cause__
    return copied
