"""The web endpoints of `examples/fastapi_app.py`, served by uvicorn on a real socket."""

import runpy
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply

APP = Path(__file__).parents[1] / "examples" / "fastapi_app.py"
LIMIT = 30  # Seconds that a web client waits for anything.

Event = tuple[str, str]


@contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve the app in a thread; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn")
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(params=[wire for wire in WIRES if wire.provider.startswith("openai")], ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> Wire:
    """The providers whose server OPENAI_BASE_URL names."""
    return request.param


@pytest.fixture
def web(wire: Wire, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPConnection]:
    """A connection to the example, whose agent asks the loopback server."""
    monkeypatch.setenv("MODEL", f"{wire.provider}:gpt-test")
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    with served(runpy.run_path(str(APP))["app"]) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        yield connection
        connection.close()


def ask(web: HTTPConnection, path: str) -> HTTPResponse:
    """Send a question; the head of the answer has arrived."""
    web.request("GET", f"{path}?{urlencode({'q': 'Write a story'})}")
    response = web.getresponse()
    assert response.status == 200
    return response


def pieces(response: HTTPResponse) -> Iterator[str]:
    """A plain text answer as it arrives."""
    while piece := response.read1():
        yield piece.decode()


def events(response: HTTPResponse) -> Iterator[Event]:
    """The server-sent events of an answer as they arrive."""
    name, data = "", []
    while line := response.readline():
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not field:
            yield name, "\n".join(data)
            name, data = "", []


def tokens(*texts: str) -> list[Event]:
    return [("token", text) for text in texts]


def unfinished(wire: Wire, *deltas: str) -> list[bytes]:
    """The events of an answer up to its last delta."""
    return wire.send.error_event("", None, "", after=deltas)[:-1]


def test_plain_text_arrives_while_the_model_still_writes(web: HTTPConnection, server: Loopback, wire: Wire) -> None:
    """Each piece of text reaches the web client before the model has sent the next ones."""
    words = ("Once ", "upon ", "a ", "time", ".")
    body = wire.send.text(*words)
    server.reply(Reply(body, pause=0.2))
    seen = [(piece, server.requests[0].sent) for piece in pieces(ask(web, "/chat"))]
    assert "".join(piece for piece, _ in seen) == "Once upon a time."
    assert seen[0][1] < sum(map(len, body))
    assert len({sent for _, sent in seen}) > len(words) / 2


def test_events_arrive_while_the_model_still_writes(web: HTTPConnection, server: Loopback, wire: Wire) -> None:
    """Each token event reaches the web client before the model has sent the next ones, and `done` comes last."""
    words = ("Once ", "upon ", "a ", "time", ".")
    body = wire.send.text(*words)
    server.reply(Reply(body, pause=0.2))
    seen = [(event, server.requests[0].sent) for event in events(ask(web, "/events"))]
    assert [event for event, _ in seen] == [*tokens(*words), ("done", "")]
    assert seen[0][1] < sum(map(len, body))
    assert len({sent for _, sent in seen}) > len(words) / 2


def test_the_first_token_does_not_wait_for_the_second(web: HTTPConnection, server: Loopback, wire: Wire) -> None:
    """A token is delivered although the model falls silent right after it."""
    server.reply(Reply(unfinished(wire, "Once"), end="stall"))
    assert next(events(ask(web, "/events"))) == ("token", "Once")


def test_line_breaks_survive_as_events(web: HTTPConnection, server: Loopback, wire: Wire) -> None:
    """Tokens with line breaks and leading blanks reach the web client unchanged."""
    words = ("# A\n", "\n", " b\nc", "\n\n", "  d")
    server.reply(Reply(wire.send.text(*words)))
    assert list(events(ask(web, "/events"))) == [*tokens(*words), ("done", "")]


@pytest.mark.parametrize("path", ["/chat", "/events"])
def test_reasoning_stays_behind(web: HTTPConnection, server: Loopback, wire: Wire, path: str) -> None:
    """What the model thinks before it answers neither shows nor ends the answer early."""
    server.reply(Reply(wire.send.reasoning("Let me think.", "Forty-two.")))
    response = ask(web, path)
    read = pieces(response) if path == "/chat" else (data for _, data in events(response))
    assert "".join(read) == "Forty-two."


@pytest.mark.parametrize("writing", [False, True], ids=["silent", "writing"])
@pytest.mark.parametrize("path", ["/chat", "/events"])
def test_a_web_client_that_leaves_stops_the_model(
    web: HTTPConnection, server: Loopback, wire: Wire, path: str, writing: bool
) -> None:
    """When the web client disconnects, the model server loses its connection too, and none stays open."""
    begun = unfinished(wire, "Once")
    server.reply(Reply(begun, forever=True, pause=0.05) if writing else Reply(begun, end="stall"))
    response = ask(web, path)
    assert b"Once" in response.read1()
    response.close()
    web.close()
    left = time.monotonic()
    request = server.requests[0]
    assert request.wait_disconnected(timeout=LIMIT)
    assert request.disconnected is not None and request.disconnected - left < 1
    assert server.open_connections == 0


def test_a_web_client_that_leaves_does_not_disturb_the_others(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """While one web client leaves midway, another gets its whole answer from the same agent."""
    server.reply(
        Reply(unfinished(wire, "Once"), end="stall"),
        Reply(wire.send.text("Twice", " told", "."), pause=0.1),
    )
    next(events(ask(web, "/events")))
    with closing(HTTPConnection(web.host, web.port, timeout=LIMIT)) as other:
        staying = events(ask(other, "/events"))
        first = next(staying)
        web.close()
        assert server.requests[0].wait_disconnected(timeout=LIMIT)
        assert [first, *staying] == [*tokens("Twice", " told", "."), ("done", "")]


def test_an_error_after_the_first_token_ends_the_events_without_done(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """When the model fails midway the tokens so far arrive, and no `done` follows."""
    server.reply(Reply(wire.send.error_event("it broke", "server_error", "server_error", after=("Once",))))
    assert list(events(ask(web, "/events"))) == tokens("Once")


def test_an_error_after_the_first_token_breaks_the_text_off(web: HTTPConnection, server: Loopback, wire: Wire) -> None:
    """When the model fails midway the web client gets the text so far and can tell that it is not the whole."""
    server.reply(Reply(wire.send.error_event("it broke", "server_error", "server_error", after=("Once",))))
    response = ask(web, "/chat")
    assert response.read1() == b"Once"
    with pytest.raises(IncompleteRead):
        response.read()
