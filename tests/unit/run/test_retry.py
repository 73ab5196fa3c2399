"""The wait before a further attempt, as a function of the error and the time that is left."""

import pytest

from cogent import BadRequest, RateLimited, ServerError
from cogent.run.retry import (
    FIRST_WAIT_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    MAX_WAIT_SECONDS,
    wait_before,
)


def test_what_cannot_pass_is_not_waited_for() -> None:
    """An error that another attempt cannot help has no wait, whatever the provider asks for."""
    assert wait_before(0, BadRequest("x")) is None
    assert wait_before(0, BadRequest("x", retry_after=1)) is None


@pytest.mark.parametrize("attempt", range(8))
def test_the_wait_doubles_and_loses_up_to_a_quarter(attempt: int) -> None:
    """Each further attempt waits up to twice as long, never longer than the limit, never less than three quarters."""
    longest = min(FIRST_WAIT_SECONDS * 2**attempt, MAX_WAIT_SECONDS)
    for _ in range(100):
        wait = wait_before(attempt, ServerError("x"))
        assert wait is not None and 0.75 * longest <= wait <= longest


def test_what_the_provider_asks_for_is_waited_exactly() -> None:
    """`retry_after` is the wait in each attempt, up to a limit."""
    for attempt in (0, 5):
        assert wait_before(attempt, RateLimited("x", retry_after=12.5)) == 12.5
    too_long = RateLimited("x", retry_after=MAX_RETRY_AFTER_SECONDS + 1)
    assert wait_before(0, too_long) is None


@pytest.mark.parametrize("retry_after", [None, 3.0])
def test_a_wait_that_the_run_has_no_time_for_is_not_begun(
    retry_after: float | None,
) -> None:
    """A wait is begun only if it is over before the limit of the whole run."""
    error = ServerError("x", retry_after=retry_after)
    assert wait_before(3, error, remaining=0.1) is None
    assert wait_before(3, error, remaining=0.0) is None
    assert wait_before(3, error, remaining=100.0) is not None
