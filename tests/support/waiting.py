"""Waiting for what another thread or task does, in vain at most as long as anything here may take."""

import asyncio
import time
from collections.abc import Callable

from support.loopback import Recorded

PROMPT_SECONDS = 30.0
"""What takes milliseconds, and has not come after so long, does not come."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PROMPT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], object]) -> None:
    """The same where no event loop runs."""
    asyncio.run(until(condition))


async def left(request: Recorded) -> bool:
    """Whether the server sees in time that the client has left."""
    return await asyncio.to_thread(request.wait_disconnected, PROMPT_SECONDS)


async def no_task_is_left() -> None:
    """Wait until the test's own task is the only one."""
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
