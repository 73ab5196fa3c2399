"""The items of a response of OpenAI Responses, as far as they came, and the texts in
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from cogent.errors import ServerError
from cogent.json_values import Json
from cogent.run.surrogates import fix_surrogates

LISTS = ("summary", "content")  # the fields of an item that are lists of parts


@dataclass(frozen=True, slots=True)
class TextKind:
    """Where a text belongs: the type of its item, the field there, the type of its
    part, the index in its events.
    """

    item: str
    field: str
    part: str
    index: str = ""

    @property
    def key(self) -> str:
        """The name under which a part of this kind has its text."""
        return "refusal" if self.part == "refusal" else "text"


TEXT = TextKind("message", "content", "output_text", "content_index")
REFUSAL = TextKind("message", "content", "refusal", "content_index")
THOUGHT = TextKind("reasoning", "content", "reasoning_text", "content_index")
SUMMARY = TextKind("reasoning", "summary", "summary_text", "summary_index")
# Texts of items that hold one each, in a field that is a string.
ARGUMENTS = TextKind("function_call", "arguments", "arguments")
CUSTOM_INPUT = TextKind("custom_tool_call", "input", "input")
MCP_ARGUMENTS = TextKind("mcp_call", "arguments", "arguments")
CODE = TextKind("code_interpreter_call", "code", "code")
STRINGS = {kind.item: kind for kind in (ARGUMENTS, CUSTOM_INPUT, MCP_ARGUMENTS, CODE)}


@dataclass(frozen=True, slots=True)
class Text:
    """A text that an end event holds; `index` is its place in the list of its field."""

    kind: TextKind
    index: int
    text: str

    @property
    def place(self) -> tuple[str, int]:
        """Where it belongs in its item: its key in `OutputItem.parts`."""
        return self.kind.field, self.index


@dataclass(slots=True)
class TextPart:
    """One text of an item as far as it was given."""

    kind: TextKind
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return fix_surrogates("".join(self.pieces))


@dataclass(slots=True, eq=False)
class OutputItem:
    """One item of the output as far as it came.

    `opened` and `closed` are the item as its first and its last event hold it. `index`
    is what the server said, `place` a number that no other item has: that of a call's
    pieces. `parts` are its texts, by field and index.
    """

    type: str
    place: int
    id: str | None = None
    index: int | None = None
    call_id: str = ""
    name: str = ""
    opened: Json | None = None
    closed: Json | None = None
    parts: dict[tuple[str, int], TextPart] = field(default_factory=dict)
    phase: str = ""  # of a message
    # The parts of a message whose log-probabilities were given.
    with_logprobs: set[int] = field(default_factory=set)
    # Of a call that the provider runs: the id under which it was given.
    run_id: str = ""
    has_arguments: bool = False  # to the end
    has_result: bool = False

    def part(
        self,
        kind: TextKind,
        index: int,
    ) -> TextPart:
        """The part at this place, a new one if there is none yet."""
        return self.parts.setdefault((kind.field, index), TextPart(kind))

    def parts_of(self, field: str) -> list[tuple[int, TextPart]]:
        """The parts of a field with their indexes, in order."""
        places = sorted(place for place in self.parts if place[0] == field)
        return [(place[1], self.parts[place]) for place in places]

    def given(self) -> str:
        """The text of the item that was given."""
        string = STRINGS.get(self.type)
        if string is not None:
            return self._given_in(string.field)
        return "".join(map(self._given_in, LISTS))

    def _given_in(self, field: str) -> str:
        return "".join(part.text for _, part in self.parts_of(field))


def type_of(body: Json) -> str:
    """The type of an item; one with content and no type is a message.

    Raises ServerError for one with neither.
    """
    if not body.get("type") and "content" not in body:
        raise ServerError("the server sent an output item without a type", status=200)
    return str(body.get("type") or "message")


def texts_of(body: Json) -> Iterator[Text]:
    """The texts of a whole item, in order.

    All text of a reasoning item is reasoning, whatever its parts are called.
    """
    type = type_of(body)
    if type in STRINGS:
        yield from _text_of_field(body, STRINGS[type])
    if type in ("message", "reasoning"):
        for name in LISTS:
            yield from _texts_of_list(body, name)


def _text_of_field(body: Json, kind: TextKind) -> Iterator[Text]:
    text = body.get(kind.field)
    if text:
        if not isinstance(text, str):
            text = json.dumps(text)
        yield Text(kind, 0, text)


def _texts_of_list(body: Json, name: str) -> Iterator[Text]:
    parts = body.get(name) or ()
    if isinstance(parts, str):
        parts = [{"text": parts}]
    for index, part in enumerate(parts):
        kind = _kind_of(body, name, part)
        text = part.get(kind.key)
        if isinstance(text, str) and text:
            yield Text(kind, index, text)


def _kind_of(
    body: Json,
    name: str,
    part: Json,
) -> TextKind:
    if type_of(body) == "reasoning":
        return SUMMARY if name == "summary" else THOUGHT
    return REFUSAL if part.get("type") == "refusal" else TEXT
