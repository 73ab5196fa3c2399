"""What goes wrong with a provider: one family of errors, each with its fields, its cause and no key in it."""

import json
import logging
import pickle
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import pytest_asyncio
from conftest import WIRES, Wire
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loopback import Loopback, Reply
from support.own_clients import own_client
from support.scene import JSON, Outcome, Shared, outcome_of, shared_agents

from cogent import (
    Agent,
    AuthenticationError,
    BadRequest,
    CogentError,
    ConfigurationError,
    ConnectionFailed,
    ContextTooLong,
    Model,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamInterrupted,
)

KEY = "sk-canary-0123456789"

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
# Hypothesis wants what lasts for all its examples, which a fixture of one test does not.
every_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
CHAT = [wire for wire in WIRES if wire.name in ("openai-chat", "azure-chat", "groq")]
KEYED = [wire for wire in WIRES if wire.provider != "ollama"]
KEY_FUNCTIONS = [
    wire
    for wire in WIRES
    if wire.provider in ("openai", "openai-chat", "azure", "anthropic", "mistral")
]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Shared]:
    async with shared_agents(model={"api_key": KEY}, max_steps=1) as shared:
        yield shared


async def _run(
    server: Loopback, wire: Wire, streaming: bool = True, **options: Any
) -> Outcome:
    """What comes of a run of an agent of its own."""
    async with wire.agent(server, model={"api_key": KEY, **options}) as agent:
        return await outcome_of(agent, streaming=streaming)


def _body(
    wire: Wire, code: str | None, message: str, google: str = "some_error"
) -> bytes:
    body: bytes = wire.send.error_body(
        message, code, google if wire.provider == "gemini" else "some_error"
    )
    return body


def _refusal(
    wire: Wire,
    status: int,
    code: str | None = None,
    message: str = "No.",
    **headers: str,
) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(_body(wire, code, message), status, JSON, named)


def _made_by(wire: Wire, error: object) -> bool:
    """Whether the error is one of the provider's SDK."""
    makers = {
        "openai-chat": "openai",
        "azure": "openai",
        "gemini": "google",
        "mistral": "mistralai",
    }
    maker = makers.get(wire.provider, wire.provider)
    return type(error).__module__.split(".")[0] == maker


# HTTP statuses

STATUSES = [
    (400, "invalid_value", BadRequest, False),
    (400, "context_length_exceeded", ContextTooLong, False),
    (401, "invalid_api_key", AuthenticationError, False),
    (401, None, AuthenticationError, False),
    (403, "unsupported_country_region_territory", PermissionDenied, False),
    (404, "model_not_found", ModelNotFound, False),
    (404, None, ModelNotFound, False),
    (409, "conflict", BadRequest, True),
    (413, None, ContextTooLong, False),
    (422, "unprocessable", BadRequest, False),
    (429, "rate_limit_exceeded", RateLimited, True),
    (429, None, RateLimited, True),
    (429, "insufficient_quota", RateLimited, False),
    (500, "server_error", ServerError, True),
    (502, None, ServerError, True),
    (503, "server_is_overloaded", Overloaded, True),
    (503, None, Overloaded, True),
    (504, None, ModelTimeout, True),
    (529, None, Overloaded, True),
]
# What a status means where there is no code beside it.
WITHOUT_CODE = {
    "context_length_exceeded": (BadRequest, False),
    "insufficient_quota": (RateLimited, True),
}


