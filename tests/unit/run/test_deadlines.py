"""Deadlines: which limit of time has run out, from what a run does and the time alone."""

import math

import pytest

from cogent import Timeout
from cogent.run.deadlines import Deadlines, Limit, Phase

START = 1000.0
LIMITS = Timeout(first=3, stall=2, total=60, idle=30)


def begun(limits: Timeout = LIMITS, phase: Phase = Phase.FIRST_CONTENT) -> Deadlines:
    """The deadlines of a run that begins with this phase."""
    deadlines = Deadlines(limits)
    deadlines.start(START)
    deadlines.enter(phase, START)
    return deadlines


def test_no_content_until_the_first_limit() -> None:
    """From a request on, the first limit runs out unless content comes."""
    deadlines = begun()
    assert deadlines.expired(START + 2.9, None) is None
    assert deadlines.expired(START + 3, None) is Limit.FIRST


def test_content_ends_the_first_limit_and_starts_the_stall_limit() -> None:
    """After each piece of content the stall limit counts anew, and the first limit no more."""
    deadlines = begun()
    deadlines.content_came(START + 2)
    assert deadlines.expired(START + 3.9, None) is None
    deadlines.content_came(START + 3.9)
    assert deadlines.expired(START + 5.8, None) is None
    assert deadlines.expired(START + 5.9, None) is Limit.STALL


def test_a_new_request_starts_the_first_limit_again() -> None:
    """The first limit counts from the latest request, whatever came before."""
    deadlines = begun()
    deadlines.content_came(START + 1)
    deadlines.enter(Phase.FIRST_CONTENT, START + 10)
    assert deadlines.expired(START + 12.9, None) is None
    assert deadlines.expired(START + 13, None) is Limit.FIRST


@pytest.mark.parametrize("phase", [Phase.START, Phase.TOOLS, Phase.RETRY, Phase.END])
def test_only_the_total_limit_counts_in_other_phases(phase: Phase) -> None:
    """While no content is waited for, neither first nor stall runs out, and content changes nothing."""
    deadlines = begun(phase=phase)
    assert not deadlines.content_matters
    assert deadlines.expired(START + 59.9, None) is None
    assert deadlines.expired(START + 60, None) is Limit.TOTAL


def test_a_held_chunk_stops_the_stall_limit() -> None:
    """While the consumer holds a chunk, the idle limit counts from when it took it, and the stall limit does not."""
    deadlines = begun()
    deadlines.content_came(START)
    assert deadlines.expired(START + 29, held_since=START + 1) is None
    assert deadlines.expired(START + 31, held_since=START + 1) is Limit.IDLE


def test_the_total_limit_comes_before_all_others() -> None:
    """Where several limits have run out, the run took too long as a whole."""
    assert begun().expired(START + 60, None) is Limit.TOTAL
    assert begun().expired(START + 60, held_since=START) is Limit.TOTAL


def test_the_next_check_is_at_the_earliest_deadline() -> None:
    """The time of the next check is that of the limit which can run out first."""
    deadlines = begun()
    assert deadlines.next_check(START, None) == START + 3
    assert deadlines.next_check(START + 40, held_since=START + 40) == START + 60
    assert deadlines.next_check(START, held_since=START) == START + 30


def test_without_limits_nothing_runs_out() -> None:
    """With no limit at all nothing runs out, and there is still a time for the next check."""
    deadlines = begun(Timeout(idle=None))
    assert deadlines.expired(START + 1e9, None) is None
    assert deadlines.expired(START + 1e9, held_since=START) is None
    assert math.isfinite(deadlines.next_check(START, None))


def test_content_is_followed_only_where_it_matters() -> None:
    """The first content always ends its phase; further content counts only where there is a stall limit."""
    deadlines = begun(Timeout(first=3))
    assert deadlines.content_matters
    deadlines.content_came(START + 1)
    assert deadlines.phase is Phase.CONTENT
    assert not deadlines.content_matters
    assert deadlines.expired(START + 100, None) is None


@pytest.mark.parametrize("limit", Limit)
def test_the_message_has_the_seconds_of_the_limit(limit: Limit) -> None:
    """What is said of a limit names its seconds."""
    seconds = getattr(LIMITS, limit.value)
    assert f" {seconds} seconds" in begun().message(limit)


def test_the_time_that_remains_is_that_of_the_whole_run() -> None:
    """The remaining time counts to the total limit, and is endless without one."""
    assert begun().remaining(START + 10) == 50
    assert begun(Timeout(first=3)).remaining(START + 10) == math.inf
