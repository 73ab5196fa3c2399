"""Whether values that a caller wrote can be used and sent: all that is asked before any request."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_SHOWN_CHARS = 80
MAX_SHOWN_STEPS = 8
BITS_PER_DIGIT = 3.32
MAX_LOOKED_THROUGH = 100  # levels; what is deeper is left to Python's own JSON encoder

NAMES: dict[object, str] = {
    bool: "True or False",
    bytes: "bytes",
    dict: "a dict",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a string",
    type(None): "None",
}


def is_number(value: object) -> bool:
    """Whether the value is a finite number that JSON and a clock can hold; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def is_whole(value: object) -> bool:
    """Whether the value is a whole number that every server can read; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def shown(value: object) -> str:
    """A value for an error message: its repr, shortened, or its type where that says more."""
    if callable(value):
        return f"the {'class' if isinstance(value, type) else 'function'} {getattr(value, '__name__', value)!s}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # the user's own __repr__, or a number of more than 4,300 digits
        return type(value).__name__
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}… ({type(value).__name__})"


# Types


def wrong_field(value: object, path: str = "") -> str | None:
    """What is wrong with the fields of a dataclass, by their annotations; None if nothing is.

    Lists are looked through, and so are dataclasses in them; of a dict its keys.
    """
    kind: Any = type(value)
    for name, hint, plain, words in _hints(kind):
        inner = getattr(value, name)
        if inner.__class__ in plain or inner == [] or (inner.__class__ is str and inner in words):
            continue
        problem = _wrong(inner, hint, f"{path}{name}")
        if problem is not None:
            return problem
    return None


@cache
def _hints(kind: Any) -> list[tuple[str, Any, frozenset[Any], frozenset[Any]]]:
    """The fields with their types, and what nearly all values are compared with first.

    That is the classes in the type whose values have nothing in them to look at, and the words of a Literal.
    """
    hints = get_type_hints(kind)
    return [
        (field.name, hints[field.name], frozenset(_plain_types(hints[field.name])), _words(hints[field.name]))
        for field in fields(kind)
    ]


def _words(hint: Any) -> frozenset[Any]:
    return frozenset(get_args(hint)) if get_origin(hint) is Literal else frozenset()


def _plain_types(hint: Any) -> list[Any]:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [option for option in options if option in (str, bool, int, type(None))]


def _wrong(value: object, hint: Any, path: str) -> str | None:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _wrong_choice(value, hint, path)
    if hint is Any or (origin is Literal and value in get_args(hint)):
        return None
    if origin is Literal or not _is_of(value, origin or hint):
        return f"{path} is {_named(hint)}; got {shown(value)}"
    return _wrong_inside(value, hint, path)


def _wrong_choice(value: object, hint: Any, path: str) -> str | None:
    """The same for a union; of one that fits but for what is inside of it, that is what is wrong."""
    options = [option for option in get_args(hint) if _is_of(value, get_origin(option) or option)]
    if not options:
        return f"{path} is {_named(hint)}; got {shown(value)}"
    return _wrong(value, options[0], path)


def _is_of(value: object, kind: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _wrong_inside(value: object, hint: Any, path: str) -> str | None:
    if isinstance(value, list):
        return _first_wrong(value, get_args(hint), path)
    if isinstance(value, dict):
        return _wrong_key(value, path)
    return wrong_field(value, f"{path}.") if is_dataclass(value) else None


def _first_wrong(values: Iterable[object], hints: tuple[Any, ...], path: str) -> str | None:
    problems = (_wrong(value, hint, f"{path}[{place}]") for place, value in enumerate(values) for hint in hints)
    return next((problem for problem in problems if problem is not None), None)


def _wrong_key(value: Mapping[object, object], path: str) -> str | None:
    wrong = next((key for key in value if not isinstance(key, str)), None)
    return None if wrong is None else f"{path} has the key {shown(wrong)}, and a key is a string"


def _named(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(_named(option) for option in get_args(hint))
    if origin is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if origin is list:
        return f"a list of {_named(get_args(hint)[0]).removeprefix('a ')}s"
    kind = origin or hint
    return NAMES.get(kind, getattr(kind, "__name__", str(kind)))


# JSON


class UnsendableError(ValueError):
    """A value that JSON cannot hold; the text says why, `steps` where in the whole it is, the innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.steps: list[str] = []

    def at(self, path: str) -> str:
        """The whole sentence, for a value that is called `path`."""
        where = path + "".join(reversed(self.steps[-MAX_SHOWN_STEPS:]))
        return f"{where}{'…' * (len(self.steps) > MAX_SHOWN_STEPS)} {self}"


def check_json(value: object, depth: int = 0, *, objects: bool = False) -> None:
    """Raise UnsendableError unless JSON can hold the value.

    That is: strings without half characters, finite numbers that Python can write, keys that are strings, and no other
    types. With `objects` other types are let through, as an SDK may know how to write them.
    """
    if depth > MAX_LOOKED_THROUGH:
        _check_deep(value)
    elif isinstance(value, str):
        check_text(value)
    elif isinstance(value, dict):
        _check_items(value.items(), depth, objects)
    elif isinstance(value, list | tuple):
        _check_items(enumerate(value), depth, objects, keyed=False)
    elif isinstance(value, int | float):
        _check_number(value)
    elif value is not None and not objects:
        raise UnsendableError(f"is of the type {type(value).__name__}, which JSON cannot hold")


def check_text(text: str) -> None:
    """Raise UnsendableError for a text with half a character, as is left where one beyond U+FFFF was cut in two."""
    if not text.isascii() and (found := LONE_SURROGATE.search(text)) is not None:
        raise UnsendableError(f"has half a character (a lone surrogate) at position {found.start()}")


def _check_items(items: Iterable[tuple[Any, object]], depth: int, objects: bool, keyed: bool = True) -> None:
    for key, value in items:
        if keyed and not isinstance(key, str):
            raise UnsendableError(f"has the key {shown(key)}, and a key is a string")
        try:
            if keyed:
                check_text(key)
            if value.__class__ is not str or not value.isascii():  # what most values are
                check_json(value, depth + 1, objects=objects)
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
