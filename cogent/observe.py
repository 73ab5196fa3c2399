"""Observers: objects that are called at each step of a run.

Give them to an agent, `Agent(..., observers=[...])`. cogent's own log is one of them
(`cogent.logs`), and spans and metrics are another (`cogent.otel`).

The order of calls, for each run:

    run_started
        turn_started          for each turn of the model
            retried           for each failed attempt that is followed by another
            fell_back         if the next of several models is asked
            first_chunk       once, if the answer is streamed and something came
        turn_ended            once for each turn_started
        tool_started          for each call that is run here; calls of a turn overlap
            tool_progress     for each report of an MCP server on its tool
        tool_ended            once for each tool_started
    run_ended                 once for each run_started

A turn or a tool that is cut short, by `break`, a cancellation, an error or a time-out,
is ended too, before `run_ended`. A tool that ignores its cancellation may end later.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cogent.errors import ConfigurationError
from cogent.validation import shown

if TYPE_CHECKING:
    from cogent.errors import CogentError
    from cogent.messages import Message, Response, ToolCall, TurnSummary
    from cogent.model import Model
    from cogent.tools import Tool

__all__ = ["ObservedRun", "Observer"]

EVENTS = (
    "run_started",
    "turn_started",
    "first_chunk",
    "turn_ended",
    "retried",
    "fell_back",
    "tool_started",
    "tool_progress",
    "tool_ended",
    "run_ended",
)


@dataclass(slots=True, eq=False, kw_only=True)
class ObservedRun:
    """A run, as its observers see it: one object from `run_started` to `run_ended`.

    Everything but `state` is for reading only.

    - `id`: 32 hexadecimal digits, another one for each run.
    - `agent`: the agent's name.
    - `model`: the Model that is asked; another one after `fell_back`.
    - `address`: the URL of its server without credentials, where it is known; from
      `turn_started` on.
    - `instructions`, `tools`: the agent's; the tools by their names.
    - `context`: what the run was given as `context=`.
    - `messages`: the conversation so far, the new message included; it grows.
    - `streamed`: whether the answers are asked for as streams.
    - `typed`: whether the answer has to be of an `output_type`.
    - `started_at`: seconds since the epoch.
    - `turn`: the number of the turn, from 1; 0 before the first.
    - `error`: what ends the run, while `turn_ended`, `tool_ended` and `run_ended` are
      called for it.
    - `state`: the observers' own: whatever one wants to find again at a later event
      of this run, under a key of its own, like the observer itself.

    >>> class Counter:
    ...     def turn_started(self, run: ObservedRun):
    ...         print(run.agent, "asks for answer", run.turn)
    >>> agent = Agent("writer", ScriptedModel("The Nile."), observers=[Counter()])
    >>> response = agent.run_sync("Name a river.")
    writer asks for answer 1
    """

    id: str
    agent: str
    model: Model
    instructions: str | None = field(repr=False)
    tools: Mapping[str, Tool[..., Any]] = field(repr=False)
    context: object = field(repr=False)
    messages: Sequence[Message] = field(repr=False)
    streamed: bool
    typed: bool
    started_at: float
    address: str | None = None
    turn: int = 0
    error: BaseException | None = None
    state: dict[object, Any] = field(default_factory=dict, repr=False)
    tool_errors: dict[int, BaseException] = field(default_factory=dict, repr=False)

    def tool_error(self, call: ToolCall) -> BaseException | None:
        """During `tool_ended`: the exception that ended the tool, if one did.

        That is also the CancelledError of a tool that was cancelled, and an
        `ArgumentsError` for arguments that do not fit.
        """
        return self.tool_errors.get(id(call))


class Observer(Protocol):
    """What an observer may have; every method is optional.

    Derive from this class, and type checkers know the signatures. Any other object with
    one of these methods will do too. They are plain functions, called in the middle of
    a run, on the thread of its event loop: what takes long holds up all that runs
    there. One that raises does not break the run: cogent logs the first exception of
    each observer in a run, and goes on. An observer serves many runs at a time; what
    belongs to one run is kept in `run.state`.

    Nothing that an observer makes current (a ContextVar) in the methods for runs and
    turns may be left so, as they are called in the task that reads the stream. A tool
    has a task of its own, and `tool_started` and `tool_ended` are called in it: what
    the former sets, the tool sees.

    >>> class Ends(Observer):
    ...     def run_ended(self, run, response, error):
    ...         print(run.agent, response.finish_reason)
    >>> agent = Agent("writer", ScriptedModel("The Nile."), observers=[Ends()])
    >>> response = agent.run_sync("Name a river.")
    writer stop
    """

    def run_started(self, run: ObservedRun, /) -> None:
        """A run begins: of a stream, when its first chunk is asked for."""
        return

    def turn_started(self, run: ObservedRun, /) -> None:
        """The model is about to be asked for an answer."""
        return

    def first_chunk(self, run: ObservedRun, /) -> None:
        """The first piece of a streamed answer came: text, reasoning, or of a call."""
        return

    def turn_ended(self, run: ObservedRun, turn: TurnSummary, /) -> None:
        """An answer is complete, or was broken off: then `finish_reason` is None, and
        the rest is as far as it is known.
        """
        return

    def retried(self, run: ObservedRun, error: CogentError, wait: float, /) -> None:
        """The model is going to be asked again after `wait` seconds.

        Within a turn, as an attempt failed; or between two turns, by an OutputError, as
        the answer was not of the `output_type`.
        """
        return

    def fell_back(self, run: ObservedRun, error: CogentError, /) -> None:
        """A model failed, and the next one, now `run.model`, is going to be asked."""
        return

    def tool_started(self, run: ObservedRun, call: ToolCall, /) -> None:
        """A tool is about to run: after its approval, if it needs one."""
        return

    def tool_progress(
        self,
        run: ObservedRun,
        call: ToolCall,
        progress: float,
        total: float | None,
        message: str | None,
        /,
    ) -> None:
        """A tool of an MCP server is so far, of `total` where that is known."""
        return

    def tool_ended(self, run: ObservedRun, call: ToolCall, /) -> None:
        """A tool has ended: `call.result` says how.

        It is None if the tool was cancelled, or its error is raised out of the run.
        """
        return

    def run_ended(
        self, run: ObservedRun, response: Response[Any], error: BaseException | None, /
    ) -> None:
        """The run has ended.

        Without an error it ended by itself, or if `response.finish_reason` is None, was
        left: by `break`, `aclose` or `cancel`. `error` is what is raised out of the
        run; a CancelledError, if its task was cancelled.
        """
        return


def check_observers(observers: object) -> tuple[Observer, ...]:
    """The observers that an agent is given. Raises ConfigurationError."""
    if isinstance(observers, str) or not isinstance(observers, Iterable):
        raise ConfigurationError(
            f"observers is a list of observers; got {shown(observers)}"
        )
    checked = tuple(observers)
    for observer in checked:
        _check_observer(observer)
    return checked


def _check_observer(observer: object) -> None:
    if isinstance(observer, type):
        raise ConfigurationError(
            f"an observer is an object, not a class: {observer.__name__}()"
        )
    methods = {event: getattr(observer, event, None) for event in EVENTS}
    if not any(map(callable, methods.values())):
        raise ConfigurationError(
            f"an observer has one of the methods {', '.join(EVENTS)}; "
            f"got {shown(observer)}"
        )
    for event, method in methods.items():
        if inspect.iscoroutinefunction(method):
            raise ConfigurationError(
                f"{type(observer).__name__}.{event} is async; "
                "the methods of an observer are plain functions"
            )
