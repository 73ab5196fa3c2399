"""Ollama's chat API: a server of your own, or ollama.com.

Calls come whole and without ids; a turn that asks for tools ends with "stop" like any
other. Reasoning (`thinking`) goes back with the message that it belongs to. A request
has no id, and there is no count of cached tokens.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import httpx
from ollama import AsyncClient, ChatResponse, ResponseError
from ollama import Message as OllamaMessage
from pydantic import ValidationError

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.errors import BadRequest, ConfigurationError, ModelError
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.model import Model
from cogent.providers import Answer, Client, Events, Request, encoder
from cogent.providers.formats.counts import known
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.ollama_parts import encode_parts
from cogent.providers.formats.parts import parts_to_send
from cogent.providers.formats.updates import updates_of
from cogent.run.finish import FinishWords
from cogent.run.outputs import Output, Update
from cogent.timeout import Timeout
from cogent.tools import Tool
from cogent.transport.answers import (
    client_settings,
    close_generator_chain,
    read_first,
)
from cogent.transport.error_body import is_error, read_report
from cogent.transport.error_kinds import retry_after
from cogent.transport.errors import broken_off
from cogent.transport.event_stream import SdkReader
from cogent.transport.keys import check_key
from cogent.transport.reported import ErrorReport

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11434
HAS_PORT = re.compile(r":\d+$")
# The SDK's stream can be left only where it waits for more bytes; to parse this many,
# in short events, takes it 2 ms.
MAX_BYTES_PER_READ = 32768
SDK_READER = SdkReader(json_lines=True, max_bytes_per_read=MAX_BYTES_PER_READ)
FINISH_WORDS: FinishWords = {
    **ANY_SERVER,
    "load": "stop",  # for a request without messages
    "unload": "stop",
}
ERROR_CODES: Mapping[str, type[ModelError]] = {}
UNREACHABLE_HINT = "is Ollama running? `ollama serve` starts it; OLLAMA_HOST or base_url says where it is"


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's address and key; what is not set comes from OLLAMA_HOST
    and OLLAMA_API_KEY.
    """
    key = model.api_key or os.environ.get("OLLAMA_API_KEY")
    if callable(key):
        raise ConfigurationError(
            "ollama takes the API key as a string, not as a function"
        )
    check_key(key)
    address = model.base_url or os.environ.get("OLLAMA_HOST")
    settings = client_settings(httpx, timeout, address, SDK_READER)
    if key:
        settings["headers"]["authorization"] = f"Bearer {key}"
    sdk = AsyncClient(model.base_url, **settings)
    keys = (key,) if key else ()
    return Client(sdk, _with_scheme(address or ""), keys, sdk.close)


def _with_scheme(host: str) -> str:
    """The address as the SDK completes it, for example of `my-server` or `:5000`."""
    if "://" in host:
        return host
    name, slash, path = host.partition("/")
    if not name or name.startswith(":"):
        name = f"{DEFAULT_HOST}{name}"
    if not HAS_PORT.search(name):
        name = f"{name}:{DEFAULT_PORT}"
    return f"http://{name}{slash}{path}"


async def open_stream(sdk: AsyncClient, request: Request, arguments: Json) -> Events:
    """Ask for a stream; the SDK sends the request only when the first event is read."""
    chat: Callable[..., Awaitable[Any]] = sdk.chat
    with _explained():
        iterator = await chat(**arguments, stream=True)
        first = await read_first(iterator)
    return Events(iterator, partial(close_generator_chain, iterator), first=first)


