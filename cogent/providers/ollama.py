"""Ollama's chat API: a server of your own, or ollama.com.

Calls come whole and without ids; a turn that asks for tools ends with "stop" like any
other. Reasoning (`thinking`) goes back with the message that it belongs to. A request
has no id, and there is no count of cached tokens.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
from ollama import AsyncClient, ChatResponse, ResponseError
from pydantic import ValidationError

from cogent.errors import BadRequest, ConfigurationError, ModelError
from cogent.json_values import Json
from cogent.model import Model
from cogent.providers import Answer, Client, Events, Request
from cogent.providers.formats import ollama_text
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.ollama_decoder import StreamDecoder, decode_response
from cogent.providers.formats.ollama_encoder import encode_request, output_way
from cogent.providers.formats.past_sdk import PastSdk
from cogent.run.finish import FinishWords
from cogent.timeout import Timeout
from cogent.transport.answers import (
    client_settings,
    close_generator_chain,
    read_first,
    watch_stream,
)
from cogent.transport.error_body import is_error, read_report
from cogent.transport.error_kinds import retry_after
from cogent.transport.errors import broken_off
from cogent.transport.event_stream import SdkReader
from cogent.transport.exchange import present_exchange
from cogent.transport.reported import ErrorReport
from cogent.validation import check_key

__all__ = ["decode_response", "encode_request", "output_way"]

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
    settings = client_settings(httpx, timeout, address, SDK_READER, model.http)
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


make_decoder = StreamDecoder


async def open_stream(sdk: AsyncClient, request: Request, arguments: Json) -> Events:
    """Ask for a stream; the SDK sends the request only when the first event is read."""
    chat: Callable[..., Awaitable[Any]] = sdk.chat
    with _explained():
        iterator = await chat(**arguments, stream=True)
        first = await read_first(iterator)
    events = PastSdk(iterator, ollama_text)
    exchange = present_exchange()
    if exchange is not None and exchange.response is not None:
        watch_stream(exchange.response, SDK_READER).shorten = events.shorten
    return Events(events, partial(close_generator_chain, iterator), first=first)


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
