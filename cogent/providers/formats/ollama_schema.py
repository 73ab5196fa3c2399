"""A tool's JSON schema in the form that reaches a model behind Ollama.

Of a parameter the SDK, the server and the models' templates know type, enum, flat items
and description, and drop the rest without a word. So references are put in place, and
the description holds what is left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cogent.json_values import Json

KNOWN_IN_ITEMS = {"type", "enum"}


def encode_schema(schema: Json) -> Json:
    """The schema of all parameters."""
    whole = _inline(schema, schema.get("$defs", {}), ())
    properties = whole.get("properties", {})
    return {
        "type": "object",
        "properties": {name: _flatten(properties[name]) for name in properties},
        "required": whole.get("required", []),
    }


def _inline(
    value: Any,
    defs: Mapping[str, Any],
    inside: tuple[str, ...],
) -> Any:
    """The schema without references, but for those to what they are inside of: its
    `title` is the name they give.
    """
    if isinstance(value, list):
        return [_inline(inner, defs, inside) for inner in value]
    if not isinstance(value, dict):
        return value
    inlined: Json = {}
    for name, inner in value.items():
        if name != "$defs":
            inlined[name] = _inline(inner, defs, inside)
    target = str(value.get("$ref", "")).rpartition("/")[2]
    if target not in defs or target in inside:
        return inlined
    del inlined["$ref"]
    definition = _inline(defs[target], defs, (*inside, target))
    return {**definition, **inlined}


def _flatten(schema: Json) -> Json:
    """A parameter's schema in what is known of it, with the rest as JSON in its
    description.
    """
    rest = _merge_branches(schema)
    if "const" in rest:
        rest["enum"] = [rest.pop("const")]
    if rest.get("default", ...) is None:  # what is not required says as much
        del rest["default"]
    flat = {name: rest.pop(name) for name in _known_fields(rest)}
    text = rest.pop("description", "")
    if rest:
        others = f"JSON schema: {json.dumps(rest, ensure_ascii=False)}"
        text = f"{text} {others}" if text else others
    if text:
        flat["description"] = text
    return flat


def _merge_branches(schema: Json) -> Json:
    """A copy of the schema, with the types of its `anyOf` as its own; `Optional[X]`
    becomes X.
    """
    merged = dict(schema)
    kinds = [branch.get("type") for branch in merged.get("anyOf", ())]
    if kinds[1:] == ["null"]:
        value = merged.pop("anyOf")[0]
        merged = {**value, **merged}
    if kinds and all(isinstance(kind, str) for kind in kinds):
        merged["type"] = kinds
    return merged


def _known_fields(schema: Json) -> list[str]:
    names = ["type", "enum"]
    if KNOWN_IN_ITEMS.issuperset(schema.get("items") or ()):
        names.append("items")
    return [name for name in names if name in schema]
