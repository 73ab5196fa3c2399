"""Ray listens on every address, so its tests run in a network namespace that has the loopback one alone."""

import socket
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest

try:
    import ray  # noqa: F401

    REASON = ""
except ImportError:
    REASON = "ray is missing"
if {name for _, name in socket.if_nameindex()} != {"lo"}:
    REASON = REASON or "not in a network namespace of its own (unshare -rn)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is below this folder, and say why."""
    for item in items:
        if REASON and "tests/on_ray" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    """For Ray's files: pytest's own paths are too long for the names of its sockets."""
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as made:
        yield made
