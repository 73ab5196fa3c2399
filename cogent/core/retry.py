"""When to ask again, and how long to wait first.

A request is repeated only while the user has seen nothing of its answer, and never after tools have run for it: they
ran for an earlier answer, whose results are part of the request.
"""

from __future__ import annotations

from cogent.errors import ModelError

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_ASKED = 60.0  # a provider that asks for more than this is not waited for: the error says `retry_after`


def wait_before(attempt: int, error: ModelError) -> float | None:
    """Seconds to wait before the given further attempt (from 0), or None if it is not worth it.

    What the provider asks for is honoured; otherwise the wait doubles with each attempt, and up to a quarter is taken
    off at random so that clients that failed together do not come back together.
    """
    import random  # not at the top, as it is slow to import

    if not error.retryable:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_ASKED else None
    return float(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * (1 - 0.25 * random.random()))
