"""Tools: the schema that a model is told, and the arguments that a function is given."""

import base64
import functools
import inspect
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from cogent import Agent, ConfigurationError, RunContext, Tool, tool
from cogent.tools import ArgumentsError
from cogent.tools.results import to_text

MODEL = "openai-chat:gpt-test"


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Place(BaseModel):
    city: str = Field(description="Without the country")
    zip_code: str | None = None


@dataclass
class Point:
    x: int
    place: Place


@tool
def search(query: str, limit: int = 5) -> str:
    """Search for information."""
    return f"{limit} results for {query}"


def plain(query: str) -> str:
    """Look something up."""
    return query


class Shop:
    """Sells things at its own prices."""

    def __init__(self, price: int) -> None:
        self.cost = price

    @tool
    def price(self, item: str) -> str:
        """The price of an item."""
        return f"{item}: {self.cost}"

    @tool(
        name="order_item",
        timeout=3,
        on_error="raise",
        sequential=True,
        run_in_thread=False,
    )
    async def order(self, item: str) -> str:
        return f"{item} for {self.cost}"

    @staticmethod
    @tool
    def opening(day: str) -> str:
        return day

    def stock(self, item: str) -> str:
        """How many there are."""
        return f"{item}: {self.cost * 2}"


class Lookup:
    """Looks things up."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __call__(self, key: int) -> int:
        """Look a key up.

        Args:
            key: Counted from 1
        """
        return key + 1


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    """The schemas of the function's parameters."""
    found: dict[str, Any] = tool(function).parameters["properties"]
    return found


# The schema


def test_a_schema_is_a_closed_object_without_titles() -> None:
    """The schema holds the parameters, which of them are required, and nothing else."""
    assert search.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "limit": {"type": "integer", "default": 5},
        },
        "required": ["query"],
        "additionalProperties": False,
    }


def test_a_function_without_parameters_has_an_empty_object() -> None:
    """A tool that takes nothing has a schema without properties."""

    def ping() -> None: ...

    assert tool(ping).parameters == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_a_parameter_without_annotation_takes_anything() -> None:
    """Where the signature says nothing about a type, neither does the schema."""

    def echo(value): ...

    assert properties(echo) == {"value": {}}


def test_nested_models_are_described_by_their_own_schema() -> None:
    """A pydantic model as a parameter brings its fields, their descriptions and what it requires."""

    def visit(place: Place, more: list[Place]) -> None: ...

    parameters = tool(visit).parameters
    place = parameters["$defs"]["Place"]
    assert parameters["properties"]["place"] == {"$ref": "#/$defs/Place"}
    assert parameters["properties"]["more"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/Place"},
    }
    assert place["properties"]["city"] == {
        "type": "string",
        "description": "Without the country",
    }
    assert place["required"] == ["city"]


def test_an_enum_lists_its_values() -> None:
    """An Enum becomes the list of its values, not of its names."""

    def paint(color: Color) -> None: ...

    assert tool(paint).parameters["$defs"]["Color"]["enum"] == ["red", "green"]


def test_a_literal_lists_its_values() -> None:
    """A Literal becomes the list of its values."""

    def weather(unit: Literal["C", "F"]) -> None: ...

    assert properties(weather)["unit"] == {"type": "string", "enum": ["C", "F"]}


@pytest.mark.parametrize("annotation", [int | None, Optional[int]])  # noqa: UP045  # both spellings are in use
def test_an_optional_parameter_may_be_null_and_is_required_without_a_default(
    annotation: Any,
) -> None:
    """`Optional` allows null; only a default makes the parameter one that may be left out."""

    def page(needed: annotation, free: annotation = None) -> None: ...

    parameters = tool(page).parameters
    assert parameters["properties"]["needed"]["anyOf"] == [
        {"type": "integer"},
        {"type": "null"},
    ]
    assert parameters["properties"]["free"]["default"] is None
    assert parameters["required"] == ["needed"]


def test_defaults_are_told_and_left_to_the_function() -> None:
    """The schema shows a default, and a call without the argument leaves it to the function itself."""
    unset = object()

    def order(size: int = 2, color: Color = Color.RED, mark: Any = unset) -> None: ...

    assert properties(order)["size"]["default"] == 2
    assert properties(order)["color"]["default"] == "red"
    assert "required" not in tool(order).parameters
    assert tool(order).bind({}, {}) == {}