@both_ways
@pytest.mark.parametrize(("status", "code", "kind", "retryable"), STATUSES)
async def test_a_status_has_its_error(
    shared: Shared,
    wire: Wire,
    streaming: bool,
    status: int,
    code: str | None,
    kind: type[ModelError],
    retryable: bool,
) -> None:
    """A refused request raises the error of its status, with all that the provider told, caused by the SDK's."""
    error = await shared.error_of(
        wire, _refusal(wire, status, code, x_request_id="req_1"), streaming
    )
    word, request_id = (None, None) if wire.bare else (code or "some_error", "req_1")
    if wire.bare and code in WITHOUT_CODE:
        kind, retryable = WITHOUT_CODE[code]
    assert type(error) is kind
    assert (error.provider, error.model, error.status) == (
        wire.provider,
        "gpt-test",
        status,
    )
    assert (error.code, error.retryable) == (word, retryable)
    assert (error.request_id, error.retry_after) == (request_id, None)
    assert error.partial.content == "" and error.partial.finish_reason is None
    assert _made_by(wire, error.__cause__)
    details = ", ".join(
        str(detail) for detail in (status, word, request_id) if detail is not None
    )
    assert str(error) == f"{wire.provider}:gpt-test: No. ({details})"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Incorrect API key provided.", AuthenticationError),
        ("API key not valid. Please pass a valid API key.", AuthenticationError),
        ("No argument is called `key`.", BadRequest),
    ],
)
async def test_a_key_may_be_refused_like_any_request(
    shared: Shared, wire: Wire, message: str, kind: type[ModelError]
) -> None:
    """xAI says it with status 400 and a code that says no more."""
    error = await shared.error_of(
        wire, _refusal(wire, 400, "invalid-argument", message)
    )
    assert (type(error), error.retryable) == (kind, False)


@both_ways
@pytest.mark.parametrize("header", ["mistral-correlation-id", "x-ds-trace-id"])
async def test_a_request_id_has_many_names(
    shared: Shared, wire: Wire, streaming: bool, header: str
) -> None:
    """A provider that has another header for it is known by that."""
    refusal = _refusal(wire, 400, **{header: "req_7"})
    error = await shared.error_of(wire, refusal, streaming)
    assert error.request_id == (None if wire.bare else "req_7")


TOO_LONG = [
    "This model's maximum context length is 8192 tokens.",
    "The input exceeds the context window of this model.",
    "prompt is too long: 9 tokens > 8 maximum",
    "The input token count (9) exceeds the maximum number of tokens allowed (8).",
    "the input length exceeds the context length",
]


@both_ways
@pytest.mark.parametrize("message", TOO_LONG)
async def test_a_context_that_is_too_long_is_told_apart(
    shared: Shared, wire: Wire, streaming: bool, message: str
) -> None:
    """A conversation that does not fit is ContextTooLong, told by the words where no code says so."""
    error = await shared.error_of(wire, _refusal(wire, 400, None, message), streaming)
    assert (type(error), error.status, error.retryable) == (ContextTooLong, 400, False)
    assert message in str(error)


@both_ways
@pytest.mark.parametrize("wire", CHAT, ids=lambda wire: wire.name)
async def test_a_code_may_be_a_number(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """Where the code only repeats the status, as with llama.cpp, the type tells what is wrong."""
    detail = {
        "code": 400,
        "message": "too large",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9,
    }
    error = await shared.error_of(
        wire, Reply(json.dumps({"error": detail}), 400, JSON), streaming
    )
    assert (type(error), error.status, error.code) == (
        ContextTooLong,
        400,
        "exceed_context_size_error",
    )


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after_ms": "soon"}, None),
        ({}, None),
    ],
)
async def test_retry_after_is_in_seconds(
    shared: Shared, wire: Wire, headers: dict[str, str], expected: float | None
) -> None:
    """However a provider says how long to wait, the error says it in seconds, and nonsense says nothing."""
    error = await shared.error_of(wire, _refusal(wire, 429, **headers))
    assert (type(error), error.retry_after) == (RateLimited, expected)


async def test_retry_after_may_be_a_date(shared: Shared, wire: Wire) -> None:
    """A date to wait for becomes the seconds until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    error = await shared.error_of(wire, _refusal(wire, 429, retry_after=date))
    assert 400 < error.retry_after <= 600


@both_ways
async def test_a_page_instead_of_an_error(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """An error status with a page of a proxy is classified by its status, and the page does not flood the message."""
    page = Reply("<html>Bad gateway" + "x" * 50_000 + "</html>", 502, "text/html")
    error = await shared.error_of(wire, page, streaming)
    assert (type(error), error.status, error.retryable) == (ServerError, 502, True)
    assert len(str(error)) < 2000


# No answer at all


@both_ways
@pytest.mark.parametrize("wire", KEYED, ids=lambda wire: wire.name)
async def test_no_key_is_said_before_a_request(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, wire: Wire, streaming: bool
) -> None:
    """Without a key the error names the variable to set, and nothing is sent."""
    for variable in [
        wire.variable,
        "GOOGLE_API_KEY",
        "AZURE_OPENAI_AD_TOKEN",
        "ANTHROPIC_AUTH_TOKEN",
    ]:
        monkeypatch.delenv(variable, raising=False)
    error = (await _run(server, wire, streaming, api_key=None)).error
    assert isinstance(error, ConfigurationError)
    assert wire.variable in str(error)
    assert server.requests == []


@both_ways
async def test_a_keyword_that_the_sdk_does_not_know(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A misspelt keyword in `extra` is said by name before anything is sent, and is not worth asking again."""
    error = (
        await _run(server, wire, streaming, extra={"temprature": 1}, max_retries=2)
    ).error
    assert isinstance(error, ConfigurationError | BadRequest)
    assert "temprature" in str(error)
    assert not getattr(error, "retryable", False)
    assert server.requests == []


