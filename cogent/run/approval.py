"""Which tool calls may run: those that need nobody's approval, and those that got it.

A call waits for the caller (`response.pending`) if its tool has no function, or needs
an approval that no callback can give. One whose arguments do not fit never waits and
asks nobody: the model reads what is wrong with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cogent.errors import CogentError, ConfigurationError, ToolError
from cogent.messages import ToolCall
from cogent.run.copies import copy_call
from cogent.run.threads import ToolThreads
from cogent.tools import ArgumentsError, Tool
from cogent.tools.results import to_text
from cogent.validation import shown

NOT_APPROVED = "Not approved."

Decision = bool | str
Approve = Callable[[ToolCall, Any], Decision | Awaitable[Decision]]


@dataclass(frozen=True, slots=True, repr=False)
class Tools:
    """The tools of an agent by their names, and who approves of their calls."""

    by_name: Mapping[str, Tool[..., Any]]
    approve: Approve | None = None

    def waits(self, call: ToolCall, context: object) -> bool:
        """Whether a call is left to the caller."""
        tool = self.by_name.get(call.name)
        if tool is None or not self.needs_answer(tool):
            return False
        return fits(tool, call, context)

    def needs_answer(self, tool: Tool[..., Any]) -> bool:
        """Whether calls of this tool are left to the caller."""
        return tool.runs_elsewhere or (tool.approval and self.approve is None)


def fits(tool: Tool[..., Any], call: ToolCall, context: object) -> bool:
    """Whether the arguments of a call fit its tool."""
    try:
        tool.bind(call.arguments, context)
    except ArgumentsError:
        return False
    except Exception:  # noqa: BLE001  # of the user's own validators, as when it runs
        return False
    return True


def refusal(decision: Decision) -> str | None:
    """What the model reads of a decision that is no yes."""
    if decision is True:
        return None
    return to_text(f"Not approved: {decision}") if decision else NOT_APPROVED


async def ask_for_approval(
    approve: Approve, call: ToolCall, context: object, threads: ToolThreads
) -> str | None:
    """Ask the user's callback; returns what the model reads of a refusal, if it is one.

    A callback that is no async function is called in a thread, as it may wait for a
    person. Raises ToolError if it fails, and ConfigurationError for another answer than
    True, False or a reason.
    """
    question = partial(approve, copy_call(call), context)
    try:
        if inspect.iscoroutinefunction(approve):
            decision: object = question()
        else:
            decision = await threads.call(question, "approve")
        while inspect.isawaitable(decision):
            decision = await decision
    except CogentError:
        raise
    except (Exception, SystemExit) as error:
        # Whatever the callback raises is for the caller.
        raise ToolError(
            f"approve failed for a call of the tool {call.name!r}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(decision, bool | str):
        raise ConfigurationError(
            f"approve returns True, False or the reason for a no; got {shown(decision)}"
        )
    return refusal(decision)
