"""What fails before a byte is sent is the caller's: never asked again, never called a server's fault."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from anthropic.resources.messages import DEPRECATED_MODELS
from conftest import Wire
from support.loopback import Loopback

from cogent import (
    Agent,
    BadRequest,
    CogentError,
    ConfigurationError,
    Message,
    Model,
    tool,
)

both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)


def nested(depth: int) -> Any:
    """Dicts in dicts."""
    value: Any = {}
    for _ in range(depth):
        value = {"deeper": value}
    return value


ITSELF: dict[str, Any] = {}
ITSELF["again"] = ITSELF

# Found when the model is made, as no SDK could send it.
NEVER: dict[str, Any] = {
    "nan": math.nan,
    "infinity": [math.inf],
    "5,000 digits": 10**5000,
    "2,000 deep": nested(2000),
    "itself": ITSELF,
    "half a character": "a\ud83d",
    "a number as key": {1: 2},
}
# Left to the SDK, which may know how to write it.
OBJECTS: dict[str, Any] = {"bytes": b"x", "an object": object(), "a function": len}


async def failed(
    server: Loopback, make: Callable[[], Agent], **settings: Any
) -> CogentError:
    """The error of an agent that cannot ask: no request came, and none is worth another attempt."""

    with pytest.raises(CogentError) as raised:
        async with make() as agent:
            await agent.run("Go", **settings)
    assert server.requests == []
    assert not getattr(raised.value, "retryable", False)
    return raised.value


def body_setting(wire: Wire, value: Any) -> dict[str, Any]:
    """A setting of the request's body that no SDK looks into."""
    if wire.provider == "gemini":
        return {"http_options": {"extra_body": {"x": value}}}
    if wire.provider == "mistral":
        return {"metadata": {"x": value}}
    if wire.provider == "ollama":
        return {"options": {"x": value}}
    return {"extra_body": {"x": value}}


@both_ways
@pytest.mark.parametrize("kind", NEVER)
async def test_a_setting_that_json_cannot_hold(
    server: Loopback, wire: Wire, streaming: bool, kind: str
) -> None:
    """A value in `extra` that cannot be written as JSON is a ConfigurationError that says where it is."""
    extra = body_setting(wire, NEVER[kind])
    error = await failed(
        server,
        lambda: wire.agent(
            server, model={"extra": extra, "max_retries": 2}, stream=streaming
        ),
    )
    assert isinstance(error, ConfigurationError) and "['x']" in str(error)


@both_ways
@pytest.mark.parametrize("kind", OBJECTS)
async def test_a_setting_that_the_sdk_cannot_write(
    server: Loopback, wire: Wire, streaming: bool, kind: str
) -> None:
    """An object in `extra` that the SDK cannot write is the caller's error, and says where it is."""
    extra = body_setting(wire, OBJECTS[kind])
    error = await failed(
        server,
        lambda: wire.agent(
            server, model={"extra": extra, "max_retries": 2}, stream=streaming
        ),
    )
    assert isinstance(error, BadRequest | ConfigurationError) and "['x']" in str(error)


@both_ways
@pytest.mark.parametrize(
    "kind", ["deep", "itself", "nan", "digits", "bytes", "set", "surrogate"]
)
async def test_arguments_in_a_history_that_json_cannot_hold(
    server: Loopback, wire: Wire, streaming: bool, kind: str
) -> None:
    """Arguments of an earlier call that cannot be written are a ConfigurationError on every provider."""
    values = {
        "deep": nested(2000),
        "itself": ITSELF,
        "nan": math.nan,
        "digits": 10**5000,
        "bytes": b"x",
        "set": {1},
    }
    call = {
        "id": "c1",
        "name": "look",
        "arguments": {"here": values.get(kind, "a\ud83d")},
    }
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "x", "tool_call_id": "c1", "name": "look"},
    ]
    error = await failed(
        server,
        lambda: wire.agent(server, model={"max_retries": 2}, stream=streaming),
        history=history,
    )
    assert (
        isinstance(error, ConfigurationError)
        and "entry 1" in str(error)
        and "['here']" in str(error)
    )


