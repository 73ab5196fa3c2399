"""Ask, run the tools that were asked for, ask again.

This is the one place that decides what happens next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter
from types import TracebackType

from cogent.chunks import StreamChunk
from cogent.errors import CogentError, MaxStepsExceeded, ModelTimeout, ToolError
from cogent.messages import FinishReason
from cogent.run.asking import Answer
from cogent.run.closing import Stop, StreamCloser
from cogent.run.conversation import Run
from cogent.run.copies import copy_result
from cogent.run.deadlines import Phase
from cogent.run.execute import dispatch
from cogent.run.files import read_files
from cogent.run.finish import map_finish_reason
from cogent.run.plan import Job
from cogent.run.typed import check_output
from cogent.transport.keys import forget_locals

Chunks = AsyncGenerator[StreamChunk, None]


async def run_steps(job: Job) -> Chunks:
    """All chunks of a run, in order, the final one last.

    A run that was stopped just ends.
    """
    plan = job.plan
    run = job.run
    closer = job.closer
    with _Ending(job):
        if closer.reason is not None:  # stopped before it began
            return
        with _Stopping(closer):
            await read_files(run.messages)
            async with aclosing(_call_approved(job)) as results:
                async for result in results:
                    yield result
            tool_choice = job.tool_choice
            while run.steps < plan.max_steps:
                answer = Answer(job, tool_choice)
                tool_choice = None  # from the second turn on the model is free
                while not answer.is_complete:
                    await answer.prepare()
                    async with answer.attempt() as pieces:
                        async for piece in pieces:
                            if (chunk := answer.take(piece)) is not None:
                                yield chunk
                    await answer.settle()
                async with aclosing(_after_answer(job)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                if run.finished is not None:
                    return
            raise MaxStepsExceeded(
                "the model still asked for tools "
                f"after max_steps={plan.max_steps} turns"
            )
        _check_time(run, closer)


async def _call_approved(job: Job) -> Chunks:
    """The results of calls in the history that were approved since."""
    if not job.run.open_calls:
        return
    job.closer.expect(Phase.TOOLS)
    async with aclosing(_results(job)) as results:
        async for chunk in results:
            yield chunk


async def _after_answer(job: Job) -> Chunks:
    """What follows an answer: the results of its calls, what is wrong with its output,
    or the end of the run.
    """
    job.closer.expect(Phase.TOOLS)
    reason, goes_on = _end_turn(job)
    async with aclosing(_call_tools(job, reason)) as results:
        async for chunk in results:
            yield chunk
    if goes_on:
        return
    problems = check_output(job, reason)
    if problems:
        yield StreamChunk(metadata={"output_retry": problems})
        return
    job.closer.expect(Phase.END)
    metadata = job.run.finish(reason)
    job.watch.run_ended()  # now, as nobody may ask for more after the last chunk
    yield StreamChunk(is_final=True, finish_reason=reason, metadata=metadata)


async def _call_tools(job: Job, reason: FinishReason) -> Chunks:
    """The chunks of a turn that asks for tools: its end, then each result."""
    if reason != "tool_calls":
        return
    yield StreamChunk(finish_reason=reason, metadata=job.run.tool_calls_metadata())
    async with aclosing(_results(job)) as results:
        async for chunk in results:
            yield chunk


async def _results(job: Job) -> Chunks:
    """Run the open calls: a chunk for each as it ends."""
    plan, run = job.plan, job.run
    calls = dispatch(
        run.open_calls,
        plan.tools,
        job.context,
        plan.timeout.tool,
        job.watch,
        job.approved,
    )
    async with aclosing(calls) as results:
        async for result in results:
            yield StreamChunk(tool_result=copy_result(result))
    run.close_calls()


def _end_turn(job: Job) -> tuple[FinishReason, bool]:
    """Enter the turn into the conversation.

    Returns why it ended, and whether the model is to be asked again.
    """
    run = job.run
    turn = run.turn
    assert turn is not None
    end = turn.ending
    reason = map_finish_reason(end, refused=turn.refused, calls=turn.asks_for_tools())
    run.end_turn(reason, lambda call: job.plan.tools.waits(call, job.context))
    job.watch.turn_ended(run.turns[-1])
    if reason == "tool_calls":
        return reason, not run.pending  # pending calls are the caller's to answer
    return reason, end == "continue"


class _Ending:
    """Notes when the run begins and ends, and completes the error that ends it."""

    __slots__ = ("_job",)

    def __init__(self, job: Job) -> None:
        self._job = job

    def __enter__(self) -> None:
        self._job.run.started = perf_counter()
        self._job.watch.run_started(self._job)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        job = self._job
        run = job.run
        if isinstance(error, CogentError):
            error.partial = run.response()
            # The frames of a ToolError are of the user's own tool, for the user to see.
            if not isinstance(error, ToolError):
                forget_locals(error)
        run.ended = perf_counter()
        job.closer.finished()
        raised = None if isinstance(error, GeneratorExit) else error
        job.watch.run_ended(raised or _stop_error(run, job.closer))


def _stop_error(run: Run, closer: StreamCloser) -> BaseException | None:
    """What ended a run that was stopped while nobody waited for a chunk."""
    if closer.reason is Stop.CANCELLED and run.finished is None:
        return asyncio.CancelledError()
    return time_overrun(run, closer)


class _Stopping:
    """Ends the block, and no more, on a cancellation that the closer sent."""

    __slots__ = ("_closer",)

    def __init__(self, closer: StreamCloser) -> None:
        self._closer = closer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, asyncio.CancelledError):
            return False
        forget_locals(error)
        return self._closer.take_back_cancellation()


def _check_time(run: Run, closer: StreamCloser) -> None:
    overrun = time_overrun(run, closer)
    if overrun is not None:
        raise overrun


def time_overrun(run: Run, closer: StreamCloser) -> ModelTimeout | None:
    """The error of the limit of time that ended the run, if one did."""
    overrun = closer.overrun()
    if overrun is None or run.finished is not None:
        return None
    limit, message = overrun
    return ModelTimeout(
        message, kind=limit.value, provider=run.provider, model=run.model
    )
