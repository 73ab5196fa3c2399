"""Groq: Chat Completions through its own SDK, which adds `/openai/v1` to the address
itself.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import httpx
from groq import AsyncGroq, AsyncStream, DefaultAsyncHttpxClient, GroqError
from groq.resources.chat.completions import AsyncCompletions  # noqa: F401  # the SDK imports it only with the first request

from cogent.errors import ConfigurationError
from cogent.model import Model
from cogent.providers import Request
from cogent.providers.formats.answers import read_whole, stream_chat
from cogent.providers.formats.chat_decoder import StreamDecoder, decode_response
from cogent.providers.formats.chat_encoder import encode_request
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.run.outputs import Output
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings, guard
from cogent.transport.event_stream import SdkReader
from cogent.transport.requests import bypass_sdk_validation, without_retries

FINISH_WORDS = ANY_SERVER

# The SDK wraps the data of an event that has a name.
SDK_READER = SdkReader(reads_event_names=False)


def make_client(model: Model, timeout: Timeout) -> AsyncGroq:
    """A client with the model's key and address; what is not set comes from the SDK's
    environment variables.
    """
    if callable(model.api_key):
        raise ConfigurationError(
            "groq takes the API key as a string, not as a function"
        )
    address = model.base_url or os.environ.get("GROQ_BASE_URL")
    http = DefaultAsyncHttpxClient(**client_settings(httpx, timeout, address, _guard))
    try:
        return AsyncGroq(
            api_key=model.api_key,
            base_url=model.base_url,
            max_retries=0,
            http_client=http,
        )
    except GroqError as error:
        raise ConfigurationError(
            "no API key: set GROQ_API_KEY, or give Model(..., api_key=...)"
        ) from error


async def _guard(response: httpx.Response) -> None:
    await guard(response, reader=SDK_READER)


async def close_client(client: AsyncGroq) -> None:
    """Close its connections."""
    await client.close()


def stream(client: AsyncGroq, request: Request) -> AsyncGenerator[Output, None]:
    """Ask, and yield what comes as it comes."""
    return stream_chat(
        partial(_create, client, request, streamed=True), AsyncStream, SDK_READER
    )


async def complete(client: AsyncGroq, request: Request) -> Iterable[Output]:
    """Ask for the whole answer at once."""
    raw = await _create(client, request, streamed=False)
    return await read_whole(
        client, raw, AsyncStream, StreamDecoder().decode, decode_response
    )


async def _create(client: AsyncGroq, request: Request, *, streamed: bool) -> Any:
    arguments = encode_request(request, max_tokens="max_completion_tokens")
    if streamed:
        arguments["stream"] = True
    else:
        arguments.setdefault("stream", False)
    arguments = bypass_sdk_validation(arguments, "messages", "tools", messages=[])
    create: Callable[..., Awaitable[Any]] = without_retries(
        client
    ).chat.completions.with_raw_response.create
    return await create(**arguments)