def test_constraints_are_told_and_hold() -> None:
    """A bound set by `Field` is in the schema, and an argument beyond it is refused."""

    def page(number: Annotated[int, Field(ge=1, le=9)]) -> None: ...

    assert properties(page)["number"] == {"type": "integer", "minimum": 1, "maximum": 9}
    with pytest.raises(ArgumentsError, match="number"):
        tool(page).bind({"number": 0}, {})


def test_a_field_in_the_annotation_describes_the_parameter() -> None:
    """The description of a `Field` inside `Annotated` reaches the schema."""

    def page(
        number: Annotated[int, Field(ge=1, description="Counted from 1")],
    ) -> None: ...

    assert properties(page)["number"] == {
        "type": "integer",
        "minimum": 1,
        "description": "Counted from 1",
    }


def test_a_field_as_default_describes_the_parameter_and_gives_its_default() -> None:
    """`Field(7, ...)` as a default means 7 with that description; the function never sees the Field."""

    def page(
        number: int = Field(7, le=9, description="Counted from 1"),
        tags: list[str] = Field(default_factory=list),  # noqa: B008  # each call gets a list of its own
        size: int = Field(description="Rows"),
    ) -> None: ...

    made = tool(page)
    expected = {
        "type": "integer",
        "default": 7,
        "maximum": 9,
        "description": "Counted from 1",
    }
    assert made.parameters["properties"]["number"] == expected
    assert made.parameters["required"] == ["size"]
    assert made.bind({"size": 3}, {}) == {"number": 7, "tags": [], "size": 3}


GOOGLE = """Find flights.

    Only direct ones.

    Args:
        origin: Where from.
        day (str): When,
            in ISO format.

    Returns:
        A list.
    """
NUMPY = """Find flights.

    Only direct ones.

    Parameters
    ----------
    origin : str
        Where from.
    day : str
        When,
        in ISO format.

    Returns
    -------
    list
        A list.
    """
REST = """Find flights.

    Only direct ones.

    :param origin: Where from.
    :param str day: When,
        in ISO format.
    :returns: A list.
    """


@pytest.mark.parametrize(
    "docstring", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"]
)
def test_a_docstring_describes_the_tool_and_its_parameters(docstring: str) -> None:
    """All three styles of docstrings give the parameters' descriptions, and the rest describes the tool."""

    def flights(
        origin: str, day: Annotated[str, Field(min_length=4)] = "today"
    ) -> None: ...

    flights.__doc__ = docstring
    made = tool(flights)
    assert made.description == "Find flights.\n\nOnly direct ones."
    assert made.parameters["properties"]["origin"] == {
        "type": "string",
        "description": "Where from.",
    }
    assert made.parameters["properties"]["day"]["description"].split() == [
        "When,",
        "in",
        "ISO",
        "format.",
    ]


MARKED = {
    "dashes": "Args:\n    - origin: Where from.\n    - day: When,\n        in ISO format.",
    "stars": "Args:\n    * origin: Where from.\n    * day (str): When,\n        in ISO format.",
    "bold": "Args:\n    **origin**: Where from.\n    **day** (str, optional): When,\n        in ISO format.",
    "numbers": "Args:\n    1. origin: Where from.\n    2. day: When,\n        in ISO format.",
    "code": "Args:\n    - `origin` (str): Where from.\n    - `day` (str): When,\n        in ISO format.",
    "splats": "Args:\n    *origin: Where from.\n    **day: When,\n        in ISO format.",
    "underlined": "Parameters\n----------\n*origin : str\n    Where from.\n**day : str\n    When,\n    in ISO format.",
}


@pytest.mark.parametrize("entries", MARKED.values(), ids=MARKED)
def test_marks_around_a_name_in_a_docstring_are_no_part_of_it(entries: str) -> None:
    """Where the entries of a docstring are a Markdown list, or names are marked, the descriptions are told too."""

    def flights(origin: str, day: str) -> None: ...

    flights.__doc__ = f"Find flights.\n\n{entries}"
    assert properties(flights)["origin"]["description"] == "Where from."
    assert properties(flights)["day"]["description"].split() == [
        "When,",
        "in",
        "ISO",
        "format.",
    ]
    assert tool(flights).description == "Find flights."


def test_an_entry_for_two_parameters_describes_both() -> None:
    """One entry of a docstring may name several parameters."""

    def add(left: int, right: int) -> None:
        """Add.

        Parameters
        ----------
        left, right : int
            A number.
        """

    assert [schema["description"] for schema in properties(add).values()] == [
        "A number.",
        "A number.",
    ]


