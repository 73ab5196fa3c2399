"""The recipes for front ends in Python: each shows the answer as it comes and remembers the conversation.

Those of Panel, Textual and Chainlit also stop the model when the reader does.

They run against the loopback server, by the front end's own means for tests where it has such. What is not installed is
skipped; `uv run --with streamlit --with gradio --with panel --with textual --with chainlit` brings all of them.
"""

import asyncio
import json
import os
import runpy
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from support.loopback import Loopback, Reply
from support.ports import free_port, listens
from support.wire import chat_completions

RECIPES = Path(__file__).parents[2] / "examples" / "frontends"
LIMIT = 60  # Seconds; a step takes one or two.

# The front ends' own, and not to be repaired here.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _environment(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of the recipes is the loopback server."""
    monkeypatch.setenv("MODEL", "openai-chat:gpt-test")
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")


def answers(server: Loopback, *texts: list[str]) -> None:
    """What the model says, one list of deltas for each question."""
    server.reply(*[Reply(chat_completions.text(*text)) for text in texts])


def silent(server: Loopback) -> None:
    """The model begins to answer, and then nothing comes any more."""
    server.reply(Reply(chat_completions.text("Waves ", "roll.")[:2], end="stall"))


def asked(server: Loopback, number: int) -> list[Any]:
    """The texts of the conversation that a request had, with their roles."""
    messages = server.requests[number].json["messages"]
    return [(message["role"], message["content"]) for message in messages]


def recipe(name: str) -> dict[str, Any]:
    """The names of a recipe, loaded as a program that imports it does."""
    return runpy.run_path(str(RECIPES / name), run_name="recipe")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait in a thread of its own."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


async def wait_in_loop(condition: Callable[[], bool]) -> None:
    """Wait while the event loop goes on."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


def skip_without(package: str) -> None:
    """Skip a test whose front end runs in a process of its own."""
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")


@contextmanager
def running(
    name: str, *before: str, port: int, after: Sequence[str] = ()
) -> Iterator[None]:
    """Run a recipe that serves, with these words before and after it."""
    process = subprocess.Popen(
        [sys.executable, *before, str(RECIPES / name), *after],
        env={**os.environ, "PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, "the recipe has ended"
        yield
    finally:
        process.terminate()
        process.wait()


FIRST = [("user", "What do waves do?")]
SECOND = [*FIRST, ("assistant", "Waves roll in."), ("user", "And then?")]


def test_streamlit_shows_the_answer_and_remembers(server: Loopback) -> None:
    """`st.write_stream` takes the text, and the next question goes with the conversation."""
    testing = pytest.importorskip("streamlit.testing.v1", reason="needs streamlit")
    answers(server, ["Waves ", "roll in."], ["They break."])
    page = testing.AppTest.from_file(
        RECIPES / "streamlit_chat.py", default_timeout=LIMIT
    )
    page.run()
    page.chat_input[0].set_value("What do waves do?").run()
    assert page.chat_message[1].markdown[0].value == "Waves roll in."
    page.chat_input[0].set_value("And then?").run()
    assert [entry.markdown[0].value for entry in page.chat_message] == [
        "What do waves do?",
        "Waves roll in.",
        "And then?",
        "They break.",
    ]
    assert asked(server, 1) == SECOND
    assert not page.exception


class Gradio:
    """A page of the recipe's server, as its front end speaks to it."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/gradio_api/call/answer"

    def ask(self, question: str) -> Any:
        """Send a question; gives the lines of the answer's events."""
        data = {"data": [question], "session_hash": "page"}
        with self._open(self._url, json.dumps(data).encode()) as posted:
            event = json.load(posted)["event_id"]
        return self._open(f"{self._url}/{event}")

    def _open(self, url: str, body: bytes | None = None) -> Any:
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, body, head)
        return urllib.request.urlopen(request, timeout=LIMIT)


@pytest.fixture
def gradio() -> Iterator[Gradio]:
    """A page of the recipe's own server."""
    skip_without("gradio")
    port = free_port()
    with running("gradio_chat.py", port=port):
        yield Gradio(port)


def test_gradio_replaces_what_it_shows(gradio: Gradio, server: Loopback) -> None:
    """Each value is all of the text so far, and the next question goes with the conversation."""
    answers(server, ["Waves ", "roll in."], ["They break."])
    with gradio.ask("What do waves do?") as events:
        shown = [
            json.loads(line[6:])[0] for line in events if line.startswith(b"data: [")
        ]
    assert (shown[0], shown[-1]) == ("Waves ", "Waves roll in.")
    with gradio.ask("And then?") as events:
        assert b"They break." in events.read()
    assert asked(server, 1) == SECOND


async def test_panel_replaces_what_it_shows(server: Loopback) -> None:
    """The reply is the whole text, and the next question goes with the conversation."""
    pytest.importorskip("panel", reason="needs panel")
    answers(server, ["Waves ", "roll in."], ["They break."])
    chat = recipe("panel_chat.py")["chat"]
    chat.send("What do waves do?")
    await wait_in_loop(lambda: len(chat.objects) == 2 and not chat.disabled)
    assert chat.objects[1].object == "Waves roll in."
    chat.send("And then?")
    await wait_in_loop(lambda: len(chat.objects) == 4 and not chat.disabled)
    assert chat.objects[3].object == "They break."
    assert asked(server, 1) == SECOND


