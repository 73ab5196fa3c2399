"""A provider of the user's own, which no part of the package knows, is a provider like the others."""

import asyncio
import gc
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from support import own_provider
from support.loopback import Loopback, Reply
from support.scene import outcome_of

from cogent import (
    Agent,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    Image,
    Model,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    Response,
    StreamInterrupted,
    Timeout,
    preload,
    tool,
)
from cogent.model import prefixes
from cogent.providers import DATA, FUNCTIONS, Answer, Client, Events, Request
from cogent.run.finish import FinishWords
from cogent.run.outputs import Output

KEY = "sk-canary-0123456789"
LINES = "application/x-ndjson"
TEXT = [{"say": "Hel"}, {"say": "lo"}, {"over": "fine", "cost": [11, 7]}]
CALL = [
    {"say": "Let me see. ", "ticket": "T7"},
    {"do": "search", "with": {"query": "AI"}, "as": "t1"},
    {"over": "fine", "cost": [5, 3]},
]
both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)
Lines = list[dict[str, Any]]


@tool
def search(query: str) -> str:
    """Search for information."""
    return f"Results for: {query}"


def as_object() -> Any:
    """The same provider as an object."""
    return SimpleNamespace(**vars(own_provider))


@pytest.fixture(params=[own_provider, as_object()], ids=["module", "object"])
def provider(request: pytest.FixtureRequest) -> Any:
    """The provider in either form."""
    return request.param


def echo(server: Loopback, provider: Any = own_provider, **settings: Any) -> Model:
    """A model of this provider."""
    options = {"base_url": server.url, "api_key": KEY, "max_retries": 0, **settings}
    return Model("echo:small", provider=provider, **options)


def reply(lines: Lines, streaming: bool = True, **more: Any) -> Reply:
    """An answer of these lines."""
    if streaming:
        body = [json.dumps(line).encode() + b"\n" for line in lines]
        return Reply(body, content_type=LINES, **more)
    body = json.dumps({"lines": lines}).encode()
    return Reply(body, content_type="application/json", **more)


def refusal(status: int, code: str, **headers: str) -> Reply:
    """An HTTP error that repeats the key."""
    body = json.dumps({"message": f"No, {KEY}.", "code": code}).encode()
    return Reply(body, status, "application/json", headers)


async def run(
    model: Model, message: str = "Go", streaming: bool = True, **options: Any
) -> Response:
    """The response of one run."""
    async with Agent("tester", model, tools=[search], stream=streaming) as agent:
        return await agent.run(message, **options)


async def failure(model: Model, streaming: bool = True) -> Any:
    """The error of one run."""
    with pytest.raises(ModelError) as raised:
        await run(model, streaming=streaming)
    return raised.value


@both_ways
async def test_text_tools_and_figures(
    server: Loopback, provider: Any, streaming: bool
) -> None:
    """Text, calls and token counts come as from any provider, and its items go back to it."""
    server.reply(reply(CALL, streaming), reply(TEXT, streaming))
    response = await run(echo(server, provider), streaming=streaming)
    assert (response.content, response.finish_reason) == (
        "Let me see. Hello",
        "stop",
    )
    assert (response.metadata["provider"], response.metadata["steps"]) == ("echo", 2)
    assert response.metadata["tokens"]["total_tokens"] == 26
    assert [call.result.content for call in response.tool_calls if call.result] == [
        "Results for: AI"
    ]
    asked = server.requests[1].json
    assert (asked["model"], asked["can"]) == ("small", ["search"])
    assert asked["lines"][1:] == [
        {
            "by": "assistant",
            "text": "Let me see. ",
            "do": [["t1", "search"]],
            "ticket": "T7",
        },
        {"by": "tool", "text": "Results for: AI", "for": "t1"},
    ]


async def test_history_of_another_provider_goes_without_its_items(
    server: Loopback,
) -> None:
    """What another address made is sent in the neutral form, and a saved conversation goes on."""
    server.reply(reply(CALL), reply(TEXT))
    response = await run(echo(server))
    with Loopback() as other:
        other.reply(reply(TEXT))
        await run(echo(other), "And?", history=response.messages)
        assert "ticket" not in json.dumps(other.requests[0].json)
    server.reply(reply(TEXT))
    await run(echo(server), "And?", history=response.messages)
    assert json.dumps(server.requests[2].json).count("T7") == 1


