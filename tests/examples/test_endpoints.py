"""The web endpoints of `examples/fastapi_app.py`, served by uvicorn on a real socket."""

import json
import re
import runpy
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.served import LIMIT, served
from support.timed_runs import paced

APP = Path(__file__).parents[2] / "examples" / "fastapi_app.py"

Event = tuple[str, str]


@pytest.fixture(
    params=[wire for wire in WIRES if wire.provider.startswith("openai")],
    ids=lambda wire: wire.name,
)
def wire(request: pytest.FixtureRequest) -> Wire:
    """The providers whose server OPENAI_BASE_URL names."""
    return request.param


@pytest.fixture
def web(
    wire: Wire, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HTTPConnection]:
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


WORDS = ("Once ", "upon ", "a ", "time", ".")


def test_plain_text_arrives_while_the_model_still_writes(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """Each piece of text reaches the web client before the model has sent the next ones."""
    gate = threading.Semaphore(0)
    server.reply(Reply(paced(wire.send.text(*WORDS), *WORDS), gate=gate))
    read = []
    for piece in pieces(ask(web, "/chat")):
        read.append(piece)
        gate.release()
    assert read == list(WORDS)


def test_events_arrive_while_the_model_still_writes(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """Each token event reaches the web client before the model has sent the next ones, and `done` comes last."""
    gate = threading.Semaphore(0)
    server.reply(Reply(paced(wire.send.text(*WORDS), *WORDS), gate=gate))
    read = []
    for one in events(ask(web, "/events")):
        read.append(one)
        gate.release()
    assert read == [*tokens(*WORDS), ("done", "")]


def test_the_first_token_does_not_wait_for_the_second(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """A token is delivered although the model falls silent right after it."""
    server.reply(Reply(unfinished(wire, "Once"), end="stall"))
    assert next(events(ask(web, "/events"))) == ("token", "Once")


def test_line_breaks_survive_as_events(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """Tokens with line breaks and leading blanks reach the web client unchanged."""
    words = ("# A\n", "\n", " b\nc", "\n\n", "  d")
    server.reply(Reply(wire.send.text(*words)))
    assert list(events(ask(web, "/events"))) == [*tokens(*words), ("done", "")]


@pytest.mark.parametrize("path", ["/chat", "/events"])
def test_reasoning_stays_behind(
    web: HTTPConnection, server: Loopback, wire: Wire, path: str
) -> None:
    """What the model thinks before it answers neither shows nor ends the answer early."""
    server.reply(Reply(wire.send.reasoning("Let me think.", "Forty-two.")))
    response = ask(web, path)
    read = (
        pieces(response) if path == "/chat" else (data for _, data in events(response))
    )
    assert "".join(read) == "Forty-two."


@pytest.mark.parametrize("writing", [False, True], ids=["silent", "writing"])
@pytest.mark.parametrize("path", ["/chat", "/events"])
def test_a_web_client_that_leaves_stops_the_model(
    web: HTTPConnection, server: Loopback, wire: Wire, path: str, writing: bool
) -> None:
    """When the web client disconnects, the model server loses its connection too, and none stays open."""
    begun = unfinished(wire, "Once")
    server.reply(
        Reply(begun, forever=True, pause=0.05) if writing else Reply(begun, end="stall")
    )
    response = ask(web, path)
    assert b"Once" in response.read1()
    response.close()
    web.close()
    assert server.requests[0].wait_disconnected(timeout=LIMIT)
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


def test_an_error_ends_the_events_with_failed(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """When the model fails midway the tokens so far arrive, then `failed` with what a page may show, and no `done`."""
    server.reply(
        Reply(
            wire.send.error_event(
                "it broke", "server_error", "server_error", after=("Once",)
            )
        )
    )
    *before, (name, data) = events(ask(web, "/events"))
    assert (before, name) == (tokens("Once"), "failed")
    told = json.loads(data)
    assert (told["kind"], told["retryable"], sorted(told)) == (
        "ServerError",
        True,
        ["kind", "message", "retryable"],
    )
    assert "it broke" in told["message"]


def test_a_refused_key_is_a_failed_event_without_the_key(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """An error before the first token is an event too, of a kind that asking again does not mend; it holds no key."""
    body = wire.send.error_body(
        "Incorrect API key provided: test-key",
        "invalid_api_key",
        "invalid_request_error",
    )
    server.reply(Reply(body, 401, "application/json"))
    [(name, data)] = events(ask(web, "/events"))
    told = json.loads(data)
    assert (name, told["kind"], told["retryable"]) == (
        "failed",
        "AuthenticationError",
        False,
    )
    assert "test-key" not in data


@pytest.mark.parametrize("good", [True, False], ids=["done", "failed"])
def test_a_browser_that_connects_again_asks_nothing(
    web: HTTPConnection, server: Loopback, wire: Wire, good: bool
) -> None:
    """Each event has an id of its own; a reconnect, which sends the last of them, is told by 204 to stop."""
    answer = (
        wire.send.text("Once", " upon")
        if good
        else wire.send.error_event("", None, "", after=("Once", " upon"))
    )
    server.reply(Reply(answer))
    ids = re.findall(rb"^id: (.+)\r$", ask(web, "/events").read(), re.MULTILINE)
    assert len(ids) == len(set(ids)) == 3
    for last in ids:
        web.request("GET", "/events?q=Write", headers={"Last-Event-ID": last.decode()})
        response = web.getresponse()
        assert (response.status, response.read()) == (204, b"")
    assert len(server.requests) == 1


def test_an_error_after_the_first_token_breaks_the_text_off(
    web: HTTPConnection, server: Loopback, wire: Wire
) -> None:
    """When the model fails midway the web client gets the text so far and can tell that it is not the whole."""
    server.reply(
        Reply(
            wire.send.error_event(
                "it broke", "server_error", "server_error", after=("Once",)
            )
        )
    )
    response = ask(web, "/chat")
    assert response.read1() == b"Once"
    with pytest.raises(IncompleteRead):
        response.read()
