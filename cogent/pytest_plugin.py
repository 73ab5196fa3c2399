"""The pytest plugin of cogent: the fixtures `scripted_model` and `no_network`.

pytest imports it in every project where cogent is installed, so that it imports nothing
but the package itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cogent.testing import ScriptedModel


@pytest.fixture
def scripted_model() -> Iterator[Callable[..., ScriptedModel]]:
    """Makes ScriptedModels, as `scripted_model("Hello.")`; at the end of the test it
    fails where a part of a script was not played, unless `all_played=False`.
    """
    from cogent.testing import ScriptedModel

    checked: list[ScriptedModel] = []

    def make(*script: Any, all_played: bool = True, **settings: Any) -> ScriptedModel:
        model = ScriptedModel(*script, **settings)
        if all_played:
            checked.append(model)
        return model

    yield make
    for model in checked:
        if model.unplayed:
            pytest.fail(f"not all of the script was played: {model!r}", pytrace=False)


@pytest.fixture
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that connects to another machine, at the place where it does so.

    This machine's own addresses are free. It sees what goes through Python's sockets,
    and so nothing of uvloop's.
    """
    _watch_sockets()
    failed_before = request.session.testsfailed
    _guard.is_on = True
    _guard.refused.clear()
    try:
        yield
    finally:
        _guard.is_on = False
    # Where the test has failed by it, there is nothing to add.
    if _guard.refused and request.session.testsfailed == failed_before:
        pytest.fail(_message(_guard.refused[0]), pytrace=False)


class _Guard:
    """Whether connections are refused now, and those that were."""

    def __init__(self) -> None:
        self.is_on: bool = False
        self.is_watching: bool = False
        self.refused: list[str] = []


_guard = _Guard()
CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOKS_UP = ("socket.getaddrinfo", "socket.gethostbyname")


def _watch_sockets() -> None:
    """See all sockets from now on, once for the process: a hook cannot be removed."""
    if not _guard.is_watching:
        _guard.is_watching = True
        sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guard.is_on or not event.startswith("socket."):
        return
    if event in CONNECTS:
        address = arguments[1]
    elif event in LOOKS_UP:
        address = arguments
    else:
        return
    # An address that is no tuple is a path on this machine.
    if not isinstance(address, tuple):
        return
    name, *port = address[:2]
    host = name.decode() if isinstance(name, bytes) else str(name or "")
    if not _is_own(host):
        where = ":".join([host, *map(str, port)])
        _guard.refused.append(where)
        pytest.fail(_message(where), pytrace=False)


def _is_own(name: str) -> bool:
    """Whether this is an address of this machine."""
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:  # a name
        return False
    return address.is_loopback or address.is_unspecified


def _message(host: str) -> str:
    return f"no_network: the test connects to {host}"
