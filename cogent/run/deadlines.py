"""Limits of time as a pure matter: what a run is doing, since when, and the time now
say what has run out.

Content is what counts: pings, comments and empty deltas do not restart the stall limit,
because only a chunk that reaches the user counts as content. No limit of a phase counts
while tools run, before a retry, and while the consumer is busy with a chunk; then
`idle` counts.

All times are seconds of one clock, which the caller reads: nothing here knows an event
loop or sets a timer.
"""

from __future__ import annotations

import math
from enum import Enum

from cogent.timeout import Timeout

MAX_TIMER_SECONDS = 3600.0  # a run that only its timer still refers to lives no longer without a look at it


class Phase(Enum):
    """What a run is doing."""

    START = "start"
    FIRST_CONTENT = "first content"  # a request was sent, or the model says that it works without content
    CONTENT = "content"
    TOOLS = "tools"
    RETRY = "retry"
    END = "end"


class Limit(Enum):
    """A limit of time, by its name in `Timeout`."""

    FIRST = "first"
    STALL = "stall"
    TOTAL = "total"
    IDLE = "idle"


MESSAGES = {
    Limit.FIRST: "no content came within {0:g} seconds",
    Limit.STALL: "no content came for {0:g} seconds",
    Limit.TOTAL: "the run took longer than {0:g} seconds",
    Limit.IDLE: "the stream was held for {0:g} seconds without asking for its next chunk",
}
LIMIT_OF_PHASE = {Phase.FIRST_CONTENT: Limit.FIRST, Phase.CONTENT: Limit.STALL}


class Deadlines:
    """The limits of one run, and when each of them runs out."""

    def __init__(self, limits: Timeout) -> None:
        self._limits = limits
        self._idle = limits.idle or math.inf
        self._run_deadline = math.inf
        self._phase_seconds = math.inf
        self._awaits_first = False
        self.phase = Phase.START
        self.phase_deadline = math.inf
        self.content_matters = False  # whether `content_came` is to be called

    def start(self, now: float) -> None:
        """The run begins."""
        self._run_deadline = now + (self._limits.total or math.inf)

    def enter(self, phase: Phase, now: float) -> None:
        """The run goes on to this phase, or begins it anew."""
        self.phase = phase
        self._phase_seconds = self._seconds_in(phase)
        self.phase_deadline = now + self._phase_seconds
        self._awaits_first = phase is Phase.FIRST_CONTENT
        self.content_matters = self._awaits_first or self._phase_seconds < math.inf

    def content_came(self, now: float) -> None:
        """The user has read a piece of content, and waits for the next."""
        if self._awaits_first:
            self.enter(Phase.CONTENT, now)
        else:
            self.phase_deadline = now + self._phase_seconds

    def remaining(self, now: float) -> float:
        """Seconds until the limit of the whole run."""
        return self._run_deadline - now

    def expired(self, now: float, held_since: float | None) -> Limit | None:
        """The limit that has run out, if one has; `held_since` is when the consumer
        took the chunk that it holds.
        """
        if now >= self._run_deadline:
            return Limit.TOTAL
        if held_since is not None:
            return Limit.IDLE if now >= held_since + self._idle else None
        return LIMIT_OF_PHASE[self.phase] if now >= self.phase_deadline else None

    def next_check(self, now: float, held_since: float | None) -> float:
        """When to ask `expired` again, if the phase stays."""
        deadline = (
            self.phase_deadline if held_since is None else held_since + self._idle
        )
        # While the consumer holds no chunk, a time when it does may begin at any
        # moment.
        return min(
            deadline, self._run_deadline, now + min(self._idle, MAX_TIMER_SECONDS)
        )

    def message(self, limit: Limit) -> str:
        """What to say of a limit that has run out."""
        return MESSAGES[limit].format(getattr(self._limits, limit.value))

    def _seconds_in(self, phase: Phase) -> float:
        limit = LIMIT_OF_PHASE.get(phase)
        seconds = None if limit is None else getattr(self._limits, limit.value)
        return math.inf if seconds is None else float(seconds)
