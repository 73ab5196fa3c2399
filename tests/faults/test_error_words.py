"""Whatever form an error comes in, its words, status and code are kept, and the status says what it is."""

import json
import socket
import struct
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.scene import JSON, Shared, outcome_of, shared_agents

from cogent import (
    Agent,
    AuthenticationError,
    BadRequest,
    ConnectionFailed,
    ContextTooLong,
    Model,
    ModelError,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamInterrupted,
)

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Shared]:
    async with shared_agents(model={"api_key": "sk-canary-0123456789"}) as shared:
        yield shared


# Bodies with an error status

MISSING = [
    {"type": "missing", "loc": ["body", "model"], "msg": "Field required", "input": {}}
]
BODIES: dict[str, tuple[Any, str]] = {
    "detail": ({"detail": "Not like this."}, "Not like this."),
    "detail as a list": ({"detail": MISSING}, "body.model: Field required"),
    "detail as an object": (
        {"detail": {"code": "e1", "message": "Not like this."}},
        "Not like this.",
    ),
    "errors as a list": (
        {"success": False, "errors": [{"code": 7003, "message": "First."}]},
        "First.",
    ),
    "errors as texts": ({"errors": ["First.", "Second."]}, "First.; Second."),
    "errors as an object": (
        {"errors": {"model": ["is required"]}},
        "model: is required",
    ),
    "error_message": ({"error_message": "Not like this."}, "Not like this."),
    "message": ({"message": "Not like this."}, "Not like this."),
    "error as text": ({"error": "Not like this."}, "Not like this."),
    "error beside message": (
        {"error": "Bad Request", "message": "Not like this."},
        "Bad Request: Not like this.",
    ),
    "message as an object": (
        {"error": {"message": {"detail": "Not like this."}}},
        "Not like this.",
    ),
    "message as JSON": (
        {"error": {"message": '{"error": {"message": "Not like this."}}'}},
        "Not like this.",
    ),
    "error in error": (
        {"error": {"error": {"message": "Not like this."}}},
        "Not like this.",
    ),
    "no envelope": (
        {"object": "error", "message": "Not like this.", "code": 400},
        "Not like this.",
    ),
    "a list": ([{"error": {"message": "Not like this."}}], "Not like this."),
    "a string": ("Not like this.", "Not like this."),
    "what a router was told": (
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": '{"detail": "Not like this."}'},
            }
        },
        "Provider returned error: Not like this.",
    ),
    "unknown names": (
        {"failure": {"why": "unknown"}},
        '{"failure": {"why": "unknown"}}',
    ),
}


@both_ways
@pytest.mark.parametrize(("body", "words"), BODIES.values(), ids=BODIES)
async def test_the_words_of_a_body_are_kept(
    shared: Shared, wire: Wire, streaming: bool, body: Any, words: str
) -> None:
    """The words of an error are found wherever a server puts them, with status, request id and waiting time."""
    head = {"retry-after": "7", "x-request-id": "req_1"}
    error = await shared.error_of(
        wire, Reply(json.dumps(body), 429, JSON, head), streaming
    )
    assert (type(error), error.status, error.retryable, error.retry_after) == (
        RateLimited,
        429,
        True,
        7.0,
    )
    assert error.args == (words,)
    assert error.request_id == (None if wire.bare else "req_1")


PAGE = "<!doctype html><html><head><title>502 Bad&nbsp;Gateway</title></head><body><h1>x</h1></body></html>"


@both_ways
@pytest.mark.parametrize(
    ("text", "words"),
    [("upstream is busy", "upstream is busy"), (PAGE, "502 Bad Gateway")],
    ids=["text", "page"],
)
async def test_the_words_of_what_is_no_json_are_kept(
    shared: Shared, wire: Wire, streaming: bool, text: str, words: str
) -> None:
    """Plain text is the message as it is; of a web page it is the title."""
    error = await shared.error_of(wire, Reply(text, 502, "text/plain"), streaming)
    assert (type(error), error.args) == (ServerError, (words,))


# What decides