async def test_panels_stop_button_stops_the_model(server: Loopback) -> None:
    """What came stays, and the next question goes with it."""
    pytest.importorskip("panel", reason="needs panel")
    silent(server)
    chat = recipe("panel_chat.py")["chat"]
    chat.send("What do waves do?")
    await wait_in_loop(lambda: len(chat.objects) == 2)
    assert chat.stop()
    await wait_in_loop(lambda: server.requests[0].wait_disconnected(0))
    assert chat.objects[1].object == "Waves "


async def test_textual_shows_the_answer_and_remembers(server: Loopback) -> None:
    """The Markdown grows, and the next question goes with the conversation."""
    pytest.importorskip("textual", reason="needs textual")
    answers(server, ["Waves ", "roll in."], ["They break."])
    app = recipe("textual_chat.py")["Chat"]()
    async with app.run_test() as pilot:
        await ask_textual(pilot, "What do waves do?")
        await app.workers.wait_for_complete()
        assert app.query("Markdown").last().source == "Waves roll in."
        await ask_textual(pilot, "And then?")
        await app.workers.wait_for_complete()
        assert app.query("Markdown").last().source == "They break."
    assert asked(server, 1) == SECOND


async def test_escape_stops_the_model_in_textual(server: Loopback) -> None:
    """What came stays in the conversation."""
    pytest.importorskip("textual", reason="needs textual")
    silent(server)
    app = recipe("textual_chat.py")["Chat"]()
    async with app.run_test() as pilot:
        await ask_textual(pilot, "What do waves do?")
        await wait_in_loop(lambda: bool(app.query("Markdown").last().source))
        await pilot.press("escape")
        await wait_in_loop(lambda: server.requests[0].wait_disconnected(0))
        await wait_in_loop(lambda: len(app.history) == 2)
        assert app.history[1].content == "Waves "


async def ask_textual(pilot: Any, question: str) -> None:
    """Type a question."""
    pilot.app.query_one("Input").value = question
    await pilot.press("enter")
    await wait_in_loop(lambda: bool(pilot.app.query("Markdown")))


class Chainlit:
    """A page of the recipe's server, as its front end speaks to it."""

    def __init__(self, port: int) -> None:
        import socketio

        self.shown = ""
        self._ended = threading.Event()
        self._socket = socketio.Client(reconnection=False)
        self._socket.on("stream_start", lambda step: self._show(step["output"]))
        self._socket.on("stream_token", lambda token: self._show(token["token"]))
        self._socket.on("task_end", lambda _: self._ended.set())
        self._socket.connect(
            f"http://127.0.0.1:{port}",
            socketio_path="ws/socket.io",
            auth={"sessionId": uuid4().hex, "clientType": "webapp", "userEnv": "{}"},
        )

    def ask(self, question: str) -> None:
        """Send a question."""
        self.shown = ""
        self._ended.clear()
        message = {
            "id": uuid4().hex,
            "name": "user",
            "type": "user_message",
            "output": question,
            "createdAt": "2026-01-01T00:00:00Z",
        }
        payload = {"message": message, "fileReferences": []}
        self._socket.emit("client_message", payload)

    def answer_to(self, question: str) -> str:
        """All of the answer."""
        self.ask(question)
        assert self._ended.wait(LIMIT)
        return self.shown

    def stop(self) -> None:
        """Press the stop button."""
        self._socket.emit("stop")

    def close(self) -> None:
        """Close the page."""
        self._socket.disconnect()

    def _show(self, text: str) -> None:
        self.shown += text


@pytest.fixture
def chainlit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chainlit]:
    """A page of the recipe's own server."""
    skip_without("chainlit")
    monkeypatch.setenv("CHAINLIT_APP_ROOT", str(tmp_path))  # it writes files there
    port = free_port()
    options = ["--headless", "--port", str(port)]
    with running("chainlit_chat.py", "-m", "chainlit", "run", port=port, after=options):
        page = Chainlit(port)
        yield page
        page.close()


def test_chainlit_adds_to_what_it_shows(chainlit: Chainlit, server: Loopback) -> None:
    """Its page gets the pieces, and the next question goes with the conversation."""
    answers(server, ["Waves ", "roll in."], ["They break."])
    assert chainlit.answer_to("What do waves do?") == "Waves roll in."
    assert chainlit.answer_to("And then?") == "They break."
    assert asked(server, 1) == SECOND


def test_chainlits_stop_button_stops_the_model(
    chainlit: Chainlit, server: Loopback
) -> None:
    """Also while the model is silent."""
    silent(server)
    chainlit.ask("What do waves do?")
    wait_until(lambda: bool(chainlit.shown))
    chainlit.stop()
    assert server.requests[0].wait_disconnected(LIMIT)
