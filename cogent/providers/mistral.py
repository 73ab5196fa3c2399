"""Mistral through its own SDK, which adds `/v1` to the address itself.

Of the SDK are the client, the request and the plain answer. The events of a stream are
read by its HTTP client, httpx2: the SDK's own reader takes a body apart byte by byte,
leaves the connection at `[DONE]`, and refuses chunks for which its types have no place.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from inspect import isawaitable
from typing import Any

import httpx2
from httpx2 import EventSource, ServerSentEvent
from mistralai.client import Mistral
from mistralai.client.chat import Chat  # noqa: F401  # imported only with the first request
from mistralai.client.errors import MistralError
from mistralai.client.utils import get_headers, get_query_params  # noqa: F401  # so are these
from pydantic import ValidationError

from cogent.errors import (
    ConfigurationError,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
)
from cogent.json_values import Json, UnsendableError, check_json
from cogent.model import Model
from cogent.providers import Answer, Client, Events, OutputWay, Request
from cogent.providers.formats import chat_decoder, chat_encoder
from cogent.providers.formats.chat_decoder import decode_response
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.parts import COMMON_IMAGES, Accepted
from cogent.run.finish import FinishWords
from cogent.run.outputs import Output
from cogent.timeout import Timeout
from cogent.transport.answers import EVENT_STREAM, client_settings, is_event_stream
from cogent.transport.event_stream import SdkReader
from cogent.transport.exchange import present_exchange
from cogent.transport.reported import ErrorReport, ReportedError
from cogent.validation import check_key

__all__ = ["decode_response"]

SDK_READER = SdkReader()
FINISH_WORDS: FinishWords = {
    **ANY_SERVER,
    "model_length": "length",  # the model can hold no more
    "error": "error",
}
ERROR_CODES: Mapping[str, type[ModelError]] = {
    "invalid_model": ModelNotFound,
    "rate_limited": RateLimited,
    "service_tier_capacity_exceeded": RateLimited,
    "unreachable_backend": Overloaded,
}
ACCEPTED = Accepted(
    data={"image": "image", "pdf": "file", "text": "text"},
    urls={"image": "image", "pdf": "file", None: "file"},
    media_types={"image": COMMON_IMAGES},
    in_results=True,
)
ADDRESS = "https://api.mistral.ai"
DONE = "[DONE]"
WITHOUT_RETRIES: Json = {"retries": None}
# The SDK takes this header for the announcement in a whole answer, and fails as it
# looks for the model in a body that is still to come.
DEPRECATION = "x-model-deprecation-timestamp"
CALL_ID = re.compile(r"[A-Za-z0-9]{9}")


# The client


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's key and address."""
    address = model.base_url or ADDRESS
    key = model.api_key or os.environ.get("MISTRAL_API_KEY")
    if not key and not os.environ.get("MISTRAL_SA_TOKEN_PATH"):
        raise ConfigurationError(
            "no API key: set MISTRAL_API_KEY, or give Model(..., api_key=...)"
        )
    http = httpx2.AsyncClient(**_settings(model, timeout, address))
    # Without one the SDK makes a client for calls without asyncio, which takes long.
    no_http = httpx2.Client(transport=httpx2.BaseTransport(), trust_env=False)
    known = key if isinstance(key, str) else None  # else `_with_key` gives it
    sdk = Mistral(known, server_url=address, client=no_http, async_client=http)
    return Client(sdk, address, (known,) if known else (), http.aclose)


def _settings(model: Model, timeout: Timeout, address: str) -> dict[str, Any]:
    settings = client_settings(httpx2, timeout, address, SDK_READER, model.http)
    limits = settings["timeout"].as_dict()

    async def keep_timeout(request: httpx2.Request) -> None:
        # The SDK gives every request 300 s to connect, and as much for each read.
        request.extensions["timeout"] = limits

    settings["event_hooks"]["request"].append(keep_timeout)
    settings["event_hooks"]["response"].append(_fit_to_sdk)
    return settings


async def _fit_to_sdk(response: httpx2.Response) -> None:
    """A response hook, for what the SDK fails at in a streamed answer."""
    exchange = present_exchange()
    if exchange is None or not exchange.is_streamed:
        return
    response.headers.pop(DEPRECATION, None)
    if response.status_code == httpx2.codes.OK:
        # Servers say other things of a stream; what is none is found as it is read.
        response.headers["content-type"] = EVENT_STREAM
    else:
        await response.aread()  # it fails at an error without words


# Encode


