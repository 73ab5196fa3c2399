"""Ollama's chat API: a server of your own, or ollama.com.

Calls come whole and without ids; a turn that asks for tools ends with "stop" like any other. Reasoning (`thinking`)
goes back with the message that it belongs to. A request has no id, and there is no count of cached tokens.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import httpx
from ollama import AsyncClient, ChatResponse, ResponseError
from pydantic import ValidationError

from cogent.chunks import StreamChunk, ToolCallDelta, TurnUpdate
from cogent.errors import BadRequest, ConfigurationError, ModelError, ServerError, StreamInterrupted
from cogent.messages import Message
from cogent.model import Model
from cogent.providers import Part, Request, encoder
from cogent.providers.formats.counts import known
from cogent.timeout import Timeout
from cogent.tools import Tool
from cogent.transport.answers import STREAMED, client_settings, cut, guard
from cogent.transport.body import drain
from cogent.transport.error_events import LINE_BOUNDARY, ErrorEvents
from cogent.transport.errors import broken_off, name_address, provider_error, raise_reported, retry_after, translate
from cogent.transport.keys import check_key

# What the SDK raises or lets through that needs more to be said than the shared tables know.
EXPLAINED = (
    ConnectionError,
    httpx.ConnectError,
    ResponseError,
    ValidationError,
    json.JSONDecodeError,
    TypeError,
    AttributeError,
)

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 11434
HAS_PORT = re.compile(r":\d+$")
LINE_ENDS = str.maketrans({character: f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"})


class Client(AsyncClient):
    """The SDK's client, which also knows its address, and its key, so that no error shows that."""

    api_key: str | None = None
    base_url: str | None = None


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's address and key; what is not set comes from OLLAMA_HOST and OLLAMA_API_KEY."""
    key = model.api_key or os.environ.get("OLLAMA_API_KEY")
    if callable(key):
        raise ConfigurationError("ollama takes the API key as a string, not as a function")
    check_key(key)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    address = model.base_url or os.environ.get("OLLAMA_HOST")
    settings = client_settings(httpx, timeout, address, _guard)
    client = Client(model.base_url, headers=headers, **settings)
    client.api_key = key
    client.base_url = _with_scheme(model.base_url or os.environ.get("OLLAMA_HOST") or "")
    return client


def _with_scheme(host: str) -> str:
    """The address as the SDK completes it, for example of `my-server` or `:5000`."""
    if "://" in host:
        return host
    name, slash, path = host.partition("/")
    name = f"{DEFAULT_HOST}{name}" if name.startswith(":") else name or DEFAULT_HOST
    port = "" if HAS_PORT.search(name) else f":{DEFAULT_PORT}"
    return f"http://{name}{port}{slash}{path}"


async def close_client(client: AsyncClient) -> None:
    """Close its connections."""
    await client.close()  # type: ignore[no-untyped-call]


async def stream(client: AsyncClient, request: Request) -> AsyncGenerator[Part, None]:
    """Ask, and yield what comes as it comes."""
    chat: Callable[..., Awaitable[Any]] = client.chat
    answer = chat(**{**encode_request(request), "stream": True})
    try:
        events = await answer
        try:
            async for event in events:
                for part in decode_event(event):
                    yield part
                if event.done:
                    await drain(events)
        finally:
            await cut(events)
    except EXPLAINED as error:
        raise explain(error, request.model.name) from error


async def complete(client: AsyncClient, request: Request) -> Iterable[Part]:
    """Ask for the whole answer at once."""
    chat: Callable[..., Awaitable[Any]] = client.chat
    answer = chat(**encode_request(request))
    try:
        return decode_event(await answer)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise explain(error, request.model.name) from error
        lines = error.doc.splitlines()  # a server that streams whatever it is asked for
        return [part for line in lines for part in decode_event(ChatResponse.model_validate_json(line))]
    except EXPLAINED as error:
        raise explain(error, request.model.name) from error


