"""Whether values that a caller wrote can be used and sent: all that is asked before any
request.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import isfinite
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_SHOWN_CHARS = 80
MAX_SHOWN_STEPS = 8  # of the way to a value
BITS_PER_DIGIT = 3.32
MAX_DEPTH = 100  # levels; what is deeper is left to Python's own JSON encoder

NAMES: dict[type, str] = {
    bool: "True or False",
    bytes: "bytes",
    dict: "a dict",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a string",
    type(None): "None",
}
SIMPLE_CLASSES = frozenset({bool, int, str, type(None)})


def is_number(value: object) -> bool:
    """Whether the value is a finite number that JSON and a clock can hold; True and
    False are none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def is_whole(value: object) -> bool:
    """Whether the value is a whole number that every server can read; True and False
    are none.
    """
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def shown(value: object) -> str:
    """A value for an error message: its repr, shortened, or its type where that says
    more.
    """
    if callable(value):
        kind = "class" if isinstance(value, type) else "function"
        return f"the {kind} {getattr(value, '__name__', value)}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # the user's own __repr__, or a number of more than 4,300 digits
        return type(value).__name__
    if len(text) <= MAX_SHOWN_CHARS:
        return text
    return f"{text[:MAX_SHOWN_CHARS]}… ({type(value).__name__})"


# Types


class WrongTypeError(ValueError):
    """A value has another type than its annotation says; the text says which value and
    which type.
    """


@dataclass(frozen=True, slots=True)
class Expected:
    """What an annotation allows: values of these classes.

    Of a simple class there is nothing more to look at.
    """

    description: str
    classes: tuple[type, ...]
    simple_classes: frozenset[type]
    element: Expected | None


def check_fields(value: object, path: str = "") -> None:
    """Raise WrongTypeError unless each field of a dataclass has the type that its
    annotation says.

    Lists are looked through, and so are dataclasses in them; of a dict its keys. A
    Literal only has to be a string.
    """
    kind: Any = type(value)  # mypy does not see that a class is hashable
    for name, expected in _expected_fields(kind):
        inner = getattr(value, name)
        if inner.__class__ not in expected.simple_classes and inner != []:
            _check_type(inner, expected, f"{path}{name}")


def _check_type(value: object, expected: Expected, path: str) -> None:
    if not _is_instance(value, expected.classes):
        raise WrongTypeError(f"{path} is {expected.description}; got {shown(value)}")
    if isinstance(value, list) and expected.element is not None:
        for place, element in enumerate(value):
            _check_type(element, expected.element, f"{path}[{place}]")
    elif isinstance(value, dict):
        _check_keys(value, path)
    elif is_dataclass(value):
        check_fields(value, f"{path}.")


def _is_instance(value: object, classes: tuple[type, ...]) -> bool:
    """The same as isinstance, but True and False are no numbers."""
    return bool in classes if isinstance(value, bool) else isinstance(value, classes)


def _check_keys(value: dict[object, object], path: str) -> None:
    for key in value:
        if not isinstance(key, str):
            raise WrongTypeError(
                f"{path} has the key {shown(key)}, and a key is a string"
            )


@cache
def _expected_fields(kind: Any) -> list[tuple[str, Expected]]:
    """The fields of a dataclass with what their annotations allow."""
    hints = get_type_hints(kind)
    return [(field.name, _expected(hints[field.name])) for field in fields(kind)]


def _expected(hint: Any) -> Expected:
    is_union = get_origin(hint) in (Union, UnionType)
    options = get_args(hint) if is_union else (hint,)
    classes = [_class_of(option) for option in options]
    if float in classes:
        classes.append(int)
    element = _expected(get_args(hint)[0]) if get_origin(hint) is list else None
    return Expected(
        description=" or ".join(map(_describe, options)),
        classes=tuple(classes),
        simple_classes=frozenset(classes) & SIMPLE_CLASSES,
        element=element,
    )


def _class_of(hint: Any) -> type:
    origin = get_origin(hint)
    kind: type = str if origin is Literal else origin or hint
    return kind


def _describe(hint: Any) -> str:
    if get_origin(hint) is list:
        return f"a list of {_describe(get_args(hint)[0]).removeprefix('a ')}s"
    kind = _class_of(hint)
    return NAMES.get(kind, kind.__name__)


# JSON


class UnsendableError(ValueError):
    """A value that JSON cannot hold; the text says why, `steps` where in the whole it
    is, the innermost first.
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
        _check_items(value.items(), str, depth, objects)
    elif isinstance(value, list | tuple):
        _check_items(enumerate(value), int, depth, objects)
    elif isinstance(value, int | float):
        _check_number(value)
    elif value is not None and not objects:
        raise UnsendableError(
            f"is of the type {type(value).__name__}, which JSON cannot hold"
        )


def check_text(text: str) -> None:
    """Raise UnsendableError for a text with half a character, as is left where one
    beyond U+FFFF was cut in two.
    """
    if text.isascii():
        return
    found = LONE_SURROGATE.search(text)
    if found is not None:
        raise UnsendableError(
            f"has half a character (a lone surrogate) at position {found.start()}"
        )


def _check_items(
    items: Iterable[tuple[object, object]], key_type: type, depth: int, objects: bool
) -> None:
    for key, value in items:
        if not isinstance(key, key_type):
            raise UnsendableError(f"has the key {shown(key)}, and a key is a string")
        try:
            if isinstance(key, str):
                check_text(key)
            if value.__class__ is str:  # as most values are
                check_text(value)
            else:
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
