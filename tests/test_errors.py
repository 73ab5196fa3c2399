"""What goes wrong with a provider: one family of errors, each with its fields, its cause and no key in it."""

import asyncio
import json
import logging
import pickle
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loopback import Loopback, Reply
from support.wire import chat_completions, openai_responses

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
    Response,
    ServerError,
    StreamChunk,
    StreamInterrupted,
    tool,
)
from cogent.stream import AgentStream

KEY = "sk-canary-0123456789"
WIRES: dict[str, Any] = {"openai": openai_responses, "openai-chat": chat_completions}
JSON = "application/json"

both_wires = pytest.mark.parametrize("provider", WIRES)
both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


@dataclass
class Outcome:
    """What a run showed before it failed, and the error."""

    error: Any = None
    chunks: list[StreamChunk] = field(default_factory=list)
    stream: AgentStream | None = None
    response: Response | None = None

    @property
    def text(self) -> str:
        return self.response.content if self.response else "".join(chunk.content for chunk in self.chunks)


def _model(url: str, provider: str, **options: Any) -> Model:
    options = {"api_key": KEY, "max_retries": 0, **options}
    return Model(f"{provider}:gpt-test", base_url=f"{url}/v1", **options)


async def _attempt(agent: Agent, streaming: bool = True) -> Outcome:
    """Run the agent; only errors of our family are caught, so that any other fails the test."""
    outcome = Outcome()
    try:
        if not streaming:
            outcome.response = await agent.run("Hi")
        else:
            outcome.stream = agent.run_stream("Hi")
            async for chunk in outcome.stream:
                outcome.chunks.append(chunk)
    except CogentError as error:
        outcome.error = error
    return outcome


def _run(model: Model, streaming: bool = True, **options: Any) -> Outcome:
    return asyncio.run(_attempt(Agent("a", model, **options), streaming))


def _fail(server: Loopback, provider: str, reply: Reply, streaming: bool = True, **options: Any) -> Outcome:
    server.reply(reply)
    outcome = _run(_model(server.url, provider, **options), streaming)
    assert outcome.error is not None, "the run did not fail"
    return outcome


def _refusal(provider: str, status: int, code: str | None = None, message: str = "No.", **headers: str) -> Reply:
    body = WIRES[provider].error_body(message, code, "some_error")
    return Reply(body, status, JSON, {name.replace("_", "-"): value for name, value in headers.items()})


# HTTP statuses

