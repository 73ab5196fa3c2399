"""The fields in which an assistant message came, for the message that goes back.

These are its reasoning under the same name, `reasoning_details`, the parts of a content
list, pictures, documents as the server has read them, and whatever else a tool call
carried (a signature of Gemini's, say). `chat_decoder` makes the items that hold them,
often one for each piece.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from cogent.json_values import Json
from cogent.messages import Message

# The fields whose pieces add up: of a part of a content list, and of an entry of
# `reasoning_details`.
GROWING_IN_PART = ("text", "thinking", "summary", "data")
GROWING_IN_DETAIL = ("text", "summary", "data")
# The fields that are lists whose entries come whole.
LISTS = ("images", "annotations")


def is_reasoning(item: Json) -> bool:
    """Whether an item is no content: a message of such items alone is left out, one of
    a picture or of sound is not.
    """
    part = item.get("content_part")
    has_picture = isinstance(part, dict) and "image_url" in part
    return not has_picture and "images" not in item and "audio" not in item


def add_own_fields(encoded: Json, message: Message) -> None:
    """Add to an encoded message the fields that its items hold."""
    for item in message.items:
        _add_item(encoded, message, item)
    details = _whole_details(message.items)
    if details:
        encoded["reasoning_details"] = details
    parts = _whole_parts(message.items)
    if any(part["type"] != "text" for part in parts):
        encoded["content"] = _content_list(parts, message.content)


def _add_item(encoded: Json, message: Message, item: Json) -> None:
    """Add the fields that stand in an item as they are."""
    if "reasoning_field" in item:
        text = "" if item.get("empty") else message.reasoning
        encoded[item["reasoning_field"]] = text
    if "more" in item:
        _add_to_call(encoded.get("tool_calls", ()), item)
    if "audio" in item:
        encoded["audio"] = item["audio"]
    for name in LISTS:
        if name in item:
            encoded[name] = [*encoded.get(name, ()), *item[name]]


def _add_to_call(calls: Iterable[Json], item: Json) -> None:
    """Add to an encoded call the fields that came with it; the item names the call by
    its place, or by its id, as earlier versions saved it.
    """
    for place, call in enumerate(calls):
        if item.get("call") in (place, call["id"]):
            call.update(item["more"])


# The parts of a content list


def _content_list(parts: list[Json], text: str) -> list[Json]:
    """The parts of a message whose whole text is `text`."""
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if "".join(texts) == text:
        return parts
    # Some of the text came outside of a list: where it stood is not known.
    others = [part for part in parts if part["type"] != "text"]
    return [*others, {"type": "text", "text": text}]


def _whole_parts(items: Iterable[Json]) -> list[Json]:
    """The parts of a content list, each joined from its pieces."""
    parts: list[Json] = []
    for item in items:
        if "content_part" not in item:
            continue
        part = deepcopy(item["content_part"])
        is_piece = parts and not item.get("whole")
        if is_piece and _has_type_of(parts[-1], part):
            _join_part(parts[-1], part)
        else:
            parts.append(part)
    return parts


def _has_type_of(part: Any, other: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(other, dict):
        return False
    return bool(part.get("type") == other.get("type"))


def _join_part(part: Json, piece: Json) -> None:
    for name, value in piece.items():
        if _is_more_text(part.get(name), value) and name in GROWING_IN_PART:
            part[name] += value
        elif isinstance(value, list) and isinstance(part.get(name), list):
            _join_lists(part[name], value)
        elif value not in (None, ""):
            part[name] = value


def _join_lists(known: list[Any], added: list[Any]) -> None:
    if known and added and _has_type_of(known[-1], added[0]):
        _join_part(known[-1], added[0])
        added = added[1:]
    known += added


def _is_more_text(known: object, value: object) -> bool:
    return isinstance(known, str) and isinstance(value, str)


# The entries of `reasoning_details`


def _whole_details(items: Iterable[Json]) -> list[Json]:
    """The entries, each joined from its pieces: those that share type and index."""
    details: list[Json] = []
    for item in items:
        for piece in item.get("reasoning_details", ()):
            if details and _continues(details[-1], piece):
                _join_detail(details[-1], piece)
            else:
                details.append(dict(piece))
    return details


def _continues(detail: Json, piece: Json) -> bool:
    has_type = detail.get("type") == piece.get("type")
    return has_type and detail.get("index") == piece.get("index")


def _join_detail(detail: Json, piece: Json) -> None:
    """Add a piece: text grows, anything else is replaced."""
    for name, value in piece.items():
        if _is_more_text(detail.get(name), value) and name in GROWING_IN_DETAIL:
            detail[name] += value
        elif value is not None or name not in detail:
            detail[name] = value
