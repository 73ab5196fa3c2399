"""Checks of what callers write: numbers, and the fields of dataclasses by their annotations."""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

import pytest

from cogent import ConfigurationError
from cogent.validation import (
    WrongTypeError,
    check_fields,
    check_whole,
    is_number,
    shown,
)


class Level(IntEnum):
    """A number with a name."""

    LOW = 1


@dataclass
class Inner:
    """A value in a list."""

    id: str
    size: float = 1.0


@dataclass
class Outer:
    """A value with a field of each kind."""

    kind: Literal["a", "b"] = "a"
    name: str | None = None
    is_open: bool = False
    inner: list[Inner] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    one: Inner | None = None


@pytest.mark.parametrize("value", [0, 1, -2.5, 10**300, Level.LOW])
def test_a_number_is_finite(value: object) -> None:
    """Whole numbers and floats that JSON and a clock can hold are numbers."""
    assert is_number(value)


@pytest.mark.parametrize("value", [True, None, "1", math.nan, math.inf, 10**400, 1j])
def test_what_is_no_number(value: object) -> None:
    """True, text, NaN, Infinity and what no float can hold are no numbers."""
    assert not is_number(value)


def test_a_whole_number_has_a_range() -> None:
    """A whole number is at least what is asked, below 2**63, and not True; the error says its name and the value."""
    check_whole(1, "max_steps", at_least=1)
    check_whole(Level.LOW, "max_steps", at_least=0)
    for value in (0, True, 1.0, "1", None, 2**63):
        with pytest.raises(
            ConfigurationError,
            match="max_steps is a whole number of at least 1; got",
        ):
            check_whole(value, "max_steps", at_least=1)


def test_fields_of_the_right_types_pass() -> None:
    """Every value that its annotation allows passes, a whole number for a float too."""
    check_fields(Outer())
    inner = Inner("x", 2)
    check_fields(Outer("b", "n", True, [inner], [{"a": object()}], inner))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": 1}, "kind is a string; got 1"),
        ({"name": 5}, "name is a string or None; got 5"),
        ({"is_open": 1}, "is_open is True or False; got 1"),
        ({"inner": "x"}, "inner is a list of Inners; got 'x'"),
        ({"inner": [Inner("x"), 5]}, "inner[1] is Inner; got 5"),
        ({"inner": [Inner(None)]}, "inner[0].id is a string; got None"),  # type: ignore[arg-type]
        ({"inner": [Inner("x", True)]}, "inner[0].size is a number; got True"),
        ({"items": [{}, []]}, "items[1] is a dict; got []"),
        ({"one": {}}, "one is Inner or None; got {}"),
        ({"one": Inner("x", "y")}, "one.size is a number; got 'y'"),  # type: ignore[arg-type]
    ],
)
def test_a_field_of_another_type_is_named(change: dict[str, Any], problem: str) -> None:
    """The error names the field, also inside of a list, with what it should be and what it is."""
    with pytest.raises(WrongTypeError) as raised:
        check_fields(Outer(**change))
    assert str(raised.value) == problem


class Unprintable:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (print, "the function print"),
        (Level, "the class Level"),
        ("a" * 100, "'" + "a" * 79 + "… (str)"),
        (Unprintable(), "Unprintable"),
    ],
)
def test_a_value_is_shown_shortly(value: object, text: str) -> None:
    """An error message shows a value by its repr, shortened, or by its type where it has none."""
    assert shown(value) == text


def test_a_number_that_python_does_not_write_is_shown_by_its_type() -> None:
    """A number of more digits than Python writes has no repr."""
    assert shown(10**5000) == "int"
