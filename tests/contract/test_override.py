"""`agent.override(model=...)`: other models for a while, for one task, and for nobody else."""

import asyncio
import contextvars
import pickle
import threading
from collections.abc import Iterator

import pytest
from conftest import WIRES
from support.loopback import Loopback
from support.scene import whole

from cogent import Agent, ConfigurationError, Model, Response
from cogent.testing import ScriptedModel

CHAT = next(wire for wire in WIRES if wire.name == "openai-chat")
ANTHROPIC = next(wire for wire in WIRES if wire.name == "anthropic")


@pytest.fixture
def other() -> Iterator[Loopback]:
    """The server of the models that stand in."""
    with Loopback() as running:
        yield running


@pytest.fixture
def agent(server: Loopback) -> Agent:
    """An agent as it lives in a module."""
    server.reply(*[whole(CHAT, "real", streaming=False) for _ in range(3)])
    return CHAT.agent(server)


def stand_in(server: Loopback, *texts: str) -> Model:
    """A model of another provider that answers with these texts."""
    server.reply(*[whole(ANTHROPIC, text, streaming=False) for text in texts])
    return ANTHROPIC.model(server)


async def said(agent: Agent) -> str:
    """What the model says."""
    return str(await agent.run("Go"))


async def test_runs_that_begin_inside_are_answered_by_the_other_model(
    agent: Agent, other: Loopback
) -> None:
    """All else stays: before, after, and the agent's attributes."""
    async with agent:
        assert await said(agent) == "real"
        with agent.override(model=stand_in(other, "played")):
            response = await agent.run("Go")
            assert agent.model.provider == "openai-chat"
        assert (response.content, response.metadata["provider"]) == (
            "played",
            "anthropic",
        )
        assert await said(agent) == "real"


async def test_a_stream_keeps_the_model_that_it_began_with(
    agent: Agent, other: Loopback
) -> None:
    """It is begun inside, and read after the end of the block."""
    other.reply(whole(ANTHROPIC, "played"))
    async with agent:
        with agent.override(model=ANTHROPIC.model(other)):
            stream = agent.run_stream("Go")
        assert "".join([chunk.content async for chunk in stream]) == "played"


async def test_overrides_are_nested(agent: Agent, other: Loopback) -> None:
    """The inner one holds, then the outer one again, also after an exception; other agents are not concerned."""
    inner, outer = stand_in(other, "inner", "outer"), ANTHROPIC.model(other)
    async with agent:
        with agent.override(model=outer):
            with (
                pytest.raises(KeyError),
                agent.override(model=inner),
                CHAT.agent(other).override(model="openai:m"),
            ):
                assert await said(agent) == "inner"
                raise KeyError
            assert await said(agent) == "outer"
        assert await said(agent) == "real"


async def test_an_override_holds_for_its_task_and_those_that_it_starts(
    agent: Agent, other: Loopback
) -> None:
    """Tasks beside it do not see it."""
    started = asyncio.Event()
    ended = asyncio.Event()

    async def test() -> tuple[str, str]:
        with agent.override(model=stand_in(other, "own", "child")):
            own = await said(agent)
            child = await asyncio.create_task(said(agent))
            started.set()
            await ended.wait()
        return own, child

    async with agent:
        task = asyncio.create_task(test())
        await started.wait()
        assert await said(agent) == "real"
        ended.set()
        assert await task == ("own", "child")


async def test_an_override_holds_in_threads_with_the_context(
    agent: Agent, other: Loopback
) -> None:
    """A thread that gets a copy of the context sees it, with a loop of its own; another thread does not."""

    def run() -> str:
        async def main() -> str:
            async with agent:
                return await said(agent)

        return asyncio.run(main())

    async with agent:
        with agent.override(model=stand_in(other, "played")):
            assert await asyncio.to_thread(run) == "played"
            bare: list[str] = []
            thread = threading.Thread(target=lambda: bare.append(run()))
            thread.start()
            await asyncio.to_thread(thread.join)
    assert bare == ["real"]


def test_an_override_holds_without_asyncio(agent: Agent) -> None:
    """The loop in the background is asked from here."""
    with agent.override(model=ScriptedModel("played", "played")):
        assert str(agent.run_sync("Go")) == "played"
        chunks = list(agent.stream_sync("Go"))
    assert chunks[0].content == "played"


async def test_an_override_may_be_left_in_another_context(
    agent: Agent, other: Loopback
) -> None:
    """A fixture may be entered in one context and left in another, where there is nothing to end."""
    override = agent.override(model=ANTHROPIC.model(other))
    contextvars.copy_context().run(override.__enter__)
    override.__exit__(None, None, None)
    async with agent:
        assert await said(agent) == "real"


async def test_closing_the_agent_closes_the_stand_in_too(
    agent: Agent, other: Loopback
) -> None:
    """`async with agent` inside the block leaves no connection open."""
    with agent.override(model=stand_in(other, "played")):
        async with agent:
            response: Response = await agent.run("Go")
            assert response.content == "played"
        request = other.requests[0]
    assert await asyncio.to_thread(request.wait_disconnected, 30)


def test_an_unusable_model_is_refused_where_it_is_written(agent: Agent) -> None:
    """As at the making of an agent."""
    with pytest.raises(ConfigurationError, match="nobody"):
        agent.override(model="nobody:m")
    with pytest.raises(ConfigurationError, match="the list of models is empty"):
        agent.override(model=[])


def test_an_agent_is_pickled_without_its_override(agent: Agent) -> None:
    """What another process gets is the agent as it was made."""
    with agent.override(model=["openai:m", "anthropic:n"]):
        copied = pickle.loads(pickle.dumps(agent))
    assert [model.id for model in copied.models] == ["openai-chat:gpt-test"]
