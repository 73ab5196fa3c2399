"""The schema of a typed answer in the dialects of the providers.

Each enforces a part of JSON schema and refuses requests with the rest. What words can
say goes into descriptions; anything else makes the whole schema one that the provider
cannot enforce. Every answer is validated by cogent in any case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cogent.json_values import Json
from cogent.output import OutputSchema

# Keywords that all dialects know.
COMMON = frozenset({"type", "enum", "const", "description"})
SAYS_WHAT = frozenset({"type", "enum", "const", "anyOf"})
# For tools that draw forms or check clients: nothing that a model needs.
DROPPED = frozenset({"title", "discriminator", "$defs", "readOnly", "writeOnly"})
FORMATS = frozenset(
    {
        "date",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "time",
        "uuid",
    }
)
BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)


class UnfitSchemaError(ValueError):
    """The dialect cannot say what the schema says."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a provider knows of JSON schema.

    `keywords` and `formats` are kept; others become words. `all_required` says that
    every property has to be, `is_closed` that objects have to name all their properties
    and arrays the one schema of their items, `is_recursive` that a schema may refer to
    itself.
    """

    keywords: frozenset[str]
    formats: frozenset[str] = FORMATS
    all_required: bool = False
    is_closed: bool = True
    is_recursive: bool = True


# OpenAI's strict mode, which Groq and Mistral have too.
STRICT = Dialect(
    COMMON | BOUNDS | {"pattern", "minItems", "maxItems"}, all_required=True
)
ANTHROPIC = Dialect(COMMON, FORMATS | {"uri"}, is_recursive=False)
GEMINI = Dialect(
    COMMON - {"const"} | {"minimum", "maximum", "minItems", "maxItems"},
    frozenset({"date", "date-time", "time"}),
    is_closed=False,
)


def in_dialect(schema: Json, dialect: Dialect) -> Json | None:
    """The schema as the provider takes it; None if it would not enforce it."""
    try:
        definitions = schema.get("$defs", {})
        if not dialect.is_recursive:
            _check_recursion(definitions)
        fitted = _fit(schema, dialect)
        if definitions:
            fitted["$defs"] = {
                name: _fit(definitions[name], dialect) for name in definitions
            }
        return fitted
    except UnfitSchemaError:
        return None


def as_given(output: OutputSchema) -> Json:
    """The schema with its name, for servers that enforce what they can of any."""
    return {"name": output.name, "schema": output.schema}


def strict(output: OutputSchema) -> Json:
    """The schema in OpenAI's strict form where it has one, else as a wish."""
    schema = in_dialect(output.schema, STRICT)
    if schema is None:
        return {**as_given(output), "strict": False}
    return {"name": output.name, "schema": schema, "strict": True}


def _fit(schema: Json, dialect: Dialect) -> Json:
    if "$ref" in schema:
        return _fit_reference(schema, dialect)
    fitted = _translate(schema, dialect)
    if dialect.is_closed:
        _close(schema, fitted, dialect)
    return fitted


def _fit_reference(schema: Json, dialect: Dialect) -> Json:
    """A reference, which may have nothing beside it."""
    reference = {"$ref": schema["$ref"]}
    rest = {name: value for name, value in schema.items() if name != "$ref"}
    beside = _translate(rest, dialect)
    return {"anyOf": [reference], **beside} if beside else reference


def _translate(schema: Json, dialect: Dialect) -> Json:
    """The keywords one by one."""
    fitted: Json = {}
    notes: Json = {}
    for name, value in schema.items():
        fit = FITTED_BY.get(name)
        if fit is not None:
            fitted |= fit(value, dialect)
        elif name in dialect.keywords or _is_known_format(name, value, dialect):
            fitted[name] = value
        elif name not in DROPPED:
            notes[name] = value
    if "const" in notes:
        fitted["enum"] = [notes.pop("const")]
    return _with_notes(fitted, notes)


def _is_known_format(name: str, value: object, dialect: Dialect) -> bool:
    return name == "format" and value in dialect.formats


def _close(schema: Json, fitted: Json, dialect: Dialect) -> None:
    """Say what the object or the array holds and that it holds nothing else."""
    kind = schema.get("type")
    if kind == "object":
        _close_object(schema, fitted, dialect)
    elif kind == "array" and not fitted.get("items"):
        raise UnfitSchemaError("an array of anything")
    elif not SAYS_WHAT & fitted.keys():
        raise UnfitSchemaError("anything")


def _close_object(schema: Json, fitted: Json, dialect: Dialect) -> None:
    if schema.get("additionalProperties", False) is not False:
        raise UnfitSchemaError("an object with any names")
    properties = schema.get("properties", {})
    if dialect.all_required:
        required = schema.get("required", ())
        if any(
            name not in required and "default" not in properties[name]
            for name in properties
        ):
            raise UnfitSchemaError("a property that may be left out")
        fitted["required"] = list(properties)
    fitted.setdefault("properties", {})
    fitted["additionalProperties"] = False


def _with_notes(fitted: Json, notes: Mapping[str, Any]) -> Json:
    """The schema with what the dialect has no keywords for in its description."""
    if not notes:
        return fitted
    words = [f"{name}: {json.dumps(notes[name], ensure_ascii=False)}" for name in notes]
    text = fitted.get("description", "")
    described = f"({', '.join(words)})"
    return {**fitted, "description": f"{text} {described}" if text else described}


def _fit_properties(value: Json, dialect: Dialect) -> Json:
    return {"properties": {name: _fit(value[name], dialect) for name in value}}


def _fit_required(value: list[str], dialect: Dialect) -> Json:
    return {"required": value}


def _fit_other_properties(value: object, dialect: Dialect) -> Json:
    if dialect.is_closed:
        return {}  # `_close` says it
    fitted = _fit(value, dialect) if isinstance(value, dict) else value
    return {"additionalProperties": fitted}


def _fit_items(value: Any, dialect: Dialect) -> Json:
    return {"items": _fit(value, dialect) if isinstance(value, dict) else value}


def _fit_branches(value: list[Json], dialect: Dialect) -> Json:
    return {"anyOf": [_fit(branch, dialect) for branch in value]}


def _fit_tuple(value: list[Json], dialect: Dialect) -> Json:
    if dialect.is_closed:
        raise UnfitSchemaError("a tuple")
    return {"prefixItems": [_fit(item, dialect) for item in value]}


def _refuse(value: object, dialect: Dialect) -> Json:
    raise UnfitSchemaError("a keyword that no provider enforces")


FITTED_BY: Mapping[str, Callable[[Any, Dialect], Json]] = {
    "properties": _fit_properties,
    "required": _fit_required,
    "additionalProperties": _fit_other_properties,
    "items": _fit_items,
    "anyOf": _fit_branches,
    "oneOf": _fit_branches,
    "prefixItems": _fit_tuple,
    "allOf": _refuse,
    "not": _refuse,
    "if": _refuse,
    "patternProperties": _refuse,
}


def _check_recursion(definitions: Mapping[str, Any]) -> None:
    """Raise UnfitSchemaError if a definition refers to itself, also through others."""
    for name in definitions:
        seen: set[str] = set()
        to_see = list(_references(definitions[name]))
        while to_see:
            target = to_see.pop()
            if target == name:
                raise UnfitSchemaError("a recursive type")
            if target not in seen:
                seen.add(target)
                to_see += _references(definitions.get(target))


def _references(value: object) -> Iterable[str]:
    """The names of the definitions that a schema refers to."""
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