async def ask(sdk: AsyncClient, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once."""
    chat: Callable[..., Awaitable[Any]] = sdk.chat
    try:
        with _explained():
            return await chat(**arguments), {}
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        # A server that streams whatever it is asked for.
        lines = error.doc.strip().split("\n")
        return [ChatResponse.model_validate_json(line) for line in lines]


# Errors


@contextmanager
def _explained() -> Iterator[None]:
    """Raise the HTTP client's own error, as that of the SDK has no reason, and BadRequest
    if the SDK's types do not fit the request.
    """
    try:
        yield
    except ValidationError as error:
        if error.title == ChatResponse.__name__:
            raise
        raise BadRequest(f"the request cannot be sent: {error}") from error
    except ConnectionError as error:
        if isinstance(error.__context__, httpx.ConnectError):
            raise error.__context__ from None
        raise


def read_error(error: Exception) -> ErrorReport | None:
    """What the server said, and what helps against it.

    The SDK's own error has neither headers nor the body of an answer; that of the HTTP
    client, which it hides, has. Of an error amid a stream there are only words.
    """
    hidden = error.__context__
    if isinstance(hidden, httpx.HTTPStatusError):
        return _read_status_error(hidden.response)
    match error:
        case ResponseError():
            return ErrorReport(error.error)
        case ValidationError() if error.title == ChatResponse.__name__:
            return _read_format_error(error)
        case json.JSONDecodeError() if not broken_off(error):
            return ErrorReport(f"the server sent what is no JSON: {error.doc[:100]!r}")
        case AttributeError():
            return ErrorReport("the server sent what is no JSON object")
        case TypeError() if "argument after **" in str(error):
            return ErrorReport("the server sent what is no JSON object")
    return None


def _read_status_error(response: httpx.Response) -> ErrorReport:
    report = ErrorReport(
        response.text,
        response.status_code,
        retry_after=retry_after(response.headers),
        request=response.request,
    )
    if response.status_code == 404 and "model" in read_report(response.text).words:
        asked = json.loads(response.request.content)
        report.hint = f"`ollama pull {asked['model']}` gets it"
    return report


def _read_format_error(error: ValidationError) -> ErrorReport:
    """An answer that the SDK's types do not fit, which may be an error."""
    wrong = error.errors()[0]
    if is_error(wrong["input"]):
        return ErrorReport(wrong["input"])
    place = ".".join(map(str, wrong["loc"]))
    return ErrorReport(f"the answer is not in Ollama's format: {place}: {wrong['msg']}")


# Encode


@encoder
def encode_request(request: Request) -> Json:
    """The arguments of `chat`."""
    model = request.model
    messages = [
        _encode_message(message, model.provider)
        for message in request.history(with_parts=True)
    ]
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    arguments: Json = {"model": model.name, "messages": messages, **model.extra}
    options = _encode_options(model)
    if options:
        arguments["options"] = options
    tools = [
        {"type": "function", "function": _encode_tool(tool)} for tool in request.tools
    ]
    if tools:
        arguments["tools"] = [*tools, *model.extra.get("tools", ())]
    return arguments


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
    for name, value in dict(model.extra.get("options") or {}).items():
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
    return {"name": tool.name, "description": tool.description, "parameters": schema}


def encode_schema(schema: Json) -> Json:
    """A tool's schema in the form that reaches the model.

    Of a parameter the SDK, the server and the models' templates know type, enum, flat
    items and description, and drop the rest without a word. So references are put in
    place, and the description holds what is left.
    """
    whole = _inline(schema, schema.get("$defs", {}), ())
    properties = {
        name: _flatten(inner) for name, inner in whole.get("properties", {}).items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": whole.get("required", []),
    }


def _inline(value: Any, defs: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """The schema without references, but for those to what they are inside of: its
    `title` is the name they give.
    """
    if isinstance(value, list):
        return [_inline(inner, defs, inside) for inner in value]
    if not isinstance(value, dict):
        return value
    rest = {
        name: _inline(inner, defs, inside)
        for name, inner in value.items()
        if name != "$defs"
    }
    target = str(value.get("$ref", "")).rpartition("/")[2]
    if target not in defs or target in inside:
        return rest
    del rest["$ref"]
    return _inline(defs[target], defs, (*inside, target)) | rest


def _flatten(schema: Json) -> Json:
    """A parameter's schema in what is known of it, with the rest as JSON in its
    description.
    """
    rest = _merge_branches(schema)
    if "const" in rest:
        rest["enum"] = [rest.pop("const")]
    if rest.get("default", ...) is None:  # what is not required says as much
        del rest["default"]
    flat = {name: rest.pop(name) for name in _known_fields(rest)}
    description = [rest.pop("description", "")]
    if rest:
        description.append(f"JSON schema: {json.dumps(rest, ensure_ascii=False)}")
    text = " ".join(filter(None, description))
    if text:
        flat["description"] = text
    return flat


def _merge_branches(schema: Json) -> Json:
    """A copy of the schema, with the types of its `anyOf` as its own; `Optional[X]`
    becomes X.
    """
    merged = dict(schema)
    kinds = [branch.get("type") for branch in merged.get("anyOf", ())]
    if kinds[1:] == ["null"]:
        value = merged.pop("anyOf")[0]
        merged = value | merged
    if kinds and all(isinstance(kind, str) for kind in kinds):
        merged["type"] = kinds
    return merged


def _known_fields(schema: Json) -> list[str]:
    names = ["type", "enum"]
    item_fields = set(schema.get("items") or ())
    if item_fields <= {"type", "enum"}:
        names.append("items")
    return [name for name in names if name in schema]


# Decode


class LineDecoder:
    """Decodes the lines of one answer, each of which stands for itself."""

    is_complete: bool = False

    def decode(self, event: ChatResponse) -> Iterable[Output]:
        """The parts that a line of the stream stands for."""
        self.is_complete = bool(event.done)
        return decode_response(event)

    def close(self) -> Iterable[Output]:
        """Nothing: each line was given as it came."""
        return ()


make_decoder = LineDecoder


def decode_response(event: ChatResponse) -> Iterable[Output]:
    """The parts that a line of the stream, or a whole answer, stands for."""
    message = event.message
    if message.content and not (message.thinking or message.tool_calls or event.done):
        return (StreamChunk(message.content),)
    return _decode_all(event)


def _decode_all(event: ChatResponse) -> Iterator[Output]:
    message = event.message
    if message.thinking:
        yield StreamChunk(reasoning=message.thinking)
    if message.content:
        yield StreamChunk(message.content)
    yield from _decode_calls(message)
    if event.done or not (message.content or message.thinking):
        yield from _decode_updates(event)


def _decode_calls(message: OllamaMessage) -> Iterator[Output]:
    for call in message.tool_calls or ():
        function = call.function
        if function.name or function.arguments:
            arguments = json.dumps(function.arguments)
            yield StreamChunk(
                tool_call=ToolCallDelta(name=function.name, arguments=arguments)
            )


def _decode_updates(event: ChatResponse) -> Iterator[Update]:
    finish = None
    if event.done:
        finish = event.done_reason or "stop"
    counts = {
        "input_tokens": event.prompt_eval_count,
        "output_tokens": event.eval_count,
    }
    return updates_of(model=event.model, finish=finish, counts=known(counts))
