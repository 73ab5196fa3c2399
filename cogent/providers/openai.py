"""OpenAI's Responses API.

Nothing is stored at the provider: reasoning comes back encrypted and is sent again with
the next request, as the documentation of `store=false` asks. Models that do not reason
refuse that, so they are not asked for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI, AsyncStream, BadRequestError
from openai.resources.responses import AsyncResponses  # noqa: F401  # the SDK imports it only with the first request

from cogent.errors import ModelError
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.providers import Answer, Events, OutputWay, Request, _stainless, encoder
from cogent.providers._openai_client import SDK_READER, make_client
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.output_schema import strict
from cogent.providers.formats.parts import parts_to_send
from cogent.providers.formats.responses_decoder import (
    StreamDecoder,
    decode_response,
)
from cogent.providers.formats.responses_outputs import encode_output
from cogent.providers.formats.responses_parts import accepted_by, encode_parts
from cogent.providers.formats.responses_pending import pending_items
from cogent.providers.formats.settings import add_settings, add_tool_choice, add_tools
from cogent.run.history import fit_arguments, fit_arguments_text, mend_items
from cogent.transport.requests import bypass_sdk_validation, without_retries

if TYPE_CHECKING:
    from cogent.tools import Tool

__all__ = ["SDK_READER", "decode_response", "make_client"]

FINISH_WORDS = ANY_SERVER
ERROR_CODES: Mapping[str, type[ModelError]] = {}
ENCRYPTED_REASONING = "reasoning.encrypted_content"
NOT_REASONING = re.compile(r"(chat)?gpt-[34]")

make_decoder = StreamDecoder


async def open_stream(sdk: AsyncOpenAI, request: Request, arguments: Json) -> Events:
    """Ask for a stream."""
    create = partial(_create, sdk, request.model.extra)
    return await _stainless.open_stream(
        create, AsyncStream, {**arguments, "stream": True}
    )


async def ask(sdk: AsyncOpenAI, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once."""
    create = partial(_create, sdk, request.model.extra)
    return await _stainless.ask(
        sdk, create, AsyncStream, {"stream": False, **arguments}
    )


async def _create(sdk: AsyncOpenAI, extra: Mapping[str, Any], **arguments: Any) -> Any:
    create: _stainless.Create = without_retries(sdk).responses.with_raw_response.create
    arguments = bypass_sdk_validation(arguments, "input", "tools")
    try:
        return await create(**arguments)
    except BadRequestError as error:
        if error.param != "include" or "include" in extra:
            raise
        # The name (a deployment, a fine-tuned model) did not tell that this model does
        # not reason.
        arguments.pop("include", None)
        return await create(**arguments)


# Encode


@encoder
def encode_request(request: Request) -> Json:
    """The arguments of `responses.create`."""
    model = request.model
    reasons = NOT_REASONING.match(model.name) is None
    check = accepted_by(model.provider).check_for(model.provider)
    messages = request.history(_is_reasoning, with_parts=True, check_media=check)
    items = _encode_messages(messages, reasons, model.provider)
    arguments: Json = {
        "model": model.name,
        "input": list(_without_repeated_ids(items)),
        "store": False,
    }
    if reasons:
        arguments["include"] = [ENCRYPTED_REASONING]
    if request.instructions is not None:
        arguments["instructions"] = request.instructions
    add_settings(arguments, model, max_tokens="max_output_tokens")
    add_tools(arguments, request, _encode_tool)
    add_tool_choice(arguments, request, lambda name: {"type": "function", "name": name})
    if request.output is not None:
        format = {"type": "json_schema", **strict(request.output)}
        arguments["text"] = {**(model.extra.get("text") or {}), "format": format}
    return arguments


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With the API's own mode, which goes together with tools and streams."""
    return "mode"


def _encode_tool(tool: Tool[..., Any]) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": False,
    }


def _encode_messages(
    messages: Iterable[Message], reasons: bool, provider: str
) -> Iterator[Json]:
    # By id, of the calls that went out as the API's own items.
    types: dict[str | None, str] = {}
    callers: dict[str | None, Json] = {}
    for message in messages:
        if message.role == "tool":
            type = types.get(message.tool_call_id, "function")
            output = encode_output(type, message, provider)
            yield {**callers.get(message.tool_call_id, {}), **output}
            continue
        own = _own_items(message) if reasons or _has_own_types(message) else None
        if own is None:
            yield from _encode_neutral(message, provider)
        else:
            types |= {call.id: call.type for call in message.tool_calls}
            callers |= _callers(own)
            yield from own


def _callers(items: Iterable[Json]) -> dict[str | None, Json]:
    """By the id of a call that a program made: the field that says so, which the output
    of the call repeats.
    """
    return {
        item.get("call_id"): {"caller": item["caller"]}
        for item in items
        if item.get("caller")
    }


def _has_own_types(message: Message) -> bool:
    """Whether it has a call that is no function, which only the API's own items can
    say.
    """
    return any(call.type != "function" for call in message.tool_calls)


def _without_repeated_ids(items: Iterable[Json]) -> Iterator[Json]:
    """The items, each id of theirs once: the API refuses one that comes twice, and
    needs none.
    """
    used: set[object] = set()
    for item in items:
        id = item.get("id")
        if id in used:
            yield {name: value for name, value in item.items() if name != "id"}
            continue
        if id:
            used.add(id)
        yield item


def _encode_neutral(message: Message, provider: str) -> Iterator[Json]:
    parts = parts_to_send(message)
    if parts:
        yield {"role": message.role, "content": encode_parts(parts, provider)}
    elif message.content:
        # Without the type llama.cpp's server takes a text of the assistant for an
        # unknown item.
        kind = {"type": "message"} if message.role == "assistant" else {}
        yield {**kind, "role": message.role, "content": message.content}
    for call in message.tool_calls:
        arguments = json.dumps(call.arguments)
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": arguments,
        }


def _own_items(message: Message) -> list[Json] | None:
    """The items that the API gave for this message, fit to go back; None if there are
    none of this API.
    """
    if not message.items or "type" not in message.items[0]:
        return None
    pending = pending_items(message.items)

    def call_id(item: Json) -> object:
        if item.get("type") == "function_call":
            return item.get("call_id") or ""
        return (
            (item.get("call_id") or item.get("id") or "") if item in pending else None
        )

    return mend_items(message.items, message.tool_calls, call_id, _mend_call)


def _mend_call(item: Json, call: ToolCall) -> Json:
    if item.get("type") != "function_call":
        return {**item, "call_id" if item.get("call_id") else "id": call.id}
    arguments = fit_arguments_text(item.get("arguments"), fit_arguments(call.arguments))
    return {**item, "call_id": call.id, "name": call.name, "arguments": arguments}


def _is_reasoning(item: Json) -> bool:
    """Whether the item says nothing: reasoning, or a message without a text."""
    match item.get("type"):
        case "reasoning":
            return True
        case "message":
            return not any(
                part.get("text") or part.get("refusal")
                for part in item.get("content") or ()
            )
        case _:
            return False
