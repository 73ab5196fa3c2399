"""The recipes for each web framework, with its real server in a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.ports import START_SECONDS, free_port, wait_for_server
from support.served import LIMIT, ask, events
from support.timed_runs import paced
from support.waiting import wait_until

RECIPES = Path(__file__).parents[2] / "examples" / "web" / "frameworks"
NEEDS = {
    "starlette": ["starlette"],
    "litestar": ["litestar"],
    "aiohttp": ["aiohttp"],
    "quart": ["quart", "hypercorn"],
    "django": ["django"],
}
OPENAI = WIRES[0]


def is_installed(package: str) -> bool:
    """Whether the process of a recipe finds it; the tests themselves hide aiohttp."""
    return package == "aiohttp" or find_spec(package) is not None


@pytest.fixture(
    params=[
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not all(map(is_installed, packages)), reason=f"{name} is not installed"
            ),
        )
        for name, packages in NEEDS.items()
    ]
)
def web(request: pytest.FixtureRequest, server: Loopback) -> Iterator[HTTPConnection]:
    """A connection to the recipe's server, whose agent asks the loopback server."""
    with (
        recipe(request.param, server) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)) as connection,
    ):
        yield connection


@contextmanager
def recipe(name: str, server: Loopback) -> Iterator[int]:
    """Run a recipe; gives its port."""
    port = free_port()
    variables = {
        **os.environ,
        "PORT": str(port),
        "MODEL": "openai:gpt-test",
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": f"{server.url}/v1",
    }
    process = subprocess.Popen(
        [sys.executable, str(RECIPES / f"{name}_app.py")],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_server(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def test_a_recipe_streams_stops_and_asks_once(
    web: HTTPConnection, server: Loopback
) -> None:
    """Events come one by one and end with `done`; a leaver stops the model, also a silent one; 204 ends a reconnect."""
    words = ("Once", " upon", " a time")
    gate = threading.Semaphore(0)
    server.reply(Reply(paced(OPENAI.send.text(*words), *words), gate=gate))
    read = []
    for event in events(ask(web, "/events?q=Go")):
        read.append(event)
        if event.name == "token":
            gate.release()
    assert [event.data["content"] for event in read[1:-1]] == list(words)
    assert (read[0].name, read[-1].name) == ("start", "done")

    again = ask(web, "/events?q=Go", headers={"Last-Event-ID": read[-1].id})
    assert (again.status, again.read()) == (204, b"")
    assert len(server.requests) == 1

    silent = OPENAI.send.error_event("", None, "", after=[])[:-1]
    server.reply(Reply(silent, end="stall"))
    answer = ask(web, "/events?q=Go")
    wait_until(lambda: len(server.requests) == 2)
    answer.close()
    web.close()
    assert server.requests[1].wait_disconnected(LIMIT)
