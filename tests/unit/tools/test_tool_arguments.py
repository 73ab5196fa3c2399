"""Arguments that a model wrote a little wrongly, and whose meaning is clear, reach the tool without another turn."""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired

import pytest
from conftest import Wire
from pydantic import BaseModel, Field, SecretStr, StrictInt, StrictStr
from support.loopback import Loopback, Reply
from support.scene import read
from support.tool_runs import results
from typing_extensions import TypedDict

from cogent import tool
from cogent.tools import ArgumentsError

UNSET: Any = object()


class Place(BaseModel):
    city: str
    people: int = 3
    tags: list[str] = []


class Strict(BaseModel, strict=True):
    city: str


@dataclass
class Point:
    name: str
    x: int = 1


class Options(TypedDict):
    name: str
    limit: NotRequired[int]


class Number(Enum):
    ONE = 1


class Word(Enum):
    ONE = "1"


def bound(annotation: Any, value: object, default: object = UNSET) -> Any:
    """What the parameter is given for this argument; UNSET where it is left to the function's default."""

    def take(value): ...

    take.__annotations__ = {"value": annotation}
    take.__defaults__ = None if default is UNSET else (default,)
    return tool(take).bind({"value": value}, {}).get("value", UNSET)


NULLS = [
    (int, 5),
    (int, None),
    (list[str], ("a",)),
    (Literal["C", "F"], "C"),
    (Number, Number.ONE),
    (Place, Place(city="Bern")),
    (int | str, 5),
    (StrictInt, 5),
]


@pytest.mark.parametrize(("annotation", "default"), NULLS, ids=str)
def test_null_takes_the_default(annotation: Any, default: object) -> None:
    """Null for a parameter with a default, whose type does not allow it, is as if it were left out."""
    assert bound(annotation, None, default) is UNSET


def test_null_stays_null_where_the_type_allows_it() -> None:
    """A parameter that may be None is given None, whatever its default."""
    assert bound(int | None, None, 5) is None
    assert bound(Any, None, 5) is None


def test_null_takes_the_default_of_a_field() -> None:
    """The default may come from a `Field`."""

    def take(
        number: int = Field(7, ge=1),
        tags: list[str] = Field(default_factory=list),  # noqa: B008
    ) -> None: ...

    assert tool(take).bind({"number": None, "tags": None}, {}) == {
        "number": 7,
        "tags": [],
    }


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Place, {"city": "Bern", "people": None}, Place(city="Bern")),
        (
            list[Place],
            [{"city": "Bern", "people": None, "tags": None}],
            [Place(city="Bern")],
        ),
        (Point, {"name": "a", "x": None}, Point("a")),
        (Options, {"name": "a", "limit": None}, {"name": "a"}),
        (
            dict[str, Place],
            {"k": {"city": "Bern", "people": None}},
            {"k": Place(city="Bern")},
        ),
    ],
    ids=["model", "list", "dataclass", "TypedDict", "dict"],
)
def test_null_takes_the_default_inside_a_structure(
    annotation: Any, value: object, expected: object
) -> None:
    """The same holds for the fields of models, dataclasses and TypedDicts, also inside lists and dicts."""
    assert bound(annotation, value) == expected


TEXTS = [
    (list[int], "[1,2]", [1, 2]),
    (list[int], ' [1, "2"]\n', [1, 2]),
    (list[int] | None, "[1]", [1]),
    (list[str], "[1, true]", ["1", "true"]),
    (tuple[int, str], "[1, 2]", (1, "2")),
    (set[int], "[1, 1]", {1}),
    (frozenset[int], "[1]", frozenset({1})),
    (Sequence[int], "[1]", [1]),
    (list[list[int]], ["[1]", [2]], [[1], [2]]),
    (list[list[int]], '["[1]"]', [[1]]),
    (dict[str, int], '{"a": "1"}', {"a": 1}),
    (dict, "{}", {}),
    (
        Place,
        '{"city": "Bern", "people": null, "tags": "[\\"a\\"]"}',
        Place(city="Bern", tags=["a"]),
    ),
    (list[Place], '[{"city": "Bern"}]', [Place(city="Bern")]),
    (list[Place], ['{"city": "Bern"}'], [Place(city="Bern")]),
    (Place | list[int], '{"city": 5}', Place(city="5")),
    (Point, '{"name": "a"}', Point("a")),
    (Options, '{"name": "a", "limit": null}', {"name": "a"}),
    (Literal[1, 2], "1", 1),
    (Number, "1", Number.ONE),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), TEXTS, ids=str)
def test_json_in_a_string_is_read(
    annotation: Any, value: object, expected: object
) -> None:
    """A JSON list or object that came as a string is read where the type takes no string."""
    assert bound(annotation, value) == expected


@pytest.mark.parametrize(
    "annotation", [str, Any, list[int] | str, str | None, object], ids=str
)
def test_json_in_a_string_stays_a_string_where_one_is_taken(annotation: Any) -> None:
    """A type that takes strings is given the string that the model wrote."""
    assert bound(annotation, "[1,2]") == "[1,2]"


SCALARS = [
    (str, 3, "3"),
    (str, -1.5, "-1.5"),
    (str, True, "true"),
    (str | None, 3, "3"),
    (list[str], ["a", 1, False], ["a", "1", "false"]),
    (dict[str, str], {"a": 1}, {"a": "1"}),
    (Place, {"city": 8000}, Place(city="8000")),
    (Annotated[str, Field(min_length=2)], 12, "12"),
    (Literal["1", "2"], 2, "2"),
    (Word, 1, Word.ONE),
    (int | str, 3, 3),
    (float | str, 1.5, 1.5),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), SCALARS, ids=str)
