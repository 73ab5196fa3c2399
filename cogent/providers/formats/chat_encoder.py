"""Encode requests in the Chat Completions format.

An assistant message goes back with the fields in which it came: its reasoning under the
same name, `reasoning_details` and whatever else a tool call carried (a signature of
Gemini's, say). `chat_decoder` makes the items that hold them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.providers import Request, encoder
from cogent.providers.formats.chat_parts import (
    OPENAI_CHAT,
    Receiver,
    encode_media_of_results,
    encode_parts,
    encode_result,
)
from cogent.providers.formats.parts import Accepted, parts_to_send

if TYPE_CHECKING:
    from cogent.tools import Tool

# The fields whose pieces add up: of a part of a content list, and of an entry of
# `reasoning_details`.
GROWING_IN_PART = ("text", "thinking", "summary", "data")
GROWING_IN_DETAIL = ("text", "summary", "data")


@encoder
def encode_request(
    request: Request, *, max_tokens: str, accepted: Accepted = OPENAI_CHAT
) -> Json:
    """The arguments of `chat.completions.create`; `max_tokens` is the server's name for
    that limit, `accepted` the images and files that it takes.
    """
    model = request.model
    receiver = Receiver(model.provider, accepted)
    messages = _encode_messages(request.history(with_parts=True), receiver)
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    arguments: Json = {"model": model.name, "messages": messages}
    if model.max_tokens is not None:
        arguments[max_tokens] = model.max_tokens
    if model.temperature is not None:
        arguments["temperature"] = model.temperature
    arguments |= model.extra
    if request.tools:
        tools = [_encode_tool(tool) for tool in request.tools]
        arguments["tools"] = [*tools, *model.extra.get("tools", ())]
    return arguments


def _encode_tool(tool: Tool[..., Any]) -> Json:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def _encode_messages(messages: Iterable[Message], receiver: Receiver) -> list[Json]:
    """The conversation; what results hold beside text follows the last of a turn."""
    encoded: list[Json] = []
    for is_results, group in groupby(messages, lambda message: message.role == "tool"):
        same = list(group)
        encoded += [_encode_message(message, receiver) for message in same]
        if is_results:
            encoded += encode_media_of_results(same, receiver)
    return encoded


def _encode_message(message: Message, receiver: Receiver) -> Json:
    if message.role == "tool":
        return encode_result(message, receiver)
    parts = parts_to_send(message)
    content = encode_parts(parts, receiver) if parts else message.content
    encoded: Json = {"role": message.role, "content": content}
    if message.tool_calls:
        encoded["content"] = message.content or None
        encoded["tool_calls"] = [_encode_call(call) for call in message.tool_calls]
    if message.items:
        _add_own_items(encoded, message)
    return encoded


def _encode_call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


# The fields in which a message came


def _add_own_items(encoded: Json, message: Message) -> None:
    for item in message.items:
        if "reasoning_field" in item:
            encoded[item["reasoning_field"]] = (
                "" if item.get("empty") else message.reasoning
            )
        if "more" in item:
            _add_to_call(encoded.get("tool_calls", ()), item)
    details = _whole_details(message.items)
    if details:
        encoded["reasoning_details"] = details
    parts = _whole_parts(message.items)
    if any(part["type"] != "text" for part in parts):
        encoded["content"] = _content_list(parts, message.content)


def _add_to_call(calls: Iterable[Json], item: Json) -> None:
    """Add to an encoded call the fields that came with it; the item names the call by
    its place.
    """
    for place, call in enumerate(calls):
        if item.get("call") in (
            place,
            call["id"],
        ):  # the id in what earlier versions saved
            call |= item["more"]


def _content_list(parts: list[Json], text: str) -> list[Json]:
    """The parts of a message whose whole text is `text`."""
    listed_text = "".join(part["text"] for part in parts if part["type"] == "text")
    if listed_text == text:
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
        is_piece = not item.get("whole", False)
        if is_piece and parts and parts[-1].get("type") == part.get("type"):
            _join(parts[-1], part)
        else:
            parts.append(part)
    return parts


def _join(part: Json, piece: Json) -> None:
    for name, value in piece.items():
        known = part.get(name)
        if isinstance(known, list) and isinstance(value, list):
            _join_lists(known, value)
        elif (
            name in GROWING_IN_PART
            and isinstance(known, str)
            and isinstance(value, str)
        ):
            part[name] = known + value
        elif value not in (None, ""):
            part[name] = value


def _join_lists(known: list[Any], added: list[Any]) -> None:
    first = added[0] if added else None
    last = known[-1] if known else None
    if (
        isinstance(first, dict)
        and isinstance(last, dict)
        and first.get("type") == last.get("type")
    ):
        _join(last, first)
        added = added[1:]
    known += added


def _whole_details(items: Iterable[Json]) -> list[Json]:
    """The entries of `reasoning_details`, each joined from its pieces: those that share
    type and index.
    """
    details: list[Json] = []
    for item in items:
        for piece in item.get("reasoning_details", ()):
            if details and _continues(details[-1], piece):
                _join_detail(details[-1], piece)
            else:
                details.append(dict(piece))
    return details


def _continues(detail: Json, piece: Json) -> bool:
    return all(detail.get(name) == piece.get(name) for name in ("type", "index"))


def _join_detail(detail: Json, piece: Json) -> None:
    """Add a piece: text grows, anything else is replaced."""
    for name, value in piece.items():
        known = detail.get(name)
        if (
            name in GROWING_IN_DETAIL
            and isinstance(known, str)
            and isinstance(value, str)
        ):
            detail[name] = known + value
        elif value is not None or name not in detail:
            detail[name] = value
