"""Secrets: a key is sent to its provider and shown nowhere, the context leaves the process never."""

import json
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from anthropic import AsyncAnthropic
from conftest import WIRES, Wire
from openai import AsyncAzureOpenAI, AsyncOpenAI
from support.loopback import Loopback, Reply
from support.own_clients import close_client, make_client

from cogent import (
    Agent,
    AgentStream,
    AuthenticationError,
    CogentError,
    ConfigurationError,
    ConnectionFailed,
    MaxStepsExceeded,
    ModelError,
    Response,
    StreamChunk,
    ToolError,
    tool,
)

KEY = "sk-canary/7Q2x+9Zk=4Lm8Rt6Vb1Nc3Wd5"  # with characters that an address has in another form
CONTEXT = {"ctx-canary-name-3Fg6Ty1Uw": "ctx-canary-value-8Hj2Kp5Sq9"}
PARTS = {
    KEY[start : start + 10] for start in range(len(KEY) - 9)
}  # a part of a key is a secret too
JSON = "application/json"
SDK_LOGGERS = (
    *("openai", "anthropic", "groq", "google", "mistralai", "ollama"),
    *("httpx", "httpcore", "httpx2", "httpcore2"),
)
VARIABLES = {wire.variable for wire in WIRES} | {
    "ANTHROPIC_AUTH_TOKEN",
    "AZURE_OPENAI_AD_TOKEN",
    "GOOGLE_API_KEY",
}


@pytest.fixture(autouse=True)
def only_our_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of whoever runs the tests is in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@dataclass
class Seen:
    """What a program may get hold of in a run."""

    agent: Agent
    stream: AgentStream | None = None
    chunks: list[StreamChunk] = field(default_factory=list)
    response: Response | None = None
    error: Any = None
    warned: list[str] = field(default_factory=list)

    @property
    def reached(self) -> Response:
        """The response as far as it came."""
        response = (
            self.response
            or self.error.partial
            or (self.stream and self.stream.response)
        )
        assert isinstance(response, Response)
        return response

    def texts(self) -> Iterator[tuple[str, str]]:
        """All that can be printed, logged, stored or sent of it, each with its place."""
        yield from shown("agent", self.agent)
        yield from shown("model", self.agent.model)
        yield from shown("stream", self.stream)
        for chunk in self.chunks:
            yield from shown("chunk", chunk)
            yield "chunk.to_dict()", json.dumps(chunk.to_dict())
        if self.response or self.error.partial:
            yield from shown("response", self.reached)
            yield "response, its fields", json.dumps(asdict(self.reached), default=str)
            yield "response.metadata", json.dumps(self.reached.metadata)
            yield (
                "messages",
                json.dumps([message.to_dict() for message in self.reached.messages]),
            )
            yield "messages, pickled", pickled(self.reached.messages)
        if self.error is not None:
            yield from told(self.error)
        yield from (("warning", text) for text in self.warned)


def shown(what: str, value: Any) -> Iterator[tuple[str, str]]:
    """The texts of a value of ours, its pickle among them."""
    yield f"repr({what})", repr(value)
    yield f"str({what})", str(value)
    yield f"{what}, pickled", pickled(value)


def pickled(value: Any) -> str:
    try:
        return pickle.dumps(value).decode("latin-1")
    except (TypeError, AttributeError) as error:  # a stream, a client of the user's own
        return str(error)


def told(error: BaseException) -> Iterator[tuple[str, str]]:
    """The texts of an error, of what stands behind it, and of its traceback."""
    yield "error, pickled", pickled(error)
    yield "traceback", "".join(traceback.format_exception(error))
    behind: list[BaseException | None] = [error]
    for one in behind:
        if one is not None:
            name = f"error ({type(one).__name__})"
            yield f"str({name})", str(one)
            yield f"repr({name})", f"{one!r} {one.args!r}"
            yield (
                f"vars({name})",
                repr(vars(one)) if isinstance(one, CogentError) else "",
            )
            behind += [e for e in (one.__cause__, one.__context__) if e not in behind]


def leaks(texts: Iterator[tuple[str, str]]) -> list[str]:
    """The places where a secret shows."""
    return [
        place
        for place, text in texts
        if any(part in text for part in (*PARTS, *CONTEXT, *CONTEXT.values()))
    ]


