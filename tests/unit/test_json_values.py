"""Values of JSON: which can be sent, where in a value the trouble is, and copies that share nothing."""

import math
from typing import Any

import pytest

from cogent.json_values import UnsendableError, check_json, check_text, copy_json

HALF = "a\ud83d"


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "Zürich \N{GRINNING FACE}", [], {}, (1, 2), {"a": [{}]}],
)
def test_what_json_holds_passes(value: object) -> None:
    """Strings, numbers, true, false, null, lists and objects can be sent; a tuple is a list."""
    check_json(value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"a": [1, {"b": HALF}]}, "x['a'][1]['b'] has half a character"),
        ([math.inf], "x[0] is inf, which is no number in JSON"),
        ({"a": {1: 2}}, "x['a'] has the key 1, and a key is a string"),
        ({HALF: 1}, "x has the key 'a\\ud83d', which has half a character"),
        ([b"x"], "x[0] is of the type bytes, which JSON cannot hold"),
        ({"a": ({"b": {1}},)}, "x['a'][0]['b'] is of the type set"),
    ],
)
def test_the_error_says_where_it_is(value: Any, sentence: str) -> None:
    """The error names the way to the value that cannot be sent, and the reason."""
    with pytest.raises(UnsendableError) as raised:
        check_json(value)
    assert raised.value.at("x").startswith(sentence)


def test_a_number_that_python_does_not_write_is_refused() -> None:
    """A whole number has no more digits than Python writes."""
    with pytest.raises(UnsendableError, match="a whole number of more than 4300"):
        check_json([10**5000])


def test_a_long_way_is_shortened() -> None:
    """Of a way of many steps the last ones are not shown."""
    value: Any = HALF
    for _ in range(50):
        value = [value]
    with pytest.raises(UnsendableError) as raised:
        check_json(value)
    assert raised.value.at("x").startswith("x" + "[0]" * 8 + "… has half")


def test_what_contains_itself_is_refused() -> None:
    """A value that contains itself is an error, and no endless loop."""
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(UnsendableError, match="cannot be written as JSON"):
        check_json(itself)


def test_objects_pass_where_an_sdk_may_write_them() -> None:
    """With `objects` other types pass, and only what is wrong in JSON itself is an error."""
    check_json({"a": [object()]}, objects=True)
    with pytest.raises(UnsendableError):
        check_json({"a": [math.nan]}, objects=True)


def test_a_text_is_checked_alone() -> None:
    """Half a character in a text is named with its position."""
    check_text("Zürich")
    with pytest.raises(UnsendableError, match="at position 1"):
        check_text(HALF)


def test_a_copy_has_containers_of_its_own() -> None:
    """Dicts and lists are copied at any depth, all else is shared, and the given value stays as it is."""
    shared = object()
    given = {"a": [{"b": [1]}, shared], "c": "d"}
    copied = copy_json(given)
    assert copied == given and copied["a"][1] is shared
    copied["a"][0]["b"].append(2)
    copied["a"].append(3)
    copied["e"] = 4
    assert given == {"a": [{"b": [1]}, shared], "c": "d"}
    for scalar in (None, 5, "x", (1, [2])):
        assert copy_json(scalar) is scalar
