"""One schema of pydantic's in the dialects of the providers: what is kept, told or refused."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from cogent.output import make_output_type
from cogent.providers.formats.output_schema import (
    ANTHROPIC,
    GEMINI,
    STRICT,
    Dialect,
    in_dialect,
    strict,
)

Json = dict[str, Any]


class Money(BaseModel):
    """An amount."""

    amount: float = Field(ge=0)
    currency: str = Field("EUR", min_length=3, description="its code")


class Card(BaseModel):
    kind: Literal["card"]
    last: str = Field(pattern=r"^\d{4}$")


class Cash(BaseModel):
    kind: Literal["cash"]


class Order(BaseModel):
    total: Money = Field(description="with taxes")
    paid: Annotated[Card | Cash, Field(discriminator="kind")]
    on: str | None = Field(None, json_schema_extra={"format": "date"})


class Tree(BaseModel):
    name: str
    children: list["Tree"]


class Loose(BaseModel):
    tags: dict[str, int]


class Mayhap(TypedDict, total=False):
    name: str


def fitted(output_type: Any, dialect: Dialect) -> Json | None:
    """The type's schema in the dialect."""
    return in_dialect(make_output_type(output_type).schema.schema, dialect)


def objects(schema: Any) -> list[Json]:
    """All schemas of objects in a schema."""
    if isinstance(schema, list):
        return [one for inner in schema for one in objects(inner)]
    if not isinstance(schema, dict):
        return []
    found = [schema] if schema.get("type") == "object" else []
    return found + objects(list(schema.values()))


def test_the_strict_form_requires_and_closes_everything() -> None:
    """Every object names all its properties, requires them and takes no others."""
    schema = fitted(Order, STRICT)
    assert len(objects(schema)) == 4
    for one in objects(schema):
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])


def test_the_strict_form_has_no_unknown_words() -> None:
    """Defaults and lengths are told in the description, unions are `anyOf`, references stand alone."""
    schema = fitted(Order, STRICT)
    assert schema is not None
    money = schema["$defs"]["Money"]["properties"]
    assert money["currency"] == {
        "type": "string",
        "description": 'its code (default: "EUR", minLength: 3)',
    }
    assert money["amount"] == {"type": "number", "minimum": 0}
    paid = schema["properties"]["paid"]
    assert paid == {"anyOf": [{"$ref": "#/$defs/Card"}, {"$ref": "#/$defs/Cash"}]}
    assert schema["properties"]["total"] == {
        "anyOf": [{"$ref": "#/$defs/Money"}],
        "description": "with taxes",
    }
    assert schema["$defs"]["Card"]["properties"]["kind"] == {
        "type": "string",
        "const": "card",
    }


@pytest.mark.parametrize(
    "output_type", [Loose, Mayhap, dict[str, int], tuple[int, str]]
)
def test_what_strict_mode_cannot_say_is_sent_without_it(output_type: Any) -> None:
    """Maps, tuples and properties that may be left out are asked for without `strict`, as they are."""
    output = make_output_type(output_type).schema
    assert strict(output) == {
        "name": output.name,
        "schema": output.schema,
        "strict": False,
    }


def test_recursion_is_for_those_who_take_it() -> None:
    """A recursive type is an object at its root, for OpenAI and Gemini; Anthropic refuses such."""
    for dialect in (STRICT, GEMINI):
        schema = fitted(Tree, dialect)
        assert schema is not None and schema["type"] == "object"
        assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert fitted(Tree, ANTHROPIC) is None


def test_anthropic_knows_no_bounds() -> None:
    """Bounds and patterns are told; what may be left out still may."""
    schema = fitted(Order, ANTHROPIC)
    assert schema is not None
    assert schema["required"] == ["total", "paid"]
    money = schema["$defs"]["Money"]
    assert money["properties"]["amount"] == {
        "type": "number",
        "description": "(minimum: 0)",
    }
    assert money["additionalProperties"] is False
    assert fitted(Loose, ANTHROPIC) is None


def test_gemini_takes_maps_and_knows_no_const() -> None:
    """Maps and tuples stay; a constant is an enum of one."""
    schema = fitted(Loose, GEMINI)
    assert schema is not None
    assert schema["properties"]["tags"]["additionalProperties"] == {"type": "integer"}
    order = fitted(Order, GEMINI)
    assert order is not None
    assert order["$defs"]["Cash"]["properties"]["kind"] == {
        "type": "string",
        "enum": ["cash"],
    }


@pytest.mark.parametrize("dialect", [STRICT, ANTHROPIC, GEMINI])
def test_the_schema_of_the_type_stays_as_it_is(dialect: Dialect) -> None:
    """A dialect changes a copy: the next provider gets the same schema."""
    made = make_output_type(Order).schema.schema
    before = repr(made)
    in_dialect(made, dialect)
    assert repr(made) == before


@pytest.mark.parametrize("kind", [Any, list[Any], list])
def test_anything_is_not_enforced(kind: Any) -> None:
    """Where anything may stand a closed dialect has no schema."""
    assert fitted(kind, STRICT) is None and fitted(kind, ANTHROPIC) is None