SECTIONS = {
    "google": (
        "Find.\n\nNote:\n    Slow.\n\nArgs:\n    origin: Where from.\n\nTip:\n    Ask once.\n\n"
        'Returns:\n    A list.\n\nExample:\n    find("Bern")\n\nExamples:\n    More.\n\nThe end.',
        "Find.\n\nNote:\n    Slow.\n\nTip:\n    Ask once.\n\n"
        'Example:\n    find("Bern")\n\nExamples:\n    More.\n\nThe end.',
    ),
    "numpy": (
        "Find.\n\nParameters\n----------\norigin : str\n    Where from.\n\nReturns\n-------\nlist\n    A list.\n\n"
        'Notes\n-----\nSlow.\n\nExamples\n--------\n>>> find("Bern")',
        'Find.\n\nNotes\n-----\nSlow.\n\nExamples\n--------\n>>> find("Bern")',
    ),
    "rest": (
        "Find.\n\n:param origin: Where from,\n    a city.\n:returns: A list.\n:raises ValueError: Never.\n\n"
        '.. note:: Slow.\n\n:Example: find("Bern")',
        'Find.\n\n.. note:: Slow.\n\n:Example: find("Bern")',
    ),
    "no list": ("Find.\n\nArgs:\n    the origin, and what else there is", None),
    "nothing else": ("Find.\n\nExample:\n    find()", None),
}


@pytest.mark.parametrize("style", SECTIONS)
def test_other_sections_of_a_docstring_describe_the_tool(style: str) -> None:
    """A model reads notes, examples and whatever is not about parameters, results and errors, in its order."""

    def find(origin: str) -> None: ...

    find.__doc__, expected = SECTIONS[style]
    assert tool(find).description == (expected or find.__doc__)


def test_a_wrapped_summary_stays_one_paragraph() -> None:
    """A first sentence that goes over two lines is not torn apart by a blank line."""

    def flights() -> None:
        """Find flights between two cities,
        direct ones only.

        Slow.
        """

    assert (
        tool(flights).description
        == "Find flights between two cities,\ndirect ones only.\n\nSlow."
    )


def test_a_field_description_wins_over_the_docstring() -> None:
    """Where both describe a parameter, the `Field` counts."""

    def page(
        first: Annotated[int, Field(description="from the field")],
        second: int = Field(1, description="from the field"),
    ) -> None:
        """Turn pages.

        Args:
            first: from the docstring
            second: from the docstring
        """

    described = {
        name: schema.get("description") for name, schema in properties(page).items()
    }
    assert described == {"first": "from the field", "second": "from the field"}


def test_parameters_may_have_names_that_pydantic_keeps_for_itself() -> None:
    """Names that no pydantic field may have are ordinary parameter names."""

    def odd(
        schema: int,
        copy: int,
        json: int,
        model_config: int,
        model_fields: int,
        _x: int,
        __y: int,
    ) -> None: ...

    names = ["schema", "copy", "json", "model_config", "model_fields", "_x", "__y"]
    made = tool(odd)
    assert made.parameters["required"] == list(made.parameters["properties"]) == names
    assert made.bind(dict.fromkeys(names, "1"), {}) == dict.fromkeys(names, 1)


def test_postponed_annotations_are_resolved() -> None:
    """`from __future__ import annotations` works, also for a wrapped function and an unknown return type."""
    source = """
from __future__ import annotations
from typing import TYPE_CHECKING
from cogent import RunContext, tool
from pydantic import BaseModel
if TYPE_CHECKING:
    from elsewhere import Painting

class Canvas(BaseModel):
    width: int

@tool
def paint(canvas: Canvas, ctx: RunContext, title: str | None = None) -> Painting:
    return canvas.width
"""
    namespace: dict[str, Any] = {}
    exec(
        source, namespace
    )  # the only way to have that import here and not elsewhere in this file
    paint, context = namespace["paint"], {"user": 1}
    assert list(paint.parameters["properties"]) == ["canvas", "title"]
    bound = paint.bind({"canvas": {"width": "3"}}, context)
    assert isinstance(bound["canvas"], namespace["Canvas"]) and bound["ctx"] is context
    assert paint(**bound) == 3

    @functools.wraps(paint.function)
    def logged(*args: Any, **kwargs: Any) -> Any:
        return paint(*args, **kwargs)

    assert tool(logged).parameters == paint.parameters


