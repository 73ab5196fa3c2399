"""Other models for the runs of an agent that begin inside a `with`.

What holds where is kept in a ContextVar: a task, and a thread that got a copy of its
context, sees the overrides of whoever started it, and nobody else sees its own.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType

from cogent.run.plan import Plan


class Override:
    """What `agent.override(...)` returns: a context manager, which may be nested."""

    def __init__(self, agent: object, plan: Plan) -> None:
        self._agent = agent
        self._plan = plan

    def plan_for(self, agent: object) -> Plan | None:
        """The plan that holds instead of this agent's own, if one does."""
        return self._plan if agent is self._agent else None

    def __enter__(self) -> None:
        _overrides.set((self, *_overrides.get()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not by a token: a fixture may be left in another context than it was entered.
        entered = list(_overrides.get())
        if self in entered:
            entered.remove(self)
            _overrides.set(tuple(entered))


# The innermost first.
_overrides: ContextVar[tuple[Override, ...]] = ContextVar("overrides", default=())


def plan_here(agent: object) -> Plan | None:
    """The plan that overrides this agent's own where this is called, if one does."""
    for override in _overrides.get():
        plan = override.plan_for(agent)
        if plan is not None:
            return plan
    return None
