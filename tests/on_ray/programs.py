"""Programs that use Ray, as a user starts them: their environment, waiting for them, stopping them."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

LIMIT = 200  # seconds, after which something hangs
STARTS = 4  # Ray gives its parts 30 seconds to start, which a busy machine may need more than once


def settings(folder: str, **more: str) -> dict[str, str]:
    """The environment of a program whose Ray keeps its files in the folder."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Under `uv run` Ray would start each worker by it again.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": folder,
        **more,
    }


def deploy(
    command: list[str], environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a program that serves until it is stopped."""
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stderr=file, stdout=file)


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Whether it was reached before the process ended."""
    deadline = time.monotonic() + LIMIT
    while not reached():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return False
        time.sleep(0.2)
    return True


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it, with its Ray."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
