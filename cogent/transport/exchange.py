"""The present request, for the response hook of the HTTP client that carries it out.

An SDK stands between the caller and the hook, so what the hook must know, and what it
has to hand back, goes around the SDK in a context variable. It is set only while the
SDK is awaited, and never across a `yield`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Exchange:
    """One request and its answer."""

    is_streamed: bool  # whether the answer was asked for as a stream
    response: Any = None  # of the HTTP client, as soon as its head has come

    @contextmanager
    def present(self) -> Iterator[None]:
        """Make this the present exchange of the current task."""
        token = _present.set(self)
        try:
            yield
        finally:
            _present.reset(token)


_present: ContextVar[Exchange | None] = ContextVar("cogent_exchange", default=None)


def present_exchange() -> Exchange | None:
    """The exchange that the current task awaits, if there is one."""
    return _present.get()