STATUSES = [
    (400, "invalid_value", BadRequest, False),
    (400, "context_length_exceeded", ContextTooLong, False),
    (401, "invalid_api_key", AuthenticationError, False),
    (401, None, AuthenticationError, False),
    (403, "unsupported_country_region_territory", PermissionDenied, False),
    (404, "model_not_found", ModelNotFound, False),
    (404, None, ModelNotFound, False),
    (409, "conflict", BadRequest, False),
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


@both_wires
@both_ways
@pytest.mark.parametrize(("status", "code", "kind", "retryable"), STATUSES)
def test_a_status_has_its_error(
    server: Loopback,
    provider: str,
    streaming: bool,
    status: int,
    code: str | None,
    kind: type[ModelError],
    retryable: bool,
) -> None:
    """A refused request raises the error of its status, with all that the provider told, caused by the SDK's."""
    error = _fail(server, provider, _refusal(provider, status, code, x_request_id="req_1"), streaming).error
    assert type(error) is kind
    assert (error.provider, error.model, error.status) == (provider, "gpt-test", status)
    assert (error.code, error.retryable) == (code or "some_error", retryable)
    assert (error.request_id, error.retry_after) == ("req_1", None)
    assert error.partial.content == "" and error.partial.finish_reason is None
    assert isinstance(error.__cause__, openai.APIStatusError)
    assert len(server.requests) == 1
    assert str(error) == f"{provider}:gpt-test: No. ({status}, {code or 'some_error'}, req_1)"


LLAMA_CPP = {"code": 400, "message": "too large", "type": "exceed_context_size_error", "n_prompt_tokens": 9}
TOO_LONG = [
    LLAMA_CPP,
    {"message": "This model's maximum context length is 8192 tokens.", "type": "BadRequestError", "code": 400},
    {"message": "The input exceeds the context window of this model.", "code": None},
    {"message": "prompt is too long: 9 tokens > 8 maximum", "type": "invalid_request_error"},
]


@both_wires
@both_ways
@pytest.mark.parametrize("detail", TOO_LONG, ids=["llama.cpp", "vllm", "no code", "type only"])
def test_a_context_that_is_too_long_is_told_apart(
    server: Loopback, provider: str, streaming: bool, detail: dict[str, Any]
) -> None:
    """A conversation that does not fit is ContextTooLong, told by the type or by the words where no code says so."""
    reply = Reply(json.dumps({"error": detail}), 400, JSON)
    error = _fail(server, provider, reply, streaming).error
    assert (type(error), error.status, error.retryable) == (ContextTooLong, 400, False)
    assert detail["message"] in str(error)


@both_wires
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
def test_retry_after_is_in_seconds(
    server: Loopback, provider: str, headers: dict[str, str], expected: float | None
) -> None:
    """However a provider says how long to wait, the error says it in seconds, and nonsense says nothing."""
    error = _fail(server, provider, _refusal(provider, 429, **headers)).error
    assert (type(error), error.retry_after) == (RateLimited, expected)


@both_wires
def test_retry_after_may_be_a_date(server: Loopback, provider: str) -> None:
    """A date to wait for becomes the seconds until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    error = _fail(server, provider, _refusal(provider, 429, retry_after=date)).error
    assert 400 < error.retry_after <= 600


@both_wires
@both_ways
def test_a_page_instead_of_an_error(server: Loopback, provider: str, streaming: bool) -> None:
    """An error status with a page of a proxy is classified by its status, and the page does not flood the message."""
    page = Reply("<html>Bad gateway" + "x" * 50_000 + "</html>", 502, "text/html")
    error = _fail(server, provider, page, streaming).error
    assert (type(error), error.status, error.retryable) == (ServerError, 502, True)
    assert len(str(error)) < 2000


# No answer at all


@both_wires
@both_ways
def test_no_key_is_said_before_a_request(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, provider: str, streaming: bool
) -> None:
    """Without a key the error names the variable to set, and nothing is sent."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    error = _run(_model(server.url, provider, api_key=None), streaming).error
    assert isinstance(error, ConfigurationError)
    assert "OPENAI_API_KEY" in str(error)
    assert server.requests == []


@both_wires
@both_ways
def test_a_keyword_that_the_sdk_does_not_know(server: Loopback, provider: str, streaming: bool) -> None:
    """A misspelt keyword in `extra` is said by name before anything is sent, and is not worth asking again."""
    model = _model(server.url, provider, extra={"temprature": 1}, max_retries=2)
    error = _run(model, streaming).error
    assert isinstance(error, ConfigurationError | BadRequest)
    assert "temprature" in str(error)
    assert not getattr(error, "retryable", False)
    assert server.requests == []


def _closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "http://{}:{}".format(*listener.getsockname())


@both_wires
@both_ways
def test_a_refused_connection(provider: str, streaming: bool) -> None:
    """Where nobody listens the error says so, may be retried and has no status."""
    error = _run(_model(_closed_port(), provider), streaming).error
    assert (type(error), error.status, error.retryable) == (ConnectionFailed, None, True)
    assert (error.provider, error.model) == (provider, "gpt-test")
    assert "cannot reach the server" in str(error)
    assert isinstance(error.__cause__, openai.APIConnectionError)


@both_wires
@both_ways
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_is_lost_before_the_answer(
    server: Loopback, provider: str, streaming: bool, end: Any
) -> None:
    """A connection that breaks in the first body byte of a plain answer or before any event is retryable."""
    error = _fail(server, provider, Reply(b"x" * 10, truncate=0, end=end, content_type="text/event-stream"), streaming)
    assert isinstance(error.error, ConnectionFailed | StreamInterrupted)
    assert error.error.retryable


async def _with_client(server: Loopback, provider: str, streaming: bool) -> Outcome:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=server.url + "/v1", timeout=1.0, max_retries=0) as client:
        return await _attempt(Agent("a", Model(f"{provider}:gpt-test", client=client, max_retries=0)), streaming)


