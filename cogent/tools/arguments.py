"""The model's arguments, checked; what models often write a little wrongly, and what is clear, costs no turn.

Where a type refuses a value, and only there:
- null for a field that has a default, or may be left out, is as if it were left out;
- a JSON list or object in a string is read: `"[1, 2]"` for `list[int]`, `'{"city": "Bern"}'` for a model;
- a number, true or false for a string is taken as its JSON text; for a Literal or an Enum, also the other way round.

What breaks a constraint, or is wrong for a strict type (`StrictStr`, `Field(strict=True)`), is refused. Whether a type
is strict is asked of pydantic itself: it is first given a value that only a lax type takes (a tuple for a list, another
mapping for a dict, bytes for a string).
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

if typing.TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

MAX_ROUNDS = 8  # JSON in a string in JSON in a string
NO_FIELD = "\0"  # a name that no field has
UNKNOWN_FIELD = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
CHOICES = frozenset({"literal_error", "enum"})
# A type that takes no such value; all other errors mean that a type took it and found it wrong.
TYPE_ERRORS = (*CHOICES, "is_instance_of", "sequence_str")
TYPE_ENDINGS = ("_type", "_parsing", "_from_float")

Place = tuple[str | int, ...]
Model = typing.TypeVar("Model", bound="BaseModel")


@dataclass(slots=True)
class Repair:
    """A value at its place: what is tried in its stead, and what stays there if the type takes that."""

    place: Place
    original: object
    probe: object
    final: object


def validate(model: type[Model], arguments: Mapping[str, object]) -> Model:
    """The arguments as the model's fields; the mapping itself stays as it is. Raises pydantic's ValidationError."""
    from pydantic import ValidationError

    # A copy: the function may change what it is given, the conversation stays as it was.
    values = copy_json(arguments)
    try:
        return model.model_validate(values)
    except ValidationError:
        _repair(model, values)
    return model.model_validate(values)


def copy_json(value: typing.Any) -> typing.Any:
    """A copy of a JSON value: of its lists and objects, at any depth."""
    if isinstance(value, dict):
        return {key: copy_json(part) if isinstance(part, dict | list) else part for key, part in value.items()}
    if isinstance(value, list):
        return [copy_json(part) if isinstance(part, dict | list) else part for part in value]
    return value


def _repair(model: type[BaseModel], values: object) -> None:
    """Change the values in place; each is tried once, all of a round together."""
    tried: set[Place] = set()
    for _ in range(MAX_ROUNDS):
        wrong = {place: kinds for place, kinds in _wrong(values, _errors(model, values)).items() if place not in tried}
        if not wrong:
            return
        tried.update(wrong)
        repairs = [_repair_of(place, _at(values, place), kinds) for place, kinds in wrong.items()]
        _leave_out(model, values, [place for place in wrong if _at(values, place) is None])
        _try(model, values, [repair for repair in repairs if repair is not None])


def _leave_out(model: type[BaseModel], values: object, places: list[Place]) -> None:
    """Take out the nulls at these places, except where a value is required, or where null is one of a mapping."""
    places = [place for place in places if isinstance(place[-1], str)]
    for place in places:
        parent = _at(values, place[:-1])
        del parent[place[-1]]
        parent[NO_FIELD] = None
    errors = _errors(model, values) if places else []
    kept: set[Place] = set()
    for error in errors:
        place = _find(values, error["loc"])
        if error["type"] == "missing":
            kept.add((*place, error["loc"][-1]))
        elif error["type"] not in UNKNOWN_FIELD:
            kept.add(place)
    for place in places:
        parent = _at(values, place[:-1])
        parent.pop(NO_FIELD, None)
        if place in kept or (*place[:-1], NO_FIELD) in kept:
            parent[place[-1]] = None


def _try(model: type[BaseModel], values: object, repairs: list[Repair]) -> None:
    for repair in repairs:
        _at(values, repair.place[:-1])[repair.place[-1]] = repair.probe
    refused = _refused(values, _errors(model, values)) if repairs else set()
    for repair in repairs:
        value = repair.original if repair.place in refused else repair.final
        _at(values, repair.place[:-1])[repair.place[-1]] = value


def _errors(model: type[BaseModel], values: object) -> list[ErrorDetails]:
    from pydantic import ValidationError

    try:
        model.model_validate(values)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False)
    return []


def _wrong(values: object, errors: list[ErrorDetails]) -> dict[Place, set[str]]:
    """The places of values that no type takes, each with the kinds of its errors."""
    found: dict[Place, set[str]] = {}
    for error in errors:
        place = _find(values, error["loc"])
        if place and _at(values, place) is error["input"]:
            found.setdefault(place, set()).add(error["type"])
    return {place: kinds for place, kinds in found.items() if _only_of_type(kinds)}


def _only_of_type(kinds: set[str]) -> bool:
    return all(kind in TYPE_ERRORS or kind.endswith(TYPE_ENDINGS) for kind in kinds)


def _repair_of(place: Place, value: object, kinds: set[str]) -> Repair | None:
    if isinstance(value, str):
        return _read_string(place, value, kinds)
    if isinstance(value, int | float):
        return _write_scalar(place, value, kinds)
    return None


def _read_string(place: Place, value: str, kinds: set[str]) -> Repair | None:
    try:
        inner = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if isinstance(inner, list):
        return Repair(place, value, tuple(inner), inner)
    if isinstance(inner, dict):
        # A dataclass takes no other mapping, be it lax or strict.
        probe = inner if "dataclass_type" in kinds else MappingProxyType(inner)
        return Repair(place, value, probe, inner)
    if isinstance(inner, int | float) and kinds & CHOICES:
        return Repair(place, value, inner, inner)
    return None


def _write_scalar(place: Place, value: float, kinds: set[str]) -> Repair | None:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:  # also a number with more digits than Python writes
        return None
    if "string_type" in kinds:
        return Repair(place, value, text.encode(), text)
    if kinds & CHOICES:
        return Repair(place, value, text, text)
    return None


def _refused(values: object, errors: list[ErrorDetails]) -> set[Place]:
    """The places whose values no type takes. One in which only a part is wrong was taken."""
    wrong: set[Place] = set()
    taken: set[Place] = set()
    for error in errors:
        place = _find(values, error["loc"])
        if error["type"] == "missing":
            place = (*place, error["loc"][-1])
        wrong.add(place)
        taken.update(place[:length] for length in range(1, len(place)))
    return wrong - taken


def _find(values: object, location: Place) -> Place:
    """Where pydantic's location is in the values: it also names the members of unions, which are no place."""
    place: list[str | int] = []
    for step in location:
        if isinstance(values, Mapping):
            inside = step in values
        else:
            inside = isinstance(values, list | tuple) and isinstance(step, int) and step < len(values)
        if inside:
            place.append(step)
            values = typing.cast(typing.Any, values)[step]
    return tuple(place)


def _at(values: typing.Any, place: Place) -> typing.Any:
    for step in place:
        values = values[step]
    return values
