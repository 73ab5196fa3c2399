"""Groq: Chat Completions through its own SDK, which adds `/openai/v1` to the address
itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
from groq import AsyncGroq, AsyncStream, DefaultAsyncHttpxClient, GroqError
from groq.resources.chat.completions import AsyncCompletions  # noqa: F401  # the SDK imports it only with the first request

from cogent.errors import ConfigurationError, ModelError
from cogent.json_values import Json
from cogent.model import Model
from cogent.output import OutputSchema
from cogent.providers import Answer, Client, Events, OutputWay, Request, _stainless
from cogent.providers.formats import chat_encoder
from cogent.providers.formats.chat_decoder import StreamDecoder, decode_response
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.output_schema import as_given, strict
from cogent.providers.formats.parts import COMMON_IMAGES, Accepted
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings
from cogent.transport.event_stream import SdkReader
from cogent.transport.requests import bypass_sdk_validation, without_retries

FINISH_WORDS = ANY_SERVER

# The SDK wraps the data of an event that has a name.
SDK_READER = SdkReader(reads_event_names=False)

__all__ = ["decode_response"]

ERROR_CODES: Mapping[str, type[ModelError]] = {}
ACCEPTED = Accepted(
    data={"image": "image", "text": "text"},
    urls={"image": "image"},
    media_types={"image": COMMON_IMAGES},
)

# Models that keep to a schema, and models that take none.
STRICT_MODELS = re.compile(r"openai/gpt-oss")
NO_SCHEMA_MODELS = re.compile(r"(llama-?3|gemma|mixtral|mistral|qwen|deepseek|groq/)")

make_decoder = StreamDecoder


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's key and address; what is not set comes from the SDK's
    environment variables.
    """
    if callable(model.api_key):
        raise ConfigurationError(
            "groq takes the API key as a string, not as a function"
        )
    address = model.base_url or os.environ.get("GROQ_BASE_URL")
    settings = client_settings(httpx, timeout, address, SDK_READER, model.http)
    key = model.api_key or os.environ.get("GROQ_API_KEY")
    try:
        sdk = AsyncGroq(
            api_key=model.api_key,
            base_url=model.base_url,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(**settings),
        )
    except GroqError as error:
        raise ConfigurationError(
            "no API key: set GROQ_API_KEY, or give Model(..., api_key=...)"
        ) from error
    return Client(sdk, str(sdk.base_url), (key,) if key else (), sdk.close)


def encode_request(request: Request) -> Json:
    """The arguments of `chat.completions.create`."""
    is_strict = STRICT_MODELS.match(request.model.name)
    return chat_encoder.encode_request(
        request,
        max_tokens="max_completion_tokens",
        accepted=ACCEPTED,
        encode_output=strict if is_strict else _as_wish,
    )


def _as_wish(output: OutputSchema) -> Json:
    return {**as_given(output), "strict": False}


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With the API's own mode where it has one: not for streams, not together with
    tools, and not for all models.
    """
    has_tools = request.tools or request.model.extra.get("tools")
    has_mode = NO_SCHEMA_MODELS.match(request.model.name) is None
    return "mode" if has_mode and not is_streamed and not has_tools else "tool"


async def open_stream(sdk: AsyncGroq, request: Request, arguments: Json) -> Events:
    """Ask for a stream."""
    return await _stainless.open_stream(
        partial(_create, sdk), AsyncStream, {**arguments, "stream": True}
    )


async def ask(sdk: AsyncGroq, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once."""
    return await _stainless.ask(
        sdk, partial(_create, sdk), AsyncStream, {"stream": False, **arguments}
    )


async def _create(sdk: AsyncGroq, **arguments: Any) -> Any:
    arguments = bypass_sdk_validation(arguments, "messages", "tools", messages=[])
    create: _stainless.Create = without_retries(
        sdk
    ).chat.completions.with_raw_response.create
    return await create(**arguments)
