"""When to ask again, and how long to wait first.

A request is repeated only while the user has seen nothing of its answer. `Agent.run`
shows no pieces, so that there an answer that was cut is asked for again. Tools never
run again for it: they ran for an earlier answer, whose results are part of the request.
"""

from __future__ import annotations

import math

from cogent.errors import ModelError

FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 8.0
# A provider that asks for more is not waited for: the error says `retry_after`.
MAX_RETRY_AFTER_SECONDS = 60.0


def wait_before(
    attempt: int, error: ModelError, remaining: float = math.inf
) -> float | None:
    """Seconds to wait before a further attempt, or None if it is not worth it.

    `attempt` counts the further attempts from 0; `remaining` seconds are left of the
    run's time, and a longer wait is not begun. What the provider asks for is honoured;
    otherwise the wait doubles with each attempt, and up to a quarter is taken off at
    random so that clients that failed together do not come back together.
    """
    import random  # not at the top, as it is slow to import

    if not error.retryable:
        return None
    if error.retry_after is not None:
        wait = error.retry_after
        limit = min(MAX_RETRY_AFTER_SECONDS, remaining)
    else:
        wait = min(FIRST_WAIT_SECONDS * 2.0**attempt, MAX_WAIT_SECONDS)
        wait *= 1 - 0.25 * random.random()
        limit = remaining
    return wait if wait <= limit else None
