"""What the encoders of all formats add to a request in the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cogent.json_values import Json
from cogent.model import Model
from cogent.providers import Request

if TYPE_CHECKING:
    from cogent.tools import Tool


TOOL_CHOICES = ("required", "none")  # all else is the name of a tool


def add_settings(
    arguments: Json,
    model: Model,
    *,
    max_tokens: str,
) -> None:
    """Add the limits that the user set, and then `extra`, which replaces what is there.

    `max_tokens` is the format's name for the limit of the answer.
    """
    if model.max_tokens is not None:
        arguments[max_tokens] = model.max_tokens
    if model.temperature is not None:
        arguments["temperature"] = model.temperature
    arguments.update(model.extra)


def add_tools(
    arguments: Json,
    request: Request,
    encode_tool: Callable[[Tool[..., Any]], Json],
) -> None:
    """Add the tools, before those of the provider's own that `extra` has."""
    if request.tools:
        tools = [encode_tool(tool) for tool in request.tools]
        arguments["tools"] = [*tools, *request.model.extra.get("tools", ())]


def add_tool_choice(
    arguments: Json, request: Request, encode_name: Callable[[str], object]
) -> None:
    """Add which tool the model has to call, for formats with the words of OpenAI."""
    choice = request.tool_choice
    if choice is not None:
        is_word = choice in TOOL_CHOICES
        arguments["tool_choice"] = choice if is_word else encode_name(choice)


def system_texts(request: Request) -> list[str]:
    """The instructions and the system messages, for formats that have one place for
    them.
    """
    messages = [message for message in request.messages if message.role == "system"]
    texts = [message.content for message in messages]
    if request.instructions is not None:
        texts.insert(0, request.instructions)
    return texts