@both_wires
@both_ways
def test_a_timeout_of_the_sdk(server: Loopback, provider: str, streaming: bool) -> None:
    """A time-out of the user's own client is ModelTimeout of the kind `request`."""
    server.reply(Reply(delay=30))
    error = asyncio.run(_with_client(server, provider, streaming)).error
    assert (type(error), error.kind, error.retryable) == (ModelTimeout, "request", True)
    assert isinstance(error.__cause__, openai.APITimeoutError)


@both_wires
def test_a_timeout_of_the_sdk_in_the_stream(server: Loopback, provider: str) -> None:
    """A time-out of the user's own client between two events is ModelTimeout with the text so far."""
    events = WIRES[provider].text("Hel", "lo")
    server.reply(Reply(events, truncate=_after(events, b'"lo"'), end="stall"))
    outcome = asyncio.run(_with_client(server, provider, streaming=True))
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

FORMS: list[tuple[str, Callable[..., list[bytes]], bool]] = [
    ("openai", openai_responses.error_event, False),
    ("openai", openai_responses.plain_error_event, True),
    ("openai", openai_responses.nested_error_event, False),
    ("openai-chat", chat_completions.error_event, False),
]
every_form = pytest.mark.parametrize(
    ("provider", "form", "untyped"), FORMS, ids=[f"{provider}-{form.__name__}" for provider, form, _ in FORMS]
)
WORDS = [
    ("server_error", "The server had an error.", ServerError, True),
    ("rate_limit_exceeded", "Slow down.", RateLimited, True),
    ("insufficient_quota", "Pay first.", RateLimited, False),
    ("context_length_exceeded", "Too much.", ContextTooLong, False),
    ("invalid_prompt", "Not this.", BadRequest, False),
    ("server_is_overloaded", "Full.", Overloaded, True),
    ("brand_new_word", "Something.", ServerError, True),
    (None, "We are currently overloaded.", Overloaded, True),
]


@every_form
@pytest.mark.parametrize("after", [(), ("Hel", "lo")], ids=["at once", "after text"])
@pytest.mark.parametrize(("code", "message", "kind", "retryable"), WORDS)
def test_an_error_in_the_stream_has_its_class(
    server: Loopback,
    provider: str,
    form: Callable[..., list[bytes]],
    untyped: bool,
    after: tuple[str, ...],
    code: str | None,
    message: str,
    kind: type[ModelError],
    retryable: bool,
) -> None:
    """An error inside a 200 is classified by its own word, with status 200 and the text that came before it."""
    outcome = _fail(server, provider, Reply(form(message, code, "some_error", after)))
    error = outcome.error
    assert (type(error), error.status, error.retryable) == (kind, 200, retryable)
    assert message in str(error)
    assert code is None or error.code == code
    assert (error.provider, error.model) == (provider, "gpt-test")
    assert outcome.text == error.partial.content == "".join(after)


@every_form
def test_an_error_in_the_stream_has_its_type(
    server: Loopback, provider: str, form: Callable[..., list[bytes]], untyped: bool
) -> None:
    """Where an error in the stream has no code, its type says what it is."""
    error = _fail(server, provider, Reply(form("No.", None, "rate_limit_error"))).error
    expected = ServerError if untyped else RateLimited
    assert type(error) is expected
    assert untyped or error.code == "rate_limit_error"


OPENROUTER = [
    {"error": {"code": 429, "message": "busy"}, "choices": [{"index": 0, "delta": {"content": ""}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "busy"}}]},
]


@pytest.mark.parametrize("last", OPENROUTER, ids=["beside the choices", "in the choice"])
def test_an_error_beside_the_choices(server: Loopback, last: dict[str, Any]) -> None:
    """A router's error in the middle of a chat stream is raised by its number, in both places where it may be."""
    events = chat_completions.text("Hel", "lo")
    body = b"".join(events)[: _after(events, b'"lo"')] + b"data: " + json.dumps(last).encode() + b"\n\n"
    outcome = _fail(server, "openai-chat", Reply(body))
    assert (type(outcome.error), outcome.error.code, outcome.error.status) == (RateLimited, "429", 200)
    assert "busy" in str(outcome.error)
    assert outcome.error.partial.content == outcome.text == "Hello"