def test_a_wrapped_function_keeps_its_schema() -> None:
    """Another decorator that uses functools.wraps does not hide the parameters."""

    @tool
    @functools.wraps(plain)
    def logged(*args: Any, **kwargs: Any) -> str:
        return plain(*args, **kwargs).upper()

    assert logged.name == "plain" and list(logged.parameters["properties"]) == ["query"]
    assert logged(query="x") == "X"


# The arguments


def test_arguments_reach_the_function_as_real_objects() -> None:
    """Strings become numbers, dates and enum members, and nested dicts become models, also inside lists."""

    def plan(
        count: int,
        place: Place,
        more: list[Place],
        color: Color,
        day: date,
        point: Point,
    ) -> None: ...

    home = {"city": "Bern"}
    told = {
        "count": "3",
        "place": home,
        "more": [home],
        "color": "green",
        "day": "2026-01-02",
    }
    assert tool(plan).bind({**told, "point": {"x": "1", "place": home}}, {}) == {
        "count": 3,
        "place": Place(city="Bern"),
        "more": [Place(city="Bern")],
        "color": Color.GREEN,
        "day": date(2026, 1, 2),
        "point": Point(1, Place(city="Bern")),
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "place"),
        ({"place": {"city": "Bern"}, "planet": 1}, "planet"),
        ({"place": {}}, "place.city"),
        ({"place": {"city": "Bern"}, "count": "many"}, "count"),
        ({"p0": {"city": "Bern"}}, "place"),
    ],
    ids=["missing", "extra", "nested", "type", "inner name"],
)
def test_arguments_that_do_not_fit_are_told_shortly(
    arguments: dict[str, Any], named: str
) -> None:
    """The message names the argument and the problem, in one line without URL, traceback or pydantic's words."""

    def visit(place: Place, count: int = 1) -> None: ...

    with pytest.raises(ArgumentsError) as caught:
        tool(visit).bind(arguments, {})
    message = str(caught.value)
    assert f"{named}: " in message and len(message) < 200 and "\n" not in message
    assert not any(
        word in message
        for word in ("http", "Traceback", "pydantic", "validation error")
    )


@pytest.mark.parametrize("text", ["", " ", "null", " null\n"])
def test_no_arguments_at_all_are_an_empty_object(text: str) -> None:
    """An empty string and null mean that the model gave no arguments."""

    def ping(times: int = 1) -> None: ...

    assert tool(ping).bind(text, {}) == {}
    with pytest.raises(ArgumentsError, match="query: Field required"):
        search.bind(text, {})


@pytest.mark.parametrize(
    ("text", "kind"), [("[1]", "list"), ("3", "int"), ('"x"', "str"), ("true", "bool")]
)
def test_json_that_is_no_object_is_named(text: str, kind: str) -> None:
    """The model is told what it sent instead of an object."""
    with pytest.raises(ArgumentsError, match=f"not a JSON object: it is {kind}"):
        search.bind(text, {})


@pytest.mark.parametrize(
    "text",
    ['{"query": "x', "{'query': 'x'}", "query=x", "[" * 100_000],
    ids=lambda text: text[:9],
)
def test_bad_json_is_told_shortly_and_never_repaired(text: str) -> None:
    """What cannot be parsed is refused with the parser's own short reason."""
    with pytest.raises(ArgumentsError, match="not a JSON object: ") as caught:
        search.bind(text, {})
    assert len(str(caught.value)) < 200


# The context


@dataclass
class Till:
    """What an application hands to its tools."""

    prices: dict[str, float]


def by_type(key: str, ctx: RunContext) -> object:
    return ctx


def by_optional_type(key: str, ctx: RunContext | None = None) -> object:
    return ctx


def by_string(key: str, ctx: "RunContext") -> object:
    return ctx


def by_annotated_type(key: str, ctx: Annotated[RunContext, "whose"]) -> object:
    return ctx


def by_name(key: str, context) -> object:
    return context


def by_name_and_any_type(key: str, context: dict[str, Any] | None = None) -> object:
    return context


def by_keyword(key: str, *, ctx: RunContext) -> object:
    return ctx


def by_typed_context(key: str, ctx: RunContext[Till]) -> object:
    return ctx


def by_optional_typed_context(key: str, ctx: RunContext[Till] | None = None) -> object:
    return ctx


