"""A run against the loopback server and what came of it, for all tests that need no more than that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from conftest import WIRES, Wire

from cogent import Agent, AgentStream, CogentError, Response, StreamChunk
from support.loopback import Loopback, Reply

JSON = "application/json"
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])


@dataclass(slots=True)
class Outcome:
    """What a run gave to its caller, and how it ended."""

    chunks: list[StreamChunk] = field(default_factory=list)
    """None of a plain run."""
    response: Response | None = None
    """After an error what had come before it, if the error holds that."""
    error: Any = None
    stream: AgentStream | None = None
    """None of a plain run."""
    context: dict[str, Any] = field(default_factory=dict)
    """What the tools were given, with what they wrote into it."""

    @property
    def text(self) -> str:
        """The text that came before the end or the error."""
        if self.stream is not None:
            return "".join(chunk.content for chunk in self.chunks)
        return self.response.content if self.response else ""

    @property
    def reasoning(self) -> str:
        """The reasoning of a streamed run."""
        return "".join(chunk.reasoning for chunk in self.chunks)

    @property
    def tokens(self) -> dict[str, Any]:
        """The token counts of the last chunk, if it has any."""
        metadata = self.chunks[-1].metadata if self.chunks else None
        return (metadata or {}).get("tokens", {})

    @property
    def finish_reasons(self) -> list[str]:
        """Those of all turns, in order."""
        return [chunk.finish_reason for chunk in self.chunks if chunk.finish_reason]

    @property
    def is_final(self) -> bool:
        """Whether a final chunk came."""
        return any(chunk.is_final for chunk in self.chunks)


async def outcome_of(
    agent: Agent,
    message: str = "Go",
    *,
    streaming: bool = True,
    catch: type[BaseException] = CogentError,
) -> Outcome:
    """Run an agent by `run_stream` or by `run`; an error of another kind than `catch` fails the test."""
    outcome = Outcome()
    try:
        if not streaming:
            outcome.response = await agent.run(message, context=outcome.context)
            return outcome
        outcome.stream = agent.run_stream(message, context=outcome.context)
        async for chunk in outcome.stream:
            outcome.chunks.append(chunk)
        outcome.response = outcome.stream.response
    except catch as error:
        outcome.error = error
        outcome.response = getattr(error, "partial", None)
    return outcome


async def play(
    server: Loopback,
    wire: Wire,
    *replies: Reply | bytes | list[bytes],
    streaming: bool = True,
    catch: type[BaseException] = CogentError,
    **settings: Any,
) -> Outcome:
    """Run an agent of this wire whose server gives these replies; a body alone is that of a stream.

    The settings are the agent's.
    """
    server.reply(*[as_reply(wire, reply) for reply in replies])
    async with wire.agent(server, **settings) as agent:
        return await outcome_of(agent, streaming=streaming, catch=catch)


async def answer(agent: Agent, message: str = "Go", **given: Any) -> Response:
    """The response of `run`; the agent is closed."""
    async with agent:
        return await agent.run(message, **given)


async def read(
    agent: Agent, message: str = "Go", **given: Any
) -> tuple[list[StreamChunk], Response]:
    """All chunks of `run_stream`, and its response; the agent is closed."""
    async with agent:
        stream = agent.run_stream(message, **given)
        return [chunk async for chunk in stream], stream.response


async def streamed_answer(agent: Agent, message: str = "Go", **given: Any) -> Response:
    """The response of `run_stream`; the agent is closed."""
    _, response = await read(agent, message, **given)
    return response


async def checked_answer(agent: Agent, stream: bool, **given: Any) -> Response:
    """The response of a run; the chunks of a streamed one must hold the same. The agent is closed."""
    if not stream:
        return await answer(agent, **given)
    chunks, response = await read(agent, **given)
    assert "".join(chunk.content for chunk in chunks) == response.content
    assert [chunk.source for chunk in chunks if chunk.source] == response.sources
    assert [chunk.file for chunk in chunks if chunk.file] == response.files
    assert chunks[-1].metadata == response.metadata
    return response


# What a server says


def as_reply(wire: Wire, reply: Reply | bytes | list[bytes]) -> Reply:
    """The reply itself, or the one that streams this body."""
    if isinstance(reply, Reply):
        return reply
    return Reply(reply, content_type=wire.mime)


def whole(wire: Wire, *words: str, streaming: bool = True, **how: Any) -> Reply:
    """A whole answer of these words, streamed or in one piece, sent in this way."""
    if streaming:
        return Reply(wire.send.text(*words), content_type=wire.mime, **how)
    return Reply(wire.send.plain_text("".join(words)), content_type=JSON, **how)


def body_of(body: bytes | str) -> Reply:
    """A JSON body in one piece."""
    return Reply(body, content_type=JSON)


def refusal(
    wire: Wire,
    status: int,
    headers: dict[str, str] | None = None,
    *,
    message: str = "No.",
    code: str | None = None,
    type: str = "some_error",
) -> Reply:
    """An error status with a body in the format of the wire."""
    body = wire.send.error_body(message, code, type)
    return Reply(body, status, JSON, headers or {})


# What tests of a file share


class Shared:
    """A server, and one agent of each wire, for all tests of a file: making a client takes long.

    The tests run in one event loop, as the clients belong to it.
    """

    def __init__(self, server: Loopback, **settings: Any) -> None:
        self.server = server
        self.agents = {wire.name: wire.agent(server, **settings) for wire in WIRES}
        self.complaints: list[dict[str, Any]] = []
        """What the event loop was told that nobody waited for."""

    async def play(
        self,
        wire: Wire,
        *replies: Reply,
        streaming: bool = True,
        catch: type[BaseException] = CogentError,
    ) -> Outcome:
        """What comes of a run that gets these replies."""
        self.server.requests.clear()
        self.server.reply(*replies)
        agent = self.agents[wire.name]
        outcome = await outcome_of(agent, streaming=streaming, catch=catch)
        assert self.complaints == []
        return outcome

    async def fail(self, wire: Wire, reply: Reply, streaming: bool = True) -> Outcome:
        """What comes of one request that must fail, and is not repeated."""
        outcome = await self.play(wire, reply, streaming=streaming)
        assert outcome.error is not None, "the run did not fail"
        assert len(self.server.requests) == 1
        return outcome

    async def error_of(self, wire: Wire, reply: Reply, streaming: bool = True) -> Any:
        """The error of one request that must fail, and is not repeated."""
        return (await self.fail(wire, reply, streaming)).error


T = TypeVar("T", bound=Shared)


@asynccontextmanager
async def shared_agents(kind: type[T] = Shared, **settings: Any) -> AsyncIterator[T]:
    """Agents with these settings; to be used in a fixture of a module and its event loop."""
    with Loopback() as server:
        shared = kind(server, **settings)
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: shared.complaints.append(context)
        )
        yield shared
        for agent in shared.agents.values():
            await agent.aclose()