@both_wires
@both_ways
def test_an_error_in_a_plain_answer(server: Loopback, provider: str, streaming: bool) -> None:
    """An error object in a 200 that is plain JSON is an error, asked for as a stream or not."""
    detail = {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}, "status": "failed"}
    error = _fail(server, provider, Reply(json.dumps(detail), content_type=JSON), streaming).error
    assert type(error) is RateLimited and error.status == 200


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
BROKEN: list[dict[str, Any]] = [
    {"type": "response.output_text.delta"},
    {"type": "response.output_item.added"},
    {"type": "response.output_item.done", "item": 42},
    {"type": "response.completed"},
    {"type": "response.completed", "response": "x"},
    {"type": "response.function_call_arguments.delta"},
]
BROKEN_CHAT: list[dict[str, Any]] = [
    {"choices": 42},
    {"choices": [42]},
    {"choices": [{"index": 0, "delta": "x"}]},
    {"choices": [{"index": 0, "delta": {"content": 42}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": 42}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": "x"}]}}]},
    {"choices": [], "usage": {"prompt_tokens": "x"}},
]


def _bad_event(events: list[bytes], text: str, begun: bool) -> Reply:
    start = b"".join(events)[: _after(events, b'"lo"')] if begun else b""
    return Reply(start + b"data: " + text.encode() + b"\n\n")


@both_wires
@pytest.mark.parametrize("begun", [False, True], ids=["first", "after text"])
@pytest.mark.parametrize("text", NO_CHUNKS.values(), ids=NO_CHUNKS)
def test_a_chunk_that_is_no_object(server: Loopback, provider: str, begun: bool, text: str) -> None:
    """An event that is no JSON, or no object, is the server's fault and says so, and never a bare JSON error."""
    outcome = _fail(server, provider, _bad_event(WIRES[provider].text("Hel", "lo"), text, begun))
    assert isinstance(outcome.error, ServerError | StreamInterrupted)
    assert outcome.error.__cause__ is not None
    assert outcome.text == outcome.error.partial.content == ("Hello" if begun else "")


@pytest.mark.parametrize("begun", [False, True], ids=["first", "after text"])
@pytest.mark.parametrize(
    ("provider", "event"),
    [*(("openai", event) for event in BROKEN), *(("openai-chat", event) for event in BROKEN_CHAT)],
    ids=[json.dumps(event) for event in [*BROKEN, *BROKEN_CHAT]],
)
def test_a_chunk_that_lacks_its_fields(server: Loopback, provider: str, begun: bool, event: dict[str, Any]) -> None:
    """An event that is not of its own format is the server's fault, wherever in the answer it comes."""
    reply = _bad_event(WIRES[provider].text("Hel", "lo"), json.dumps(event), begun)
    outcome = _fail(server, provider, reply)
    assert isinstance(outcome.error, ServerError | StreamInterrupted)
    assert outcome.text == outcome.error.partial.content == ("Hello" if begun else "")


PLAIN_NONSENSE = {"no JSON": "{not json", "a list": "[]", "a number": "42", "null": "null", "nothing": ""}


@both_wires
@pytest.mark.parametrize("body", PLAIN_NONSENSE.values(), ids=PLAIN_NONSENSE)
def test_a_plain_answer_that_is_no_object(server: Loopback, provider: str, body: str) -> None:
    """A plain answer that is no JSON object is the server's fault."""
    error = _fail(server, provider, Reply(body, content_type=JSON), streaming=False).error
    assert type(error) is ServerError


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai", {"status": "completed", "output": 42}),
        ("openai", {"status": "completed", "output": [{"no": "type"}]}),
        ("openai", {"status": "completed", "output": [42]}),
        ("openai-chat", {"choices": 42}),
        ("openai-chat", {"choices": [42]}),
        ("openai-chat", {"choices": [{"message": "x"}]}),
        ("openai-chat", {"choices": []}),
        ("openai-chat", {}),
    ],
)
def test_a_plain_answer_that_lacks_its_fields(server: Loopback, provider: str, body: dict[str, Any]) -> None:
    """A plain answer that is not of its own format is the server's fault and not the caller's."""
    error = _fail(server, provider, Reply(json.dumps(body), content_type=JSON), streaming=False).error
    assert isinstance(error, ServerError | StreamInterrupted)


@both_wires
@both_ways
def test_a_page_with_status_200(server: Loopback, provider: str, streaming: bool) -> None:
    """A login page in the place of an answer is no answer."""
    error = _fail(server, provider, Reply("<html>Log in</html>", content_type="text/html"), streaming).error
    assert (type(error), error.status) == (ServerError, 200)
    assert not streaming or "text/html" in str(error)


