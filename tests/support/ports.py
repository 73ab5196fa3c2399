"""Ports of the loopback address, for servers that are programs of their own."""

import socket
import subprocess
import time

START_SECONDS = 180
"""Until another process has imported what it needs, on a machine with much else to do."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether a server is there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def wait_for_server(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the process listens."""
    deadline = time.monotonic() + START_SECONDS
    while not listens(port):
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.02)
