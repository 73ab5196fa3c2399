"""Encode requests in the Chat Completions format.

An assistant message goes back with the fields in which it came: see `chat_own_fields`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.output import OutputSchema
from cogent.providers import Request, encoder
from cogent.providers.formats.chat_own_fields import add_own_fields, is_reasoning
from cogent.providers.formats.chat_parts import (
    OPENAI_CHAT,
    Receiver,
    encode_media_of_results,
    encode_parts,
    encode_result,
)
from cogent.providers.formats.output_schema import strict
from cogent.providers.formats.parts import Accepted, parts_to_send
from cogent.providers.formats.settings import add_settings, add_tool_choice, add_tools

if TYPE_CHECKING:
    from cogent.tools import Tool


@encoder
def encode_request(
    request: Request,
    *,
    max_tokens: str,
    accepted: Accepted = OPENAI_CHAT,
    encode_output: Callable[[OutputSchema], Json] = strict,
) -> Json:
    """The arguments of `chat.completions.create`; `max_tokens` is the server's name for
    that limit, `accepted` the images and files that it takes, `encode_output` makes the
    schema of an answer one that it knows.
    """
    model = request.model
    receiver = Receiver(model.provider, accepted)
    check = accepted.check_for(model.provider)
    history = request.history(is_reasoning, with_parts=True, check_media=check)
    messages = _encode_messages(history, receiver)
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    arguments: Json = {"model": model.name, "messages": messages}
    add_settings(arguments, model, max_tokens=max_tokens)
    add_tools(arguments, request, _encode_tool)
    add_tool_choice(arguments, request, _encode_name)
    if request.output is not None:
        arguments["response_format"] = {
            "type": "json_schema",
            "json_schema": encode_output(request.output),
        }
    return arguments


def _encode_name(name: str) -> Json:
    return {"type": "function", "function": {"name": name}}


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
        add_own_fields(encoded, message)
    return encoded


def _encode_call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}