def by_string_of_a_type(key: str, ctx: "RunContext[Till]") -> object:
    return ctx


def by_type_in_a_string(key: str, ctx: RunContext["Till"]) -> object:
    return ctx


WAYS = [
    by_type,
    by_optional_type,
    by_string,
    by_annotated_type,
    by_name,
    by_name_and_any_type,
    by_keyword,
    by_typed_context,
    by_optional_typed_context,
    by_string_of_a_type,
    by_type_in_a_string,
]


@pytest.mark.parametrize("function", WAYS, ids=lambda function: function.__name__)
def test_the_context_is_handed_over_and_not_in_the_schema(
    function: Callable[..., Any],
) -> None:
    """A parameter of type RunContext or named `context` gets the very object, and the model is not told of it."""
    made = tool(function)
    assert list(made.parameters["properties"]) == made.parameters["required"] == ["key"]
    for context in ({"user": "u1"}, Till({"tea": 2.5})):
        assert made(**made.bind({"key": "k"}, context)) is context


def test_a_context_that_is_made_by_hand_is_the_object_itself() -> None:
    """`RunContext(...)` gives back what it is given, for those who call a tool by hand."""
    context = {"user": "u1"}
    assert RunContext(context) is context


@pytest.mark.parametrize(
    "function", [by_type, by_name], ids=lambda function: function.__name__
)
def test_the_model_cannot_give_the_context(function: Callable[..., Any]) -> None:
    """An argument with the name of the context parameter is refused like any other that does not exist."""
    name = list(inspect.signature(function).parameters)[1]
    with pytest.raises(ArgumentsError, match=name):
        tool(function).bind({"key": "k", name: {"user": "root"}}, {})


# What can be a tool


def test_options_are_kept_and_have_defaults() -> None:
    """Each option of the decorator is an attribute of the tool; without options the defaults hold."""
    made = tool(
        name="other",
        timeout=1.5,
        on_error="raise",
        sequential=True,
        run_in_thread=False,
    )(plain)
    chosen = (
        made.name,
        made.timeout,
        made.on_error,
        made.sequential,
        made.run_in_thread,
    )
    assert chosen == ("other", 1.5, "raise", True, False)
    defaults = (
        search.name,
        search.timeout,
        search.on_error,
        search.sequential,
        search.run_in_thread,
    )
    assert defaults == ("search", None, "return", False, True)


def test_a_decorated_function_stays_the_function_it_was() -> None:
    """It is called as before, and its name, docstring and signature are those of the function."""
    assert (
        search("AI") == "5 results for AI"
        and search("AI", limit=2) == "2 results for AI"
    )
    assert search.__name__ == "search" and search.__doc__ == "Search for information."
    assert str(inspect.signature(search)) == "(query: str, limit: int = 5) -> str"
    assert search.description == "Search for information."


async def test_a_decorated_async_function_is_awaited_as_before() -> None:
    """Calling an async tool directly gives what its function gives."""

    @tool
    async def fetch(url: str) -> str:
        return f"page of {url}"

    assert await fetch("x") == "page of x"


async def test_a_decorated_method_works_through_its_instance() -> None:
    """A bound tool has no `self` in its schema, sees its own instance and keeps name, docstring and options."""
    cheap, dear = Shop(1), Shop(9)
    assert list(dear.price.parameters["properties"]) == ["item"]
    assert (cheap.price("tea"), dear.price("tea")) == ("tea: 1", "tea: 9")
    assert (
        dear.price.name == "price" and dear.price.description == "The price of an item."
    )
    order = dear.order
    assert (order.name, order.timeout, order.on_error, order.sequential) == (
        "order_item",
        3,
        "raise",
        True,
    )
    assert order.run_in_thread is False and await order("tea") == "tea for 9"


def test_plain_bound_methods_and_static_ones_work() -> None:
    """A bound method can be given as it is, and a static method may be decorated."""
    agent = Agent("a", MODEL, tools=[Shop(2).stock, Shop.opening])
    assert list(agent.tools) == ["stock", "opening"]
    assert list(agent.tools["stock"].parameters["properties"]) == ["item"]
    assert agent.tools["stock"](item="tea") == "tea: 4"
    assert list(agent.tools["opening"].parameters["properties"]) == ["day"]