@both_ways
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "who_are_you", AuthenticationError),
        (404, "no_such_model", ModelNotFound),
        (429, "too_fast", RateLimited),
        (400, "bad_luck", Overloaded),
    ],
)
async def test_its_errors_are_ours(
    server: Loopback, streaming: bool, status: int, code: str, kind: type[ModelError]
) -> None:
    """A status, or a code of its own, decides what an error is, and no error shows the key."""
    server.reply(refusal(status, code, **{"retry-after": "7", "x-request-id": "r1"}))
    error = await failure(echo(server), streaming)
    assert type(error) is kind
    assert (error.status, error.code, error.retry_after) == (status, code, 7)
    assert (error.provider, error.model, error.request_id) == ("echo", "small", "r1")
    seen = f"{error!r} {error.__cause__!r} {vars(error)} {pickle.dumps(error)!r}"
    assert KEY not in seen and "No, [key]." in str(error)
    assert server.requests[0].headers["x-key"] == KEY


@both_ways
async def test_an_error_in_an_answer(server: Loopback, streaming: bool) -> None:
    """What a decoder raises as reported is an error by the provider's codes, with what came before it."""
    wrong = {"wrong": "It broke.", "kind": "bad_luck"}
    server.reply(reply([TEXT[0], wrong], streaming))
    error = await failure(echo(server), streaming)
    assert (type(error), error.status, error.code) == (Overloaded, 200, "bad_luck")
    assert error.partial.content == "Hel"


async def test_failures_before_the_first_text_are_asked_again(
    server: Loopback,
) -> None:
    """Retries are no matter of the provider."""
    server.reply(refusal(503, "busy"), reply(TEXT))
    assert (await run(echo(server, max_retries=1))).content == "Hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize("end", ["clean", "close", "reset"])
async def test_a_cut_is_an_error(server: Loopback, end: Any) -> None:
    """A stream without its last line, or in the middle of one, is an interruption with its partial."""
    whole = reply(TEXT)
    size = len(b"".join(whole.pieces()))
    for cut in (size - 9, len(json.dumps(TEXT[0])) + 1):
        server.reply(reply(TEXT, end=end, truncate=cut))
        error = await failure(echo(server))
        assert isinstance(error, StreamInterrupted)
        assert error.partial.content in ("Hel", "Hello")


async def test_an_answer_that_is_no_stream(server: Loopback) -> None:
    """A page instead of a stream is an error that says so."""
    server.reply(Reply("<html><title>Sign in</title>", content_type="text/html"))
    error = await failure(echo(server))
    assert "text/html" in str(error) or "Sign in" in str(error)


async def test_leaving_the_loop_closes_the_connection(
    server: Loopback, provider: Any
) -> None:
    """Leaving a stream in its middle ends it at the server too."""
    server.reply(reply([*TEXT[:1] * 50, TEXT[2]], pause=0.05))
    async with Agent("tester", echo(server, provider)) as agent:
        async for chunk in agent.run_stream("Go"):
            assert chunk.content == "Hel"
            break
        assert await asyncio.to_thread(server.requests[0].wait_disconnected, 5)


async def test_a_connection_is_used_again(server: Loopback) -> None:
    """Streams that were read to their end leave their connection to the next."""
    server.reply(*[reply(TEXT)] * 3)
    async with Agent("tester", echo(server)) as agent:
        for _ in range(3):
            async for _ in agent.run_stream("Go"):
                pass
    assert {request.connection for request in server.requests} == {1}
    gc.collect()


def test_a_missing_key_is_said_by_the_provider(server: Loopback) -> None:
    """What its `make_client` raises comes as it is."""
    with pytest.raises(ConfigurationError, match="set ECHO_KEY"):
        asyncio.run(run(echo(server, api_key=None)))


async def test_a_client_of_the_users(server: Loopback) -> None:
    """A client that the user brought is used, and its keys are not shown."""
    http = own_provider.make_client(echo(server), Agent("a", echo(server)).timeout).sdk
    server.reply(refusal(401, "no"))
    try:
        error = await failure(Model("echo:small", provider=own_provider, client=http))
    finally:
        await http.aclose()
    assert isinstance(error, AuthenticationError)
    assert KEY not in f"{error} {error.__cause__!r} {pickle.dumps(error)!r}"


# Without HTTP


