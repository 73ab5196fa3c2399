"""Encode requests for Ollama's chat API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.model import Model
from cogent.providers import OutputWay, Request, encoder
from cogent.providers.formats.ollama_parts import ACCEPTED, encode_parts
from cogent.providers.formats.ollama_schema import encode_schema
from cogent.providers.formats.parts import parts_to_send
from cogent.providers.formats.settings import add_tools

if TYPE_CHECKING:
    from cogent.tools import Tool


@encoder
def encode_request(request: Request) -> Json:
    """The arguments of `chat`."""
    model = request.model
    check = ACCEPTED.check_for(model.provider)
    history = request.history(with_parts=True, check_media=check)
    messages = [_encode_message(message, model.provider) for message in history]
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    arguments: Json = {"model": model.name, "messages": messages, **model.extra}
    if request.output is not None:
        arguments["format"] = request.output.schema
    options = _encode_options(model)
    if options:
        arguments["options"] = options
    if request.tool_choice is None:
        add_tools(arguments, request, _encode_tool)
    elif request.tool_choice == "none":
        arguments.pop("tools", None)  # the API has no word for it
    else:
        raise ConfigurationError(
            f"Ollama has no tool_choice={request.tool_choice!r}: "
            'it takes "auto" and "none"'
        )
    return arguments


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With `format`, which does not show the schema to the model; under it a model calls no
    tools, and cannot be made to call one.
    """
    has_tools = request.tools or request.model.extra.get("tools")
    if has_tools and request.tool_choice != "none":
        return "optional tool"
    return "mode and instructions"


def _encode_options(model: Model) -> Json:
    """The model's limits with the user's own options; empty where the model has no
    limits.
    """
    options: Json = {}
    if model.max_tokens is not None:
        options["num_predict"] = model.max_tokens
    if model.temperature is not None:
        options["temperature"] = model.temperature
    if not options:
        return {}
    own = dict(model.extra.get("options") or {})
    for name, value in own.items():
        if value is not None:
            options[name] = value
    return options


def _encode_message(message: Message, provider: str) -> Json:
    encoded: Json = {"role": message.role, "content": message.content}
    parts = parts_to_send(message)
    if parts:
        encoded |= encode_parts(parts, provider)
    if message.role == "tool":
        encoded["tool_name"] = message.name
    if message.reasoning:
        encoded["thinking"] = message.reasoning
    if message.tool_calls:
        encoded["tool_calls"] = [_encode_call(call) for call in message.tool_calls]
    return encoded


def _encode_call(call: ToolCall) -> Json:
    return {"function": {"name": call.name, "arguments": call.arguments}}


_encoded_schemas: WeakKeyDictionary[Tool[..., Any], Json] = WeakKeyDictionary()


def _encode_tool(tool: Tool[..., Any]) -> Json:
    schema = _encoded_schemas.get(tool)
    if schema is None:
        schema = encode_schema(tool.parameters)
        _encoded_schemas[tool] = schema
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": schema,
    }
    return {"type": "function", "function": function}