def _closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "http://{}:{}".format(*listener.getsockname())


@both_ways
async def test_a_refused_connection(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """Where nobody listens the error says so, may be retried and has no status."""
    error = (
        await _run(server, wire, streaming, base_url=_closed_port() + wire.suffix)
    ).error
    assert (type(error), error.status, error.retryable) == (
        ConnectionFailed,
        None,
        True,
    )
    assert (error.provider, error.model) == (wire.provider, "gpt-test")
    assert "cannot reach the server" in str(error)
    assert error.__cause__ is not None
    assert server.requests == []


@both_ways
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_connection_that_is_lost_before_the_answer(
    shared: Shared, wire: Wire, streaming: bool, end: Any
) -> None:
    """A connection that breaks in the first body byte of a plain answer or before any event is retryable."""
    error = await shared.error_of(
        wire, Reply(b"x" * 10, truncate=0, end=end, content_type=wire.mime), streaming
    )
    assert isinstance(error, ConnectionFailed | StreamInterrupted)
    assert error.retryable


async def _with_client(server: Loopback, wire: Wire, streaming: bool) -> Outcome:
    async with own_client(wire, server.url, seconds=0.4) as client:
        model = Model(f"{wire.provider}:gpt-test", client=client, max_retries=0)
        return await outcome_of(Agent("a", model), streaming=streaming)


@both_ways
async def test_a_timeout_of_the_sdk(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A time-out of the user's own client is ModelTimeout of the kind `request`."""
    server.reply(Reply(delay=30))
    error = (await _with_client(server, wire, streaming)).error
    assert (type(error), error.kind, error.retryable) == (ModelTimeout, "request", True)
    assert error.__cause__ is not None


async def test_a_timeout_of_the_sdk_in_the_stream(server: Loopback, wire: Wire) -> None:
    """A time-out of the user's own client between two events is ModelTimeout with the text so far."""
    events = wire.send.text("Hel", "lo")
    server.reply(
        Reply(
            events,
            truncate=_after(events, b'"lo"'),
            end="stall",
            content_type=wire.mime,
        )
    )
    outcome = await _with_client(server, wire, streaming=True)
    assert (type(outcome.error), outcome.error.kind) == (ModelTimeout, "request")
    assert outcome.error.partial.content == outcome.text == "Hello"


def _after(events: list[bytes], mark: bytes) -> int:
    """Where the first event that holds the mark ends."""
    size = 0
    for event in events:
        size += len(event)
        if mark in event:
            return size
    raise AssertionError(f"no event holds {mark!r}")


# Errors inside a stream

FORMS = [
    pytest.param(
        wire,
        getattr(wire.send, form),
        form == "plain_error_event" or wire.bare,
        id=f"{wire.name}-{form}",
    )
    for wire in WIRES
    for form in ("error_event", "plain_error_event", "nested_error_event")
    if hasattr(wire.send, form)
]
every_form = pytest.mark.parametrize(("wire", "form", "untyped"), FORMS)
Form = Callable[..., list[bytes]]
WORDS = [
    ("server_error", "INTERNAL", "The server had an error.", ServerError, True),
    ("rate_limit_exceeded", "RESOURCE_EXHAUSTED", "Slow down.", RateLimited, True),
    ("insufficient_quota", "RESOURCE_EXHAUSTED", "Pay first.", RateLimited, False),
    ("context_length_exceeded", "INVALID_ARGUMENT", "Too much.", ContextTooLong, False),
    ("invalid_request_error", "INVALID_ARGUMENT", "Not this.", BadRequest, False),
    ("server_is_overloaded", "UNAVAILABLE", "Full.", Overloaded, True),
    ("brand_new_word", "INTERNAL", "Something.", ServerError, True),
    (None, "UNAVAILABLE", "We are currently overloaded.", Overloaded, True),
]


@every_form
@pytest.mark.parametrize("after", [(), ("Hel", "lo")], ids=["at once", "after text"])
@pytest.mark.parametrize(("code", "google", "message", "kind", "retryable"), WORDS)
async def test_an_error_in_the_stream_has_its_class(
    shared: Shared,
    wire: Wire,
    form: Form,
    untyped: bool,
    after: tuple[str, ...],
    code: str | None,
    google: str,
    message: str,
    kind: type[ModelError],
    retryable: bool,
) -> None:
    """An error inside a 200 is classified by its own word, with status 200 and the text that came before it."""
    type_ = google if wire.provider == "gemini" else "some_error"
    outcome = await shared.fail(
        wire, Reply(form(message, code, type_, after), content_type=wire.mime)
    )
    error = outcome.error
    if wire.bare and code:
        code, kind, retryable = None, ServerError, True
    assert (type(error), error.status, error.retryable) == (kind, 200, retryable)
    assert message in str(error)
    assert code is None or error.code == code
    assert (error.provider, error.model) == (wire.provider, "gpt-test")
    assert outcome.text == error.partial.content == "".join(after)


@every_form
async def test_an_error_in_the_stream_has_its_type(
    shared: Shared, wire: Wire, form: Form, untyped: bool
) -> None:
    """Where an error in the stream has no code, its type says what it is."""
    error = await shared.error_of(
        wire, Reply(form("No.", None, "rate_limit_error"), content_type=wire.mime)
    )
    expected = ServerError if untyped else RateLimited
    assert type(error) is expected
    assert untyped or error.code == "rate_limit_error"


OPENROUTER = [
    {
        "error": {"code": 429, "message": "busy"},
        "choices": [{"index": 0, "delta": {"content": ""}}],
    },
    {
        "choices": [
            {
                "index": 0,
                "delta": {},
                "finish_reason": "error",
                "error": {"code": 429, "message": "busy"},
            }
        ]
    },
]


@pytest.mark.parametrize("wire", CHAT, ids=lambda wire: wire.name)
@pytest.mark.parametrize(
    "last", OPENROUTER, ids=["beside the choices", "in the choice"]
)
async def test_an_error_beside_the_choices(
    shared: Shared, wire: Wire, last: dict[str, Any]
) -> None:
    """A router's error in the middle of a chat stream is raised by its number, in both places where it may be."""
    events = wire.send.text("Hel", "lo")
    body = (
        b"".join(events)[: _after(events, b'"lo"')]
        + b"data: "
        + json.dumps(last).encode()
        + b"\n\n"
    )
    outcome = await shared.fail(wire, Reply(body))
    assert (type(outcome.error), outcome.error.code, outcome.error.status) == (
        RateLimited,
        "429",
        200,
    )
    assert "busy" in str(outcome.error)
    assert outcome.error.partial.content == outcome.text == "Hello"


@both_ways
@pytest.mark.parametrize(
    "failed", [{}, {"status": "failed"}], ids=["no more", "a response that failed"]
)
async def test_an_error_in_a_plain_answer(
    shared: Shared, wire: Wire, streaming: bool, failed: dict[str, str]
) -> None:
    """An error object in a 200 that is plain JSON is an error in its own words, asked for as a stream or not."""
    body = {
        **json.loads(
            _body(wire, "rate_limit_exceeded", "Slow down.", "RESOURCE_EXHAUSTED")
        ),
        **failed,
    }
    error = await shared.error_of(
        wire, Reply(json.dumps(body), content_type=JSON), streaming
    )
    assert (type(error), error.status) == (
        ServerError if wire.bare else RateLimited,
        200,
    )
    assert "Slow down." in str(error)


# Answers that make no sense

NO_CHUNKS = {
    "no JSON": "{not json",
    "half of one": '{"type": "response.output_text.delta", "delta": "x", "choices": [{"delta": {"content": "x"',
    "a number": "42",
    "a string": '"text"',
    "a list": "[]",
    "null": "null",
    "a list in a list": '[["x"]]',
}
BROKEN: dict[str, list[Any]] = {
    "openai_responses": [
        {"type": "response.output_text.delta"},
        {"type": "response.output_item.added"},
        {"type": "response.output_item.done", "item": 42},
        {"type": "response.completed"},
        {"type": "response.completed", "response": "x"},
        {"type": "response.function_call_arguments.delta"},
    ],
    "chat_completions": [
        {"choices": 42},
        {"choices": [42]},
        {"choices": [{"index": 0, "delta": "x"}]},
        {"choices": [{"index": 0, "delta": {"content": 42}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": 42}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": "x"}]}}]},
        {"choices": [], "usage": {"prompt_tokens": "x"}},
    ],
    "anthropic_messages": [
        {"type": "message_start"},
        {"type": "message_start", "message": "x"},
        {"type": "content_block_start", "index": 0},
        {"type": "content_block_start", "index": 0, "content_block": 42},
        {
            "type": "content_block_delta",
            "index": 9,
            "delta": {"type": "input_json_delta", "partial_json": "x"},
        },
        {"type": "content_block_delta", "index": 0, "delta": 42},
        {"type": "message_delta", "delta": 42},
    ],
    "gemini_generate": [
        {"candidates": 42},
        {"candidates": [42]},
        {"candidates": [{"content": "x"}]},
        {"candidates": [{"content": {"parts": 42}}]},
        {"candidates": [{"content": {"parts": [{"text": 42}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": "x"}]}}]},
        {"usageMetadata": {"promptTokenCount": "x"}},
    ],
    "ollama_chat": [
        {},
        {"message": 42},
        {"message": {"role": "assistant", "content": 42}},
        {"message": {"role": "assistant", "tool_calls": 42}},
        {"message": {"role": "assistant", "tool_calls": [{"function": "x"}]}},
        {"message": {"role": "assistant", "content": "x"}, "done": "x"},
    ],
}
BROKEN_EVENTS = [
    pytest.param(wire, event, id=f"{wire.name}-{json.dumps(event)}")
    for wire in WIRES
    for event in BROKEN[wire.format.__name__.rpartition(".")[2]]
]
either_place = pytest.mark.parametrize(
    "begun", [False, True], ids=["first", "after text"]
)


def _bad_event(
    wire: Wire, text: str, begun: bool, name: str = "content_block_delta"
) -> Reply:
    """An answer whose last event has this text; Anthropic's SDK reads only events of a name that it knows."""
    events = wire.send.text("Hel", "lo")
    start = b"".join(events)[: _after(events, b'"lo"')] if begun else b""
    named = f"event: {name}\n" if wire.provider == "anthropic" else ""
    event = f"{text}\n" if wire.provider == "ollama" else f"{named}data: {text}\n\n"
    return Reply(start + event.encode(), content_type=wire.mime)


@either_place
@pytest.mark.parametrize("text", NO_CHUNKS.values(), ids=NO_CHUNKS)
async def test_a_chunk_that_is_no_object(
    shared: Shared, wire: Wire, begun: bool, text: str
) -> None:
    """An event that is no JSON, or no object, is the server's fault and says so, and never a bare JSON error."""
    outcome = await shared.fail(wire, _bad_event(wire, text, begun))
    assert isinstance(outcome.error, ServerError | StreamInterrupted)
    # Gemini's SDK drops an event that is no object, so that the answer just ends.
    assert outcome.error.__cause__ is not None or wire.provider == "gemini"
    assert outcome.text == outcome.error.partial.content == ("Hello" if begun else "")


@either_place
@pytest.mark.parametrize(("wire", "event"), BROKEN_EVENTS)
async def test_a_chunk_that_lacks_its_fields(
    shared: Shared, wire: Wire, begun: bool, event: dict[str, Any]
) -> None:
    """An event that is not of its own format is the server's fault, wherever in the answer it comes."""
    outcome = await shared.fail(
        wire, _bad_event(wire, json.dumps(event), begun, event.get("type", ""))
    )
    assert isinstance(outcome.error, ServerError | StreamInterrupted)
    assert outcome.text == outcome.error.partial.content == ("Hello" if begun else "")


PLAIN_NONSENSE = {
    "no JSON": "{not json",
    "a list": "[]",
    "a number": "42",
    "null": "null",
    "nothing": "",
}


@pytest.mark.parametrize("body", PLAIN_NONSENSE.values(), ids=PLAIN_NONSENSE)
async def test_a_plain_answer_that_is_no_object(
    shared: Shared, wire: Wire, body: str
) -> None:
    """A plain answer that is no JSON object is the server's fault."""
    error = await shared.error_of(wire, Reply(body, content_type=JSON), streaming=False)
    assert type(error) is ServerError


BROKEN_ANSWERS: dict[str, list[Any]] = {
    "openai_responses": [
        {"status": "completed", "output": 42},
        {"status": "completed", "output": [{"no": "type"}]},
        {"status": "completed", "output": [42]},
    ],
    "chat_completions": [
        {"choices": 42},
        {"choices": [42]},
        {"choices": [{"message": "x"}]},
        {"choices": []},
        {},
    ],
    "anthropic_messages": [
        {"content": 42, "stop_reason": "end_turn"},
        {"content": [{"no": "type"}], "stop_reason": "end_turn"},
        {"content": [42], "stop_reason": "end_turn"},
        {},
    ],
    "gemini_generate": [
        {"candidates": 42},
        {"candidates": [42]},
        {"candidates": []},
        {},
    ],
    "ollama_chat": [
        {"message": 42, "done": True},
        {"message": {"role": "assistant", "content": [1]}},
        {},
    ],
}


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        pytest.param(wire, body, id=f"{wire.name}-{json.dumps(body)}")
        for wire in WIRES
        for body in BROKEN_ANSWERS[wire.format.__name__.rpartition(".")[2]]
    ],
)
async def test_a_plain_answer_that_lacks_its_fields(
    shared: Shared, wire: Wire, body: dict[str, Any]
) -> None:
    """A plain answer that is not of its own format is the server's fault and not the caller's."""
    error = await shared.error_of(
        wire, Reply(json.dumps(body), content_type=JSON), streaming=False
    )
    assert isinstance(error, ServerError | StreamInterrupted)


@both_ways
async def test_a_page_with_status_200(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """A login page in the place of an answer is no answer."""
    error = await shared.error_of(
        wire, Reply("<html>Log in</html>", content_type="text/html"), streaming
    )
    assert (type(error), error.status) == (ServerError, 200)
    assert not streaming or wire.bare or "text/html" in str(error)


@pytest.mark.parametrize("wire", KEYED, ids=lambda wire: wire.name)
async def test_plain_json_instead_of_a_stream(shared: Shared, wire: Wire) -> None:
    """A server that ignores the wish for a stream is told apart from an empty answer."""
    reply = Reply(wire.send.plain_text("Hello"), content_type=JSON)
    error = await shared.error_of(wire, reply)
    assert type(error) is ServerError
    assert "application/json" in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"\n\n", b": ping\n\n", b"data: [DONE]\n\n"], ids=repr
)
async def test_a_stream_without_events(shared: Shared, wire: Wire, body: bytes) -> None:
    """A stream that holds no answer is interrupted, and not an empty answer."""
    outcome = await shared.fail(wire, Reply(body, content_type=wire.mime))
    assert isinstance(outcome.error, StreamInterrupted | ServerError)
    assert outcome.chunks == []


statuses = st.sampled_from([200, 200, 201, 400, 401, 404, 418, 429, 500, 503, 529])
types = st.sampled_from([JSON, "text/event-stream", "text/html", "text/plain", ""])
scraps = st.sampled_from(
    [
        b"data: ",
        b"\n\n",
        b"\n",
        b"{}",
        b"[]",
        b'{"error":',
        b'"x"}',
        b"null",
        b"event: error\n",
        b"\xff",
    ]
)
bodies = st.lists(scraps | st.binary(max_size=6), max_size=6).map(b"".join)


@every_wire
@both_ways
@given(statuses, types, bodies)
@settings(deadline=None, max_examples=20, database=None, derandomize=True)
async def test_whatever_a_server_sends_the_error_is_ours(
    shared: Shared, wire: Wire, streaming: bool, status: int, kind: str, body: bytes
) -> None:
    """Any status with any body is an error of our family, and never a run that ended well."""
    outcome = await shared.play(wire, Reply(body, status, kind), streaming=streaming)
    assert isinstance(outcome.error, ModelError)
    assert pickle.loads(pickle.dumps(outcome.error)).args == outcome.error.args


JUNK = st.sampled_from([None, 42, -1.5, True, "x", [], {}, ["x"], [None], {"x": 1}])


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def _spoilt(body: bytes, choose: st.DataObject) -> bytes:
    """The JSON object with one of its values replaced by junk."""
    data = json.loads(body)
    *path, last = choose.draw(st.sampled_from(list(_places(data))), label="place")
    inner = data
    for key in path:
        inner = inner[key]
    inner[last] = choose.draw(JUNK, label="junk")
    return json.dumps(data).encode()


def _spoilt_stream(events: list[bytes], choose: st.DataObject) -> list[bytes]:
    place = choose.draw(st.integers(0, len(events) - 1), label="event")
    start = events[place].find(b"{")
    if start >= 0:
        head, data = events[place][:start], events[place][start:]
        events[place] = head + _spoilt(data, choose) + data[len(data.rstrip()) :]
    return events


@every_wire
@both_ways
@given(st.data())
@settings(deadline=None, max_examples=50, database=None, derandomize=True)
async def test_a_value_of_a_wrong_type_never_leaks(
    shared: Shared, wire: Wire, streaming: bool, data: st.DataObject
) -> None:
    """An answer in which one value has a wrong type gives a response or an error of our family, nothing else."""
    call = ("c1", "ping", "{}")
    if streaming:
        events = _spoilt_stream(
            wire.send.tool_calls(call, text="Hello.", reasoning="Hm."), data
        )
        reply = Reply(events, content_type=wire.mime)
    else:
        reply = Reply(
            _spoilt(wire.send.plain_tool_calls(call, text="Hello."), data),
            content_type=JSON,
        )
    outcome = await shared.play(wire, reply, streaming=streaming)
    assert isinstance(outcome.error, CogentError) or isinstance(outcome.text, str)


# What an error carries


async def test_an_error_is_pickled_with_its_partial(shared: Shared, wire: Wire) -> None:
    """An error goes to another process with the text that came before it."""
    events = wire.send.text("Hel", "lo")
    error = await shared.error_of(
        wire, Reply(events, truncate=_after(events, b'"lo"'), content_type=wire.mime)
    )
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.partial) == (
        StreamInterrupted,
        str(error),
        error.partial,
    )
    assert again.partial.content == "Hello"


