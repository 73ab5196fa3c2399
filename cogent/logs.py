"""The logger `cogent`.

It has no handler of its own; `logging.basicConfig(level=...)` shows what it says:
failing tools (with their traceback), retries and fall-backs as warnings, and with
`logging.getLogger("cogent").setLevel(logging.DEBUG)` each request, first piece and end.

What is said in a conversation is logged only at the level DEBUG and only with
`COGENT_LOG_CONTENT=1` in the environment; without it, an error of a provider or a tool
may still repeat some of it.
"""

from __future__ import annotations

import json
import logging
import os
from time import perf_counter
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from cogent.json_values import LONE_SURROGATE
from cogent.observe import ObservedRun, Observer
from cogent.tools import ArgumentsError

if TYPE_CHECKING:
    from cogent.errors import CogentError
    from cogent.messages import Response, ToolCall, TurnSummary

CONTENT_VARIABLE = "COGENT_LOG_CONTENT"

logger: logging.Logger = logging.getLogger("cogent")
logger.addHandler(logging.NullHandler())


class WarningLog(Observer):
    """Logs what went wrong, and was coped with."""

    def retried(self, run: ObservedRun, error: CogentError, wait: float) -> None:
        """A failed attempt, or an answer that is not of the type."""
        logger.warning(
            "%s: asking again in %.2g s after %s: %s",
            _name(run),
            wait,
            type(error).__name__,
            error,
        )

    def fell_back(self, run: ObservedRun, error: CogentError) -> None:
        """Another model is asked."""
        logger.warning(
            "%s: asking %s instead after %s: %s",
            _name(run),
            run.model.id,
            type(error).__name__,
            error,
        )

    def tool_ended(self, run: ObservedRun, call: ToolCall) -> None:
        """A tool failed."""
        error = run.tool_error(call)
        if isinstance(error, ArgumentsError):
            logger.warning(
                "%s: the arguments of call %s do not fit the tool %r",
                _name(run),
                call.id,
                call.name,
            )
        elif isinstance(error, Exception | SystemExit):
            _log_failed_tool(run, call, error)
        elif call.name not in run.tools:
            logger.warning("%s: there is no tool %r", _name(run), call.name)
        elif call.result is not None and call.result.is_error:
            logger.warning(
                "%s: the tool %r gave an error (call %s)",
                _name(run),
                call.name,
                call.id,
            )


def _log_failed_tool(
    run: ObservedRun, call: ToolCall, error: Exception | SystemExit
) -> None:
    """Log the failure with its traceback."""
    message = "%s: the tool %r failed (call %s)"
    traceback = "".join(format_exception(error))
    if LONE_SURROGATE.search(traceback) is None:
        logger.warning(message, _name(run), call.name, call.id, exc_info=error)
        return
    # No file takes half a character.
    traceback = LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", traceback)
    logger.warning(message + "\n%s", _name(run), call.name, call.id, traceback)


class FullLog(WarningLog):
    """Logs each step of a run."""

    def run_started(self, run: ObservedRun) -> None:
        """What is asked."""
        run.state[self] = perf_counter()
        logger.debug(
            "%s started: %s, %d messages, %d tools",
            _name(run),
            run.model.id,
            len(run.messages),
            len(run.tools),
        )
        if _shows_content() and run.messages:
            logger.debug("%s: user: %s", _name(run), run.messages[-1].content)

    def turn_started(self, run: ObservedRun) -> None:
        """A request."""
        logger.debug(
            "%s: turn %d, asking %s at %s%s",
            _name(run),
            run.turn,
            run.model.id,
            run.address or "an unknown address",
            "" if run.streamed else " for a whole answer",
        )

    def first_chunk(self, run: ObservedRun) -> None:
        """The first token."""
        logger.debug("%s: first piece after %.3f s", _name(run), self._seconds(run))

    def turn_ended(self, run: ObservedRun, turn: TurnSummary) -> None:
        """An answer."""
        logger.debug(
            "%s: turn %d ended: %s, %d input and %d output tokens%s, %s, request %s",
            _name(run),
            run.turn,
            turn.finish_reason or "broken off",
            turn.usage.input_tokens,
            turn.usage.output_tokens,
            " (estimated)" if turn.usage.estimated else "",
            turn.model or run.model.name,
            turn.request_id or "without id",
        )
        if _shows_content():
            logger.debug("%s: assistant: %s", _name(run), turn.content)

    def tool_started(self, run: ObservedRun, call: ToolCall) -> None:
        """A call."""
        logger.debug("%s: tool %r started (call %s)", _name(run), call.name, call.id)
        if _shows_content():
            arguments = json.dumps(call.arguments, ensure_ascii=False, default=repr)
            logger.debug("%s: %s(%s)", _name(run), call.name, arguments)

    def tool_ended(self, run: ObservedRun, call: ToolCall) -> None:
        """A result."""
        super().tool_ended(run, call)
        result = call.result
        if result is None:
            logger.debug("%s: tool %r was stopped", _name(run), call.name)
            return
        logger.debug(
            "%s: tool %r ended after %.3f s", _name(run), call.name, result.duration
        )
        if _shows_content():
            logger.debug("%s: %s: %s", _name(run), call.name, result.content)

    def run_ended(
        self, run: ObservedRun, response: Response[Any], error: BaseException | None
    ) -> None:
        """The end, and what it is due to."""
        end: str = response.finish_reason or "stopped"
        if error is not None:
            end = f"{type(error).__name__}: {error}"
        tokens = response.metadata["tokens"]["total_tokens"]
        logger.debug(
            "%s ended after %.3f s and %d tokens: %s",
            _name(run),
            self._seconds(run),
            tokens,
            end,
        )

    def _seconds(self, run: ObservedRun) -> float:
        """Since the run began."""
        started: float = run.state[self]
        return perf_counter() - started


def _name(run: ObservedRun) -> str:
    """A run in a line of the log."""
    return f"run {run.id[:8]} of {run.agent!r}"


def _shows_content() -> bool:
    return os.environ.get(CONTENT_VARIABLE) == "1"
