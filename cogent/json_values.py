"""Values of JSON: which ones can be sent, and copies of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from math import isfinite
from typing import Any, TypeVar

from cogent.validation import shown

Json = dict[str, Any]
"""A JSON object that is passed on without a look at what is in it."""

T = TypeVar("T")

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_SHOWN_STEPS = 8  # of the way to a value
BITS_PER_DIGIT = 3.32
MAX_DEPTH = 100  # levels; what is deeper is left to Python's own JSON encoder
# Tuples, as `dict | list` in a call of isinstance would be made anew each time.
CONTAINERS = (dict, list)
SEQUENCES = (list, tuple)
NUMBERS = (int, float)


def copy_json(value: T) -> T:
    """The value with dicts and lists of its own, at any depth; all else is shared."""
    holder: list[T] = [value]
    copies: list[Any] = [holder]
    for container in copies:  # which grows meanwhile
        for key, inner in _items(container):
            # Most values are strings, and the first test is the cheaper one.
            if inner.__class__ is not str and isinstance(inner, CONTAINERS):
                container[key] = inner.copy()
                copies.append(container[key])
    return holder[0]


def _items(container: Any) -> Iterable[tuple[Any, Any]]:
    """The keys and the values of a dict; the places and the values of a sequence."""
    return container.items() if isinstance(container, dict) else enumerate(container)


def dump_json(value: object) -> str:
    """The value as JSON for readers other than Python: NaN and infinity are null."""
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    except ValueError:
        from pydantic_core import to_json

        return to_json(value, inf_nan_mode="null").decode()


class UnsendableError(ValueError):
    """A value that JSON cannot hold.

    The text says why; `steps` say where in the whole it is, the innermost first.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.steps: list[str] = []

    def at(self, path: str) -> str:
        """The whole sentence, for a value that is called `path`."""
        steps = "".join(reversed(self.steps[-MAX_SHOWN_STEPS:]))
        more = "…" if len(self.steps) > MAX_SHOWN_STEPS else ""
        return f"{path}{steps}{more} {self}"


def check_json(value: object, depth: int = 0, *, objects: bool = False) -> None:
    """Raise UnsendableError unless JSON can hold the value.

    That is: strings without half characters, finite numbers that Python can write, keys
    that are strings, and no other types. With `objects` other types are let through, as
    an SDK may know how to write them.
    """
    if depth > MAX_DEPTH:
        _check_deep(value)
    elif isinstance(value, str):
        check_text(value)
    elif isinstance(value, dict):
        _check_keys(value)
        _check_inside(value, depth, objects)
    elif isinstance(value, SEQUENCES):
        _check_inside(value, depth, objects)
    elif isinstance(value, NUMBERS):
        _check_number(value)
    elif value is not None and not objects:
        kind = type(value).__name__
        raise UnsendableError(f"is of the type {kind}, which JSON cannot hold")


def check_text(text: str) -> None:
    """Raise UnsendableError for a text with half a character.

    That is what is left where a character beyond U+FFFF was cut in two.
    """
    if text.isascii():
        return
    found = LONE_SURROGATE.search(text)
    if found is not None:
        raise UnsendableError(
            f"has half a character (a lone surrogate) at position {found.start()}"
        )


def _check_keys(value: dict[object, object]) -> None:
    for key in value:
        if not isinstance(key, str):
            raise UnsendableError(f"has the key {shown(key)}, and a key is a string")
        if not key.isascii() and LONE_SURROGATE.search(key):
            raise UnsendableError(f"has the key {key!r}, which has half a character")


def _check_inside(value: object, depth: int, objects: bool) -> None:
    for key, inner in _items(value):
        if inner.__class__ is str and inner.isascii():  # as most values are
            continue
        try:
            check_json(inner, depth + 1, objects=objects)
        except UnsendableError as error:
            error.steps.append(f"[{key!r}]")
            raise


def _check_deep(value: object) -> None:
    try:
        json.dumps(value, allow_nan=False, default=str)
    except RecursionError:
        raise UnsendableError("is nested too deeply") from None
    except ValueError as error:  # among them: it contains itself
        raise UnsendableError(f"cannot be written as JSON: {error}") from None


def _check_number(number: float) -> None:
    if isinstance(number, float):
        if not isfinite(number):
            raise UnsendableError(f"is {number!r}, which is no number in JSON")
        return
    limit = sys.get_int_max_str_digits()
    if limit and number.bit_length() > limit * BITS_PER_DIGIT:
        raise UnsendableError(f"is a whole number of more than {limit} digits")