@pytest.mark.parametrize(
    "unbound", [Shop.price, Shop.stock], ids=["decorated", "plain"]
)
def test_an_unbound_method_is_refused_with_the_way_out(unbound: Any) -> None:
    """A method without an instance fails when the agent is built, and the message says what to give instead."""
    with pytest.raises(
        ConfigurationError,
        match=r"is a method: give the agent `instance\.(price|stock)`",
    ):
        Agent("a", MODEL, tools=[unbound])


def test_a_callable_object_is_a_tool() -> None:
    """An object with `__call__` is named after its class, and `__call__` gives the schema."""
    made = tool(Lookup())
    assert made.name == "Lookup" and made.parameters["required"] == ["key"]
    assert made(**made.bind({"key": "3"}, {})) == 4


def test_attributes_of_a_callable_object_do_not_replace_the_tools_own() -> None:
    """A callable object may have attributes of any name."""
    made = tool(Lookup(call="phone", bind="book", _schema="public"))
    assert made.parameters["required"] == ["key"]
    assert made(**made.bind({"key": 1}, {})) == 2


def test_a_partial_is_a_tool_without_what_it_fixes() -> None:
    """An argument fixed by position is gone, one fixed by keyword has a new default, and the name is the function's."""

    def add(left: int, right: int, scale: int = 1) -> int:
        return (left + right) * scale

    made = tool(functools.partial(add, 1, scale=10))
    assert made.name == "add" and list(made.parameters["properties"]) == [
        "right",
        "scale",
    ]
    assert (
        made.parameters["required"] == ["right"]
        and made.parameters["properties"]["scale"]["default"] == 10
    )
    assert made(**made.bind({"right": "2"}, {})) == 30


@pytest.mark.parametrize(
    "made",
    [Lookup(), functools.partial(Lookup.__call__, Lookup())],
    ids=["object", "partial"],
)
def test_what_is_no_plain_function_is_described_by_the_docstring_behind_it(
    made: Callable[..., Any],
) -> None:
    """A callable object and a partial have the description and the parameters' descriptions of what they call."""
    assert tool(made).description == "Look a key up."
    assert properties(made)["key"]["description"] == "Counted from 1"


def test_a_lambda_needs_a_name() -> None:
    """A lambda is refused with the way out, and is a tool like any other once it is named."""
    with pytest.raises(ConfigurationError, match=r"tool\(name="):
        Agent("a", MODEL, tools=[lambda x: x])
    assert tool(name="same")(lambda x: x).parameters["required"] == ["x"]


@pytest.mark.parametrize("name", ["two words", "größe", "a.b", "x" * 65])
def test_a_name_that_providers_refuse_is_refused_here(name: str) -> None:
    """Only letters, digits, _ and -, at most 64 of them, make a name."""
    with pytest.raises(ConfigurationError, match="a tool's name has 1 to 64"):
        tool(name=name)(plain)


@pytest.mark.parametrize(
    "given", [Shop, search, "search", None], ids=["class", "tool", "string", "none"]
)
def test_what_is_no_function_is_refused(given: Any) -> None:
    """A class, a tool and what cannot be called at all cannot be made a tool."""
    with pytest.raises(
        ConfigurationError, match="a tool is made from a function or method"
    ):
        tool()(given)


def test_two_tools_of_one_name_are_refused() -> None:
    """An agent cannot have two tools that a model could not tell apart."""
    with pytest.raises(ConfigurationError, match="two tools are named 'search'"):
        Agent("a", MODEL, tools=[search, tool(name="search")(plain)])


def any_number(*numbers: int) -> None: ...


def any_keyword(**options: int) -> None: ...


def by_position(number: int, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (any_number, r"\*numbers"),
        (any_keyword, r"\*\*options"),
        (by_position, "number"),
    ],
)
def test_parameters_that_have_no_name_for_a_model_are_refused(
    function: Callable[..., Any], shown: str
) -> None:
    """`*args`, `**kwargs` and positional-only parameters are refused with the reason, when the agent is built."""
    with pytest.raises(
        ConfigurationError, match=f"gives arguments by name, so {shown}"
    ):
        Agent("a", MODEL, tools=[function])


@pytest.mark.parametrize(
    "annotation", ["Missing", "list[Missing]", "The city to look up"]
)
def test_an_annotation_that_cannot_be_resolved_is_refused(annotation: str) -> None:
    """A string that names no type makes a ConfigurationError that names the tool."""

    def lookup(city): ...

    lookup.__annotations__ = {"city": annotation}
    with pytest.raises(ConfigurationError, match="tool 'lookup'"):
        Agent("a", MODEL, tools=[lookup])