def test_a_number_for_a_string_is_its_json_text(
    annotation: Any, value: object, expected: object
) -> None:
    """A number, true or false is written as in JSON where the type takes a string only."""
    found = bound(annotation, value)
    assert found == expected and type(found) is type(expected)


def test_a_number_for_a_secret_string_is_taken() -> None:
    """What is a string to pydantic counts as one."""
    assert bound(SecretStr, 1234).get_secret_value() == "1234"


REFUSED = [
    (int, None, "valid integer"),
    (Place, None, "Place"),
    (dict[str, int], {"a": None}, "value.a: .*valid integer"),
    (list[int], [1, None], "value.1: .*valid integer"),
    (Place, {"city": None}, "value.city: .*valid string"),
    (StrictStr, 3, "valid string"),
    (Annotated[str, Field(strict=True)], True, "valid string"),
    (Annotated[list[int], Field(strict=True)], "[1]", "valid list"),
    (Annotated[tuple[int, ...], Field(strict=True)], "[1]", "valid tuple"),
    (Annotated[dict[str, int], Field(strict=True)], "{}", "valid dict"),
    (Strict, '{"city": "Bern"}', "Strict"),
    (Strict, {"city": 3}, "value.city: .*valid string"),
    (StrictInt, "3", "valid integer"),
    (Annotated[str, Field(min_length=3)], 12, "valid string"),
    (Annotated[list[int], Field(min_length=3)], "[1]", "valid list"),
    (Annotated[int, Field(ge=5)] | str, 3, "greater than or equal to 5"),
    (list[int], "[1, 2", "valid list"),
    (list[int], "1, 2", "valid list"),
    (list[int], '{"a": 1}', "valid list"),
    (list[int], '[1, "x"]', "value.1: .*valid integer"),
    (list[int], "[" * 100_000, "valid list"),
    (list[int], 1, "valid list"),
    (dict, "[1]", "valid dict"),
    (str, ["a"], "valid string"),
    (str, {"a": 1}, "valid string"),
    (str, float("nan"), "valid string"),
    (Literal["a"], 1, "'a'"),
]


@pytest.mark.parametrize(
    ("annotation", "value", "told"), REFUSED, ids=lambda value: str(value)[:40]
)
def test_what_does_not_fit_is_refused_as_it_was_written(
    annotation: Any, value: object, told: str
) -> None:
    """What stays wrong, breaks a constraint or a strict type is refused, in words about what the model wrote."""
    with pytest.raises(ArgumentsError, match=told):
        bound(annotation, value)


def test_a_missing_argument_is_still_named() -> None:
    """A repaired argument does not hide what is wrong with another, and an unknown one is refused."""

    def take(first: str, second: int, third: int = 1) -> None: ...

    with pytest.raises(ArgumentsError) as caught:
        tool(take).bind({"first": 1, "second": None, "third": None, "fourth": None}, {})
    assert str(caught.value) == (
        "The arguments do not fit: second: Input should be a valid integer; fourth: Extra inputs are not permitted."
    )


class Shop:
    @tool
    def decorated(self, items: list[int], name: str, limit: int = 5) -> list[Any]:
        return [items, name, limit]

    def plain(self, items: list[int], name: str, limit: int = 5) -> list[Any]:
        return [items, name, limit]

    def __call__(self, items: list[int], name: str, limit: int = 5) -> list[Any]:
        return [items, name, limit]


async def coroutine(items: list[int], name: str, limit: int = 5) -> list[Any]:
    return [items, name, limit]


def partly(extra: str, items: list[int], name: str, limit: int) -> list[Any]:
    return [items, name, limit]


WAYS = [
    Shop().decorated,
    Shop().plain,
    Shop(),
    coroutine,
    functools.partial(partly, "x", limit=5),
]


@pytest.mark.parametrize(
    "made", WAYS, ids=["decorated method", "method", "object", "coroutine", "partial"]
)
def test_every_way_to_make_a_tool_has_it(made: Callable[..., Any]) -> None:
    """Methods, callable objects, coroutines and partials are given what a plain function is given."""
    function = made if isinstance(made, type(Shop().decorated)) else tool(made)
    arguments = function.bind({"items": "[1]", "name": 2, "limit": None}, {})
    assert (
        arguments["items"] == [1]
        and arguments["name"] == "2"
        and "limit" not in arguments
    )


async def test_no_turn_is_lost_and_the_conversation_stays_as_it_was(
    server: Loopback, wire: Wire
) -> None:
    """On every provider the tool runs at once, and the next request repeats the arguments that the model gave."""
    written = {"items": "[1, 2]", "name": 3, "limit": None}
    call = ("c1", "take", json.dumps(written))
    replies = [
        Reply(answer, content_type=wire.mime)
        for answer in (wire.send.tool_calls(call), wire.send.text("Done"))
    ]
    server.reply(*replies)

    def take(items: list[int], name: str, limit: int = 5) -> list[Any]:
        items.append(9)
        return [items, name, limit]

    chunks, response = await read(wire.agent(server, tools=[take]))
    assert [result.content for result in results(chunks)] == ['[[1,2,9],"3",5]']
    assert response.tool_calls[0].arguments == written and len(server.requests) == 2


def test_what_a_tool_changes_in_its_arguments_is_its_own() -> None:
    """A tool gets copies, at any depth, whether pydantic makes new values of them or not."""
    given = {"value": [{"a": [1]}]}
    found = tool(name="take")(lambda value: value).bind(given, {})["value"]
    found[0]["a"].append(2)
    assert given == {"value": [{"a": [1]}]}
