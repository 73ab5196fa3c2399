"""How long things may take."""

from __future__ import annotations

from dataclasses import dataclass, fields

from cogent.errors import ConfigurationError
from cogent.validation import is_number, shown

# Without a byte for so long a connection counts as dead, unless a limit of the user's
# is longer.
READ_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits in seconds; None is no limit.

    `connect`: to reach the server. `first`: from a request to its first content, and
    for work that the model does unseen. `stall`: between two pieces of content.
    `total`: the whole run, tools and consumer included. `tool`: one tool call; reaching
    it is an error result for the model, not the end of the run. `idle`: how long a
    stream is kept open while nobody asks for its next chunk.

    >>> limits = Timeout(first=20, total=120)
    >>> Agent("writer", ScriptedModel("Hello."), timeout=limits).timeout.first
    20
    """

    connect: float | None = 10
    first: float | None = None
    stall: float | None = None
    total: float | None = None
    tool: float | None = None
    idle: float | None = 600

    def __post_init__(self) -> None:
        for f in fields(self):
            limit = getattr(self, f.name)
            if limit is not None and (not is_number(limit) or limit <= 0):
                raise ConfigurationError(
                    f"the {f.name} time-out is a number of seconds above 0, "
                    f"or None for no limit; got {shown(limit)}"
                )

    @property
    def read(self) -> float:
        """Seconds that a connection may be without a byte, of content or not."""
        limits = (self.first, self.stall, self.total)
        return max(READ_TIMEOUT_SECONDS, *(limit or 0 for limit in limits))


def make_timeout(given: object) -> Timeout:
    """The limits that an agent is given. Raises ConfigurationError."""
    if isinstance(given, Timeout):
        return given
    if given is None:
        return Timeout()
    if isinstance(given, int | float) and is_number(given):
        return Timeout(total=given)
    raise ConfigurationError(
        "timeout is a number of seconds for the whole run (the total time-out), "
        f"or a Timeout; got {shown(given)}"
    )
