"""The fields of a JSON object, which a server may have filled with anything."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from cogent.json_values import Json

Fields = Mapping[str, Any]  # a JSON object, as a server sent it


def mapping(value: object) -> Fields:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> list[Json]:
    """The objects in a list; none of what is no list."""
    if not isinstance(value, list):
        return []
    return [one for one in value if isinstance(one, dict)]


def first_text(fields: Fields, *names: str) -> str | None:
    """The first of these fields that is a string and not empty."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def text_of(value: object) -> str:
    """A string as it is, null as an empty one, all else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def filled_fields(fields: Fields, without: Collection[str] = ()) -> Json:
    """The fields that say something, without those of these names."""
    return {
        name: value
        for name, value in fields.items()
        if name not in without and _says_something(value)
    }


def _says_something(value: object) -> bool:
    """Whether a value is more than null, 0, false, and what holds nothing else."""
    if isinstance(value, Mapping):
        return any(map(_says_something, value.values()))
    return bool(value)