def encode_request(request: Request) -> Json:
    """The arguments of `chat.stream_async` and `chat.complete_async`."""
    _check_metadata(request.model)
    arguments = chat_encoder.encode_request(
        request, max_tokens="max_tokens", accepted=ACCEPTED
    )
    for message in arguments["messages"]:
        if message["role"] != "assistant" and isinstance(message["content"], list):
            message["content"] = [_own_part(part) for part in message["content"]]
        if "tool_call_id" in message:
            message["tool_call_id"] = _valid_id(message["tool_call_id"])
        for place, call in enumerate(message.get("tool_calls", ())):
            call["id"] = _valid_id(call["id"])
            call["index"] = place  # the SDK would send 0 for each
    return arguments


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With the API's own mode, which goes together with streams, but not for sure with
    tools.
    """
    has_tools = request.tools or request.model.extra.get("tools")
    return "tool" if has_tools else "mode"


def _own_part(part: Json) -> Json:
    """A part of a message in Mistral's form, which has another one for PDF files."""
    if part["type"] != "file":
        return part
    file = part["file"]
    return {
        "type": "document_url",
        "document_url": file["file_data"],
        "document_name": file["filename"],
    }


def _check_metadata(model: Model) -> None:
    """The SDK sends none of them, and says nothing, if JSON cannot hold one."""
    try:
        check_json(model.extra.get("metadata"))
    except UnsendableError as error:
        raise ConfigurationError(error.at("extra['metadata']")) from None


def _valid_id(call_id: str) -> str:
    """The id of a call as Mistral takes it: nine letters and digits.

    It refuses all others. The same id always becomes the same.
    """
    if CALL_ID.fullmatch(call_id):
        return call_id
    return sha256(call_id.encode()).hexdigest()[:9]


# Ask


async def open_stream(sdk: Mistral, request: Request, arguments: Json) -> Events:
    """Ask for a stream."""
    arguments = await _with_key(request.model, arguments)
    with _explained():
        stream = await sdk.chat.stream_async(**arguments, **WITHOUT_RETRIES)
    response = stream.response
    events = _read_events(response)

    async def close() -> None:
        await response.aclose()
        with suppress(Exception):  # reading a closed response ends its generators
            async for _ in events:
                pass

    return Events(events, close, response)


async def ask(sdk: Mistral, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once.

    The SDK's object lacks what its types have no place for, so the response is read.
    """
    arguments = await _with_key(request.model, arguments)
    try:
        with _explained():
            answer = await sdk.chat.complete_async(**arguments, **WITHOUT_RETRIES)
    except MistralError as error:
        if error.status_code != httpx2.codes.OK:
            raise
        response = error.raw_response  # of a form that its types have no place for
    else:
        exchange = present_exchange()
        if exchange is None or exchange.response is None:  # a client of the user's
            return answer.model_dump(mode="json"), {}
        response = exchange.response
    if is_event_stream(response):
        return [event async for event in _read_events(response)]
    return response.json(), response.headers


@contextmanager
def _explained() -> Iterator[None]:
    """Make what the SDK refuses to send the caller's error."""
    try:
        yield
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, wrong["loc"]))
        raise ConfigurationError(
            f"the Mistral SDK does not take the history or extra: {place}: {wrong['msg']}"
        ) from None


async def _with_key(model: Model, arguments: Json) -> Json:
    """The arguments with the key, if a function gives it.

    The SDK takes a function too, but no async one.
    """
    if not callable(model.api_key):
        return arguments
    key = model.api_key()
    if isawaitable(key):
        key = await key
    check_key(key)
    headers = arguments.get("http_headers", {})
    headers = {"Authorization": f"Bearer {key}", **headers}
    return {**arguments, "http_headers": headers}


def _read_events(response: httpx2.Response) -> AsyncIterator[ServerSentEvent]:
    response.headers["content-type"] = EVENT_STREAM  # the reader takes no other
    return aiter(EventSource(response, max_event_size=None))


# Decode


class StreamDecoder(chat_decoder.StreamDecoder):
    """Decodes the events of one stream, in order."""

    def decode(self, event: ServerSentEvent) -> Iterable[Output]:
        """What an event of the stream gives."""
        if event.event == "error":
            raise ReportedError(event.data)
        if event.data.strip() in ("", DONE):
            return ()
        return super().decode(json.loads(event.data))


make_decoder = StreamDecoder


def read_error(error: Exception) -> ErrorReport | None:
    """What the server said, for an exception of this SDK, which keeps it as text."""
    if not isinstance(error, MistralError):
        return None
    request = error.raw_response.request
    return ErrorReport(error.body, error.status_code, error.headers, request=request)
