"""The model's arguments, checked; what models often write a little wrongly, and what is
clear, costs no turn.

Where a type refuses a value, and only there:
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
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

MAX_ROUNDS = 8  # JSON in a string in JSON in a string
NO_FIELD = "\0"  # no field's name begins so
UNKNOWN_FIELD = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
CHOICES = frozenset({"literal_error", "enum"})
# The errors of a type that takes no such value; all others mean that a type took it and
# found it wrong.
TYPE_ERRORS = (*CHOICES, "is_instance_of", "sequence_str")
TYPE_ENDINGS = ("_type", "_parsing", "_from_float")

Step = str | int
Place = tuple[Step, ...]
Model = TypeVar("Model", bound="BaseModel")


@dataclass(slots=True)
class Replacement:
    """Another value instead of one: the probe, then the final value if a type took the
    probe.
    """

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


Repair = Replacement | Omission


def validate(model: type[Model], arguments: Json) -> Model:
    """The arguments as the model's fields; the mapping itself stays as it is.

    Raises pydantic's ValidationError.
    """
    from pydantic import ValidationError

    # A copy: the function may change what it is given, the conversation stays as it
    # was.
    values = copy_json(arguments)
    try:
        return model.model_validate(values)
    except ValidationError:
        _repair(model, values)
    return model.model_validate(values)


def _repair(model: type[BaseModel], values: Json) -> None:
    """Change the values in place; each is tried once."""
    tried: set[Place] = set()
    for _ in range(MAX_ROUNDS):
        repairs: dict[Place, Repair] = {}
        for place, kinds in _wrong_places(values, _errors(model, values)).items():
            repair = _repair_of(values, place, kinds)
            if repair is not None and place not in tried:
                repairs[place] = repair
        if not repairs:
            return
        _try(model, values, repairs)
        tried.update(repairs)


def _try(model: type[BaseModel], values: Json, repairs: dict[Place, Repair]) -> None:
    for repair in repairs.values():
        repair.begin()
    refused = _refused_places(values, _errors(model, values))
    for place, repair in repairs.items():
        repair.finish(place not in refused)


def _errors(model: type[BaseModel], values: Json) -> list[ErrorDetails]:
    from pydantic import ValidationError

    try:
        model.model_validate(values)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False)
    return []


# What is wrong


def _wrong_places(values: Json, errors: list[ErrorDetails]) -> dict[Place, set[str]]:
    """The places of values that no type takes, each with the kinds of its errors."""
    found: dict[Place, set[str]] = {}
    for error in errors:
        place = _place(values, error["loc"])
        if place and _value_at(values, place) is error["input"]:
            found.setdefault(place, set()).add(error["type"])
    return {
        place: kinds
        for place, kinds in found.items()
        if all(map(_is_type_error, kinds))
    }


def _is_type_error(kind: str) -> bool:
    return kind in TYPE_ERRORS or kind.endswith(TYPE_ENDINGS)


def _refused_places(values: Json, errors: list[ErrorDetails]) -> set[Place]:
    """The places whose probes no type takes.

    One in which only a part is wrong was taken.
    """
    wrong: set[Place] = set()
    taken: set[Place] = set()
    for error in errors:
        place = _place(values, error["loc"])
        if error["type"] == "missing":
            place = (*place, error["loc"][-1])
        elif error["type"] in UNKNOWN_FIELD:
            continue
        wrong.add(tuple(map(_field_name, place)))
        taken.update(place[:length] for length in range(1, len(place)))
    return wrong - taken


def _field_name(step: Step) -> Step:
    return step.removeprefix(NO_FIELD) if isinstance(step, str) else step


def _place(values: object, location: Place) -> Place:
    """Where pydantic's location is in the values: it also names the members of unions,
    which are no place.
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
    return (
        isinstance(values, list | tuple)
        and isinstance(step, int)
        and step < len(values)
    )


def _value_at(values: Any, place: Place) -> Any:
    for step in place:
        values = values[step]
    return values


# What is tried


def _repair_of(values: Json, place: Place, kinds: set[str]) -> Repair | None:
    parent = _value_at(values, place[:-1])
    key = place[-1]
    value = parent[key]
    if value is None:
        return Omission(parent, key) if isinstance(key, str) else None
    if isinstance(value, str):
        found = _read_json(value, kinds)
    elif isinstance(value, int | float):
        found = _write_json(value, kinds)
    else:
        found = None
    return None if found is None else Replacement(parent, key, value, *found)


def _read_json(text: str, kinds: set[str]) -> tuple[object, object] | None:
    """The probe and the final value for a string."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return tuple(value), value
    if isinstance(value, dict):
        # A dataclass takes no other mapping, be it lax or strict.
        return (value if "dataclass_type" in kinds else MappingProxyType(value)), value
    if isinstance(value, int | float) and kinds & CHOICES:
        return value, value
    return None


def _write_json(value: float, kinds: set[str]) -> tuple[object, object] | None:
    """The probe and the final value for a number, true or false."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:  # also a number with more digits than Python writes
        return None
    if "string_type" in kinds:
        return text.encode(), text
    return (text, text) if kinds & CHOICES else None
