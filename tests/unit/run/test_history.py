"""The parts of a fitted history: names, ids, arguments, addresses, and which result or item belongs to which call."""

from typing import Any

import pytest

from cogent import Message, ToolCall
from cogent.run.history import (
    fit_arguments,
    fit_arguments_text,
    fit_name,
    made_by,
    mend_items,
    pair_results,
    server_address,
    unused_id,
)


@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        ("search", "search"),
        ("get weather", "get_20weather"),
        ("änder", "_e4nder"),
        ("", "unnamed_tool"),
        ("a" * 70, "a" * 64),
        ("." * 70, ("_2e" * 70)[:64]),
    ],
)
def test_a_name_is_what_every_api_takes(name: str, fitted: str) -> None:
    """A name keeps its letters, digits, _ and -; each other character becomes its code, and 64 characters stay."""
    assert fit_name(name) == fitted


@pytest.mark.parametrize(
    ("arguments", "fitted"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        (" null ", {}),
        (None, {}),
        ('{"a": 1', {"INVALID_JSON": '{"a": 1'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ([1], {"INVALID_JSON": "[1]"}),
        ('{"a": 1}{"a": 1}', {"INVALID_JSON": '{"a": 1}{"a": 1}'}),
    ],
)
def test_arguments_are_an_object(arguments: object, fitted: dict[str, Any]) -> None:
    """Whatever the model wrote as arguments is sent as an object in which it can be read."""
    assert fit_arguments(arguments) == fitted


def test_the_text_of_arguments_stays_as_the_model_wrote_it() -> None:
    """A text that is a JSON object is sent letter by letter, anything else as the fitted object."""
    assert fit_arguments_text('{ "a":1}', {"b": 2}) == '{ "a":1}'
    for text in ("", "[1]", None, '{"a"'):
        assert fit_arguments_text(text, {"b": 2}) == '{"b": 2}'


def test_an_id_that_is_in_use_gets_a_number() -> None:
    """An id is used once; the next one of the name has a number, and stays within the longest that APIs take."""
    used: set[str] = set()
    assert [unused_id("call", used) for _ in range(3)] == ["call", "call_2", "call_3"]
    long = "x" * 64
    assert unused_id(long, used) == long
    assert unused_id(long, used) == "x" * 38 + "_2"
    assert used == {"call", "call_2", "call_3", long, "x" * 38 + "_2"}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (None, None),
        ("", None),
        ("local", "local"),
        ("https://API.example.com:443/v1/", "https://api.example.com/v1"),
        ("http://me:secret@host:80/", "http://host"),
        ("http://host:8080/V1?key=secret", "http://host:8080/V1"),
        ("http://[::1]:9/a", "http://[::1]:9/a"),
    ],
)
def test_an_address_has_no_credentials(url: str | None, address: str | None) -> None:
    """An address is scheme, host, port and path: no user, no password, no query, no usual port."""
    assert server_address(url) == address


def test_who_made_a_message() -> None:
    """The same provider at the same address made it; an address that is not known counts as the same."""
    message = Message("assistant", "Hi", provider="openai", address="https://a")
    unknown = Message("assistant", "Hi", provider="openai")
    assert made_by(message, "openai", "https://a")
    assert made_by(message, "openai", None)
    assert made_by(unknown, "openai", "https://b")
    assert not made_by(message, "openai", "https://b")
    assert not made_by(message, "groq", "https://a")
    assert not made_by(Message("user", "Hi"), "openai", None)


def asks(*ids: str) -> Message:
    """A message of the model with a call for each id."""
    return Message(
        "assistant", tool_calls=[ToolCall(id, f"tool_{id}", {}) for id in ids]
    )


def answers(id: str | None, name: str | None = None) -> Message:
    """A message that answers the call of this id, or of this name."""
    return Message("tool", "x", tool_call_id=id, name=name)


def test_a_result_answers_the_last_call_of_its_id() -> None:
    """Of two messages with a call of one id the later one is answered first, then the other."""
    first, second, spare = answers("a"), answers("a"), answers("a")
    results, waiting = pair_results([asks("a"), asks("a", "b"), first, second, spare])
    assert results[1, 0] is first and results[0, 0] is second
    assert len(results) == 2 and list(waiting) == [(1, 1)]


def test_results_without_ids_answer_calls_in_order() -> None:
    """A result that has only a name, or nothing, answers the first open call of the last message that it fits."""
    named, other = answers(None, "tool_b"), answers(None)
    results, waiting = pair_results([asks("a", "b", "c"), named, other])
    assert results[0, 1] is named and results[0, 0] is other
    assert list(waiting) == [(0, 2)]


def test_a_result_before_its_call_is_none() -> None:
    """A result answers only calls that stand before it."""
    results, waiting = pair_results([answers("a"), asks("a")])
    assert not results and list(waiting) == [(1, 0)]


def mended(items: list[dict[str, Any]], *ids: str) -> list[dict[str, Any]] | None:
    """The items with the id of the call that each of them is matched with."""
    calls = [ToolCall(id, "f", {}) for id in ids]

    def read_id(item: dict[str, Any]) -> object:
        return item.get("id", "") if item["type"] == "call" else None

    return mend_items(items, calls, read_id, lambda item, call: {"is": call.id})


def call_item(id: object) -> dict[str, Any]:
    """A provider's item that is a call."""
    return {"type": "call", "id": id}


TEXT = {"type": "text"}


@pytest.mark.parametrize(
    ("ids_of_items", "ids_of_calls", "matched"),
    [
        (["a", "b"], ["a", "b"], ["a", "b"]),
        (["b", "a"], ["a", "b"], ["b", "a"]),
        (["", ""], ["x", "y"], ["x", "y"]),
        (["a", "a"], ["a", "a_2"], ["a", "a_2"]),
        (["c", "a"], ["a", "b"], ["b", "a"]),
        (["a", None], ["x", "a"], ["a", "x"]),
        ([["a"], "y"], ["y", "x"], ["x", "y"]),
    ],
)
def test_items_match_calls(
    ids_of_items: list[object], ids_of_calls: list[str], matched: list[str]
) -> None:
    """Items that are calls match in their order if their ids allow it, else by id and the rest in order."""
    found = mended([TEXT, *[call_item(id or "") for id in ids_of_items]], *ids_of_calls)
    assert found == [TEXT, *({"is": id} for id in matched)]


def test_items_that_are_not_as_many_as_the_calls_are_not_used() -> None:
    """Where message and items hold another number of calls, only the message can be right."""
    assert mended([TEXT, call_item("a")], "a", "b") is None
    assert mended([call_item("a"), call_item("b")], "a") is None
    assert mended([TEXT]) == [TEXT]
