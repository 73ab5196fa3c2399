"""The SDKs' other HTTP client, over aiohttp: what holds over their own has to hold over this one."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import WIRES, Wire
from soak.stop import PATIENCE, complaints, silence, until
from support.loopback import Loopback, Reply

from cogent import (
    Agent,
    AgentStream,
    AuthenticationError,
    Model,
    Response,
    StreamInterrupted,
    tool,
)

pytest.importorskip(
    "aiohttp",
    reason="TEST_HTTP=aiohttp uv run --with httpx-aiohttp pytest tests/contract/test_aiohttp.py",
)
pytest.importorskip(
    "httpx_aiohttp",
    reason="TEST_HTTP=aiohttp uv run --with httpx-aiohttp pytest tests/contract/test_aiohttp.py",
)

KEY = "key-0123456789"
ran: list[str] = []


@pytest.fixture(
    params=[
        w for w in WIRES if w.provider in ("openai", "openai-chat", "groq", "anthropic")
    ],
    ids=lambda wire: wire.name,
)
def wire(request: pytest.FixtureRequest) -> Wire:
    """The providers whose SDK brings such a client."""
    return request.param


def client(wire: Wire, url: str) -> Any:
    import anthropic
    import groq
    import openai

    settings = {"api_key": KEY, "base_url": url + wire.suffix}
    match wire.provider:
        case "groq":
            return groq.AsyncGroq(http_client=groq.DefaultAioHttpClient(), **settings)
        case "anthropic":
            return anthropic.AsyncAnthropic(
                http_client=anthropic.DefaultAioHttpClient(), **settings
            )
    return openai.AsyncOpenAI(http_client=openai.DefaultAioHttpClient(), **settings)


@tool
async def look(query: str) -> str:
    """Look."""
    ran.append(query)
    return "Seen."


def play(wire: Wire, server: Loopback, act: Callable[[Agent], Awaitable[Any]]) -> Any:
    """Let an agent act in a loop of its own, after which nothing may complain."""
    ran.clear()

    async def main() -> Any:
        async with client(wire, server.url) as http:
            model = Model(f"{wire.provider}:gpt-test", client=http, max_retries=0)
            return await act(Agent("tester", model, tools=[look]))

    with asyncio.Runner() as runner, complaints(runner.get_loop()) as told:
        result = runner.run(main())
    assert told == []
    return result


async def whole(stream: AgentStream) -> Response:
    text = "".join([chunk.content async for chunk in stream])
    assert text == stream.response.content
    return stream.response


def test_a_run_with_a_tool(wire: Wire, server: Loopback) -> None:
    """Text, a call, its result and more text come as over any client, on one connection."""
    call = "call_1", "look", json.dumps({"query": "日本"})
    server.reply(
        Reply(wire.send.tool_calls(call, text="Wait."), content_type=wire.mime)
    )
    server.reply(Reply(wire.send.text("Do", "ne."), content_type=wire.mime, split=7))
    response = play(wire, server, lambda agent: whole(agent.run_stream("Go")))
    assert (response.content, response.finish_reason, ran) == (
        "Wait.Done.",
        "stop",
        ["日本"],
    )
    assert response.metadata["tokens"]["output_tokens"] > 0
    assert {request.connection for request in server.requests} == {1}


@pytest.mark.parametrize("end", ["clean", "close", "reset"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.9])
def test_a_cut_is_no_success(
    wire: Wire, server: Loopback, end: Any, share: float
) -> None:
    """An answer that is cut off is an error with what came, however the connection ended, and runs no tool."""
    body = b"".join(
        wire.send.tool_calls(("call_1", "look", '{"query": "x"}'), text="Wait.")
    )
    server.reply(
        Reply(body, truncate=int(len(body) * share), end=end, content_type=wire.mime)
    )

    async def act(agent: Agent) -> str:
        stream = agent.run_stream("Go")
        with pytest.raises(StreamInterrupted) as caught:
            await whole(stream)
        assert (
            caught.value.partial is not None
            and caught.value.partial.content == stream.response.content
        )
        return stream.response.content

    assert "Wait.".startswith(play(wire, server, act)) and ran == []


async def drop(stream: AgentStream) -> None:
    async for chunk in stream:
        if chunk.content:
            break


async def close(stream: AgentStream) -> None:
    async with stream:
        await drop(stream)


async def cancel_in_a_thread(stream: AgentStream) -> None:
    reading = asyncio.create_task(whole(stream))
    await until(lambda: stream.response.content)
    thread = threading.Thread(target=stream.cancel)
    thread.start()
    await reading
    thread.join()


async def cancel_the_task(stream: AgentStream) -> None:
    reading = asyncio.create_task(whole(stream))
    await until(lambda: stream.response.content)
    reading.cancel()
    await asyncio.wait([reading])


@pytest.mark.parametrize(
    "way",
    [drop, close, cancel_in_a_thread, cancel_the_task],
    ids=lambda way: way.__name__,
)
def test_a_stop_reaches_the_server(
    wire: Wire, server: Loopback, way: Callable[[AgentStream], Awaitable[None]]
) -> None:
    """The server sees it at once that the stream was left."""
    server.reply(silence(wire))

    async def act(agent: Agent) -> bool:
        await way(agent.run_stream("Go"))
        return await until(lambda: server.requests[0].disconnected)

    assert play(wire, server, act), f"not within {PATIENCE} seconds"


def test_an_error_is_translated(wire: Wire, server: Loopback) -> None:
    """What the server refuses is the same error of ours as over any client."""
    body = wire.send.error_body(
        f"Not with {KEY}.", "invalid_api_key", "authentication_error"
    )
    server.reply(Reply(body, 401, "application/json"))

    async def act(agent: Agent) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await whole(agent.run_stream("Go"))
        assert KEY not in str(caught.value)

    play(wire, server, act)
