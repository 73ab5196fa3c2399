"""What a tool returns: what is read step by step is refused unread, everything else becomes valid JSON."""

import itertools
import json
import sqlite3
import threading
import types
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel
from support.loopback import Loopback
from support.tool_runs import one

from cogent import tool
from cogent.tools.results import to_text


class Own:
    """An iterator of the user's own."""

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        raise AssertionError("it was read")


class OwnAsync:
    """An async iterator of the user's own."""

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        raise AssertionError("it was read")


class AsyncItems:
    """Something for `async for` that is no iterator itself."""

    def __aiter__(self) -> AsyncIterator[int]:
        return OwnAsync()


async def async_generator() -> AsyncIterator[int]:
    yield 1


def read(*_: object) -> int:
    raise AssertionError("it was read")


def cursor() -> sqlite3.Cursor:
    return sqlite3.connect(":memory:", check_same_thread=False).execute("SELECT 1")


ITERATORS: dict[str, Callable[[], object]] = {
    "generator": lambda: (read() for _ in range(2)),
    "map": lambda: map(read, [1]),
    "filter": lambda: filter(read, [1]),
    "zip": lambda: zip(map(read, [1]), [2], strict=True),
    "enumerate": lambda: enumerate(map(read, [1])),
    "count": itertools.count,
    "chain": lambda: itertools.chain(map(read, [1])),
    "iter": lambda: iter([1]),
    "reversed": lambda: reversed([1]),
    "cursor": cursor,
    "own": Own,
    "own async": OwnAsync,
    "async generator": lambda: async_generator(),
    "async iterable": AsyncItems,
}


@pytest.mark.parametrize("how", ["thread", "loop", "async"])
@pytest.mark.parametrize("kind", ITERATORS)
async def test_what_is_read_step_by_step_is_refused(
    server: Loopback, kind: str, how: str
) -> None:
    """The model is told in one line to be given a list; nothing is read, wherever the tool runs."""

    async def take_async() -> object:
        return ITERATORS[kind]()

    function = take_async if how == "async" else ITERATORS[kind]
    result = await one(
        server, tool(name="take", run_in_thread=how == "thread")(named(function))
    )
    assert result.is_error and result.content.startswith(
        "The tool 'take' failed: TypeError: it returned a"
    )
    assert result.content.endswith("return a list instead.")


def named(function: Callable[[], Any]) -> Callable[[], Any]:
    """The function itself, or one that calls a class: a class is no tool."""
    return (lambda: function()) if isinstance(function, type) else function


@dataclass
class Plain:
    value: Any


@dataclass(slots=True)
class Slotted:
    value: Any


class Model(BaseModel):
    value: Any


class OpenModel(BaseModel, extra="allow"):
    pass


NESTED: dict[str, Callable[[Any], object]] = {
    "list": lambda value: [1, value],
    "tuple": lambda value: (value,),
    "set": lambda value: {value},
    "deque": lambda value: deque([value]),
    "dict": lambda value: {"a": {"b": value}},
    "dict view": lambda value: {"a": value}.values(),
    "dict proxy": lambda value: types.MappingProxyType({"a": value}),
    "dataclass": Plain,
    "slotted dataclass": lambda value: [Slotted(value)],
    "model": lambda value: [Model(value=[value])],
    "model's extra": lambda value: OpenModel(a=value),
}


@pytest.mark.parametrize("kind", NESTED)
def test_an_iterator_inside_a_result_is_refused_unread(kind: str) -> None:
    """An endless iterator within a container, dataclass or model is refused too, and stays where it was."""
    numbers = itertools.count()
    with pytest.raises(TypeError, match=r"it returned a count, .* return a list"):
        to_text(NESTED[kind](numbers))
    assert next(numbers) == 0


class Scalar:
    """A number of numpy, as far as it can be seen without numpy."""

    shape = ()

    def item(self) -> float:
        return 2.5


class Color(Enum):
    RED = "red"


WRITTEN: list[tuple[object, str]] = [
    ({"a": 1, "b": 2}.keys(), '["a","b"]'),
    ({"a": 1}.values(), "[1]"),
    ({"a": 1}.items(), '[["a",1]]'),
    (range(3), "[0,1,2]"),
    (range(10**15), '"range(0, 1000000000000000)"'),
    (deque([1, 2]), "[1,2]"),
    (frozenset({1}), "[1]"),
    (UserList([1]), "[1]"),
    (UserDict(a=1), '{"a":1}'),
    (ChainMap({"a": 1}), '{"a":1}'),
    (types.MappingProxyType({"a": {1}}), '{"a":[1]}'),
    ([Scalar()], "[2.5]"),
    ({"a": Decimal("1.10"), "b": Color.RED}, '{"a":"1.10","b":"red"}'),
    (
        [float("nan"), {"a": float("inf")}, Model(value=float("-inf"))],
        '[null,{"a":null},{"value":null}]',
    ),
    (["half \ud83d", float("nan")], '["half ?",null]'),
    ("ü" * 3, "ü" * 3),
]


@pytest.mark.parametrize(
    ("value", "text"), WRITTEN, ids=lambda value: type(value).__name__
)
def test_a_result_is_valid_json(value: object, text: str) -> None:
    """Whatever can be read twice becomes JSON as every reader knows it, without NaN and Infinity."""
    assert to_text(value) == text
    if not isinstance(value, str):
        json.loads(text, parse_constant=pytest.fail)


class Witness:
    """A value that tells in which thread it was made into text."""

    def __str__(self) -> str:
        return f"main: {threading.current_thread() is threading.main_thread()}"


@pytest.mark.parametrize("how", ["thread", "loop", "async"])
async def test_the_result_of_a_sync_tool_is_written_in_its_thread(
    server: Loopback, how: str
) -> None:
    """The event loop does not do that work; for an async tool it does, whose value other tasks may be changing."""

    async def take_async() -> Witness:
        return Witness()

    function = take_async if how == "async" else lambda: Witness()
    result = await one(
        server, tool(name="take", run_in_thread=how == "thread")(function)
    )
    assert result.content == f'"main: {how != "thread"}"'
