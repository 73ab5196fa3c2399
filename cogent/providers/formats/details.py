"""What servers tell of an answer and cogent has no field for, as provider details."""

from __future__ import annotations

from collections.abc import Iterator

from cogent.json_values import Json
from cogent.providers.formats.fields import Fields, mapping
from cogent.run.outputs import ProviderDetails

# Those that say nothing: what the request asked for, and what is always so.
USUAL_TIERS = (None, "", "auto", "default", "standard", "on_demand")
XAI_TICKS = 10_000_000_000  # of a US dollar


def details_of(answer: Json, usage: Fields) -> Iterator[ProviderDetails]:
    """The cost of an answer, and the tier that it was served in."""
    cost = cost_of(usage)
    if cost is not None:
        yield ProviderDetails({"cost": cost})
    tier = answer.get("service_tier")
    if tier not in USUAL_TIERS:
        yield ProviderDetails({"service_tier": tier})


def cost_of(usage: Fields) -> float | None:
    """What the answer costs, in US dollars, from a server that says so.

    OpenRouter and Perplexity have a `cost`, which is an object with a total with the
    latter, DeepInfra an `estimated_cost`, xAI `cost_in_usd_ticks`.
    """
    cost = usage.get("cost")
    ticks = _number(usage.get("cost_in_usd_ticks"))
    known = (
        _number(cost),
        _number(mapping(cost).get("total_cost")),
        _number(usage.get("estimated_cost")),
        None if ticks is None else ticks / XAI_TICKS,
    )
    return next((value for value in known if value is not None), None)


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None
