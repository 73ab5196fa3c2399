"""Chat Completions through the OpenAI SDK: what every compatible server speaks (vLLM,
llama.cpp, OpenRouter, …).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from openai import AsyncOpenAI, AsyncStream
from openai.resources.chat import AsyncChat, AsyncCompletions  # noqa: F401  # the SDK imports it with the first request only

from cogent.errors import ModelError
from cogent.json_values import Json
from cogent.providers import Answer, Events, OutputWay, Request, _stainless
from cogent.providers._openai_client import SDK_READER, make_client
from cogent.providers.formats import chat_encoder
from cogent.providers.formats.chat_decoder import StreamDecoder, decode_response
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.transport.requests import bypass_sdk_validation, without_retries

__all__ = ["SDK_READER", "decode_response", "make_client"]

FINISH_WORDS = ANY_SERVER
ERROR_CODES: Mapping[str, type[ModelError]] = {}
STREAMED: Json = {"stream": True, "stream_options": {"include_usage": True}}
WHOLE: Json = {"stream": False}
# OpenAI's own servers refuse `max_tokens` for their newer models; the compatible ones
# know only that.
OFFICIAL = ("api.openai.com", ".openai.azure.com")

make_decoder = StreamDecoder


def encode_request(request: Request) -> Json:
    """The arguments of `chat.completions.create`."""
    limit = "max_completion_tokens" if _is_official(request) else "max_tokens"
    return chat_encoder.encode_request(request, max_tokens=limit)


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With the API's own mode, which goes together with tools and streams."""
    return "mode"


def _is_official(request: Request) -> bool:
    if request.model.provider == "azure":
        return True
    host = urlsplit(request.address or "").hostname or ""
    return host.endswith(OFFICIAL)


async def open_stream(sdk: AsyncOpenAI, request: Request, arguments: Json) -> Events:
    """Ask for a stream."""
    return await _stainless.open_stream(
        partial(_create, sdk), AsyncStream, {**STREAMED, **arguments}
    )


async def ask(sdk: AsyncOpenAI, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once."""
    return await _stainless.ask(
        sdk, partial(_create, sdk), AsyncStream, {**WHOLE, **arguments}
    )


async def _create(sdk: AsyncOpenAI, **arguments: Any) -> Any:
    arguments = bypass_sdk_validation(arguments, "messages", "tools", messages=[])
    create: _stainless.Create = without_retries(
        sdk
    ).chat.completions.with_raw_response.create
    return await create(**arguments)
