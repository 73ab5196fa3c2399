"""Anthropic's Messages API.

An assistant message goes back block by block as it came: thinking with its signature,
calls, the provider's own tools and their results, citations. Messages of one role are
put together, and all results of a turn are in one message.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2
from anthropic import (
    AnthropicError,
    AsyncAnthropic,
    AsyncStream,
    DefaultAsyncHttpxClient,
)

from cogent.errors import ConfigurationError, ModelError
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.model import Model
from cogent.providers import (
    Answer,
    Client,
    Events,
    OutputWay,
    Request,
    _stainless,
    encoder,
)
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.messages_decoder import StreamDecoder, decode_response
from cogent.providers.formats.messages_parts import ACCEPTED, encode_parts
from cogent.providers.formats.output_schema import ANTHROPIC, in_dialect
from cogent.providers.formats.parts import parts_to_send
from cogent.providers.formats.settings import TOOL_CHOICES, add_tools, system_texts
from cogent.run.finish import FinishWords
from cogent.run.history import mend_items
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings
from cogent.transport.event_stream import SdkReader
from cogent.transport.requests import bypass_sdk_validation, without_retries
from cogent.validation import check_key

if TYPE_CHECKING:
    from cogent.tools import Tool

__all__ = ["decode_response"]

FINISH_WORDS: FinishWords = {
    **ANY_SERVER,
    "message_stop": "stop",  # what the decoder says for a server that gives no reason
}

DEFAULT_MAX_TOKENS = 8192  # The API wants a limit in every request; `Model(max_tokens=...)` sets another.
KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
# The SDK makes spans of its own, and sends their ids (`traceparent`) to its server, as
# soon as the application has set OpenTelemetry up; here only if this variable asks for
# it, as `cogent.otel` makes fuller ones.
SPANS = "ANTHROPIC_OPEN_TELEMETRY"
NO_KEY = "no API key: set ANTHROPIC_API_KEY, or give Model(..., api_key=...)"

SDK_READER = SdkReader(needs_event_names=True, reads_done=False)


ERROR_CODES: Mapping[str, type[ModelError]] = {}

make_decoder = StreamDecoder


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's key and address; what is not set comes from the SDK's
    environment variables.
    """
    key = "" if callable(model.api_key) else model.api_key
    address = model.base_url or os.environ.get("ANTHROPIC_BASE_URL")
    settings = client_settings(httpx2, timeout, address, SDK_READER, model.http)
    try:
        sdk = AsyncAnthropic(
            api_key=key,
            base_url=model.base_url,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(**settings),
            open_telemetry=None if SPANS in os.environ else False,
        )
    except AnthropicError as error:
        raise ConfigurationError(f"{NO_KEY} ({error})") from error
    headers = {name.lower() for name in sdk.default_headers}
    if sdk.credentials is None and not headers & {"authorization", "x-api-key"}:
        raise ConfigurationError(NO_KEY)
    keys = filter(None, (key, *map(os.environ.get, KEYS)))
    return Client(sdk, str(sdk.base_url), tuple(keys), sdk.close)


async def open_stream(sdk: AsyncAnthropic, request: Request, arguments: Json) -> Events:
    """Ask for a stream."""
    await _renew_key(sdk, request.model)
    return await _stainless.open_stream(
        partial(_create, sdk), AsyncStream, {**arguments, "stream": True}
    )


