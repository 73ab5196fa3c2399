"""Whether values that a caller wrote can be used."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import isfinite
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cogent.errors import ConfigurationError

MAX_SHOWN_CHARS = 80

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
SIMPLE_CLASSES = frozenset({bool, dict, float, int, str, type(None)})


def is_number(value: object) -> bool:
    """Whether the value is a finite number that JSON and a clock can hold.

    True and False are none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def check_whole(value: object, name: str, at_least: int) -> None:
    """Raise ConfigurationError unless this is a whole number that all servers can read.

    True and False are none.
    """
    is_good = False
    if isinstance(value, int) and not isinstance(value, bool):
        is_good = at_least <= value < 2**63
    if not is_good:
        raise ConfigurationError(
            f"{name} is a whole number of at least {at_least}; got {shown(value)}"
        )


def check_key(key: object) -> None:
    """Raise ConfigurationError for a key that no HTTP header takes; the HTTP clients'
    own errors would show it.
    """
    if isinstance(key, str) and not (
        key.isascii() and key.isprintable() and key == key.strip()
    ):
        raise ConfigurationError(
            "the API key has a character that cannot be sent, perhaps a line break at its end: strip() it"
        )


def shown(value: object) -> str:
    """A value for an error message: its repr, shortened, or its type."""
    if callable(value):
        kind = "class" if isinstance(value, type) else "function"
        return f"the {kind} {getattr(value, '__name__', value)}"
    name = type(value).__name__
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # the user's own, or of more than 4,300 digits
        return name
    if len(text) <= MAX_SHOWN_CHARS:
        return text
    return f"{text[:MAX_SHOWN_CHARS]}… ({name})"


# The types of a dataclass's fields


class WrongTypeError(ValueError):
    """A value has another type than its annotation says.

    The text says which value and which type.
    """


@dataclass(frozen=True, slots=True)
class Expected:
    """What an annotation allows: values of these classes.

    Of a value of a simple class there is nothing more to look at.
    """

    description: str
    classes: tuple[type, ...]
    simple_classes: frozenset[type]
    element: Expected | None


def check_fields(value: object, path: str = "") -> None:
    """Raise WrongTypeError unless each field has the type that its annotation says.

    The value is a dataclass. Lists in it are looked through, and so are dataclasses in
    lists. What is in a dict is not looked at, and a Literal only has to be a string.
    """
    kind: Any = type(value)  # mypy does not see that a class is hashable
    for name, simple_classes, expected in _expected_fields(kind):
        inner = getattr(value, name)
        if inner.__class__ not in simple_classes and inner != []:
            _check_type(inner, expected, f"{path}{name}")


def _check_type(value: object, expected: Expected, path: str) -> None:
    if not _is_instance(value, expected.classes):
        raise WrongTypeError(f"{path} is {expected.description}; got {shown(value)}")
    if isinstance(value, list):
        _check_elements(value, expected.element, path)
    elif is_dataclass(value):
        check_fields(value, f"{path}.")


def _check_elements(values: list[object], expected: Expected | None, path: str) -> None:
    if expected is None:
        return
    for place, value in enumerate(values):
        if value.__class__ not in expected.simple_classes:
            _check_type(value, expected, f"{path}[{place}]")


def _is_instance(value: object, classes: tuple[type, ...]) -> bool:
    """The same as isinstance, but True and False are no numbers."""
    return bool in classes if isinstance(value, bool) else isinstance(value, classes)


@cache
def _expected_fields(kind: Any) -> list[tuple[str, frozenset[type], Expected]]:
    """The fields of a dataclass, each with its simple classes and all that it may be."""
    hints = get_type_hints(kind)
    found = []
    for field in fields(kind):
        expected = _expected(hints[field.name])
        found.append((field.name, expected.simple_classes, expected))
    return found


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