def logged(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[str, str]]:
    """Each log record as a handler would write it, traceback included, with the name of its logger."""
    write = logging.Formatter("%(message)s").format
    return ((record.name, write(record)) for record in caplog.records)


async def attempt(agent: Agent, streaming: bool = True) -> Seen:
    """Run the agent to its end; only errors of our family are caught."""
    seen = Seen(agent)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if streaming:
                seen.stream = agent.run_stream("Go", context=dict(CONTEXT))
                async with seen.stream as stream:
                    async for chunk in stream:
                        seen.chunks.append(chunk)
                seen.response = stream.response
            else:
                seen.response = await agent.run("Go", context=dict(CONTEXT))
        except CogentError as error:
            seen.error = error
    seen.warned = [str(warning.message) for warning in caught]
    return seen


async def closing(agent: Agent, streaming: bool = True) -> Seen:
    """The same, and close the agent."""
    async with agent:
        return await attempt(agent, streaming)


def keyed(
    wire: Wire, server: Loopback, model: dict[str, Any] | None = None, **settings: Any
) -> Agent:
    """An agent of this provider with the canary for its key."""
    return wire.agent(server, model={"api_key": KEY, **(model or {})}, **settings)


def carried(server: Loopback) -> bool:
    """Whether the key was sent: a test that never used it proves nothing."""
    return any(
        KEY in value
        for request in server.requests
        for value in request.headers.values()
    )


# A run that goes well


@tool
def look(place: str, context: dict[str, Any]) -> str:
    """Look somewhere."""
    assert context == CONTEXT
    return f"Nothing at {place}."


CALL = ("c1", "look", '{"place": "home"}')


def replies(wire: Wire, streaming: bool) -> list[Reply]:
    """A turn with reasoning, text and a call, and one that ends the run."""
    if streaming:
        answers = (
            wire.send.tool_calls(CALL, reasoning="Hm.", text="Well."),
            wire.send.text("Do", "ne"),
        )
        return [
            Reply(answer, content_type=wire.mime, headers={"x-request-id": "req_1"})
            for answer in answers
        ]
    answers = (
        wire.send.plain_tool_calls(CALL, reasoning="Hm.", text="Well."),
        wire.send.plain_text("Done"),
    )
    return [Reply(answer, content_type=JSON) for answer in answers]