class Parrot:
    """A model inside the process: it says again what it was told, word by word."""

    SDK_READER = None
    FINISH_WORDS: FinishWords = MappingProxyType({"silent": "stop"})
    ERROR_CODES: Mapping[str, type[ModelError]] = MappingProxyType({})
    make_decoder = own_provider.LineDecoder

    def __init__(self) -> None:
        self.closed = 0

    def make_client(self, model: Model, timeout: Timeout) -> Client:
        """There is nothing to connect to."""
        return Client(self)

    def encode_request(self, request: Request) -> dict[str, Any]:
        """The last words."""
        return {"words": request.history()[-1].content.split()}

    async def open_stream(
        self, sdk: object, request: Request, arguments: dict[str, Any]
    ) -> Events:
        """One line for each word."""
        return Events(self.repeat(arguments["words"]), self.close)

    async def repeat(self, words: list[str]) -> AsyncIterator[str]:
        """The lines; some words are not said."""
        for word in words:
            match word:
                case "<reset>":
                    raise ConnectionResetError("the cage is open")
                case "<wrong>":
                    yield json.dumps({"wrong": "Not that.", "kind": "rude"})
                case "<end>":
                    return
                case _:
                    yield json.dumps({"say": f"{word} "})
        yield json.dumps({"over": "silent", "cost": [len(words), len(words)]})

    async def close(self) -> None:
        """Called once for each stream."""
        self.closed += 1

    async def ask(
        self, sdk: object, request: Request, arguments: dict[str, Any]
    ) -> Answer:
        """All lines in a list."""
        lines = [json.loads(line) async for line in self.repeat(arguments["words"])]
        return {"lines": lines}, {}

    def decode_response(self, body: Any) -> Iterable[Output]:
        """All lines at once."""
        return own_provider.decode_response(body)


@both_ways
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("How are you?", None),
        ("Well <reset>", (StreamInterrupted, ConnectionFailed)),
        ("Well <end>", StreamInterrupted),
        ("Well <wrong>", ModelError),
    ],
)
async def test_a_provider_without_http(
    streaming: bool, message: str, kind: Any
) -> None:
    """Completeness, errors and closing are the same where nothing goes over a network."""
    parrot = Parrot()
    agent = Agent("p", Model("parrot:grey", provider=parrot, max_retries=0))
    outcome = await outcome_of(agent, message, streaming=streaming)
    if kind is None:
        assert (outcome.error, outcome.text) == (None, "How are you? ")
    else:
        assert isinstance(outcome.error, kind)
        assert outcome.error.provider == "parrot"
    assert parrot.closed == (1 if streaming else 0)


async def test_a_client_may_wait_for_the_event_loop_while_it_closes() -> None:
    """Closing skips turns of the event loop, but not for ever: what waits for one gets it."""
    closed: list[str] = []

    async def close() -> None:
        asyncio.get_running_loop().call_soon(closed.append, "by the event loop")
        while not closed:  # noqa: ASYNC110  # as a client may that was written so
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        closed.append("whole")

    class Waiting(Parrot):
        def make_client(self, model: Model, timeout: Timeout) -> Client:
            return Client(self, close=close)

    async with Agent("p", Model("parrot:grey", provider=Waiting())) as agent:
        await agent.run("A b")
    assert closed == ["by the event loop", "whole"]


async def test_leaving_the_loop_closes_a_stream_without_http() -> None:
    """Whoever leaves has its stream closed at once."""
    parrot = Parrot()
    async for _ in Agent("p", Model("parrot:grey", provider=parrot)).run_stream("A b"):
        break
    while not parrot.closed:  # noqa: ASYNC110  # a task of its own closes it
        await asyncio.sleep(0.01)
    assert parrot.closed == 1


# What cannot be a provider


def without(name: str) -> Any:
    """The provider without one of its names."""
    return SimpleNamespace(
        **{key: value for key, value in vars(own_provider).items() if key != name}
    )


@pytest.mark.parametrize("name", [*DATA, *FUNCTIONS])
def test_what_a_provider_lacks_is_named(server: Loopback, name: str) -> None:
    """An object without one of the functions is refused when the agent is made, by its name."""
    with pytest.raises(ConfigurationError, match=f"'echo:small' lacks {name}: see"):
        Agent("a", echo(server, without(name)))


class Echo:
    """The provider as a class, of which nobody made an object."""


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (Echo, "is a class: give an object of it"),
        (SimpleNamespace(**vars(own_provider) | {"ask": 5}), "ask that is no function"),
        (5, "lacks FINISH_WORDS, SDK_READER"),
    ],
    ids=["class", "no function", "number"],
)
def test_what_is_no_provider(server: Loopback, provider: Any, words: str) -> None:
    """Anything else is refused, with what is wrong about it."""
    with pytest.raises(ConfigurationError, match=words):
        Agent("a", echo(server, provider))


@pytest.mark.parametrize("text", ["echo", "echo:", ":small", "gpt-5.4"])
def test_a_model_of_ones_own_has_a_prefix(text: str) -> None:
    """The prefix of one's own provider names it in metadata, so it is never left out."""
    with pytest.raises(ConfigurationError, match=r"PREFIX:NAME"):
        Model(text, provider=own_provider)


def test_a_prefix_is_no_provider() -> None:
    """A prefix given as the provider is said to belong into the model string."""
    with pytest.raises(ConfigurationError, match=r'"anthropic:gpt-5\.4"'):
        Model("gpt-5.4", provider="anthropic")


