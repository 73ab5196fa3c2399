"""The pytest plugin, in projects of users: what its fixtures do, and that it costs nothing where it is not used."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPTED = """
import asyncio
from cogent import Agent

agent = Agent("a", "openai:m")

def ask(model):
    with agent.override(model=model):
        return str(asyncio.run(agent.run("Go")))

def test_all_of_it_is_played(scripted_model):
    assert ask(scripted_model("Hello.")) == "Hello."

def test_a_rest_is_an_error(scripted_model):
    assert ask(scripted_model("Hello.", "Never.")) == "Hello."

def test_a_rest_may_be_left(scripted_model):
    assert ask(scripted_model("Hello.", "Never.", all_played=False)) == "Hello."
"""

NETWORK = """
import asyncio, socket
import pytest
from cogent import Agent, CogentError, Model

LISTENER = socket.create_server(("127.0.0.1", 0))
PORT = LISTENER.getsockname()[1]

def ask(address, http):
    model = Model("openai:m", base_url=address, api_key="k", http=http)
    return asyncio.run(Agent("a", model).run("Go"))

@pytest.mark.parametrize("http", ["httpx", "aiohttp"])
def test_a_name_is_refused(no_network, http):
    ask("https://models.example/v1", http)

def test_an_address_is_refused(no_network):
    ask("http://192.0.2.1/v1", "httpx")

def test_what_is_swallowed_is_found(no_network):
    try:
        socket.create_connection(("192.0.2.1", 80))
    except BaseException:
        pass

def test_this_machine_is_free(no_network):
    for host in ("127.0.0.1", "localhost"):
        socket.create_connection((host, PORT)).close()

def test_without_it_nothing_is_refused():
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("models.invalid", 80)
"""

UNUSED = """
import sys

def test_nothing_else_was_imported():
    assert "cogent.pytest_plugin" in sys.modules
    assert not {"cogent.testing", "openai", "httpx", "httpx2"} & sys.modules.keys()
"""


def results(folder: Path, text: str) -> tuple[dict[str, str], str]:
    """The tests of a file by their names with what became of them, and all that pytest says."""
    (folder / "test_it.py").write_text(text, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-p", "no:xdist", "-p", "no:asyncio", str(folder)],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    outcomes = {
        name.rpartition("::")[2]: word
        for word, name, *_ in (line for line in lines if len(line) > 1)
        if word in ("PASSED", "FAILED", "ERROR") and "::" in name
    }
    return outcomes, done.stdout + done.stderr


def test_scripted_model_makes_models_and_asks_for_all_of_their_script(
    tmp_path: Path,
) -> None:
    """What is left of a script fails the test at its end, unless that is wanted."""
    outcomes, text = results(tmp_path, SCRIPTED)
    assert outcomes == {
        "test_all_of_it_is_played": "PASSED",
        "test_a_rest_is_an_error": "ERROR",
        "test_a_rest_may_be_left": "PASSED",
    }, text
    assert "not all of the script was played: ScriptedModel(" in text


def test_no_network_fails_a_test_that_connects_to_another_machine(
    tmp_path: Path,
) -> None:
    """At once and with the address, over each HTTP client; this machine is free, and so are other tests."""
    outcomes, said = results(tmp_path, NETWORK)
    assert outcomes == {
        "test_a_name_is_refused[httpx]": "FAILED",
        "test_a_name_is_refused[aiohttp]": "FAILED",
        "test_an_address_is_refused": "FAILED",
        "test_what_is_swallowed_is_found": "ERROR",
        "test_this_machine_is_free": "PASSED",
        "test_without_it_nothing_is_refused": "PASSED",
    }, said
    assert said.count("no_network: the test connects to models.example:443") >= 2
    assert "no_network: the test connects to 192.0.2.1:80" in said


def test_a_project_that_does_not_use_it_pays_little(tmp_path: Path) -> None:
    """The plugin is there, and imports neither an SDK nor what tests with cogent need."""
    outcomes, text = results(tmp_path, UNUSED)
    assert outcomes == {"test_nothing_else_was_imported": "PASSED"}, text
