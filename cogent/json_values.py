"""Values of JSON."""

from __future__ import annotations

from typing import Any, TypeVar

Json = dict[str, Any]
"""A JSON object that is passed on without a look at what is in it."""

T = TypeVar("T")


def copy_json(value: T) -> T:
    """The value with lists and dicts of its own, however deeply they are nested; what
    is neither is shared.
    """
    holder: list[T] = [value]
    unfinished: list[object] = [holder]
    while unfinished:
        container = unfinished.pop()
        if isinstance(container, dict):
            for key, inner in container.items():
                if isinstance(inner, dict | list):
                    container[key] = (
                        inner.copy()
                    )  # the keys stay, so that the dict may be read meanwhile
                    unfinished.append(container[key])
        elif isinstance(container, list):
            for place, inner in enumerate(container):
                if isinstance(inner, dict | list):
                    container[place] = inner.copy()
                    unfinished.append(container[place])
    return holder[0]