@pytest.mark.parametrize(
    "annotation",
    [Callable[[int], int], Shop, list[Shop]],
    ids=["callable", "class", "in a list"],
)
def test_a_type_without_json_schema_is_refused_by_name(annotation: Any) -> None:
    """The message names the tool and the parameter whose type no model can fill in."""

    def process(number: int, handler: annotation) -> None: ...

    with pytest.raises(ConfigurationError, match=r"tool 'process'.*handler"):
        Agent("a", MODEL, tools=[process])


def test_a_builtin_without_signature_is_refused() -> None:
    """A function whose parameters cannot be read makes a ConfigurationError that names it."""
    with pytest.raises(ConfigurationError, match="tool 'max'"):
        Agent("a", MODEL, tools=[max])


@pytest.mark.parametrize(
    "options",
    [{"on_error": "ignore"}, {"timeout": 0}, {"timeout": -1}, {"timeout": "3"}],
    ids=lambda options: "{} {!r}".format(*next(iter(options.items()))),
)
def test_a_senseless_option_is_refused_at_once(options: dict[str, Any]) -> None:
    """An option that cannot work is refused when the tool is made, and the message names it."""
    with pytest.raises(ConfigurationError, match=next(iter(options)).replace("_", ".")):
        tool(**options)(plain)


# Pickles


def through_pickle(made: Tool[..., Any]) -> Tool[..., Any]:
    copy: Tool[..., Any] = pickle.loads(pickle.dumps(made))
    return copy


def test_a_decorated_function_pickles_by_reference() -> None:
    """A tool of a module is found again by its name: it is the same object."""
    assert through_pickle(search) is search


def test_a_tool_made_from_a_plain_function_keeps_its_options_in_a_pickle() -> None:
    """Where the name means the function, the tool is made anew from it with the same options."""
    copy = through_pickle(tool(name="other", timeout=2, on_error="raise")(plain))
    assert (copy.name, copy.timeout, copy.on_error) == ("other", 2, "raise")
    assert copy.function is plain and copy.parameters["required"] == ["query"]


async def test_a_bound_tool_takes_its_instance_into_a_pickle() -> None:
    """A decorated method comes back bound to a copy of its instance, with its options."""
    copy = through_pickle(Shop(9).order)
    assert await copy("tea") == "tea for 9"
    assert (copy.name, copy.timeout, copy.sequential) == ("order_item", 3, True)


def test_a_partial_pickles() -> None:
    """A tool made from a partial of a module's function comes back with what was fixed."""
    assert through_pickle(tool(functools.partial(plain, query="x")))() == "x"


# What the model reads of a result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        ({"a": [1, None], 2: "ü"}, '{"a":[1,null],"2":"ü"}'),
        (Place(city="Bern"), '{"city":"Bern","zip_code":null}'),
        (
            Point(1, Place(city="Bern")),
            '{"x":1,"place":{"city":"Bern","zip_code":null}}',
        ),
        ({3}, "[3]"),
        (Color.RED, '"red"'),
        (datetime(2026, 1, 2, 3, 4), '"2026-01-02T03:04:00"'),
        (float("nan"), "null"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_is_told_as_text_or_json(value: object, text: str) -> None:
    """A string is told as it is, anything else as JSON."""
    assert to_text(value) == text


def test_bytes_are_told_in_base64() -> None:
    """Bytes, also those that are no text, become base64."""
    assert base64.urlsafe_b64decode(to_text(b"\xff\x00")[1:-1]) == b"\xff\x00"


def test_an_unknown_object_is_told_by_its_repr() -> None:
    """What has no JSON form does not fail the call."""
    assert to_text([Lookup]) == f'["{Lookup!r}"]'


def test_half_a_surrogate_pair_is_replaced() -> None:
    """A lone surrogate, which no request can carry, becomes a question mark."""
    assert to_text("half \ud83d") == "half ?"


@pytest.mark.parametrize(
    "value", [{"city": "half \ud83d"}, Place(city="half \ud83d")], ids=["dict", "model"]
)
def test_half_a_surrogate_pair_inside_a_structure_is_replaced(value: object) -> None:
    """A lone surrogate within a dict or a model does not fail the call either."""
    assert json.loads(to_text(value))["city"] == "half ?"