def read_lines() -> Callable[[bytes], Iterator[bytes]]:
    """A function for the pieces of a streamed answer: it raises the error of a line that reports one.

    What JSON has in its strings and the SDK ends a line at is escaped.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    events = ErrorEvents(provider_error, LINE_BOUNDARY)

    def read(data: bytes) -> Iterator[bytes]:
        for piece in events(data):
            plain = piece.isascii() and not decoder.getstate()[0]  # nor does it end a character that was cut in two
            yield piece if plain else decoder.decode(piece).translate(LINE_ENDS).encode()

    return read


async def _guard(response: httpx.Response) -> None:
    """A response hook: what holds for all answers, and the error that a whole answer with status 200 reports."""
    await guard(response, ends=(b"\n",), mender=read_lines if response.is_success else None, most=32768)
    if response.is_success and not response.request.extensions[STREAMED]:
        await response.aread()
        with suppress(ValueError):  # what is no JSON is for the SDK to find
            raise_reported(response.json())


def explain(error: Exception, model: str) -> ModelError:
    """The error of the SDK as one of ours, with what helps."""
    refused = _refused(error)
    match error:
        case _ if refused is not None:
            return _status_error(refused, model)
        case ConnectionError() | httpx.ConnectError():
            return _connection_error(error)
        case ResponseError():
            return provider_error(error.error)
        case ValidationError() if error.title == ChatResponse.__name__:
            wrong = error.errors()[0]
            raise_reported(wrong["input"])
            place = ".".join(map(str, wrong["loc"]))
            return ServerError(f"the answer is not in Ollama's format: {place}: {wrong['msg']}", status=200)
        case json.JSONDecodeError() if broken_off(error):
            return StreamInterrupted("the answer broke off in the middle of a line")
        case json.JSONDecodeError():
            return ServerError(f"the server sent what is no JSON: {error.doc[:100]!r}", status=200)
        case AttributeError():
            return ServerError("the server sent what is no JSON object", status=200)
        case TypeError() if "JSON serializable" not in str(error):
            return ServerError("the server sent what is no JSON object", status=200)
    return BadRequest(f"the request cannot be sent: {error}")


def _connection_error(error: Exception) -> ModelError:
    # The SDK's own error has no reason; that of the HTTP client, which it hides, has.
    cause = error.__context__ if isinstance(error.__context__, httpx.ConnectError) else error
    told = translate(cause, began=False)
    if "cannot reach" in str(told.args[0]):
        hint = "is Ollama running? `ollama serve` starts it; OLLAMA_HOST or base_url says where it is"
        told.args = (f"{told.args[0]}; {hint}",)
    return told


def _refused(error: BaseException) -> httpx.Response | None:
    """The answer with an error status that the SDK was reading: its own error has neither headers nor the body."""
    context = error.__context__
    return context.response if isinstance(context, httpx.HTTPStatusError) else None


def _status_error(answer: httpx.Response, model: str) -> ModelError:
    error = provider_error(answer.text, status=answer.status_code)
    error.retry_after = retry_after(answer.headers)
    name_address(error, answer)
    if answer.status_code == 404 and "model" in str(error.args[0]):
        error.args = (f"{error.args[0]}: `ollama pull {model}` gets it",)
    return error


# Ours to theirs


@encoder
def encode_request(request: Request) -> dict[str, Any]:
    """The arguments of `chat`."""
    model = request.model
    messages = [_encode_message(message) for message in request.history()]
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    arguments: dict[str, Any] = {"model": model.name, "messages": messages, **model.extra}
    limits = {"num_predict": model.max_tokens, "temperature": model.temperature}
    if any(value is not None for value in limits.values()):
        options = [*limits.items(), *dict(model.extra.get("options") or {}).items()]
        arguments["options"] = {name: value for name, value in options if value is not None}
    tools = [{"type": "function", "function": _encode_tool(tool)} for tool in request.tools]
    if tools:
        arguments["tools"] = [*tools, *model.extra.get("tools", ())]
    return arguments


def _encode_message(message: Message) -> dict[str, Any]:
    encoded: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        encoded["tool_name"] = message.name
    if message.reasoning:
        encoded["thinking"] = message.reasoning
    if message.tool_calls:
        functions = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
        encoded["tool_calls"] = [{"function": function} for function in functions]
    return encoded


def _encode_tool(tool: Tool[..., Any]) -> dict[str, Any]:
    if tool not in _encoded:
        _encoded[tool] = encode_schema(tool.parameters)
    return {"name": tool.name, "description": tool.description, "parameters": _encoded[tool]}


_encoded: WeakKeyDictionary[Tool[..., Any], dict[str, Any]] = WeakKeyDictionary()


def encode_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A tool's schema in the form that reaches the model.

    Of a parameter the SDK, the server and the models' templates know type, enum, flat items and description, and drop
    the rest without a word. So references are put in place, and what is left is told in the description.
    """
    whole = _inline(schema, schema.get("$defs", {}), ())
    properties = {name: _flatten(inner) for name, inner in whole.get("properties", {}).items()}
    return {"type": "object", "properties": properties, "required": whole.get("required", [])}


def _inline(value: Any, defs: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """The schema without references, but for those to what they are inside of: its `title` is the name they give."""
    if isinstance(value, list):
        return [_inline(inner, defs, inside) for inner in value]
    if not isinstance(value, dict):
        return value
    rest = {name: _inline(inner, defs, inside) for name, inner in value.items() if name != "$defs"}
    target = str(value.get("$ref", "")).rpartition("/")[2]
    if target not in defs or target in inside:
        return rest
    del rest["$ref"]
    return _inline(defs[target], defs, (*inside, target)) | rest


def _flatten(schema: dict[str, Any]) -> dict[str, Any]:
    rest = dict(schema)
    kinds = [branch.get("type") for branch in rest.get("anyOf", ())]
    if kinds[1:] == ["null"]:  # Optional
        rest = rest.pop("anyOf")[0] | rest
    if kinds and all(isinstance(kind, str) for kind in kinds):
        rest["type"] = kinds
    if "const" in rest:
        rest["enum"] = [rest.pop("const")]
    if rest.get("default", ...) is None:  # what is not required says as much
        del rest["default"]
    known = ["type", "enum", *(["items"] if set(rest.get("items") or ()) <= {"type", "enum"} else [])]
    flat = {name: rest.pop(name) for name in known if name in rest}
    told = [rest.pop("description", ""), f"JSON schema: {json.dumps(rest, ensure_ascii=False)}" if rest else ""]
    return flat | ({"description": " ".join(filter(None, told))} if any(told) else {})


# Theirs to ours


def decode_event(event: ChatResponse) -> Iterable[Part]:
    """The parts that a line of the stream, or a whole answer, stands for."""
    message = event.message
    if message.content and not (message.thinking or message.tool_calls or event.done):
        return (StreamChunk(message.content),)
    return _decode_all(event)


def _decode_all(event: ChatResponse) -> Iterator[Part]:
    message = event.message
    if message.thinking:
        yield StreamChunk(reasoning=message.thinking)
    if message.content:
        yield StreamChunk(message.content)
    for call in message.tool_calls or ():
        function = call.function
        if not function.name and not function.arguments:
            continue
        yield StreamChunk(tool_call=ToolCallDelta(name=function.name, arguments=json.dumps(function.arguments)))
    if event.done or not (message.content or message.thinking):
        finish = (event.done_reason or "stop") if event.done else None
        counts = {"input_tokens": event.prompt_eval_count, "output_tokens": event.eval_count}
        yield TurnUpdate(model=event.model, finish=finish, usage=known(counts))
