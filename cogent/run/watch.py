"""Tells the observers of a run what happens in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from os import urandom
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from cogent.errors import CogentError
from cogent.logs import FullLog, WarningLog, logger
from cogent.messages import Response, ToolCall, TurnSummary
from cogent.model import Model
from cogent.observe import EVENTS, ObservedRun, Observer

if TYPE_CHECKING:
    from cogent.run.plan import Job

# By the event: the observers that have such a method, each with it.
Methods = Mapping[str, Sequence[tuple[Observer, Callable[..., object]]]]

# How the present tool tells of its progress: the number, the total, and words. It may
# be called from any thread, while the event loop of the run is open.
Reporter = Callable[[float, float | None, str | None], object]
_reporter: ContextVar[Reporter | None] = ContextVar("cogent_progress", default=None)


def progress_reporter() -> Reporter | None:
    """How the present tool tells of its progress; None where nobody is interested."""
    return _reporter.get()


class Observers:
    """The observers of an agent, with cogent's own log: who is told of which event."""

    def __init__(self, given: Sequence[Observer] = ()) -> None:
        self._quiet = _methods([*given, WarningLog()])
        self._full = _methods([*given, FullLog()])

    def methods(self) -> Methods:
        """The methods to call, by the event."""
        return self._full if logger.isEnabledFor(logging.DEBUG) else self._quiet


def _methods(observers: Sequence[Observer]) -> Methods:
    return {
        event: [
            (observer, getattr(observer, event))
            for observer in observers
            if _has_method(observer, event)
        ]
        for event in EVENTS
    }


def _has_method(observer: Observer, event: str) -> bool:
    """Whether an observer has this method, and one that does anything."""
    method = getattr(observer, event, None)
    if not callable(method):
        return False
    return getattr(method, "__func__", None) is not getattr(Observer, event)


class Watch:
    """Tells the observers of one run.

    A turn that was started, and the run, are ended once, whatever happens.
    """

    def __init__(self, observers: Observers) -> None:
        self._observers = observers
        self._methods: Methods = {}
        self._job: Job | None = None
        self._run: ObservedRun | None = None
        self._failed: set[int] = set()  # observers whose exception was logged
        self._in_turn = False
        self._tool_errors: dict[int, BaseException] = {}  # by the id of the call object

    def run_started(self, job: Job) -> None:
        """The run begins."""
        self._methods = self._observers.methods()
        self._job = job
        self._tell("run_started")

    def asking(self) -> None:
        """A request is about to be made; the first one of an answer starts its turn."""
        job = self._the_job()
        if self._run is not None:
            self._run.address = job.run.address
        if self._in_turn:
            return
        self._in_turn = True
        if self._run is not None:
            self._run.turn = len(job.run.turns) + 1
        self._tell("turn_started")

    def first_chunk(self) -> None:
        """The first piece of an answer came."""
        if self._the_job().streaming:
            self._tell("first_chunk")

    def turn_ended(self, turn: TurnSummary) -> None:
        """An answer has ended."""
        self._in_turn = False
        self._tell("turn_ended", turn)

    def retried(self, error: CogentError, wait: float) -> None:
        """The model is going to be asked again after so many seconds."""
        self._tell("retried", error, wait)

    def fell_back(self, model: Model, error: CogentError) -> None:
        """This model is going to be asked, as the one before it failed."""
        if self._methods["fell_back"]:
            self._observed().model = model
        self._tell("fell_back", error)

    def tool_started(self, call: ToolCall) -> None:
        """A tool is about to run; to be called in its task."""
        self._tell("tool_started", call)
        if self._methods["tool_progress"]:
            loop = asyncio.get_running_loop()
            tell = partial(self._tell, "tool_progress", call)
            _reporter.set(partial(loop.call_soon_threadsafe, tell))

    def tool_failed(self, call: ToolCall, error: BaseException) -> None:
        """Keep the error that ends a tool, until `tool_ended`."""
        self._tool_errors[id(call)] = error

    def tool_ended(self, call: ToolCall) -> None:
        """A tool has ended; to be called in its task."""
        self._tell("tool_ended", call)
        self._tool_errors.pop(id(call), None)

    def run_ended(self, error: BaseException | None = None) -> None:
        """The run has ended; all but the first call are for nothing."""
        job = self._job
        if job is None:
            return
        if self._methods["turn_ended"] or self._methods["run_ended"]:
            self._observed().error = error
        if self._in_turn:
            self.turn_ended(job.run.open_summary())
        if self._methods["run_ended"]:
            self._tell("run_ended", _response(job, error), error)
        self._job = None
        if self._run is not None:
            self._run.error = None  # which holds frames, and they this

    def _the_job(self) -> Job:
        assert self._job is not None
        return self._job

    def _observed(self) -> ObservedRun:
        """The run as observers see it, made when the first of them wants it."""
        if self._run is None:
            self._run = _observed_run(self._the_job(), self._tool_errors, self._in_turn)
        return self._run

    def _tell(self, event: str, *details: object) -> None:
        if self._run is None and self._job is None:
            return  # a tool that outlived a run of which nobody was told anything
        for observer, method in self._methods[event]:
            try:
                method(self._observed(), *details)
            except Exception:  # noqa: BLE001  # an observer breaks no run
                self._log_failure(observer, event)

    def _log_failure(self, observer: Observer, event: str) -> None:
        if id(observer) in self._failed:
            return
        self._failed.add(id(observer))
        logger.exception(
            "the observer %s failed in %s; what else it raises in this run is not logged",
            type(observer).__name__,
            event,
        )


def _observed_run(
    job: Job, tool_errors: dict[int, BaseException], in_turn: bool
) -> ObservedRun:
    plan, run = job.plan, job.run
    return ObservedRun(
        id=urandom(16).hex(),
        agent=plan.agent,
        model=plan.candidates[run.candidate].model,
        instructions=plan.instructions,
        tools=plan.tools.by_name,
        context=job.context,
        messages=run.messages,
        streamed=job.streaming,
        typed=job.wanted is not None,
        started_at=time() - (perf_counter() - run.started),
        address=run.address,
        turn=len(run.turns) + in_turn,
        tool_errors=tool_errors,
    )


def _response(job: Job, error: BaseException | None) -> Response[Any]:
    """The response as far as there is one."""
    if isinstance(error, CogentError) and error.partial is not None:
        return error.partial
    return job.run.response()