@pytest.mark.parametrize("end", ["clean", "close", "reset"])
async def test_the_stream_keeps_what_came_before_the_error(
    shared: Shared, wire: Wire, end: Any
) -> None:
    """After an error the stream's response is the text so far with estimated tokens, and nothing final was sent."""
    events = wire.send.text("Hel", "lo")
    head = {"headers": {"x-request-id": "req_1"}, "content_type": wire.mime}
    outcome = await shared.fail(
        wire, Reply(events, truncate=_after(events, b'"lo"'), end=end, **head)
    )
    assert outcome.text == "Hello"
    assert not any(chunk.is_final or chunk.finish_reason for chunk in outcome.chunks)
    assert outcome.stream is not None
    response = outcome.stream.response
    assert (response.content, response.finish_reason) == ("Hello", None)
    assert response.metadata["tokens"]["estimated"]
    assert response.messages[-1].content == "Hello"
    assert (type(outcome.error), outcome.error.retryable) == (StreamInterrupted, True)
    assert outcome.error.request_id == (None if wire.bare else "req_1")
    assert outcome.error.partial.content == "Hello"


# The key

ECHO = f"Incorrect API key provided: {KEY}. You can find yours in your account."


def _shown(outcome: Outcome) -> str:
    """All that a program may print, log or send of a failed run."""
    error = outcome.error
    shown = [
        str(error),
        repr(error),
        repr(vars(error)),
        "".join(traceback.format_exception(error)),
    ]
    shown += [repr(outcome.stream), str(error.partial), repr(error.partial)]
    return "\n".join([*shown, repr(pickle.dumps(error))])


