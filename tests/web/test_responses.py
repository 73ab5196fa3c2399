"""Runs as responses on a real socket: what a client reads, and what its leaving stops."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

import pytest
from conftest import WIRES, Wire
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from support.loopback import Loopback, Reply
from support.media import PNG
from support.ports import free_port, wait_for_server
from support.scene import refusal
from support.served import LIMIT, Event, ask, events, served
from support.timed_runs import paced
from support.waiting import wait_until
from support.web_app import RESPONSES, web_app

from cogent import Agent, Image, Source, StreamChunk, tool
from cogent.content_json import part_from_dict
from cogent.testing import ScriptedModel
from cogent.web import describe_error

OPENAI = WIRES[0]
EVENTS = [form for form in RESPONSES if form != "text"]
each_form = pytest.mark.parametrize("form", RESPONSES)


async def pass_on(request: Any, call_next: Any) -> Any:
    """Middleware as most people write it."""
    return await call_next(request)


BASE_HTTP = Middleware(BaseHTTPMiddleware, dispatch=pass_on)


@contextmanager
def web(
    server: Loopback,
    *middleware: Middleware,
    wire: Wire = OPENAI,
    tools: Any = (),
    **options: Any,
) -> Iterator[HTTPConnection]:
    """A connection to an app whose agent asks the loopback server."""
    app = web_app(wire.agent(server, tools=tools), *middleware, **options)
    with (
        served(app) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection,
    ):
        yield connection


def unfinished(*deltas: str) -> list[bytes]:
    """The events of an answer up to its last delta."""
    return OPENAI.send.error_event("", None, "", after=deltas)[:-1]


def failing(*deltas: str, message: str = "it broke") -> Reply:
    """An answer that fails after these deltas."""
    body = OPENAI.send.error_event(
        message, "server_error", "server_error", after=deltas
    )
    return Reply(body)


def last_of(response: HTTPResponse) -> Event:
    """The last event of an answer."""
    return list(events(response))[-1]


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_events_say_all_of_a_run(server: Loopback, wire: Wire) -> None:
    """Each chunk is an event whose JSON gives it back; `start` comes before and `done` with the metadata last."""
    words = ("# A\n", "\n", " b\r\nc", "\u2028 d")
    server.reply(Reply(wire.send.text(*words), content_type=wire.mime))
    with web(server, wire=wire) as connection:
        first, *middle, last = events(ask(connection, "/sse"))
    assert (first.name, last.name) == ("start", "done")
    assert {event.name for event in middle} == {"token"}
    chunks = [StreamChunk.from_dict(event.data) for event in middle]
    assert "".join(chunk.content for chunk in chunks) == "".join(words)
    end = StreamChunk.from_dict(last.data)
    assert end.is_final and end.finish_reason == "stop"
    assert end.metadata is not None and end.metadata["provider"] == wire.provider
    run = first.data["run"]
    ids = [event.id for event in (first, *middle, last)]
    assert ids == [f"{run}-{count}" for count in range(len(ids))]


def test_events_have_sources_and_files() -> None:
    """Each has an event of its own, in its place, whose JSON gives it back."""
    source = Source("https://example.org/rivers", "Rivers", start=0, end=4)
    picture = Image(PNG, "image/png")
    agent = Agent("guide", ScriptedModel(["Once.", source, picture, " Twice."]))
    with (
        served(web_app(agent)) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection,
    ):
        read = list(events(ask(connection, "/sse")))
    names = [event.name for event in read]
    assert names == ["start", "token", "source", "file", "token", "done"]
    assert StreamChunk.from_dict(read[2].data).source == source
    assert StreamChunk.from_dict(read[3].data).file == picture


@pytest.mark.parametrize("last_line", [False, True], ids=["text", "last line"])
def test_a_text_has_sources_and_files_in_its_last_line(last_line: bool) -> None:
    """The text itself is the answer's alone."""
    source = Source("https://example.org/rivers", "Rivers")
    picture = Image(PNG, "image/png")
    agent = Agent("guide", ScriptedModel(["Once.", source, picture, " Twice."]))
    with (
        served(web_app(agent, last_line=last_line)) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection,
    ):
        text, _, line = ask(connection, "/text").read().decode().partition("\n")
    assert text == "Once. Twice."
    if last_line:
        end = json.loads(line)
        assert [Source.from_dict(one) for one in end["sources"]] == [source]
        assert [part_from_dict(one, "file") for one in end["files"]] == [picture]
    else:
        assert line == ""