ODD_ITEMS = [
    {"type": 5, "call": [], "reasoning_details": 5},
    {"parts": 3, "function_call": 3, "text": 7, "call": "x"},
]


@both_ways
@pytest.mark.parametrize("item", ODD_ITEMS, ids=["types", "places"])
async def test_items_that_are_none_of_the_provider(
    server: Loopback, wire: Wire, streaming: bool, item: Any
) -> None:
    """Items that an encoder stumbles over are the caller's error; those that it passes on reach the server."""
    history = [
        Message("user", "Hi"),
        Message("assistant", "x", provider=wire.provider, items=[item]),
    ]

    async def main() -> CogentError | None:
        async with wire.agent(
            server, stream=streaming, model={"max_retries": 0}
        ) as agent:
            try:
                await agent.run("Go", history=history)
            except CogentError as error:
                return error
        return None

    error = await main()
    assert server.requests or isinstance(error, ConfigurationError)


@both_ways
async def test_a_header_that_cannot_be_sent(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A header with a line break is the caller's error, and its value, which may be a secret, is not shown."""
    headers = {"x-team": "hidden\nvalue"}
    extra = (
        {"http_options": {"headers": headers}}
        if wire.provider == "gemini"
        else {"extra_headers": headers}
    )
    error = await failed(
        server,
        lambda: wire.agent(
            server, model={"extra": extra, "max_retries": 2}, stream=streaming
        ),
    )
    assert isinstance(error, BadRequest | ConfigurationError)
    assert "hidden" not in f"{error}{error.__cause__}"


ADDRESSES = {
    "openai": "OPENAI_BASE_URL",
    "openai-chat": "OPENAI_BASE_URL",
    "groq": "GROQ_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
}


@both_ways
@pytest.mark.parametrize("provider", ADDRESSES)
@pytest.mark.parametrize("address", ["localhost:8000/v1", "host/v1"])
async def test_an_address_of_the_environment_that_cannot_be_used(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    streaming: bool,
    provider: str,
    address: str,
) -> None:
    """An address without http:// in the environment is the caller's error and not a server that is not there."""
    monkeypatch.setenv(ADDRESSES[provider], address)
    error = await failed(
        server,
        lambda: Agent("a", Model(f"{provider}:m", api_key="key"), stream=streaming),
    )
    assert isinstance(error, ConfigurationError) and "base_url" in str(error)


@both_ways
async def test_a_time_out_of_another_type(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A setting that the HTTP client stumbles over is no failed connection."""
    extra = (
        {"http_options": {"timeout": "x"}}
        if wire.provider == "gemini"
        else {"timeout": "x"}
    )
    error = await failed(
        server,
        lambda: wire.agent(
            server, model={"extra": extra, "max_retries": 2}, stream=streaming
        ),
    )
    assert isinstance(error, BadRequest | ConfigurationError)


def test_a_tool_whose_schema_json_cannot_hold() -> None:
    """A default that is no number in JSON is said when the agent is built, with the tool's name."""

    @tool
    def scale(by: float = math.nan) -> str:
        return str(by)

    with pytest.raises(ConfigurationError, match=r"'scale'.*by"):
        Agent("a", "openai:m", tools=[scale])


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
async def test_a_warning_that_is_an_error(server: Loopback, streaming: bool) -> None:
    """Where warnings are errors, that of an SDK about an old model is no fault of the server's, and not asked again."""
    model = Model(
        f"anthropic:{next(iter(DEPRECATED_MODELS))}",
        base_url=server.url,
        api_key="key",
        max_retries=2,
    )
    agent = Agent("tester", model, stream=streaming)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadRequest, match="deprecated"):
            async with agent:
                await agent.run("Go")
    assert server.requests == []