@both_wires
def test_plain_json_instead_of_a_stream(server: Loopback, provider: str) -> None:
    """A server that ignores the wish for a stream is told apart from an empty answer."""
    reply = Reply(WIRES[provider].plain_text("Hello"), content_type=JSON)
    error = _fail(server, provider, reply).error
    assert type(error) is ServerError
    assert "application/json" in str(error)


@both_wires
@pytest.mark.parametrize("body", [b"", b"\n\n", b": ping\n\n", b"data: [DONE]\n\n"], ids=repr)
def test_a_stream_without_events(server: Loopback, provider: str, body: bytes) -> None:
    """A stream that holds no answer is interrupted, and not an empty answer."""
    outcome = _fail(server, provider, Reply(body))
    assert isinstance(outcome.error, StreamInterrupted | ServerError)
    assert outcome.chunks == []


statuses = st.sampled_from([200, 200, 201, 400, 401, 404, 418, 429, 500, 503, 529])
types = st.sampled_from([JSON, "text/event-stream", "text/html", "text/plain", ""])
scraps = st.sampled_from(
    [b"data: ", b"\n\n", b"\n", b"{}", b"[]", b'{"error":', b'"x"}', b"null", b"event: error\n", b"\xff"]
)
bodies = st.lists(scraps | st.binary(max_size=6), max_size=6).map(b"".join)


@dataclass
class Bed:
    """A server, a loop and agents that many examples share, because making a client takes long."""

    server: Loopback
    runner: asyncio.Runner
    agents: dict[str, Agent]

    def attempt(self, provider: str, streaming: bool, reply: Reply) -> Outcome:
        self.server.reply(reply)
        return self.runner.run(_attempt(self.agents[provider], streaming))


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with Loopback() as loopback, asyncio.Runner() as runner:
        agents = {provider: Agent("a", _model(loopback.url, provider), max_steps=1) for provider in WIRES}
        yield Bed(loopback, runner, agents)
        for agent in agents.values():
            runner.run(agent.aclose())


@both_wires
@both_ways
@given(statuses, types, bodies)
@settings(deadline=None, max_examples=40, database=None, derandomize=True)
def test_whatever_a_server_sends_the_error_is_ours(
    bed: Bed, provider: str, streaming: bool, status: int, kind: str, body: bytes
) -> None:
    """Any status with any body is an error of our family, and never a run that ended well."""
    outcome = bed.attempt(provider, streaming, Reply(body, status, kind))
    assert isinstance(outcome.error, ModelError)
    assert pickle.loads(pickle.dumps(outcome.error)).args == outcome.error.args


JUNK = st.sampled_from([None, 42, -1.5, True, "x", [], {}, ["x"], [None], {"x": 1}])


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
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
    head, mark, data = events[place].partition(b"data: ")
    if data.startswith(b"{"):
        events[place] = head + mark + _spoilt(data, choose) + b"\n\n"
    return events


@both_wires
@both_ways
@given(st.data())
@settings(deadline=None, max_examples=150, database=None, derandomize=True)
def test_a_value_of_a_wrong_type_never_leaks(bed: Bed, provider: str, streaming: bool, data: st.DataObject) -> None:
    """An answer in which one value has a wrong type gives a response or an error of our family, nothing else."""
    wire, call = WIRES[provider], ("c1", "ping", "{}")
    if streaming:
        reply = Reply(_spoilt_stream(wire.tool_calls(call, text="Hello.", reasoning="Hm."), data))
    else:
        reply = Reply(_spoilt(wire.plain_tool_calls(call, text="Hello."), data), content_type=JSON)
    outcome = bed.attempt(provider, streaming, reply)
    assert isinstance(outcome.error, CogentError) or isinstance(outcome.text, str)


# What an error carries