@each_form
def test_the_head_forbids_caching_and_buffering(server: Loopback, form: str) -> None:
    """No cache and no proxy keeps what is to arrive piece by piece."""
    server.reply(Reply(OPENAI.send.text("Hi")))
    with web(server) as connection:
        response = ask(connection, f"/{form}")
        response.read()
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    kind = "text/plain" if form == "text" else "text/event-stream"
    assert response.headers["Content-Type"].split(";")[0] == kind


@each_form
@pytest.mark.parametrize("middleware", [[], [BASE_HTTP]], ids=["direct", "behind"])
def test_pieces_arrive_while_the_model_still_writes(
    server: Loopback, form: str, middleware: list[Middleware]
) -> None:
    """Each piece reaches the client before the model has sent the next one."""
    words = ("Once", " upon", " a", " time")
    gate = threading.Semaphore(0)
    server.reply(Reply(paced(OPENAI.send.text(*words), *words), gate=gate))
    with web(server, *middleware) as connection:
        response = ask(connection, f"/{form}")
        read = b""
        for word in words:
            while json.dumps(word)[1:-1].encode() not in read:
                piece = response.read1()
                assert piece, "the answer ended"
                read += piece
            gate.release()
        for _ in range(20):
            gate.release()
        response.read()


@each_form
@pytest.mark.parametrize("middleware", [[], [BASE_HTTP]], ids=["direct", "behind"])
@pytest.mark.parametrize("deltas", [[], ["Once"]], ids=["silent", "writing"])
def test_a_client_that_leaves_stops_the_model(
    server: Loopback, form: str, middleware: list[Middleware], deltas: list[str]
) -> None:
    """The provider loses its connection, also before it has said anything."""
    server.reply(Reply(unfinished(*deltas), end="stall"))
    with web(server, *middleware) as connection:
        response = ask(connection, f"/{form}")
        while deltas and deltas[-1].encode() not in response.read1():
            pass
        wait_until(lambda: server.requests)
        response.close()
        connection.close()
        assert server.requests[0].wait_disconnected(timeout=LIMIT)


@each_form
@pytest.mark.parametrize("middleware", [[], [BASE_HTTP]], ids=["direct", "behind"])
def test_a_client_that_leaves_stops_a_tool(
    server: Loopback, form: str, middleware: list[Middleware]
) -> None:
    """A tool that still runs is cancelled, and the model is not asked again."""
    began, cancelled = threading.Event(), threading.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        try:
            await asyncio.sleep(LIMIT)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "done"

    server.reply(Reply(OPENAI.send.tool_calls(("c1", "wait", "{}"))))
    with web(server, *middleware, tools=[wait]) as connection:
        response = ask(connection, f"/{form}")
        assert began.wait(LIMIT)
        response.close()
        connection.close()
        assert cancelled.wait(LIMIT)
    assert len(server.requests) == 1


@each_form
def test_a_client_that_connects_again_asks_nothing(server: Loopback, form: str) -> None:
    """A browser's EventSource sends the last id after every end: 204 tells it to stop, with or without the request."""
    agent = OPENAI.agent(server)

    async def without_request(scope: Any, receive: Any, send: Any) -> None:
        await RESPONSES[form](agent.run_stream("Go"))(scope, receive, send)

    for app in (web_app(agent), without_request):
        with (
            served(app, lifespan="off") as port,
            closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection,
        ):
            response = ask(connection, f"/{form}", headers={"Last-Event-ID": "run-1"})
            assert (response.status, response.read()) == (204, b"")
    assert server.requests == []


def test_an_error_is_an_event_with_its_kind(server: Loopback) -> None:
    """The tokens so far arrive, then `failed` with what a page may show, and no `done`."""
    server.reply(failing("Once"))
    with web(server) as connection:
        *_, token, end = events(ask(connection, "/sse"))
    assert (token.name, end.name) == ("token", "failed")
    assert end.data["kind"] == "ServerError" and end.data["retryable"] is True
    assert "it broke" in end.data["message"]
    assert sorted(end.data) == ["kind", "message", "retryable"]


@pytest.mark.parametrize("form", EVENTS)
def test_no_event_has_a_key(server: Loopback, form: str) -> None:
    """Also where the provider repeats the key in its error."""
    message = "Incorrect API key provided: key-of-tests-0123456789"
    server.reply(refusal(OPENAI, 401, message=message, code="invalid_api_key"))
    agent = OPENAI.agent(server, model={"api_key": "key-of-tests-0123456789"})
    with (
        served(web_app(agent)) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection,
    ):
        body = ask(connection, f"/{form}").read().decode()
    assert "key-of-tests" not in body and "AuthenticationError" in body


