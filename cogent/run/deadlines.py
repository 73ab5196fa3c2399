"""Limits of time: what has run out, by what a run does, since when, and the time now.

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

# A run that only its timer still refers to lives no longer without a look at it.
MAX_TIMER_SECONDS = 3600.0


class Phase(Enum):
    """What a run is doing."""

    START = "start"
    # A request was sent, or the model says that it works without content.
    FIRST_CONTENT = "first content"
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
    Limit.IDLE: (
        "the stream was held for {0:g} seconds without asking for its next chunk"
    ),
}
LIMIT_OF_PHASE = {
    Phase.FIRST_CONTENT: Limit.FIRST,
    Phase.CONTENT: Limit.STALL,
}


class Deadlines:
    """The limits of one run, and when each of them runs out."""

    def __init__(self, limits: Timeout) -> None:
        self._limits = limits
        self._idle = self._seconds_of(Limit.IDLE)
        self._run_deadline = math.inf
        self._phase_seconds = math.inf
        self._awaits_first = False
        self.phase: Phase = Phase.START
        self.phase_deadline: float = math.inf
        self.content_matters: bool = False  # whether `content_came` is to be called

    def start(self, now: float) -> None:
        """The run begins."""
        self._run_deadline = now + self._seconds_of(Limit.TOTAL)

    def enter(self, phase: Phase, now: float) -> None:
        """The run goes on to this phase, or begins it anew."""
        self.phase = phase
        limit = LIMIT_OF_PHASE.get(phase)
        self._phase_seconds = self._seconds_of(limit)
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
        """The limit that has run out, if one has.

        `held_since` is when the consumer took the chunk that it holds.
        """
        if now >= self._run_deadline:
            return Limit.TOTAL
        if now < self._deadline(held_since):
            return None
        return LIMIT_OF_PHASE[self.phase] if held_since is None else Limit.IDLE

    def next_check(self, now: float, held_since: float | None) -> float:
        """When to ask `expired` again, if the phase stays."""
        # While the consumer holds no chunk, a time when it does may begin at any
        # moment.
        latest = now + min(self._idle, MAX_TIMER_SECONDS)
        deadline = self._deadline(held_since)
        return min(deadline, self._run_deadline, latest)

    def _deadline(self, held_since: float | None) -> float:
        """When the limit runs out that counts now, other than that of the run."""
        if held_since is None:
            return self.phase_deadline
        return held_since + self._idle

    def message(self, limit: Limit) -> str:
        """What to say of a limit that has run out."""
        return MESSAGES[limit].format(self._seconds_of(limit))

    def _seconds_of(self, limit: Limit | None) -> float:
        if limit is None:
            return math.inf
        seconds: float | None = getattr(self._limits, limit.value)
        return seconds or math.inf