SAMPLES = [
    ModelError("m", provider="openai", model="g", status=500, code="c", retry_after=1.5, request_id="r"),
    RateLimited("m", retryable=False),
    ModelTimeout("m", kind="stall", provider="openai", model="g"),
    ConfigurationError("m"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: CogentError) -> None:
    """An unpickled error has the same class, text and fields."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@both_wires
def test_an_error_is_pickled_with_its_partial(server: Loopback, provider: str) -> None:
    """An error goes to another process with the text that came before it."""
    events = WIRES[provider].text("Hel", "lo")
    error = _fail(server, provider, Reply(events, truncate=_after(events, b'"lo"'))).error
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.partial) == (StreamInterrupted, str(error), error.partial)
    assert again.partial.content == "Hello"


def _family(kind: type[CogentError]) -> Iterator[type[CogentError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _family(inner)


def test_no_error_shadows_a_builtin() -> None:
    """The names of our errors can be imported beside Python's own."""
    import builtins

    assert [kind.__name__ for kind in _family(CogentError) if hasattr(builtins, kind.__name__)] == []


@both_wires
@pytest.mark.parametrize("end", ["clean", "close", "reset"])
def test_the_stream_keeps_what_came_before_the_error(server: Loopback, provider: str, end: Any) -> None:
    """After an error the stream's response is the text so far with estimated tokens, and nothing final was sent."""
    events = WIRES[provider].text("Hel", "lo")
    reply = Reply(events, truncate=_after(events, b'"lo"'), end=end, headers={"x-request-id": "req_1"})
    outcome = _fail(server, provider, reply)
    assert outcome.text == "Hello"
    assert not any(chunk.is_final or chunk.finish_reason for chunk in outcome.chunks)
    assert outcome.stream is not None
    response = outcome.stream.response
    assert (response.content, response.finish_reason) == ("Hello", None)
    assert response.metadata["tokens"]["estimated"]
    assert response.messages[-1].content == "Hello"
    assert (type(outcome.error), outcome.error.retryable) == (StreamInterrupted, True)
    assert (outcome.error.request_id, outcome.error.partial.content) == ("req_1", "Hello")


# The key

ECHO = f"Incorrect API key provided: {KEY}. You can find yours in your account."


def _shown(outcome: Outcome) -> str:
    """All that a program may print, log or send of a failed run."""
    error = outcome.error
    shown = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    shown += [repr(outcome.stream), str(error.partial), repr(error.partial)]
    return "\n".join([*shown, repr(pickle.dumps(error))])


@both_wires
@both_ways
@pytest.mark.parametrize("key", [KEY, lambda: KEY], ids=["a string", "a function"])
def test_a_key_that_the_server_repeats_is_taken_out(
    server: Loopback, caplog: pytest.LogCaptureFixture, provider: str, streaming: bool, key: Any
) -> None:
    """A key in the provider's message is in nothing that we show, and the SDK's error that holds it is dropped."""
    caplog.set_level(logging.DEBUG)
    outcome = _fail(server, provider, _refusal(provider, 401, "invalid_api_key", ECHO), streaming, api_key=key)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert (type(outcome.error), outcome.error.__cause__) == (AuthenticationError, None)
    assert "Incorrect API key provided: [key]." in str(outcome.error)
    assert KEY not in _shown(outcome)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("cogent")]
    assert KEY not in "\n".join(ours)


@both_wires
@both_ways
def test_a_key_is_not_shown_in_part(server: Loopback, provider: str, streaming: bool) -> None:
    """A key that stands where a long message is cut off is taken out before the cut, not halved by it."""
    message = "x" * 985 + KEY
    outcome = _fail(server, provider, _refusal(provider, 401, "invalid_api_key", message), streaming)
    assert KEY[:12] not in _shown(outcome)


@every_form
def test_a_key_that_is_repeated_in_the_stream_is_taken_out(
    server: Loopback, provider: str, form: Callable[..., list[bytes]], untyped: bool
) -> None:
    """A key in an error event is taken out like one in an error status."""
    outcome = _fail(server, provider, Reply(form(ECHO, "invalid_api_key", "some_error", ["Hello"])))
    assert type(outcome.error) is AuthenticationError
    assert KEY not in _shown(outcome)


@both_wires
def test_a_key_that_is_repeated_in_a_plain_answer_is_taken_out(server: Loopback, provider: str) -> None:
    """A key in the error object of a 200 is taken out too."""
    body = json.dumps({"error": {"message": ECHO, "code": "invalid_api_key"}, "status": "failed"})
    outcome = _fail(server, provider, Reply(body, content_type=JSON), streaming=False)
    assert type(outcome.error) is AuthenticationError
    assert KEY not in _shown(outcome)


