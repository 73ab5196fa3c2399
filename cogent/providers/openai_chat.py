"""Chat Completions through the OpenAI SDK: what every compatible server speaks (vLLM,
llama.cpp, OpenRouter, …).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream
from openai.resources.chat import AsyncChat, AsyncCompletions  # noqa: F401  # the SDK imports it with the first request only

from cogent.json_values import Json
from cogent.providers import Request
from cogent.providers._openai_client import SDK_READER, close_client, make_client
from cogent.providers.formats.answers import read_whole, stream_chat
from cogent.providers.formats.chat_decoder import StreamDecoder, decode_response
from cogent.providers.formats.chat_encoder import encode_request
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.run.outputs import Output
from cogent.transport.requests import bypass_sdk_validation, without_retries

__all__ = ["SDK_READER", "close_client", "complete", "make_client", "stream"]

FINISH_WORDS = ANY_SERVER

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
WHOLE = {"stream": False}


def stream(client: AsyncOpenAI, request: Request) -> AsyncGenerator[Output, None]:
    """Ask, and yield what comes as it comes."""
    return stream_chat(
        partial(_create, client, request, STREAMED), AsyncStream, SDK_READER
    )


async def complete(client: AsyncOpenAI, request: Request) -> Iterable[Output]:
    """Ask for the whole answer at once."""
    raw = await _create(client, request, WHOLE)
    return await read_whole(
        client, raw, AsyncStream, StreamDecoder().decode, decode_response
    )


async def _create(client: AsyncOpenAI, request: Request, mode: Json) -> Any:
    # OpenAI itself refuses `max_tokens` for its newer models; the compatible servers
    # know only that.
    official = (
        isinstance(client, AsyncAzureOpenAI) or client.base_url.host == "api.openai.com"
    )
    arguments = encode_request(
        request, max_tokens="max_completion_tokens" if official else "max_tokens"
    )
    arguments = bypass_sdk_validation(
        {**mode, **arguments}, "messages", "tools", messages=[]
    )
    create: Callable[..., Awaitable[Any]] = without_retries(
        client
    ).chat.completions.with_raw_response.create
    return await create(**arguments)
