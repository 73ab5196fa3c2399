"""Token counts of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cogent.providers.formats.counts import Counts, known
from cogent.providers.formats.fields import Fields, mapping, objects

NO_COUNTS: Mapping[str, int] = MappingProxyType({})


def decode_usage(
    usage: Fields,
    earlier: Mapping[str, int] = NO_COUNTS,
) -> Counts:
    """The counts of a `usage` object, as far as given; `input_tokens` leaves out what
    the cache served or took in.

    A compaction is billed like an answer and is not in the totals, while the iterations
    of type `message` are. `earlier` are the counts so far: a later zero hides none, but
    where the iterations name the message's own counts.
    """
    counts = read_counts(usage)
    compactions = _iterations(usage, "compaction")
    if not compactions:
        return counts
    own = counts
    if not _iterations(usage, "message"):
        given = {name: number for name, number in counts.items() if number}
        own = {**earlier, **given}
    for compaction in compactions:
        for name, number in read_counts(compaction).items():
            own[name] = counts[name] = own.get(name, 0) + number
    return counts


def read_counts(usage: Fields) -> Counts:
    """The counts as the object has them."""
    details = mapping(usage.get("output_tokens_details"))
    return known(
        {
            "input_tokens_uncached": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cache_read_tokens": usage.get("cache_read_input_tokens"),
            "cache_write_tokens": usage.get("cache_creation_input_tokens"),
            "reasoning_tokens": details.get("thinking_tokens"),
        }
    )


def _iterations(usage: Fields, type: str) -> list[Fields]:
    entries = objects(usage.get("iterations"))
    return [entry for entry in entries if entry.get("type") == type]
