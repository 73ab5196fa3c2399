"""The model's arguments, checked, and repaired where it is clear what was meant.

A repair saves a turn of the model. It is tried only where a type refuses a value:

- null for a field that has a default, or may be left out, is as if it were left out;
- a JSON list or object in a string is read: `"[1, 2]"` for `list[int]`, `'{"city":
  "Bern"}'` for a model;
- a number, true or false for a string is taken as its JSON text; for a Literal or an
  Enum, also the other way round.

What breaks a constraint, or is wrong for a strict type (`StrictStr`,
`Field(strict=True)`), is refused. Whether a type is strict is asked of pydantic itself:
a repair first puts a probe in the place of the value, which only a lax type takes (a
tuple for a list, another mapping for a dict, bytes for a string). All repairs of a
round are tried together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from cogent.json_values import Json, copy_json

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

MAX_ROUNDS = 8  # JSON in a string in JSON in a string
NO_FIELD = "\0"  # no field's name begins so
UNKNOWN_FIELD = ("extra_forbidden", "unexpected_keyword_argument")
CHOICES = frozenset({"literal_error", "enum"})
# The errors of a type that takes no such value; all others mean that a type took it and
# found it wrong.
TYPE_ERRORS = (*CHOICES, "is_instance_of", "sequence_str")
TYPE_ENDINGS = ("_type", "_parsing", "_from_float")

Step = str | int
Place = tuple[Step, ...]
Kinds = set[str]  # of errors, in pydantic's words
Errors = list["ErrorDetails"]
ProbeAndFinal = tuple[object, object]
Model = TypeVar("Model", bound="BaseModel")


@dataclass(slots=True)
class Replacement:
    """Another value: first the probe, then the final value if a type took the probe."""

    parent: Any
    key: Step
    original: object
    probe: object
    final: object

    def begin(self) -> None:
        self.parent[self.key] = self.probe

    def finish(self, is_taken: bool) -> None:
        self.parent[self.key] = self.final if is_taken else self.original


@dataclass(slots=True)
class Omission:
    """Nothing instead of null.

    A mapping takes any name, so the probe is a null under a name that no field has.
    """

    parent: Json
    key: str

    def begin(self) -> None:
        self.parent[NO_FIELD + self.key] = self.parent.pop(self.key)

    def finish(self, is_taken: bool) -> None:
        null = self.parent.pop(NO_FIELD + self.key)
        if not is_taken:
            self.parent[self.key] = null


Repairs = dict[Place, Replacement | Omission]


def validate(model: type[Model], arguments: Json) -> Model:
    """The arguments as the model's fields; the mapping itself stays as it is.

    Raises pydantic's ValidationError.
    """
    from pydantic import ValidationError

    # A copy: the function may change what it is given, and the conversation stays as it
    # was.
    values = copy_json(arguments)
    tried: set[Place] = set()
    for _ in range(MAX_ROUNDS):
        try:
            return model.model_validate(values)
        except ValidationError as error:
            repairs = _find_repairs(values, _details(error), tried)
        if not repairs:
            break
        _try(model, values, repairs)
        tried.update(repairs)
    return model.model_validate(values)


def _try(model: type[BaseModel], values: Json, repairs: Repairs) -> None:
    """Change the values in place, where a type takes the probe."""
    from pydantic import ValidationError

    for repair in repairs.values():
        repair.begin()
    refused: set[Place] = set()
    try:
        model.model_validate(values)
    except ValidationError as error:
        refused = _refused_places(values, _details(error))
    for place, repair in repairs.items():
        repair.finish(place not in refused)


def _details(error: ValidationError) -> Errors:
    return error.errors(include_url=False, include_context=False)


# What is wrong


def _wrong_places(values: Json, errors: Errors) -> dict[Place, Kinds]:
    """The places of values that no type takes, each with the kinds of its errors."""
    found: dict[Place, Kinds] = {}
    for error in errors:
        place = _place(values, error["loc"])
        if place and _value_at(values, place) is error["input"]:
            kinds = found.setdefault(place, set())
            kinds.add(error["type"])
    return {
        place: kinds
        for place, kinds in found.items()
        if all(map(_is_type_error, kinds))
    }


def _is_type_error(kind: str) -> bool:
    return kind in TYPE_ERRORS or kind.endswith(TYPE_ENDINGS)


def _refused_places(values: Json, errors: Errors) -> set[Place]:
    """The places whose probes no type takes.

    One in which only a part is wrong was taken.
    """
    wrong: set[Place] = set()
    taken: set[Place] = set()
    for error in errors:
        if error["type"] in UNKNOWN_FIELD:
            continue
        location = error["loc"]
        place = _place(values, location)
        if error["type"] == "missing":
            place = (*place, location[-1])
        wrong.add(tuple(map(_field_name, place)))
        for length in range(1, len(place)):
            taken.add(place[:length])
    return wrong - taken


def _field_name(step: Step) -> Step:
    if isinstance(step, str):
        return step.removeprefix(NO_FIELD)
    return step


def _place(values: object, location: Place) -> Place:
    """Where pydantic's location is in the values.

    A location also names the members of unions, which are no place.
    """
    place: list[Step] = []
    for step in location:
        if _is_inside(values, step):
            place.append(step)
            values = _value_at(values, (step,))
    return tuple(place)


def _is_inside(values: object, step: Step) -> bool:
    if isinstance(values, Mapping):
        return step in values
    if isinstance(values, list | tuple) and isinstance(step, int):
        return step < len(values)
    return False


def _value_at(values: Any, place: Place) -> Any:
    for step in place:
        values = values[step]
    return values


# What is tried


def _find_repairs(values: Json, errors: Errors, tried: set[Place]) -> Repairs:
    repairs: Repairs = {}
    for place, kinds in _wrong_places(values, errors).items():
        repair = _find_repair(values, place, kinds)
        if repair is not None and place not in tried:
            repairs[place] = repair
    return repairs


def _find_repair(
    values: Json, place: Place, kinds: Kinds
) -> Replacement | Omission | None:
    parent = _value_at(values, place[:-1])
    key = place[-1]
    value = parent[key]
    found = None
    if value is None and isinstance(key, str):
        return Omission(parent, key)
    if isinstance(value, str):
        found = _read_json(value, kinds)
    elif isinstance(value, int | float):
        found = _write_json(value, kinds)
    if found is None:
        return None
    return Replacement(parent, key, value, *found)


def _read_json(text: str, kinds: Kinds) -> ProbeAndFinal | None:
    """The probe and the final value for a string."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return tuple(value), value
    if isinstance(value, dict):
        # A dataclass takes no other mapping, be it lax or strict.
        is_dataclass = "dataclass_type" in kinds
        return value if is_dataclass else MappingProxyType(value), value
    if isinstance(value, int | float) and kinds & CHOICES:
        return value, value
    return None


def _write_json(value: float, kinds: Kinds) -> ProbeAndFinal | None:
    """The probe and the final value for a number, true or false."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:  # also a number with more digits than Python writes
        return None
    if "string_type" in kinds:
        return text.encode(), text
    if kinds & CHOICES:
        return text, text
    return None