async def test_a_client_that_is_none(server: Loopback) -> None:
    """What `make_client` gives is a Client."""
    wrong = SimpleNamespace(**vars(own_provider) | {"make_client": lambda *_: "me"})
    with pytest.raises(ConfigurationError, match="'echo' gives a Client; got 'me'"):
        await run(echo(server, wrong))


def test_the_prefix_is_what_a_user_reads(server: Loopback) -> None:
    """`Model.provider` is the prefix, and the provider itself is in no repr and no comparison of prefixes."""
    model = echo(server)
    assert (model.provider, model.name) == ("echo", "small")
    assert "own_provider" not in repr(model) and model == echo(server)
    assert Model("openai:m", provider=own_provider).provider == "openai"


async def test_a_module_is_pickled_by_its_name(server: Loopback) -> None:
    """An agent whose provider is a module can go to another process."""
    agent = pickle.loads(pickle.dumps(Agent("a", echo(server))))
    assert agent.model.own_provider is own_provider
    assert agent.model.provider == "echo"


# Entry points


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a package whose entry points name providers, and its module `echo_models`."""

    def install(**entries: str) -> None:
        lines = [f"{name} = {value}" for name, value in entries.items()]
        folder = tmp_path / "echo_models-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: echo-models\nVersion: 1.0\n"
        )
        (folder / "entry_points.txt").write_text(
            "\n".join(["[cogent.providers]", *lines, ""])
        )
        (tmp_path / "echo_models.py").write_text(
            "from support.own_provider import *\nimport types\n"
            "from support import own_provider\n"
            "as_object = types.SimpleNamespace(**vars(own_provider))\n"
            "broken = object()\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    sys.modules.pop("echo_models", None)


@both_ways
@pytest.mark.parametrize("value", ["echo_models", "echo_models:as_object"])
async def test_an_entry_point_is_a_prefix(
    server: Loopback, installed: Callable[..., None], value: str, streaming: bool
) -> None:
    """The provider of another package is found by its entry point, a module or an object."""
    installed(echo=value)
    assert "echo" in prefixes() and "echo_models" not in sys.modules
    preload("echo")
    server.reply(reply(TEXT, streaming))
    model = Model("echo:small", base_url=server.url, api_key=KEY)
    response = await run(model, streaming=streaming)
    assert (response.content, response.metadata["provider"]) == ("Hello", "echo")


def test_entry_points_are_suggested(installed: Callable[..., None]) -> None:
    """A misspelt prefix gets the nearest, also of other packages."""
    installed(echo="echo_models")
    with pytest.raises(ConfigurationError, match=r'did you mean "echo:small"'):
        Model("ecco:small")
    with pytest.raises(ConfigurationError, match='did you mean "echo"'):
        preload("ecko")
    assert "echo_models" not in sys.modules


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nowhere", "cannot be imported: No module named 'nowhere'"),
        ("echo_models:nothing", "cannot be imported: .*nothing"),
        ("echo_models:broken", "lacks FINISH_WORDS, SDK_READER"),
    ],
)
def test_an_entry_point_that_is_no_provider(
    installed: Callable[..., None], value: str, words: str
) -> None:
    """The error names the entry point, and what is wrong about it."""
    installed(echo=value)
    with pytest.raises(ConfigurationError, match=words) as raised:
        Agent("a", "echo:small")
    assert f"'echo', which is '{value}'," in str(raised.value)


def test_no_package_replaces_a_provider_of_ours(
    installed: Callable[..., None],
) -> None:
    """An entry point of the name of an included provider is not looked at."""
    installed(**{"openai": "nowhere", "openai-chat": "nowhere"})
    assert Agent("a", Model("openai:m", api_key="k")).model.provider == "openai"
    assert prefixes().count("openai") == 1


def test_importing_cogent_looks_for_no_entry_point(
    installed: Callable[..., None], tmp_path: Path
) -> None:
    """`import cogent`, and a model of an included provider, import no provider of another package."""
    installed(echo="echo_models")
    code = "import cogent, sys; cogent.Model('gpt-5.4'); print('echo_models' in sys.modules)"
    paths = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=paths, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr


@both_ways
async def test_images_are_refused_unless_the_provider_encodes_them(
    server: Loopback, provider: Any, streaming: bool
) -> None:
    """A provider that does not say it encodes parts loses none in silence; texts it gets as one."""
    agent = Agent("tester", echo(server, provider), stream=streaming)
    async with agent:
        image = Image("https://example.org/cat.png")
        with pytest.raises(ConfigurationError, match="echo takes no images and files"):
            await agent.run(["Look", image])
        assert server.requests == []
        server.reply(reply(TEXT, streaming))
        await agent.run(["One", "Two"])
    assert server.requests[0].json["lines"] == [{"by": "user", "text": "One\nTwo"}]
