"""The calls of a Gemini answer, whose arguments may come in pieces over several parts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from google.genai import types

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json

JSON_PATH = re.compile(r"(?:\.|\[')([^.'\[\]]+)|\[(\d+)\]")


class Calls:
    """The calls so far; of the last one more may come."""

    def __init__(self) -> None:
        self._count = 0
        self._open: Json | None = None  # as it stands in its item

    def begins(self, call: types.FunctionCall) -> bool:
        """Whether this is no piece of the call before."""
        if call.name:
            return True
        return self._open is None and bool(call.id or call.args)

    def begin(self, call: types.FunctionCall) -> Json:
        """A new call in the form that is sent back; its pieces are added to that."""
        self._count += 1
        self._open = {"name": call.name or "", "args": {}}
        if call.id:
            self._open["id"] = call.id
        return self._open

    def add(self, call: types.FunctionCall) -> Iterator[StreamChunk]:
        """Add a piece to the open call; its arguments are given when they are whole."""
        if self._open is None:
            return
        self._open["args"] = _add_arguments(self._open["args"], call)
        delta = ToolCallDelta(self._count - 1, call.id, call.name or "")
        if not call.will_continue:
            delta.arguments = json.dumps(self._open["args"])
            self._open = None
        if delta.name or delta.arguments:
            yield StreamChunk(tool_call=delta)

    def close(self) -> Iterator[StreamChunk]:
        """The arguments of a call that was cut off.

        They are no JSON without their end, so that no tool runs with some of them.
        """
        if self._open is not None:
            arguments = json.dumps(self._open["args"])[:-1]
            delta = ToolCallDelta(self._count - 1, arguments=arguments)
            yield StreamChunk(tool_call=delta)


def _add_arguments(arguments: Json, call: types.FunctionCall) -> Json:
    """The arguments so far with those of this piece of the call, which come as an
    object or one by one with a path.
    """
    arguments = {**arguments, **(call.args or {})}
    for piece in call.partial_args or ():
        arguments = _put(arguments, _path_of(piece), _value_of(piece))
    return arguments


def _path_of(piece: types.PartialArg) -> list[str | int]:
    """The names and places that lead to the value: `$.cities[0].name` is "cities", 0,
    "name".
    """
    steps = JSON_PATH.findall(piece.json_path or "")
    return [int(place) if place else name for name, place in steps]


def _value_of(piece: types.PartialArg) -> object:
    for value in (piece.string_value, piece.number_value, piece.bool_value):
        if value is not None:
            return value
    return None


def _put(
    node: Any,
    steps: list[str | int],
    value: object,
) -> Any:
    """The node with the value where the steps lead; texts at one place add up."""
    if not steps:
        if isinstance(node, str) and isinstance(value, str):
            return node + value
        return value
    step, *rest = steps
    if isinstance(step, str):
        fields = node or {}
        return {**fields, step: _put(fields.get(step), rest, value)}
    items = list(node or ())
    missing = step + 1 - len(items)
    items += [None] * missing
    items[step] = _put(items[step], rest, value)
    return items
