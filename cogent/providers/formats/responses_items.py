"""The items of a response of OpenAI Responses: what they say, what they ask of the
client, how they go back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cogent.errors import ServerError
from cogent.json_values import Json
from cogent.messages import ToolCall
from cogent.run.surrogates import fix_surrogates, json_object

# Items that wait for the client, and their fields that say what for.
WAITING = {
    "custom_tool_call": ("input",),
    "computer_call": ("action", "actions", "pending_safety_checks"),
    "local_shell_call": ("action",),
    "shell_call": ("action",),
    "apply_patch_call": ("operation",),
    "tool_search_call": ("arguments",),
    "mcp_approval_request": ("arguments",),
}
OUTPUT_ENDINGS = (
    "_output",
    "_response",
    "mcp_call",
)  # of the types that answer such an item
LISTS = ("summary", "content")  # the fields of an item that are lists of parts
REASONING = ("summary_text", "reasoning_text")


@dataclass(frozen=True, slots=True)
class TextKind:
    """Where a text belongs: the type of its item, the field there, the type of its
    part, the index in its events.
    """

    item: str
    field: str
    part: str
    index: str = ""


TEXT = TextKind("message", "content", "output_text", "content_index")
REFUSAL = TextKind("message", "content", "refusal", "content_index")
THOUGHT = TextKind("reasoning", "content", "reasoning_text", "content_index")
SUMMARY = TextKind("reasoning", "summary", "summary_text", "summary_index")
ARGUMENTS = TextKind("function_call", "arguments", "arguments")
TEXT_EVENTS = {
    "response.output_text": TEXT,
    "response.refusal": REFUSAL,
    "response.reasoning_text": THOUGHT,
    "response.reasoning_summary_text": SUMMARY,
    "response.function_call_arguments": ARGUMENTS,
    "response.custom_tool_call_input": TextKind("custom_tool_call", "input", "input"),
    "response.mcp_call_arguments": TextKind("mcp_call", "arguments", "arguments"),
    "response.code_interpreter_call_code": TextKind(
        "code_interpreter_call", "code", "code"
    ),
}
STRING_FIELDS = {
    kind.item: kind for kind in TEXT_EVENTS.values() if kind.field not in LISTS
}


@dataclass(frozen=True, slots=True)
class Text:
    """A text that an end event holds; `index` is its place in the list of its field."""

    kind: TextKind
    index: int
    text: str


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
    pieces.
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

    def part(self, kind: TextKind, index: int) -> TextPart:
        """The part at this place, a new one if there is none yet."""
        return self.parts.setdefault((kind.field, index), TextPart(kind))

    def in_order(self, *fields: str) -> list[tuple[int, TextPart]]:
        """The parts of these fields with their indexes, as the fields are named and
        then by index.
        """
        return [
            (key[1], self.parts[key])
            for name in fields
            for key in sorted(self.parts)
            if key[0] == name
        ]

    def given(self) -> str:
        """The text of the item that was given."""
        fields = (
            [STRING_FIELDS[self.type].field] if self.type in STRING_FIELDS else LISTS
        )
        return "".join(part.text for _, part in self.in_order(*fields))


def type_of(body: Json) -> str:
    """The type of an item; one with content and no type is a message.

    Raises ServerError for one with neither.
    """
    if not body.get("type") and "content" not in body:
        raise ServerError("the server sent an output item without a type", status=200)
    return str(body.get("type") or "message")


def text_key(kind: TextKind) -> str:
    """The name under which a part of this kind has its text."""
    return "refusal" if kind is REFUSAL else "text"


def texts_of(body: Json) -> Iterator[Text]:
    """The texts of a whole item, in order.

    All text of a reasoning item is reasoning, whatever its parts are called.
    """
    type = type_of(body)
    if type in STRING_FIELDS:
        yield from _text_of_field(body, STRING_FIELDS[type])
    if type in ("message", "reasoning"):
        for name in LISTS:
            yield from _texts_of_list(body, name)


def _text_of_field(body: Json, kind: TextKind) -> Iterator[Text]:
    text = body.get(kind.field)
    if text:
        yield Text(kind, 0, text if isinstance(text, str) else json.dumps(text))


def _texts_of_list(body: Json, name: str) -> Iterator[Text]:
    parts = body.get(name) or ()
    if isinstance(parts, str):
        parts = [{"text": parts}]
    for index, part in enumerate(parts):
        kind = _kind_of(body, name, part)
        text = part.get(text_key(kind))
        if isinstance(text, str) and text:
            yield Text(kind, index, text)


def _kind_of(body: Json, name: str, part: Json) -> TextKind:
    if type_of(body) == "reasoning":
        return SUMMARY if name == "summary" else THOUGHT
    return REFUSAL if part.get("type") == "refusal" else TEXT


# What is sent back


def to_send_back(item: OutputItem) -> Json | None:
    """The item for the next request: as it came, with the texts that were given; None
    if no such item ever came.
    """
    body = item.closed or _made_up(item)
    if body is None:
        return None
    if item.call_id:
        body = body | {"call_id": item.call_id, "name": item.name}
    given = item.given()
    if _has_text(body, given):
        return body
    if item.type in STRING_FIELDS:
        return body | {STRING_FIELDS[item.type].field: given}
    return body | {
        name: _mended_parts(body.get(name), item, name)
        for name in LISTS
        if item.in_order(name)
    }


def _has_text(body: Json, text: str) -> bool:
    """Whether the item has this text, in lists of parts as the API takes it."""
    if any(isinstance(body.get(name), str) for name in LISTS):
        return False
    return "".join(part.text for part in texts_of(body)) == text


def _made_up(item: OutputItem) -> Json | None:
    """The item where no event held it whole.

    Reasoning has none: its encrypted content may not be whole either.
    """
    if item.type == "message" and item.given():
        return {
            "content": [],
            **(item.opened or {}),
            "type": "message",
            "role": "assistant",
            "status": "completed",
        }
    if item.type == "function_call":
        return {**(item.opened or {}), "type": "function_call", "status": "completed"}
    return None


def pending_items(items: Iterable[Json]) -> list[Json]:
    """The items that wait for the client: those whose output is not in the same
    response.
    """
    items = list(items)
    answered: set[object] = set()
    for item in items:
        if type_of(item).endswith(OUTPUT_ENDINGS):
            answered.update(
                item.get(name) for name in ("call_id", "approval_request_id", "id")
            )
    return [
        item
        for item in items
        if _may_wait(item) and answered.isdisjoint(_own_ids(item))
    ]


def _may_wait(item: Json) -> bool:
    return (
        type_of(item) in WAITING
        and bool(_own_ids(item))
        and item.get("execution", "client") == "client"
    )


def _own_ids(item: Json) -> list[str]:
    return [item[name] for name in ("call_id", "id") if item.get(name)]


def pending_call(item: Json) -> ToolCall:
    """What an item that waits asks of the client."""
    name = item.get("name") or type_of(item)
    return ToolCall(_own_ids(item)[0], name, _arguments(item), type=type_of(item))


def _arguments(body: Json) -> Json | str:
    """What the client is asked to do: the fields of the item that say it, or its only
    one.
    """
    names = WAITING[type_of(body)]
    asked = {name: body[name] for name in names if body.get(name) is not None}
    if len(names) > 1 or not asked:
        return asked
    value = asked[names[0]]
    if isinstance(value, str):
        return _parsed(value) if "arguments" in asked else value
    return value if isinstance(value, dict) else asked


def _parsed(text: str) -> Json | str:
    """The object that the text is as JSON, else the text."""
    parsed = json_object(text)
    return text if parsed is None else parsed


def _mended_parts(parts: object, item: OutputItem, name: str) -> list[Json]:
    mended_parts = list(parts) if isinstance(parts, list) else []
    for index, part in item.in_order(name):
        key = text_key(part.kind)
        if index < len(mended_parts) and isinstance(mended_parts[index].get(key), str):
            mended_parts[index] = mended_parts[index] | {key: part.text}
        else:
            more: Json = {"annotations": []} if part.kind is TEXT else {}
            mended_parts.append({"type": part.kind.part, key: part.text, **more})
    return mended_parts
