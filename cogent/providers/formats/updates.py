"""The updates that answers of every format give alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from cogent.run.outputs import FinishWord, ModelName, TokenCounts, Update

NO_COUNTS: Mapping[str, int] = MappingProxyType({})


def updates_of(
    *,
    model: str | None = None,
    finish: str | None = None,
    counts: Mapping[str, int] = NO_COUNTS,
) -> Iterator[Update]:
    """The updates for those of the values that an event holds."""
    if model:
        yield ModelName(model)
    if finish:
        yield FinishWord(finish)
    if counts:
        yield TokenCounts(counts)