async def ask(sdk: AsyncAnthropic, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once."""
    await _renew_key(sdk, request.model)
    # Given its time-out as an argument, the SDK does not refuse a large `max_tokens`.
    whole = {"timeout": sdk.timeout, "stream": False, **arguments}
    return await _stainless.ask(sdk, partial(_create, sdk), AsyncStream, whole)


async def _create(sdk: AsyncAnthropic, **arguments: Any) -> Any:
    create: _stainless.Create = without_retries(sdk).messages.with_raw_response.create
    arguments = bypass_sdk_validation(
        arguments, "messages", "tools", "container", messages=[]
    )
    return await create(**arguments)


async def _renew_key(sdk: AsyncAnthropic, model: Model) -> None:
    """Ask the user's function for the key, as it may give another one for each request;
    the errors know it from the headers of the request.
    """
    if not callable(model.api_key) or model.client is not None:
        return
    key = model.api_key()
    if inspect.isawaitable(key):
        key = await key
    check_key(key)
    sdk.api_key = key


# Encode


@encoder
def encode_request(request: Request) -> Json:
    """The arguments of `messages.create`."""
    model = request.model
    check = ACCEPTED.check_for(model.provider)
    history = request.history(_is_reasoning, with_parts=True, check_media=check)
    arguments: Json = {
        "model": model.name,
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": _encode_messages(history, model.provider),
    }
    containers = _containers(history)
    if containers:
        arguments["container"] = containers[-1]
    system = [text for text in system_texts(request) if text]
    if system:
        arguments["system"] = "\n\n".join(system)
    _add_settings(arguments, model)
    add_tools(arguments, request, _encode_tool)
    if request.tool_choice is not None:
        arguments["tool_choice"] = _encode_choice(request.tool_choice)
    if request.output is not None:
        schema = in_dialect(request.output.schema, ANTHROPIC)
        format = {"type": "json_schema", "schema": schema}
        given = model.extra.get("output_config") or {}
        arguments["output_config"] = {**given, "format": format}
    return arguments


def _add_settings(arguments: Json, model: Model) -> None:
    """Add the limits that the user set, and then `extra`, which replaces what is there."""
    if model.max_tokens is not None:
        arguments["max_tokens"] = model.max_tokens
    arguments |= model.extra
    if model.temperature is not None:
        body = model.extra.get("extra_body", {})
        arguments["extra_body"] = {"temperature": model.temperature, **body}


def _encode_choice(choice: str) -> Json:
    if choice in TOOL_CHOICES:
        return {"type": "any" if choice == "required" else "none"}
    return {"type": "tool", "name": choice}


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With the API's own mode, which goes together with tools and streams; a schema that
    it does not take stands in the instructions.
    """
    assert request.output is not None
    fits = in_dialect(request.output.schema, ANTHROPIC) is not None
    return "mode" if fits else "instructions"


def _encode_tool(tool: Tool[..., Any]) -> Json:
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.parameters,
    }


def _containers(history: Sequence[Message]) -> list[object]:
    """The containers in which the provider ran code; the item that names one has no
    type.
    """
    items = [item for message in history for item in message.items]
    return [item["container"] for item in items if "type" not in item]


def _encode_messages(messages: Sequence[Message], provider: str) -> list[Json]:
    """The conversation, with the messages that follow each other in one role put
    together.
    """
    encoded: list[Json] = []
    for message in messages:
        if message.role == "system":
            continue
        role = _role(message)
        if not encoded or encoded[-1]["role"] != role:
            encoded.append({"role": role, "content": []})
        content = encoded[-1]["content"]
        blocks = _encode_message(message, provider)
        content += [block for block in blocks if not _is_blank_text(block)]
        _fit_content(content, role)
        if not content:
            encoded.pop()
    return encoded


def _role(message: Message) -> str:
    """The role in the request: results of tools come from the user."""
    return "assistant" if message.role == "assistant" else "user"


def _is_blank_text(block: Json) -> bool:
    """Whether it is a text without a visible character, which the API refuses."""
    return block["type"] == "text" and not block["text"].strip()


def _fit_content(content: list[Json], role: str) -> None:
    """Change the blocks of a message to what the API takes: no thinking at the end,
    and results before anything else that comes from the user.
    """
    while content and _is_reasoning(content[-1]):
        content.pop()
    if role == "user":
        content.sort(key=lambda block: block["type"] != "tool_result")


def _encode_message(message: Message, provider: str) -> Iterable[Json]:
    parts = encode_parts(parts_to_send(message), provider)
    if message.role == "tool":
        return [_encode_result(message, parts)]
    if parts:
        return parts
    blocks = [item for item in message.items if "type" in item]
    own = (
        mend_items(blocks, message.tool_calls, _call_id, _mend_call) if blocks else None
    )
    return _encode_neutral(message) if own is None else own


def _encode_result(message: Message, parts: list[Json]) -> Json:
    result: Json = {
        "type": "tool_result",
        "tool_use_id": message.tool_call_id,
        "content": [part for part in parts if not _is_blank_text(part)]
        or message.content,
    }
    if message.is_error:
        result["is_error"] = True
    return result


def _encode_neutral(message: Message) -> Iterator[Json]:
    yield {"type": "text", "text": message.content}
    for call in message.tool_calls:
        yield {
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": call.arguments,
        }


def _call_id(block: Json) -> object:
    if block["type"] != "tool_use":
        return None
    return block.get("id") or ""


def _mend_call(block: Json, call: ToolCall) -> Json:
    given = block.get("input")
    arguments = given if isinstance(given, dict) else call.arguments
    return {**block, "id": call.id, "name": call.name, "input": arguments}


def _is_reasoning(block: Json) -> bool:
    return block.get("type", "thinking") in ("thinking", "redacted_thinking")
