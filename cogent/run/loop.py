"""Ask, run the tools that were asked for, ask again: the one place that decides what happens next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any

from cogent.chunks import StreamChunk, TurnUpdate
from cogent.errors import (
    CogentError,
    ConfigurationError,
    MaxStepsExceeded,
    ModelError,
    ModelTimeout,
    StreamInterrupted,
    ToolError,
)
from cogent.messages import FinishReason
from cogent.model import Model
from cogent.providers import Part, Provider, Request
from cogent.run import finish
from cogent.run.clients import Clients
from cogent.run.closing import Watchdog
from cogent.run.conversation import Run, Turn
from cogent.run.execute import dispatch
from cogent.run.history import server_address
from cogent.run.retry import wait_before
from cogent.timeout import Timeout
from cogent.tools import Tool
from cogent.transport.errors import FilterRefusal, translate
from cogent.transport.keys import forget_locals
from cogent.transport.unsent import unsent

Chunks = AsyncGenerator[StreamChunk, None]

MAX_WORD_CHARS = 100  # of a finish reason, where an error names it


@dataclass(frozen=True, slots=True)
class Plan:
    """What an agent brings to each of its runs."""

    model: Model
    provider: Provider
    clients: Clients
    instructions: str | None
    tools: Mapping[str, Tool[..., Any]]
    max_steps: int
    timeout: Timeout = field(default_factory=Timeout)


async def run_steps(
    plan: Plan, run: Run, watchdog: Watchdog, context: dict[str, Any], streaming: bool, shown: bool = True
) -> Chunks:
    """All chunks of a run, in order, the final one last. A run that was stopped just ends.

    `streaming` says how the model is asked, `shown` whether somebody sees the chunks: only then is an answer that was
    cut after it had begun not asked for again.
    """
    try:
        run.started = perf_counter()
        if watchdog.reason is not None:  # stopped before it began
            return
        try:
            async with aclosing(_phases(plan, run, watchdog, context, streaming, shown)) as phases:
                async for phase in phases:
                    async with aclosing(phase) as chunks:
                        async for chunk in chunks:
                            yield chunk
        except asyncio.CancelledError as stopped:
            forget_locals(stopped)
            if not watchdog.take_back_cancellation():
                raise
        if (overrun := time_overrun(run, watchdog)) is not None:
            raise overrun
    except CogentError as error:
        error.partial = run.response()
        if not isinstance(error, ToolError):  # what a tool of the user's failed with is the user's to look at
            forget_locals(error)
        raise
    finally:
        run.ended = perf_counter()
        watchdog.finished()


async def _phases(
    plan: Plan, run: Run, watchdog: Watchdog, context: dict[str, Any], streaming: bool, shown: bool
) -> AsyncGenerator[Chunks, None]:
    """What comes one after the other: an answer, the tools that it asks for, the next answer, the end."""
    for _ in range(plan.max_steps):
        client = await plan.clients.get()  # anew, as a tool may have closed the agent
        yield _ask(plan, run, watchdog, client, streaming, shown)
        watchdog.expect("tools")
        end, reason = _end_turn(run)
        if reason == "tool_calls":
            yield _call_tools(plan, run, context)
            if run.pending:  # these are the caller's to answer
                watchdog.expect("end")
                yield _end(run, reason)
                return
        elif end != "continue":
            watchdog.expect("end")
            yield _end(run, reason)
            return
    raise MaxStepsExceeded(f"the model still asked for tools after max_steps={plan.max_steps} turns")


async def _call_tools(plan: Plan, run: Run, context: dict[str, Any]) -> Chunks:
    yield StreamChunk(finish_reason="tool_calls", metadata=run.tool_calls_metadata())
    async with aclosing(dispatch(run.open_calls, plan.tools, context, plan.timeout.tool)) as results:
        async for result in results:
            yield StreamChunk(tool_result=replace(result))
    run.close_calls()


async def _end(run: Run, reason: FinishReason) -> Chunks:
    yield StreamChunk(is_final=True, finish_reason=reason, metadata=run.finish(reason))


async def _ask(plan: Plan, run: Run, watchdog: Watchdog, client: Any, streaming: bool, shown: bool) -> Chunks:
    """One answer of the model; asked again after a failure as long as nothing of it was seen."""
    run.address = server_address(getattr(client, "base_url", None))
    request = Request(plan.model, run.messages, plan.instructions, tuple(plan.tools.values()), run.address)
    ask = plan.provider.stream if streaming else partial(_complete, plan.provider)
    for attempt in count():
        watchdog.expect("first")
        turn = run.begin_turn()
        turn.asked = True
        try:
            async with aclosing(ask(client, request)) as parts:
                async for part in parts:
                    if isinstance(part, TurnUpdate):
                        turn.update(part)
                        if part.unseen:
                            watchdog.expect("first")
                    elif turn.add(part):
                        if run.first_at is None:
                            run.first_at = perf_counter()
                        yield part
            _check_end(turn, plan.model.strict_end)
            return
        except ConfigurationError:
            raise
        except Exception as raised:  # noqa: BLE001  # an SDK's, an HTTP client's, a decoder's: each becomes ours
            error = translate(raised, began=turn.began, client=client)
            if not turn.began:
                error = unsent(raised, error, plan.model)
        if _ended_by_filter(turn, error):
            del error  # break the cycle error -> traceback -> frame -> error
            return
        turn.asked = error.status == 200 or isinstance(error, StreamInterrupted | ModelTimeout)
        error.provider, error.model = plan.model.provider, plan.model.name
        error.request_id = error.request_id or turn.request_id
        wait = wait_before(attempt, error, watchdog.remaining())
        seen = turn.visible and shown
        if seen or wait is None or attempt >= plan.model.max_retries:
            try:
                raise error
            finally:
                del error  # which would hold this frame, and the frame it
        watchdog.expect("retry")
        await asyncio.sleep(wait)


async def _complete(provider: Provider, client: Any, request: Request) -> AsyncGenerator[Part, None]:
    for part in await provider.complete(client, request):
        yield part


def _ended_by_filter(turn: Turn, error: ModelError) -> bool:
    """Whether a filter refused the prompt or the answer: that is the end of the answer, and no error."""
    if not isinstance(error, FilterRefusal):
        return False
    turn.update(TurnUpdate(finish=error.code, refused=True, request_id=error.request_id))
    return True


def _check_end(turn: Turn, strict: bool) -> None:
    """Raise StreamInterrupted unless the provider said that the answer is complete.

    Raises ModelError for tool calls that ended with a word that says nothing to us: nobody knows whether they may run.
    """
    if turn.finish is None:
        if strict:
            raise StreamInterrupted("the answer ended without the provider's word that it is complete")
        return
    end = finish.ending(turn.finish)
    if end == "error":
        raise StreamInterrupted("the provider gave up on the answer", code=turn.finish)
    if end == "unknown" and not turn.refused and (turn.calls() or turn.pending):
        word = turn.finish[:MAX_WORD_CHARS]
        raise ModelError(
            f"the answer asks for tools and ends with the unknown finish reason {word!r}: the tools were not run",
            status=200,
            code=word,
        )


def _end_turn(run: Run) -> tuple[finish.Ending, FinishReason]:
    assert run.turn is not None
    end = "stop" if run.turn.finish is None else finish.ending(run.turn.finish)
    calls = run.turn.calls()
    if run.turn.finish is None:  # an end that was only assumed: a call without arguments may be one that was cut off
        calls = calls if all(isinstance(call.arguments, dict) for call in calls) else []
    reason = finish.finish_reason(end, refused=run.turn.refused, calls=bool(calls or run.turn.pending))
    run.end_turn(reason)
    return end, reason


def time_overrun(run: Run, watchdog: Watchdog) -> ModelTimeout | None:
    """The error of the limit of time that ended the run, if one did."""
    overrun = watchdog.overrun()
    if overrun is None or run.finished is not None:
        return None
    kind, message = overrun
    return ModelTimeout(message, kind=kind, provider=run.provider, model=run.model)