GENERIC_TYPES = ["api_error", "invalid_request_error", "internal_error"]
STATUSES: list[tuple[int, type[ModelError], bool]] = [
    (400, BadRequest, False),
    (401, AuthenticationError, False),
    (403, PermissionDenied, False),
    (404, ModelNotFound, False),
    (409, BadRequest, True),
    (413, ContextTooLong, False),
    (429, RateLimited, True),
    (500, ServerError, True),
    (503, Overloaded, True),
]


@both_ways
@pytest.mark.parametrize(("status", "kind", "retryable"), STATUSES)
@pytest.mark.parametrize("generic", GENERIC_TYPES)
async def test_a_generic_type_does_not_beat_the_status(
    shared: Shared,
    wire: Wire,
    streaming: bool,
    status: int,
    kind: type[ModelError],
    retryable: bool,
    generic: str,
) -> None:
    """A type that says only that a request failed leaves it to the status what the error is."""
    body = {"error": {"message": "No.", "type": generic, "param": None, "code": None}}
    error = await shared.error_of(
        wire, Reply(json.dumps(body), status, JSON), streaming
    )
    assert (type(error), error.status, error.retryable) == (kind, status, retryable)


TOO_LONG = [
    "the request exceeds the available context size, try increasing it",
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    "litellm.BadRequestError: litellm.ContextWindowExceededError: too much",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    "Please reduce the length of the messages or completion.",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "the input length exceeds the context length",
    "Your request exceeded model token limit: 131072",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
]


@pytest.mark.parametrize("words", TOO_LONG)
async def test_the_words_tell_a_context_that_is_too_long(
    shared: Shared, wire: Wire, words: str
) -> None:
    """A conversation that does not fit is told by the words, whatever the generic type."""
    body = {"error": {"message": words, "type": "api_error", "code": 400}}
    error = await shared.error_of(
        wire, Reply(json.dumps(body), 400, JSON), streaming=False
    )
    assert (type(error), error.retryable) == (ContextTooLong, False)