def test_an_exception_that_is_not_cogents_shows_nothing_of_itself() -> None:
    """Its text may hold anything; a page learns that the server failed."""
    failure = describe_error(RuntimeError("the password is swordfish"))
    assert failure.kind == "ServerError" and not failure.retryable
    assert "swordfish" not in failure.message


class Broken:
    """A stream that fails with what is none of cogent's errors."""

    async def __aenter__(self) -> "Broken":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[StreamChunk]:
        yield StreamChunk("Once")
        raise RuntimeError("the password is swordfish")


@each_form
def test_such_an_exception_is_in_the_log_of_the_server(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever runs the server reads all of it, and the page only that something went wrong."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await RESPONSES[form](Broken())(scope, receive, send)

    with (
        served(app, lifespan="off") as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection,
        pytest.raises(IncompleteRead) as broken,
    ):
        ask(connection, "/").read()
    body = broken.value.partial
    assert b"Once" in body and b"swordfish" not in body
    assert (b"Something went wrong on the server." in body) == (form != "text")
    assert "swordfish" in caplog.text


@pytest.mark.parametrize("form", EVENTS)
def test_a_silent_answer_sends_comments(server: Loopback, form: str) -> None:
    """They keep the connection open, before the first token too."""
    server.reply(Reply(unfinished(), end="stall"))
    with web(server, ping=0.01) as connection:
        response = ask(connection, f"/{form}")
        while not response.readline().startswith(b":"):
            pass
        response.close()


SERVER = """
import sys

import uvicorn

from cogent import Agent
from cogent.testing import Delay, ScriptedModel
from support.web_app import RESPONSES, web_app

answers = [["Once", Delay(3600)] for _ in RESPONSES]
uvicorn.run(web_app(Agent("slow", ScriptedModel(*answers))), port=int(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_all_answers_end_with_uvicorn() -> None:
    """Told to end, it does not wait for answers that still come, and none of them looks whole."""
    port = free_port()
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)],
            cwd=Path(__file__).parents[1],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        wait_for_server(port, process)
        responses = []
        for form in RESPONSES:
            connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            responses.append(ask(stack.enter_context(closing(connection)), f"/{form}"))
            while b"Once" not in responses[-1].read1():
                pass
        process.terminate()
        process.wait(LIMIT)
        for response in responses:
            with pytest.raises(IncompleteRead):
                response.read()


@pytest.mark.parametrize("middleware", [[], [BASE_HTTP]], ids=["direct", "behind"])
def test_a_text_that_fails_breaks_the_connection(
    server: Loopback, middleware: list[Middleware]
) -> None:
    """Half an answer never looks like a whole one, also behind middleware that would end it cleanly."""
    server.reply(failing("Once"))
    with web(server, *middleware) as connection:
        response = ask(connection, "/text")
        with pytest.raises(IncompleteRead) as broken:
            response.read()
    assert broken.value.partial == b"Once"


@pytest.mark.parametrize("good", [True, False], ids=["done", "failed"])
def test_a_text_says_its_end_in_a_last_line(server: Loopback, good: bool) -> None:
    """On request the body ends with a line of JSON, and then ends cleanly."""
    server.reply(Reply(OPENAI.send.text("Once", "\nupon")) if good else failing("Once"))
    with web(server, last_line=True) as connection:
        text, _, line = ask(connection, "/text").read().decode().rpartition("\n")
    end = json.loads(line)
    assert text == ("Once\nupon" if good else "Once")
    assert end["event"] == ("done" if good else "failed")
    if good:
        assert end["metadata"]["tokens"]["total_tokens"] > 0
    else:
        assert end["kind"] == "ServerError"


@each_form
def test_a_run_that_is_stopped_on_the_server_is_no_whole_answer(
    server: Loopback, form: str
) -> None:
    """Where something else stops the run, the page is told that it was stopped."""
    server.reply(Reply(unfinished("Once"), end="stall"))
    streams = []
    agent = OPENAI.agent(server)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        streams.append(agent.run_stream("Go"))
        await RESPONSES[form](streams[0])(scope, receive, send)

    with (
        served(app, lifespan="off") as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection,
    ):
        response = ask(connection, "/")
        while b"Once" not in response.read1():
            pass
        streams[0].cancel()
        if form == "text":
            with pytest.raises(IncompleteRead):
                response.read()
        else:
            assert b"stopped before its end" in response.read()


def test_head_asks_nothing(server: Loopback) -> None:
    """A HEAD request gets the head, and no model is asked."""
    with web(server) as connection:
        connection.request("HEAD", "/sse")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
    assert server.requests == []
