"""Texts with halves of characters, as servers send them, and JSON that is none."""

import math

import pytest

from cogent.run.surrogates import (
    fix_json,
    fix_surrogates,
    is_json_object,
    join_surrogates,
    json_object,
    require_str,
)

HIGH, LOW = "\ud83d", "\ude00"  # the halves of a smiling face
FACE = "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("plain", "plain"),
        ("Zürich " + FACE, "Zürich " + FACE),
        (HIGH + LOW, FACE),
        (f"a{HIGH}b", "a\ufffdb"),
        (f"a{LOW}b", "a\ufffdb"),
        (LOW + HIGH, "\ufffd\ufffd"),
        (HIGH + HIGH + LOW, "\ufffd" + FACE),
    ],
)
def test_halves_are_joined_or_replaced(text: str, fixed: str) -> None:
    """Two halves in order become their character, and each half alone U+FFFD."""
    assert fix_surrogates(text) == fixed


def test_a_character_that_was_cut_between_two_pieces_is_whole_in_the_second() -> None:
    """Half a character at the end of a piece waits for the next piece of the same text."""
    carry: dict[object, str] = {}
    assert join_surrogates(carry, "content", "a" + HIGH) == "a"
    assert join_surrogates(carry, "reasoning", "b") == "b"
    assert join_surrogates(carry, "content", LOW + "c") == FACE + "c"
    assert not carry


def test_half_a_character_whose_other_half_never_comes_is_replaced() -> None:
    """A half that the next piece does not complete becomes U+FFFD."""
    carry: dict[object, str] = {}
    assert join_surrogates(carry, "content", HIGH) == ""
    assert join_surrogates(carry, "content", "b") == "\ufffdb"


def test_what_is_no_string_is_refused() -> None:
    """A decoder passes on whatever a server sent: anything but a string is a TypeError."""
    assert require_str("a") == "a"
    for value in (None, 5, ["a"], {"a": "b"}):
        with pytest.raises(TypeError, match=type(value).__name__):
            require_str(value)


def test_every_string_of_an_object_is_fixed() -> None:
    """Keys and values are fixed at any depth, and NaN and Infinity are null."""
    value = {"a" + HIGH: [{"b": HIGH + LOW}, math.nan, -math.inf], "c": 1.5}
    assert fix_json(value) == {"a\ufffd": [{"b": FACE}, None, None], "c": 1.5}


def test_an_object_that_needs_nothing_is_the_same_object() -> None:
    """What has nothing to fix is not copied, and what is nested too deeply stays as it is."""
    value = {"a": ["NaN?", FACE]}
    assert fix_json(value) == value
    plain = {"a": [1, None]}
    assert fix_json(plain) is plain
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert fix_json(deep) is deep
    while deep:  # freeing it at once would recurse
        deep = deep.pop("a")  # type: ignore[assignment]


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '"a"', "{", '{"a": NaN}', '{"a": 1} x', "{'a': 1}"]
)
def test_what_is_no_object_is_none(text: str) -> None:
    """Only the whole text of one JSON object is an object; nothing is repaired."""
    assert json_object(text) is None and not is_json_object(text)


def test_an_object_is_read_and_fixed() -> None:
    """The text of an object gives the object, its strings fixed."""
    assert json_object('{"a": "\\ud83d"}') == {"a": "\ufffd"}
    assert is_json_object(' {"a": 1} ')
