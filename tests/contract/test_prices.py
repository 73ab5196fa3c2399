"""What a run has cost: every turn counts, and a price that is not known is said."""

import logging
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.scene import refusal
from support.tool_runs import CHAT
from support.wire import anthropic_messages

from cogent import (
    Agent,
    ConfigurationError,
    Model,
    Response,
    StreamInterrupted,
    TurnSummary,
    Usage,
    tool,
)
from cogent.prices import TurnCost, cost, turn_costs

MILLION_TOKENS = 1_000_000
MILLION = Decimal(MILLION_TOKENS)
# Of gpt-4.1, dollars for a million tokens: input, cached input, output.
GPT_INPUT, GPT_CACHED, GPT_OUTPUT = Decimal(2), Decimal("0.5"), Decimal(8)


def agent_of(server: Loopback, *models: str, **settings: Any) -> Agent:
    """An agent of these models, whose server is the loopback one."""
    made = [
        Model(model, base_url=server.url, api_key="key", max_retries=0)
        for model in models
    ]
    return Agent("tester", made, **settings)


async def response_of(agent: Agent, end_at: str | None = None) -> Response:
    """The response of a stream, which is left at this text."""
    async with agent:
        stream = agent.run_stream("Go")
        async for chunk in stream:
            if end_at is not None and chunk.content == end_at:
                break
        await stream.aclose()
        return stream.response


def chat(*words: str, model: str = "gpt-4.1", **options: Any) -> Reply:
    """A streamed answer of the chat format."""
    return Reply(CHAT.send.text(*words, model=model, **options))


async def test_cached_tokens_have_their_own_price(server: Loopback) -> None:
    """Reasoning is a part of the output, and is not paid twice."""
    server.reply(chat("Hi", usage=(1000, 100), cached=600, reasoning_tokens=90))
    response = await response_of(agent_of(server, "openai-chat:gpt-4.1"))
    expected = 400 * GPT_INPUT + 600 * GPT_CACHED + 100 * GPT_OUTPUT
    assert cost(response) == expected / MILLION


async def test_every_turn_counts_at_the_price_of_its_model(server: Loopback) -> None:
    """Also of a model that answers after another one failed."""

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    call = ("c1", "look", "{}")
    server.reply(
        Reply(CHAT.send.tool_calls(call, model="gpt-4.1", usage=(100, 10))),
        refusal(CHAT, 401),
        Reply(
            anthropic_messages.text(
                "Hi", model="claude-sonnet-4-5", usage=(1000, 10), cached=500
            )
        ),
    )
    models = ("openai-chat:gpt-4.1", "anthropic:claude-test")
    response = await response_of(agent_of(server, *models, tools=[look]))
    first, second = turn_costs(response)
    assert first.dollars == (100 * GPT_INPUT + 10 * GPT_OUTPUT) / MILLION
    dollars = 500 * Decimal(3) + 500 * Decimal("0.3") + 10 * Decimal(15)
    assert second == TurnCost("anthropic", "claude-sonnet-4-5", dollars / MILLION)
    assert cost(response) == first.dollars + dollars / MILLION


async def test_a_run_that_was_stopped_costs_what_is_known_of_it(
    server: Loopback,
) -> None:
    """It is marked as an estimate."""
    events = CHAT.send.text("One", "Two", model="gpt-4.1")
    server.reply(Reply(events[:-2], end="stall"))
    response = await response_of(agent_of(server, "openai-chat:gpt-4.1"), end_at="One")
    [turn] = turn_costs(response)
    assert turn.estimated
    assert turn.dollars == cost(response)
    assert turn.dollars is not None and turn.dollars > 0


async def test_a_run_that_failed_costs_what_came_before(server: Loopback) -> None:
    """`error.partial` is the response of it, and one that never reached a model is free."""
    events = CHAT.send.text("One", "Two", model="gpt-4.1")
    server.reply(Reply(events[:2], end="close"), refusal(CHAT, 401))
    agent = agent_of(server, "openai-chat:gpt-4.1")
    async with agent:
        with pytest.raises(StreamInterrupted) as caught:
            async for _ in agent.run_stream("Go"):
                pass
        partial = caught.value.partial
        assert partial is not None and (cost(partial) or 0) > 0
        stream = agent.run_stream("Go")
        with pytest.raises(Exception, match="No"):
            await anext(stream)
        assert cost(stream.response) == 0


async def test_an_attempt_that_was_cut_and_repeated_is_paid_too(
    server: Loopback,
) -> None:
    """It is no turn, and stands at the end."""
    usage = (1000, 10)
    events = anthropic_messages.text("One", model="claude-sonnet-4-5", usage=usage)
    server.reply(
        Reply(events[:4], end="close"),
        Reply(events),
    )
    model = Model(
        "anthropic:claude-test",
        base_url=server.url,
        api_key="key",
        max_retries=1,
    )
    async with Agent("tester", model, stream=True) as agent:
        response = await agent.run("Go")
    turn, repeated = turn_costs(response)
    assert turn.dollars == (1000 * Decimal(3) + 10 * Decimal(15)) / MILLION
    assert repeated.estimated
    assert repeated.dollars is not None and repeated.dollars >= 1000 * 3 / MILLION
    assert cost(response) == turn.dollars + repeated.dollars