def _is_taken_out(outcome: Outcome, caplog: pytest.LogCaptureFixture) -> bool:
    assert (type(outcome.error), outcome.error.__cause__) == (AuthenticationError, None)
    assert "Incorrect API key provided: [key]." in str(outcome.error)
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("cogent")
    ]
    return KEY not in _shown(outcome) + "\n".join(ours)


@both_ways
async def test_a_key_that_the_server_repeats_is_taken_out(
    shared: Shared, caplog: pytest.LogCaptureFixture, wire: Wire, streaming: bool
) -> None:
    """A key in the provider's message is in nothing that we show, and the SDK's error that holds it is dropped."""
    caplog.set_level(logging.DEBUG)
    outcome = await shared.fail(
        wire, _refusal(wire, 401, "invalid_api_key", ECHO), streaming
    )
    assert KEY in str(shared.server.requests[0].headers)
    assert _is_taken_out(outcome, caplog)


@both_ways
@pytest.mark.parametrize("wire", KEY_FUNCTIONS, ids=lambda wire: wire.name)
async def test_a_key_of_a_function_is_taken_out(
    server: Loopback, caplog: pytest.LogCaptureFixture, wire: Wire, streaming: bool
) -> None:
    """A key that a function gave is taken out of the provider's message just the same."""
    caplog.set_level(logging.DEBUG)
    server.reply(_refusal(wire, 401, "invalid_api_key", ECHO))
    outcome = await _run(server, wire, streaming, api_key=lambda: KEY)
    assert KEY in str(server.requests[0].headers)
    assert _is_taken_out(outcome, caplog)


