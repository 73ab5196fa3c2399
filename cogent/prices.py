"""What a run has cost, in US dollars.

    from cogent.prices import cost

    response = await agent.run("...")
    print(cost(response))  # Decimal('0.0031')

The prices are those of the package genai-prices, as it was when it was installed: no
network is asked. It needs the extra `prices`. What the server itself says that an answer
costs goes before them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cogent.errors import ConfigurationError
from cogent.messages import Message, Response, TurnSummary, Usage
from cogent.providers.formats.counts import count
from cogent.providers.formats.fields import mapping
from cogent.validation import shown

if TYPE_CHECKING:
    from genai_prices import Usage as PricedUsage

__all__ = ["TurnCost", "cost", "turn_costs"]

logger: logging.Logger = logging.getLogger("cogent")

# The names of providers in genai-prices, by the prefixes of models.
PROVIDERS = {
    "openai-chat": "openai",
    "gemini": "google",
}


@dataclass(frozen=True, slots=True)
class TurnCost:
    """What one answer of a model has cost: `dollars` is None if no price is known.

    `reported` says that the figure is the server's own. `estimated` says that the tokens
    are an estimate, as the provider gave no figures.

    >>> model = ScriptedModel(["The Nile.", Usage(400_000)], id="openai:gpt-4o")
    >>> response = Agent("writer", model).run_sync("Name a river.")
    >>> turn_costs(response)[0].dollars > 0
    True
    """

    provider: str
    model: str
    dollars: Decimal | None
    reported: bool = False
    estimated: bool = False


def cost(response: Response[Any]) -> Decimal | None:
    """What a run has cost so far, in US dollars, or None if that is not known.

    It counts every turn, of whichever model, cached and reasoning tokens at their
    prices, Anthropic's web searches, and what attempts have cost that were cut and
    repeated. The run may have been stopped (`stream.response`) or failed
    (`error.partial`): then the tokens are as far as they are known. A turn without a
    known price makes the whole None, never less, and so does a service tier with prices
    of its own (`flex`, `priority`, `batch`): a warning in the log `cogent` names the
    model, and `turn_costs` does too. Raises ConfigurationError.

    >>> model = ScriptedModel(["The Nile.", Usage(400_000)], id="openai:gpt-4o")
    >>> response = Agent("writer", model).run_sync("Name a river.")
    >>> cost(response) > 0
    True
    """
    total = Decimal(0)
    unknown = {}
    for turn in turn_costs(response):
        if turn.dollars is None:
            unknown[f"{turn.provider}:{turn.model}"] = True
        else:
            total += turn.dollars
    if unknown:
        logger.warning("no price is known for %s", ", ".join(unknown))
        return None
    return total


def turn_costs(response: Response[Any]) -> list[TurnCost]:
    """What each turn of a run has cost, in order; attempts that were cut and repeated
    stand at the end. Raises ConfigurationError.

    >>> model = ScriptedModel(["The Nile.", Usage(400_000)], id="openai:gpt-4o")
    >>> response = Agent("writer", model).run_sync("Name a river.")
    >>> [(turn.model, turn.dollars > 0) for turn in turn_costs(response)]
    [('gpt-4o', True)]
    """
    if not isinstance(response, Response):
        raise ConfigurationError(
            f"what has a cost is a Response, like `stream.response` or `error.partial`; "
            f"got {shown(response)}"
        )
    costs = [_cost_of(turn, response.messages) for turn in response.turns]
    abandoned = _abandoned(response)
    if abandoned.total_tokens:
        last = response.turns[-1] if response.turns else None
        repeated = TurnSummary(
            "",
            None,
            None,
            last.model if last else response.metadata["model"],
            abandoned,
            provider=last.provider if last else response.metadata["provider"],
        )
        costs.append(_cost_of(repeated, response.messages))
    return costs


def _abandoned(response: Response[Any]) -> Usage:
    """The tokens of attempts that are no turn."""
    total = Usage.from_dict(response.metadata["tokens"])
    turns = sum((turn.usage for turn in response.turns), Usage())
    return Usage(
        total.input_tokens - turns.input_tokens,
        total.output_tokens - turns.output_tokens,
        total.cache_read_tokens - turns.cache_read_tokens,
        total.cache_write_tokens - turns.cache_write_tokens,
        estimated=total.estimated,
    )


def _cost_of(turn: TurnSummary, messages: Sequence[Message]) -> TurnCost:
    provider = turn.provider
    reported = turn.provider_details.get("cost")
    if isinstance(reported, int | float) and not isinstance(reported, bool):
        return TurnCost(provider, turn.model, Decimal(str(reported)), reported=True)
    dollars = None
    if (
        "service_tier" not in turn.provider_details
    ):  # the list knows the usual tier alone
        dollars = _price(turn, _address(messages, provider))
    return TurnCost(provider, turn.model, dollars, estimated=turn.usage.estimated)


def _address(messages: Sequence[Message], provider: str) -> str | None:
    """That of the server that answered as this provider, where messages tell it."""
    for message in reversed(messages):
        if message.role == "assistant" and message.provider == provider:
            return message.address
    return None


def _price(turn: TurnSummary, address: str | None) -> Decimal | None:
    """By the price list: of the provider that the address is known for, else of the one
    that the prefix names, for which a proxy may stand.
    """
    try:
        from genai_prices import calc_price
    except ImportError as error:
        raise ConfigurationError(
            'cogent.prices needs genai-prices: pip install "cogent-ai[prices]"'
        ) from error
    usage = _priced_usage(turn)
    if address is not None:
        with suppress(LookupError):
            return calc_price(usage, turn.model, provider_api_url=address).total_price
    provider = PROVIDERS.get(turn.provider, turn.provider)
    with suppress(LookupError):
        return calc_price(usage, turn.model, provider_id=provider).total_price
    return None


def _priced_usage(turn: TurnSummary) -> PricedUsage:
    """The tokens for the price list, which counts cached ones as part of the input too,
    and refuses more of them than there is input; and what Anthropic tells besides that
    has a price: tokens that are kept for an hour, and web searches.
    """
    from genai_prices import Usage as PricedUsage

    usage = turn.usage
    cache_read = min(usage.cache_read_tokens, usage.input_tokens)
    cache_write = min(usage.cache_write_tokens, usage.input_tokens - cache_read)
    for_an_hour = _count(turn, "cache_creation", "ephemeral_1h_input_tokens")
    return PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=min(for_an_hour, cache_write),
        web_searches=_count(turn, "server_tool_use", "web_search_requests"),
    )


def _count(turn: TurnSummary, group: str, name: str) -> int:
    """A count that the provider told in its details; 0 where it told none."""
    counts = mapping(turn.provider_details.get(group))
    return count(counts.get(name)) or 0
