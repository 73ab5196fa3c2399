"""Fields of an answer that cogent has no field for, as its provider's details."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cogent.json_values import Json
from cogent.providers.formats.counts import Fields


def told_fields(fields: Fields, elsewhere: Collection[str] = ()) -> Json:
    """The fields that say something, without those that stand elsewhere."""
    return {
        name: value
        for name, value in fields.items()
        if name not in elsewhere and _says_something(value)
    }


def _says_something(value: object) -> bool:
    """Whether a value is more than null, 0, false, and what holds nothing else."""
    if isinstance(value, Mapping):
        return any(map(_says_something, value.values()))
    return bool(value)
