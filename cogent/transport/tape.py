"""Where the requests of cogent's HTTP clients are recorded, or answered from a recording.

`cogent.testing` sets what is present, in a context variable: it holds for the current
task, and those that it starts.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol


class Tape(Protocol):
    """What sees the requests of a task, or answers them.

    `clients` are those that it answers, which are made for it alone; None where the
    servers answer.
    """

    clients: dict[object, Any] | None

    def transport(self, httpx: Any) -> Any:
        """What answers instead of a server, as a transport of httpx or httpx2; None
        where the servers answer.
        """
        ...

    async def on_request(self, request: Any) -> None:
        """A request is about to be sent."""
        ...

    def on_response(self, response: Any) -> None:
        """The head of its response has come."""
        ...


_present: ContextVar[Tape | None] = ContextVar("cogent_tape", default=None)


def present_tape() -> Tape | None:
    """What records or answers the requests of the current task, if something does."""
    return _present.get()


def set_tape(tape: Tape | None) -> None:
    """Make this what records or answers them."""
    _present.set(tape)


async def note_request(request: Any) -> None:
    """A request hook of cogent's HTTP clients."""
    tape = present_tape()
    if tape is not None:
        await tape.on_request(request)