async def test_a_run_shows_neither_key_nor_context(
    server: Loopback, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that a run gives, keeps or has logged, the SDK's own debug log included, holds the key or the context."""
    caplog.set_level(logging.DEBUG)

    server.reply(*replies(wire, True), *replies(wire, False))
    async with keyed(wire, server, tools=[look], instructions="Be brief.") as agent:
        runs = [await attempt(agent, streaming) for streaming in (True, False)]
    for seen in runs:
        assert (
            seen.error is None
            and seen.reached.content == "Well.Done"
            and leaks(seen.texts()) == []
        )
    assert carried(server) and caplog.records and leaks(logged(caplog)) == []


async def test_the_context_is_sent_nowhere(server: Loopback, wire: Wire) -> None:
    """No request has anything of the context in its body, its address or its headers."""
    server.reply(*replies(wire, True))
    await closing(keyed(wire, server, tools=[look]))
    assert len(server.requests) == 2
    for request in server.requests:
        sent = f"{request.path} {request.headers} {request.body.decode()}"
        assert not any(
            word in sent for word in (*CONTEXT, *CONTEXT.values(), "context")
        )


async def test_a_failing_tool_tells_the_model_nothing_of_this_machine(
    server: Loopback, wire: Wire
) -> None:
    """A tool's exception reaches the provider without traceback, folders, notes and the exception behind it."""

    @tool
    def read(context: dict[str, Any]) -> str:
        try:
            raise KeyError(*context)
        except KeyError as error:
            failure = FileNotFoundError(
                2, "No such file", "/srv/secret-folder/plan.txt"
            )
            failure.add_note("secret note")
            raise failure from error

    call, end = wire.send.tool_calls(("c1", "read", "{}")), wire.send.text("Done")
    server.reply(
        Reply(call, content_type=wire.mime), Reply(end, content_type=wire.mime)
    )
    seen = await closing(keyed(wire, server, tools=[read]))
    sent = server.requests[1].body.decode()
    assert (
        seen.reached.content == "Done"
        and "FileNotFoundError" in sent
        and "plan.txt" in sent
    )
    assert not any(
        word in sent
        for word in ("secret", "/srv", "Traceback", "KeyError", ".py", "canary")
    )
    assert leaks(seen.texts()) == []


# A run that fails

ECHO = f"Incorrect API key provided: {KEY}. You can find yours in your account."
WORDS = ("invalid_api_key", "authentication_error")  # the code and the type of that
Replies = Callable[[Wire, bool], list[Reply]]


def refused(
    wire: Wire, streaming: bool, status: int = 401, echo: str = ECHO, **headers: str
) -> list[Reply]:
    body = wire.send.error_body(
        echo, *(WORDS if status == 401 else (None, "server_error"))
    )
    return [
        Reply(
            body,
            status,
            JSON,
            {name.replace("_", "-"): value for name, value in headers.items()},
        )
    ]


def everywhere(wire: Wire, streaming: bool) -> list[Reply]:
    return [
        Reply(
            wire.send.error_body(ECHO, KEY, KEY),
            401,
            JSON,
            {"x-request-id": KEY, "request-id": KEY},
        )
    ]


def page(wire: Wire, streaming: bool, status: int = 401) -> list[Reply]:
    return [
        Reply(
            f"<html><p>{quote(KEY, safe='')}</p><p>{KEY}</p></html>",
            status,
            "text/html",
        )
    ]


def inside(wire: Wire, streaming: bool) -> list[Reply]:
    if streaming:
        events = wire.send.error_event(ECHO, *WORDS, ["Hel", "lo"])
        return [Reply(events, content_type=wire.mime)]
    return refused(wire, streaming, status=200)


def garbage(wire: Wire, streaming: bool) -> list[Reply]:
    line = f'data: {{"{KEY}\n\n' if wire.mime == "text/event-stream" else f'{{"{KEY}\n'
    return [
        Reply(
            line if streaming else f'{{"{KEY}',
            content_type=wire.mime if streaming else JSON,
        )
    ]


def cut(wire: Wire, streaming: bool) -> list[Reply]:
    events = wire.send.text("Hello") if streaming else [wire.send.plain_text("Hello")]
    return [
        Reply(
            events,
            content_type=wire.mime if streaming else JSON,
            truncate=40,
            end="reset",
        )
    ]


def again_and_again(wire: Wire, streaming: bool) -> list[Reply]:
    return 3 * refused(
        wire, streaming, status=500, **{"retry_after_ms": "10", "retry_after": "0.01"}
    )


FAILURES: dict[str, Replies] = {
    "repeated": refused,
    "repeated as in an address": partial(
        refused, echo=ECHO.replace(KEY, quote(KEY, safe=""))
    ),
    "cut off within the key": partial(refused, echo="x" * 985 + KEY),
    "repeated everywhere": everywhere,
    "a page": page,
    "a page with status 200": partial(page, status=200),
    "an error in the answer": inside,
    "no JSON": garbage,
    "a lost connection": cut,
    "retries in vain": again_and_again,
}


async def both_ways(
    server: Loopback, agent: Agent, answers: Replies, wire: Wire
) -> list[Seen]:
    """What is seen of a streamed and of a plain run against these answers."""
    seen = []
    async with agent:
        for streaming in (True, False):
            server.reply(*answers(wire, streaming))
            seen.append(await attempt(agent, streaming))
    return seen


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_run_shows_neither_key_nor_context(
    server: Loopback, wire: Wire, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    """Whatever the server repeats, no text, pickle, traceback or log holds the key or a part of it."""
    caplog.set_level(logging.DEBUG)
    agent = keyed(wire, server, {"max_retries": 2 if "retries" in failure else 0})
    for seen in await both_ways(server, agent, FAILURES[failure], wire):
        assert isinstance(seen.error, ModelError) and leaks(seen.texts()) == []
    assert carried(server) and len(server.requests) == (
        6 if "retries" in failure else 2
    )
    # The SDKs and their HTTP clients write the headers of an answer in their debug logs as they are.
    apart = () if failure == "repeated everywhere" else SDK_LOGGERS
    assert [
        name for name in leaks(logged(caplog)) if name.startswith(("cogent", *apart))
    ] == []


async def test_a_refused_connection_shows_no_secret(
    server: Loopback, wire: Wire
) -> None:
    """A server that is not there is an error that shows neither key nor context."""
    agent = keyed(wire, server)
    server.close()
    for seen in await both_ways(server, agent, lambda *_: [], wire):
        assert isinstance(seen.error, ConnectionFailed) and leaks(seen.texts()) == []


BAD_KEYS = {
    "a line break": f"{KEY}\n",
    "another header": f"{KEY}\r\nx: y",
    "an umlaut": f"{KEY}ü",
}


@pytest.mark.parametrize("kind", BAD_KEYS)
async def test_a_key_that_no_header_takes_is_not_shown(
    server: Loopback, wire: Wire, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A key that cannot be sent as it is, as one read with its line break, is an error that shows nothing of it."""
    caplog.set_level(logging.DEBUG)
    repeated = partial(refused, echo=ECHO.replace(KEY, BAD_KEYS[kind].strip()))
    for seen in await both_ways(
        server, keyed(wire, server, {"api_key": BAD_KEYS[kind]}), repeated, wire
    ):
        assert isinstance(seen.error, CogentError) and not getattr(
            seen.error, "retryable", False
        )
        assert leaks(seen.texts()) == []
    assert all("x" not in request.headers for request in server.requests)
    # httpcore, groq and anthropic write the header that they cannot send in their debug logs.
    assert [name for name in leaks(logged(caplog)) if name.startswith("cogent")] == []


@tool(on_error="raise")
def fail() -> None:
    """Fail."""
    raise LookupError("nothing there")


@pytest.mark.parametrize(
    "kind", [ToolError, MaxStepsExceeded], ids=lambda kind: kind.__name__
)
async def test_a_run_that_its_tools_end_shows_no_secret(
    server: Loopback, wire: Wire, kind: type[CogentError]
) -> None:
    """A ToolError and a MaxStepsExceeded, with all that was done until then, show neither key nor context."""

    def answers(wire: Wire, streaming: bool) -> list[Reply]:
        return (
            [replies(wire, streaming)[0]]
            if kind is MaxStepsExceeded
            else [failing(wire, streaming)]
        )

    for seen in await both_ways(
        server, keyed(wire, server, tools=[look, fail], max_steps=1), answers, wire
    ):
        assert (
            type(seen.error) is kind
            and seen.reached.tool_calls
            and leaks(seen.texts()) == []
        )
    assert carried(server)


def failing(wire: Wire, streaming: bool) -> Reply:
    """A turn that calls the tool that fails."""
    build = wire.send.tool_calls if streaming else wire.send.plain_tool_calls
    return Reply(
        build(("c1", "fail", "{}")), content_type=wire.mime if streaming else JSON
    )


# However the key is given


def give_key() -> str:
    return KEY


async def give_token() -> str:
    return KEY


def client_with_key(wire: Wire, url: str) -> Any:
    """A client of the user's own with the canary for its key, or for a token, where the SDK has such."""
    match wire.name:
        case "azure":
            return AsyncOpenAI(api_key=give_token, base_url=f"{url}/openai/v1")
        case "azure-chat":
            return AsyncAzureOpenAI(
                azure_ad_token_provider=give_token,
                azure_endpoint=url,
                api_version="2025-04-01-preview",
            )
        case "anthropic":
            return AsyncAnthropic(auth_token=KEY, base_url=url)
    return make_client(wire, url, key=KEY)


async def repeated_to(server: Loopback, wire: Wire, **model: Any) -> Seen:
    """What is seen of a run whose server repeats the key; the model's own settings have none unless given here."""
    server.reply(*refused(wire, True))
    return await closing(wire.agent(server, model={"api_key": None, **model}))


def assert_hidden(server: Loopback, seen: Seen) -> None:
    assert carried(server), "the key was never used"
    assert isinstance(seen.error, AuthenticationError) and leaks(seen.texts()) == []


@pytest.mark.parametrize("give", [give_key, give_token])
async def test_a_key_from_a_function_is_not_shown(
    server: Loopback, wire: Wire, give: Callable[[], Any]
) -> None:
    """A key or token that a function gives is taken out of what the server repeats; some SDKs take no function."""
    seen = await repeated_to(server, wire, api_key=give)
    if wire.provider in ("groq", "gemini", "ollama"):
        assert isinstance(seen.error, ConfigurationError) and leaks(seen.texts()) == []
    else:
        assert_hidden(server, seen)


IN_ENVIRONMENT = [(wire, wire.variable) for wire in WIRES]
MORE = {
    "azure": "AZURE_OPENAI_AD_TOKEN",
    "anthropic": "ANTHROPIC_AUTH_TOKEN",
    "gemini": "GOOGLE_API_KEY",
}
IN_ENVIRONMENT += [
    (wire, MORE[wire.provider]) for wire in WIRES if wire.provider in MORE
]


@pytest.mark.parametrize(
    ("wire", "name"),
    IN_ENVIRONMENT,
    ids=[f"{wire.name}-{name}" for wire, name in IN_ENVIRONMENT],
)
async def test_a_key_from_the_environment_is_not_shown(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, wire: Wire, name: str
) -> None:
    """A key or token that the SDK finds in the environment is taken out of what the server repeats."""
    monkeypatch.setenv(name, KEY)
    assert_hidden(server, await repeated_to(server, wire))


async def test_a_key_of_the_users_own_client_is_not_shown(
    server: Loopback, wire: Wire
) -> None:
    """A key or token that only the user's client knows is taken out of what the server repeats."""

    client = client_with_key(wire, server.url)
    try:
        assert_hidden(server, await repeated_to(server, wire, client=client))
    finally:
        await close_client(client)


# Ollama's SDK has no public way from a stream to its request.
@pytest.mark.parametrize(
    "wire",
    [wire for wire in WIRES if wire.provider != "ollama"],
    ids=lambda wire: wire.name,
)
async def test_a_key_of_the_users_own_client_is_not_shown_amid_a_stream(
    server: Loopback, wire: Wire
) -> None:
    """Nor is it where the error that repeats it comes after text, with status 200."""
    client = client_with_key(wire, server.url)
    server.reply(*inside(wire, True))
    try:
        seen = await closing(
            wire.agent(server, model={"api_key": None, "client": client})
        )
    finally:
        await close_client(client)
    assert_hidden(server, seen)


# Redirects


@pytest.fixture
def other() -> Iterator[Loopback]:
    """A server at another address than the provider's."""
    with Loopback() as running:
        yield running


REDIRECTS = [301, 302, 303, 307, 308]


async def redirected(server: Loopback, wire: Wire, target: str) -> list[Seen]:
    """What is seen of runs, streamed and plain, that each kind of redirect sends to the target."""
    seen = []
    async with keyed(wire, server, {"max_retries": 1}) as agent:
        for status in REDIRECTS:
            for streaming in (True, False):
                server.reply(Reply(b"", status, "text/plain", {"location": target}))
                seen.append(await attempt(agent, streaming))
    return seen


TARGETS = {
    "another port": "http://127.0.0.1:{other}/v1/x",
    "no scheme": "//127.0.0.1:{other}/v1/x",
    "another host": "http://localhost:{own}/v1/x",
}


@pytest.mark.parametrize("target", TARGETS)
async def test_a_redirect_to_another_server_is_not_followed(
    server: Loopback, other: Loopback, wire: Wire, target: str
) -> None:
    """Neither key nor question reach another server; the error says what happened, and nothing is asked again."""
    own_port, other_port = (
        running.url.rpartition(":")[2] for running in (server, other)
    )
    for seen in await redirected(
        server, wire, TARGETS[target].format(own=own_port, other=other_port)
    ):
        assert isinstance(seen.error, ModelError) and not seen.error.retryable
        assert "redirect" in str(seen.error) and leaks(seen.texts()) == []
    assert carried(server) and len(server.requests) == 2 * len(REDIRECTS)
    assert other.requests == [] and other.open_connections == 0


async def test_a_redirect_within_one_server_is_not_followed_either(
    server: Loopback, wire: Wire
) -> None:
    """The error shows no key, and nothing is asked again."""
    for seen in await redirected(server, wire, "/elsewhere?key=1"):
        assert isinstance(seen.error, ModelError) and not seen.error.retryable
        assert "redirect" in str(seen.error) and leaks(seen.texts()) == []
    assert carried(server) and len(server.requests) == 2 * len(REDIRECTS)


def test_a_key_is_in_nothing_that_is_configured(server: Loopback, wire: Wire) -> None:
    """Neither a model nor an agent shows its key or takes it into a pickle."""
    agent = wire.agent(server, model={"api_key": KEY})
    shown = [
        repr(agent.model),
        str(agent.model),
        repr(agent),
        str(agent),
        repr(agent.run_stream("Hi")),
    ]
    assert KEY not in "\n".join(shown)
    assert KEY.encode() not in pickle.dumps(agent.model) + pickle.dumps(agent)
