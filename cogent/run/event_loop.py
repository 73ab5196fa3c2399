"""The event loop that must be running."""

from __future__ import annotations

import asyncio
import sys
import threading

from cogent.errors import ConfigurationError

NEEDS_ASYNCIO = (
    "cogent needs a running asyncio event loop: "
    "use asyncio.run(...), or anyio.run(...) with asyncio"
)
# Their interrupts reach a cell that waits only when its event loop next wakes.
NOTEBOOKS = ("ipykernel", "marimo")


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop.

    Raises ConfigurationError where there is none, as under trio.
    """
    loop = running_loop_if_any()
    if loop is None:
        raise ConfigurationError(NEEDS_ASYNCIO)
    return loop


def running_loop_if_any() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def interrupts_wait() -> bool:
    """Whether an interrupt of the user has no effect before this thread's loop wakes."""
    if threading.current_thread() is not threading.main_thread():
        return False
    return any(name in sys.modules for name in NOTEBOOKS)