async def test_the_price_of_an_unknown_model_is_none(
    server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """And never 0: its name stands in the log, and in the costs of the turns."""
    server.reply(chat("Hi", model="my-own-model"))
    response = await response_of(agent_of(server, "openai-chat:my-own-model"))
    with caplog.at_level(logging.WARNING, "cogent"):
        assert cost(response) is None
    [record] = caplog.records
    assert record.getMessage() == "no price is known for openai-chat:my-own-model"
    assert turn_costs(response) == [TurnCost("openai-chat", "my-own-model", None)]


async def test_the_cost_that_a_server_reports_is_added_up(server: Loopback) -> None:
    """As OpenRouter reports it, in `usage.cost`, for each turn."""

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    def costing(events: list[bytes], dollars: bytes) -> Reply:
        told = b'"usage":{"cost":' + dollars + b","
        return Reply([event.replace(b'"usage":{', told) for event in events])

    server.reply(
        costing(CHAT.send.tool_calls(("c1", "look", "{}")), b"0.01"),
        costing(CHAT.send.text("Hi"), b"0.0023"),
    )
    response = await response_of(
        agent_of(server, "openai-chat:my-own-model", tools=[look])
    )
    assert cost(response) == Decimal("0.0123")


def response_with(model: str, **turn: Any) -> Response:
    """A response of one turn of this model."""
    usage = Usage(10, 10)
    told = {"tokens": usage.to_dict(), "model": model, "provider": ""}
    turns = [TurnSummary("", "stop", "stop", model, usage, **turn)]
    return Response("", "stop", told, [], [], turns)


def test_what_the_server_says_of_the_cost_goes_first() -> None:
    """Also of models that no list has; 0 is a price there."""
    for told in (0.0123, 0):
        response = response_with("my-own-model", provider_details={"cost": told})
        expected = TurnCost("", "my-own-model", Decimal(str(told)), reported=True)
        assert turn_costs(response) == [expected]
        assert cost(response) == Decimal(str(told))


def test_a_tier_with_prices_of_its_own_has_no_known_cost() -> None:
    """The price list knows the usual tier alone; what flex or batch cost would be told twice too dear."""
    for tier in ("flex", "priority", "batch"):
        response = response_with(
            "gpt-4.1", provider="openai", provider_details={"service_tier": tier}
        )
        assert cost(response) is None


def test_what_anthropic_tells_besides_is_paid() -> None:
    """Tokens that its cache keeps for an hour are dearer than those for five minutes, and web searches cost too."""

    def price(**details: Any) -> Decimal:
        usage = Usage(MILLION_TOKENS, 0, 0, MILLION_TOKENS)
        model = "claude-sonnet-4-5"
        told = {"tokens": usage.to_dict(), "model": model, "provider": "anthropic"}
        turn = TurnSummary("", "stop", "stop", model, usage, None, details, "anthropic")
        dollars = cost(Response("", "stop", told, [], [], [turn]))
        assert dollars is not None
        return dollars

    minutes = price()
    hour = price(cache_creation={"ephemeral_1h_input_tokens": MILLION_TOKENS})
    searched = price(server_tool_use={"web_search_requests": 100})
    assert hour > 1.5 * float(minutes)
    assert searched == minutes + 1
    assert (
        price(cache_creation="odd", server_tool_use={"web_search_requests": -1})
        == minutes
    )


@pytest.mark.parametrize("name", ["azure", "anthropic", "gemini", "groq", "mistral"])
def test_the_prefixes_are_known_to_the_price_list(name: str) -> None:
    """A prefix that the list knows under another name is translated."""
    models = {
        "azure": "gpt-4.1",
        "anthropic": "claude-sonnet-4-5",
        "gemini": "gemini-2.5-pro",
        "groq": "llama-3.3-70b-versatile",
        "mistral": "mistral-large-latest",
    }
    assert name in {wire.provider for wire in WIRES}
    response = response_with(models[name], provider=name)
    assert (cost(response) or 0) > 0


def test_only_a_response_has_a_cost() -> None:
    """The error says where one is."""
    with pytest.raises(ConfigurationError, match=r"stream\.response"):
        cost("Hi")  # type: ignore[arg-type]


def test_no_network_is_asked() -> None:
    """Neither by the import nor by a call, which has its prices from the package."""
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from cogent import TurnSummary, Usage, Response\n"
        "from cogent.prices import cost\n"
        "usage = Usage(10, 10)\n"
        "turn = TurnSummary('', 'stop', 'stop', 'gpt-4.1', usage, provider='openai')\n"
        "told = {'tokens': usage.to_dict(), 'model': '', 'provider': ''}\n"
        "print(cost(Response('', 'stop', told, [], [], [turn])))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert child.stdout.strip() == "0.00010", child.stderr


def test_without_the_package_the_error_names_the_extra() -> None:
    """As all that is optional does."""
    code = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from cogent import ConfigurationError, TurnSummary, Usage, Response\n"
        "from cogent.prices import cost\n"
        "turn = TurnSummary('', 'stop', 'stop', 'gpt-4.1', Usage(1, 1), provider='openai')\n"
        "told = {'tokens': Usage(1, 1).to_dict(), 'model': '', 'provider': ''}\n"
        "try:\n    cost(Response('', 'stop', told, [], [], [turn]))\n"
        "except ConfigurationError as error: print(error)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert 'pip install "cogent-ai[prices]"' in child.stdout