@both_wires
@both_ways
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_key_is_in_no_error_and_no_log(
    server: Loopback, caplog: pytest.LogCaptureFixture, provider: str, streaming: bool, status: int
) -> None:
    """The key is in no text, pickle, traceback or debug log of a failed run, the SDK's own log included."""
    caplog.set_level(logging.DEBUG)
    outcome = _fail(server, provider, _refusal(provider, status), streaming)
    assert outcome.error.__cause__ is not None
    assert caplog.records, "the SDK logs its requests"
    assert KEY not in _shown(outcome) + caplog.text


@both_wires
def test_a_key_is_in_nothing_that_is_configured(server: Loopback, provider: str) -> None:
    """Neither a model nor an agent shows its key or takes it into a pickle."""
    model = _model(server.url, provider)
    agent = Agent("a", model)
    shown = [repr(model), str(model), repr(agent), str(agent), repr(agent.run_stream("Hi"))]
    assert KEY not in "\n".join(shown)
    assert KEY.encode() not in pickle.dumps(model) + pickle.dumps(agent)


# Asking again

SOON = {"retry_after_ms": "10"}


@tool
def ping() -> str:
    """Answer."""
    PINGS.append("ping")
    return "pong"


PINGS: list[str] = []


def _answer(provider: str, streaming: bool) -> Reply:
    wire = WIRES[provider]
    return Reply(wire.text("Hello")) if streaming else Reply(wire.plain_text("Hello"), content_type=JSON)


def _retry(server: Loopback, provider: str, *replies: Reply, streaming: bool = True, **options: Any) -> Outcome:
    server.reply(*replies)
    return _run(_model(server.url, provider, **{"max_retries": 2, **options}), streaming, tools=[ping])


@both_wires
@both_ways
@pytest.mark.parametrize("statuses", [(500,), (429, 503), (529, 502)], ids=str)
def test_a_failure_is_asked_again(server: Loopback, provider: str, streaming: bool, statuses: tuple[int, ...]) -> None:
    """A failure that may pass is asked again, as often as allowed, and the user sees one whole answer."""
    failures = [_refusal(provider, status, **SOON) for status in statuses]
    outcome = _retry(server, provider, *failures, _answer(provider, streaming), streaming=streaming)
    assert outcome.error is None
    assert outcome.text == "Hello"
    assert len(server.requests) == len(statuses) + 1
    assert len({request.body for request in server.requests}) == 1


@both_wires
@both_ways
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_more_than_max_retries(server: Loopback, provider: str, streaming: bool, limit: int) -> None:
    """A failure that stays is asked again `max_retries` times and then raised."""
    failures = [_refusal(provider, 500, **SOON)] * 6
    outcome = _retry(server, provider, *failures, streaming=streaming, max_retries=limit)
    assert type(outcome.error) is ServerError
    assert len(server.requests) == limit + 1


@both_wires
@both_ways
@pytest.mark.parametrize(("status", "code"), [(400, None), (401, None), (404, None), (429, "insufficient_quota")])
def test_what_cannot_pass_is_not_asked_again(
    server: Loopback, provider: str, streaming: bool, status: int, code: str | None
) -> None:
    """A request that is refused for good is sent once."""
    outcome = _retry(server, provider, _refusal(provider, status, code, **SOON), streaming=streaming)
    assert not outcome.error.retryable
    assert len(server.requests) == 1


@both_wires
@pytest.mark.parametrize("headers", [{"retry_after_ms": "700"}, {"retry_after": "0.7"}, {"retry_after": "1"}], ids=str)
def test_the_wait_that_was_asked_for_is_kept(server: Loopback, provider: str, headers: dict[str, str]) -> None:
    """The next attempt comes no sooner than the provider asked."""
    outcome = _retry(server, provider, _refusal(provider, 429, **headers), _answer(provider, True))
    first, second = server.requests
    assert outcome.error is None
    assert second.arrived - first.arrived >= 0.69


@both_wires
def test_a_short_wait_is_kept_too(server: Loopback, provider: str) -> None:
    """A provider that asks for less than our own wait is asked again as soon as it said."""
    failures = [_refusal(provider, 429, **SOON)] * 4
    started = time.monotonic()
    outcome = _retry(server, provider, *failures, _answer(provider, True), max_retries=4)
    assert outcome.error is None
    assert time.monotonic() - started < 5  # our own waits would add up to more than five seconds


