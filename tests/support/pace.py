"""Times of tests on machines that are late: what was measured on one is measured again with longer times."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

_TICK = 0.02  # Seconds between two looks at how late a loop is.
_TOLERATED = 0.02  # Seconds, at unit 1, that a loop may be late without making a measurement void.
_STRETCH = 4
_LONGEST_UNIT = 16


class Pace:
    """How long a second of a test is, and how late the event loops were that take part in it."""

    def __init__(self) -> None:
        self.unit = 1
        self._late = 0.0

    def __call__(self, seconds: float) -> float:
        """So many seconds on a machine that keeps time, and more on one that does not."""
        return seconds * self.unit

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note how late this loop comes to a timer, as long as it runs; called in the loop or before it runs."""
        due = loop.time() + _TICK

        def tick() -> None:
            self._late = max(self._late, loop.time() - due)
            self.watch(loop)

        loop.call_at(due, tick)

    def kept(self) -> bool:
        """Whether every loop came in time to its timers."""
        return self._late <= _TOLERATED * self.unit

    def attempts(self, test: Callable[..., None]) -> Callable[..., None]:
        """Repeat a test that fails, with longer times, but only where the machine was late meanwhile.

        A test that fails on a machine that keeps time has failed, and so has one that fails with the longest times.
        """

        @functools.wraps(test)
        def attempt(**fixtures: Any) -> None:
            self.unit = 1
            while True:
                self._late = 0.0
                try:
                    return test(**fixtures)
                except (Exception, pytest.fail.Exception):
                    if self.kept() or self.unit == _LONGEST_UNIT:
                        raise
                self.unit *= _STRETCH
                for server in (
                    fixtures[name] for name in ("server", "stage") if name in fixtures
                ):
                    server.forget()

        return attempt


pace = Pace()
