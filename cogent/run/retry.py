"""When to ask again, and how long to wait first.

A request is repeated only while the user has seen nothing of its answer (`Agent.run` shows no pieces, so that there
an answer that was cut is asked for again), and never after tools have run for it: they
ran for an earlier answer, whose results are part of the request.
"""

from __future__ import annotations

import math

from cogent.errors import ModelError

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_ASKED = 60.0  # a provider that asks for more than this is not waited for: the error says `retry_after`


def wait_before(attempt: int, error: ModelError, remaining: float = math.inf) -> float | None:
    """Seconds to wait before the given further attempt (from 0), or None if it is not worth it.

    A wait that the run's time, of which `remaining` seconds are left, has no room for is not begun. What the provider
    asks for is honoured; otherwise the wait doubles with each attempt, and up to a quarter is taken
    off at random so that clients that failed together do not come back together.
    """
    import random  # not at the top, as it is slow to import

    if not error.retryable:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= min(LONGEST_ASKED, remaining) else None
    wait = float(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * (1 - 0.25 * random.random()))
    return wait if wait <= remaining else None