@both_wires
def test_a_wait_that_is_too_long_is_left_to_the_caller(server: Loopback, provider: str) -> None:
    """A provider that asks for an hour is not waited for: the error says how long it would be."""
    outcome = _retry(server, provider, _refusal(provider, 429, retry_after="3600"))
    assert (type(outcome.error), outcome.error.retry_after) == (RateLimited, 3600.0)
    assert len(server.requests) == 1


@both_wires
def test_without_a_word_the_wait_is_our_own(server: Loopback, provider: str) -> None:
    """Where the provider asks for no wait there is one all the same."""
    outcome = _retry(server, provider, _refusal(provider, 500), _answer(provider, True))
    first, second = server.requests
    assert outcome.error is None
    assert second.arrived - first.arrived >= 0.3


@every_form
def test_an_error_in_the_stream_is_asked_again_before_any_output(
    server: Loopback, provider: str, form: Callable[..., list[bytes]], untyped: bool
) -> None:
    """An error inside the stream is asked again as long as nobody has seen anything of the answer."""
    failure = Reply(form("Later.", "server_error", "some_error"))
    outcome = _retry(server, provider, failure, _answer(provider, True))
    assert (outcome.error, outcome.text, len(server.requests)) == (None, "Hello", 2)
    assert outcome.stream is not None
    assert [turn.content for turn in outcome.stream.response.turns] == ["Hello"]


@both_wires
@pytest.mark.parametrize("end", ["clean", "close", "reset"])
def test_a_cut_is_asked_again_before_any_output(server: Loopback, provider: str, end: Any) -> None:
    """A stream that is cut before its first text is asked again."""
    events = WIRES[provider].text("Hello")
    outcome = _retry(server, provider, Reply(events, truncate=len(events[0]), end=end), _answer(provider, True))
    assert (outcome.error, outcome.text, len(server.requests)) == (None, "Hello", 2)


VISIBLE = {"text": {"text": "Hm."}, "reasoning": {"reasoning": "Hm."}, "a call": {}}


@both_wires
@pytest.mark.parametrize("end", ["clean", "close", "reset"])
@pytest.mark.parametrize("shown", VISIBLE.values(), ids=VISIBLE)
def test_nothing_is_asked_again_after_visible_output(
    server: Loopback, provider: str, shown: dict[str, str], end: Any
) -> None:
    """Once text, reasoning or a call was seen a failure is raised, because a second answer would be another one."""
    events = WIRES[provider].tool_calls(("c1", "ping", '{"x": 1}'), pieces=1, **shown)
    cut = _after(events, b'"delta":"Hm."' if provider == "openai" else b'"Hm."') if shown else _after(events, b'"ping"')
    outcome = _retry(server, provider, Reply(events, truncate=cut, end=end), _answer(provider, True))
    assert type(outcome.error) is StreamInterrupted
    assert [chunk.content or chunk.reasoning for chunk in outcome.chunks] == ["Hm." if shown else ""]
    assert len(server.requests) == 1


@both_wires
def test_tools_that_ran_are_not_run_again(server: Loopback, provider: str) -> None:
    """When the question after a tool fails, only that question is asked again."""
    PINGS.clear()
    call = Reply(WIRES[provider].tool_calls(("c1", "ping", "{}")))
    outcome = _retry(server, provider, call, _refusal(provider, 500, **SOON), _answer(provider, True))
    assert (outcome.error, outcome.text, PINGS) == (None, "Hello", ["ping"])
    first, second, third = server.requests
    assert first.body != second.body == third.body


@both_wires
def test_each_question_has_its_own_retries(server: Loopback, provider: str) -> None:
    """The attempts of an earlier question do not use up those of a later one."""
    failure = _refusal(provider, 500, **SOON)
    call = Reply(WIRES[provider].tool_calls(("c1", "ping", "{}")))
    outcome = _retry(server, provider, failure, call, failure, _answer(provider, True), max_retries=1)
    assert (outcome.error, len(server.requests)) == (None, 4)


@both_wires
def test_a_refused_connection_is_tried_again(provider: str) -> None:
    """A connection that is refused is tried again after a wait."""
    started = time.monotonic()
    error = _run(_model(_closed_port(), provider, max_retries=1)).error
    assert type(error) is ConnectionFailed
    assert time.monotonic() - started >= 0.3