@both_ways
async def test_the_words_of_a_fastapi_server_tell_it_too(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """The same where they stand under `detail`."""
    body = {"detail": "This model's maximum context length is 4096 tokens."}
    assert (
        type(await shared.error_of(wire, Reply(json.dumps(body), 400, JSON), streaming))
        is ContextTooLong
    )


# Errors inside a stream

EVENTS: dict[str, tuple[Any, type[ModelError]]] = {
    "error as text": ({"error": "Slow down."}, ServerError),
    "a code that is a string": (
        {"error": {"code": "429", "message": "Slow down."}},
        RateLimited,
    ),
    "a code that is a number": (
        {"error": {"code": 429, "message": "Slow down."}},
        RateLimited,
    ),
    "no code": (
        {"error": {"message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}},
        RateLimited,
    ),
    "detail": ({"detail": "Slow down."}, ServerError),
    "no envelope": (
        {"object": "error", "message": "Slow down.", "code": 400},
        BadRequest,
    ),
    "errors": ({"errors": [{"message": "Slow down."}]}, ServerError),
    "a list": ([{"error": {"code": 429, "message": "Slow down."}}], RateLimited),
    "a type": (
        {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "Slow down."},
        },
        Overloaded,
    ),
    "a type beside text": ({"type": "error", "error": "Slow down."}, ServerError),
    "all flat": (
        {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."},
        RateLimited,
    ),
}


def _begun(wire: Wire) -> bytes:
    """The stream of an answer up to its text."""
    events = wire.send.text("Hel", "lo")
    count = next(n for n, event in enumerate(events, 1) if b'"lo"' in event)
    return b"".join(events[:count])


def _event(wire: Wire, body: Any) -> bytes:
    text = json.dumps(body).encode()
    if wire.bare:
        return text + b"\n"
    return (
        (b"event: error\n" if wire.provider == "anthropic" else b"")
        + b"data: "
        + text
        + b"\n\n"
    )


@pytest.mark.parametrize("begun", [False, True], ids=["at once", "after text"])
@pytest.mark.parametrize(("body", "kind"), EVENTS.values(), ids=EVENTS)
async def test_the_words_of_an_event_are_kept(
    shared: Shared, wire: Wire, begun: bool, body: Any, kind: type[ModelError]
) -> None:
    """An error among the events keeps its words and its meaning in any form, and leaves nothing open behind it."""
    start = _begun(wire) if begun else b""
    error = await shared.error_of(
        wire, Reply(start + _event(wire, body), content_type=wire.mime)
    )
    assert (type(error), error.status) == (kind, 200)
    assert "Slow down." in str(error)
    assert error.partial.content == ("Hello" if begun else "")


FOUND_IN_BYTES = [wire for wire in WIRES if wire.provider in ("gemini", "ollama")]


@pytest.mark.parametrize("wire", FOUND_IN_BYTES, ids=lambda wire: wire.name)
@pytest.mark.parametrize("split", [1, 7])
@pytest.mark.parametrize(("body", "kind"), EVENTS.values(), ids=EVENTS)
async def test_an_error_event_in_pieces_is_found(
    shared: Shared, wire: Wire, split: int, body: Any, kind: type[ModelError]
) -> None:
    """An error event is found also where it comes in small pieces, after text in small pieces."""
    error = await shared.error_of(
        wire,
        Reply(_begun(wire) + _event(wire, body), content_type=wire.mime, split=split),
    )
    assert (type(error), error.partial.content) == (kind, "Hello")
    assert "Slow down." in str(error)


@both_ways
@pytest.mark.parametrize(("body", "kind"), EVENTS.values(), ids=EVENTS)
async def test_the_words_of_an_error_with_status_200_are_kept(
    shared: Shared, wire: Wire, streaming: bool, body: Any, kind: type[ModelError]
) -> None:
    """An error that comes as JSON with status 200, in the place of the answer, is one in all forms."""
    error = await shared.error_of(
        wire, Reply(json.dumps(body), content_type=JSON), streaming
    )
    assert (type(error), error.status) == (kind, 200)
    assert "Slow down." in str(error)


# What is said


@both_ways
async def test_a_wrong_base_url_is_named(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """Where the server has no such path, the error names the address that was asked."""
    error = await shared.error_of(
        wire, Reply('{"detail": "Not Found"}', 404, JSON), streaming
    )
    path = shared.server.requests[-1].path.partition("?")[0]
    assert type(error) is ModelNotFound
    assert f"Not Found (asked: {shared.server.url}{path}; is base_url right?)" in str(
        error
    )


@both_ways
async def test_a_model_that_is_not_there_is_no_wrong_address(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """A model that the server does not have says nothing against the address."""
    error = await shared.error_of(
        wire,
        Reply('{"error": {"message": "The model x was not found"}}', 404, JSON),
        streaming,
    )
    assert type(error) is ModelNotFound
    assert "base_url" not in str(error)


@both_ways
async def test_a_server_that_hangs_up_was_reached(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """A server that took the request and closed the connection without an answer gets its own words."""
    error = await shared.error_of(wire, Reply(raw=b"", end="close"), streaming)
    assert type(error) is ConnectionFailed
    assert "closed the connection without an answer" in str(error)
    assert "cannot reach" not in str(error)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_sentence_is_said_once(shared: Shared, wire: Wire, end: Any) -> None:
    """The error of a lost connection does not repeat itself."""
    reply = Reply(
        [_begun(wire), b"x" * 10],
        truncate=len(_begun(wire)),
        end=end,
        content_type=wire.mime,
    )
    error = await shared.error_of(wire, reply)
    assert type(error) is StreamInterrupted
    assert str(error).count("lost") == 1


async def test_a_broken_event_is_no_lost_connection(shared: Shared, wire: Wire) -> None:
    """An event that is no JSON, on a connection that holds, says nothing of the connection."""
    broken = b'{"a": "b\n' if wire.bare else b'data: {"a": "b\n\n'
    name = b"event: content_block_delta\n" if wire.provider == "anthropic" else b""
    error = await shared.error_of(
        wire,
        Reply(_begun(wire) + name + broken + _event(wire, {}), content_type=wire.mime),
    )
    assert isinstance(error, ServerError | StreamInterrupted)
    assert "connection" not in str(error)


@both_ways
async def test_a_code_that_repeats_the_status_is_said_once(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """A code that is the status again is not shown beside it."""
    error = await shared.error_of(
        wire, Reply('{"error": {"code": 500, "message": "No."}}', 500, JSON), streaming
    )
    assert str(error) == f"{wire.provider}:gpt-test: No. (500)"


# What a user is told


PAGE = "<html><head><title>405 Not Allowed</title></head><body>nginx</body></html>"
NO_BODY: dict[int, type[ModelError]] = {
    400: BadRequest,
    401: AuthenticationError,
    500: ServerError,
    503: Overloaded,
}


@both_ways
@pytest.mark.parametrize("status", NO_BODY)
async def test_an_error_without_a_body(
    shared: Shared, wire: Wire, status: int, streaming: bool
) -> None:
    """It says that there was no reason, and neither the status twice nor the SDK's name for it."""
    error = await shared.error_of(wire, Reply("", status, JSON), streaming)
    assert (type(error), error.status) == (NO_BODY[status], status)
    assert (
        "the provider gave no reason" in str(error)
        and str(error).count(str(status)) == 1
    )


@both_ways
async def test_a_path_for_other_methods_names_the_address(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """A web server that does not take a POST there is the wrong server."""
    error = await shared.error_of(wire, Reply(PAGE, 405, "text/html"), streaming)
    assert isinstance(error, BadRequest) and f"asked: {shared.server.url}" in str(error)


@both_ways
@pytest.mark.parametrize(
    "body",
    [b"\xff no such thing", b"\x1f\x8b\x08\x00 not packed at all"],
    ids=["gzip", "a head"],
)
async def test_an_error_that_cannot_be_unpacked(
    shared: Shared, wire: Wire, body: bytes, streaming: bool
) -> None:
    """Its words are lost, and not its status: nothing is asked again for a request that is wrong."""
    error = await shared.error_of(
        wire, Reply(body, 400, JSON, {"content-encoding": "gzip"}), streaming
    )
    assert (type(error), error.status, error.retryable) == (BadRequest, 400, False)


@both_ways
async def test_an_error_that_is_no_utf_8(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """What can be read is told, under the status that came."""
    error = await shared.error_of(
        wire, Reply(b'{"error": {"message": "caf\xe9 closed"}}', 400, JSON), streaming
    )
    assert (type(error), error.status) == (BadRequest, 400) and "closed" in str(error)


@both_ways
async def test_an_error_status_with_a_body_of_events(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """A gateway that meant to stream says its error as an event: that is read like any other."""
    event = {
        "error": {
            "message": "Cannot start.",
            "type": "internal_server_error",
            "code": "500",
        }
    }
    body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    error = await shared.error_of(
        wire, Reply(body, 500, "text/event-stream"), streaming
    )
    assert (type(error), error.status) == (ServerError, 500)
    assert (
        "Cannot start." in str(error)
        and "data:" not in str(error)
        and "{" not in str(error)
    )


@pytest.mark.parametrize("mime", ["text/plain", "application/octet-stream", JSON])
async def test_text_instead_of_a_stream_is_told(
    shared: Shared, wire: Wire, mime: str
) -> None:
    """What a proxy says under status 200 stands in the error, as it does for a plain request."""
    error = await shared.error_of(
        wire, Reply("Temporarily out of service.", content_type=mime)
    )
    assert isinstance(error, ServerError) and "Temporarily out of service." in str(
        error
    )


async def test_a_page_instead_of_a_stream_tells_its_title(
    shared: Shared, wire: Wire
) -> None:
    """A captive portal or a login page is known by its title."""
    error = await shared.error_of(
        wire, Reply("<html><title>Log in</title></html>", content_type="text/html")
    )
    assert isinstance(error, ServerError) and "Log in" in str(error)


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("value", ["null", "42", '"text"', "[]", "true"])
async def test_json_that_is_no_object(
    shared: Shared, wire: Wire, value: str, streaming: bool
) -> None:
    """No words of Python's stand in an error about what a server sent, whether as an event or as an answer."""
    event = value if wire.mime != "text/event-stream" else f"data: {value}"
    reply = (
        Reply(f"{event}\n\n", content_type=wire.mime)
        if streaming
        else Reply(value, content_type=JSON)
    )
    error = await shared.error_of(wire, reply, streaming)
    assert isinstance(error, ServerError | StreamInterrupted)
    assert not any(
        words in str(error)
        for words in ("attribute", "object is", "argument", "iterable", "NoneType")
    )


NOT_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\nProtocol mismatch.\r\n\r\n",
    "another version": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
}


@both_ways
@pytest.mark.parametrize("head", NOT_HTTP)
async def test_a_server_that_does_not_speak_http(
    shared: Shared, wire: Wire, head: str, streaming: bool
) -> None:
    """It answered, so that nobody says it closed the connection without an answer."""
    error = await shared.error_of(
        wire, Reply(b"", raw=NOT_HTTP[head], end="close"), streaming
    )
    assert isinstance(error, ConnectionFailed)
    assert "not HTTP" in str(error) and "without an answer" not in str(error)


async def connection_error(wire: Wire, url: str, streaming: bool) -> str:
    """What is said of a server that cannot be talked to."""
    settings = {"base_url": url, "api_key": "key", "max_retries": 0, **wire.settings}
    agent = Agent("tester", Model(f"{wire.provider}:gpt-test", **settings))
    async with agent:
        outcome = await outcome_of(agent, streaming=streaming)
    assert isinstance(outcome.error, ConnectionFailed)
    return str(outcome.error)


@both_ways
async def test_a_server_that_is_not_there_is_named(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """The address that was tried helps most of all."""
    server.close()
    said = await connection_error(wire, server.url, streaming)
    assert f"cannot reach the server ({server.url})" in said


@both_ways
async def test_a_server_without_tls_was_reached(wire: Wire, streaming: bool) -> None:
    """A server that answers plainly where `https` was asked for was reached, and is not said not to run."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_plainly, args=[listener], daemon=True)
        thread.start()
        said = await connection_error(
            wire, f"https://127.0.0.1:{listener.getsockname()[1]}", streaming
        )
        thread.join()
    assert "no secure connection to the server" in said and "SSL" in said
    assert "cannot reach" not in said and "running?" not in said


def answer_plainly(listener: socket.socket) -> None:
    """Take one connection, and answer whatever it begins with in plain HTTP."""
    client, _ = listener.accept()
    with client:
        client.recv(1000)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        client.recv(1000)


@both_ways
async def test_a_connection_that_breaks_is_said_once(
    wire: Wire, streaming: bool
) -> None:
    """A server that resets the connection has no words, and the SDK's sentence for that is not added."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=reset, args=[listener], daemon=True)
        thread.start()
        said = await connection_error(
            wire, f"http://127.0.0.1:{listener.getsockname()[1]}", streaming
        )
        thread.join()
    assert (
        "Connection error." not in said
        and "closed the connection without an answer" in said
    )


def reset(listener: socket.socket) -> None:
    """Take one connection and reset it once the request is there."""
    client, _ = listener.accept()
    client.recv(1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@both_ways
@pytest.mark.parametrize(
    "body",
    ['{"error": {"message": "Not Found", "code": "not_found"}}', ""],
    ids=["code", "empty"],
)
async def test_a_path_that_is_not_there_is_named(
    shared: Shared, wire: Wire, body: str, streaming: bool
) -> None:
    """Also where the server adds a code, or says nothing at all, to what is no more than a 404."""
    error = await shared.error_of(wire, Reply(body, 404, JSON), streaming)
    assert isinstance(error, ModelNotFound) and f"asked: {shared.server.url}" in str(
        error
    )