@both_ways
async def test_a_key_is_not_shown_in_part(
    shared: Shared, wire: Wire, streaming: bool
) -> None:
    """A key that stands where a long message is cut off is taken out before the cut, not halved by it."""
    message = "x" * 985 + KEY
    outcome = await shared.fail(
        wire, _refusal(wire, 401, "invalid_api_key", message), streaming
    )
    assert KEY[:12] not in _shown(outcome)


@every_form
async def test_a_key_that_is_repeated_in_the_stream_is_taken_out(
    shared: Shared, wire: Wire, form: Form, untyped: bool
) -> None:
    """A key in an error event is taken out like one in an error status."""
    type_ = "UNAUTHENTICATED" if wire.provider == "gemini" else "some_error"
    outcome = await shared.fail(
        wire,
        Reply(form(ECHO, "invalid_api_key", type_, ["Hello"]), content_type=wire.mime),
    )
    assert type(outcome.error) is (ServerError if wire.bare else AuthenticationError)
    assert "[key]" in str(outcome.error) and KEY not in _shown(outcome)


async def test_a_key_that_is_repeated_in_a_plain_answer_is_taken_out(
    shared: Shared, wire: Wire
) -> None:
    """A key in the error object of a 200 is taken out too."""
    body = {
        **json.loads(_body(wire, "invalid_api_key", ECHO, "UNAUTHENTICATED")),
        "status": "failed",
    }
    outcome = await shared.fail(
        wire, Reply(json.dumps(body), content_type=JSON), streaming=False
    )
    assert type(outcome.error) is (ServerError if wire.bare else AuthenticationError)
    assert "[key]" in str(outcome.error) and KEY not in _shown(outcome)


@both_ways
@pytest.mark.parametrize("status", [401, 500])
async def test_a_key_is_in_no_error_and_no_log(
    shared: Shared,
    caplog: pytest.LogCaptureFixture,
    wire: Wire,
    streaming: bool,
    status: int,
) -> None:
    """The key is in no text, pickle, traceback or debug log of a failed run, the SDK's own log included."""
    caplog.set_level(logging.DEBUG)
    outcome = await shared.fail(wire, _refusal(wire, status), streaming)
    assert outcome.error.__cause__ is not None
    assert caplog.records, "the SDK logs its requests"
    assert KEY not in _shown(outcome) + caplog.text
