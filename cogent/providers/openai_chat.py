"""Chat Completions through the OpenAI SDK: what every compatible server speaks (vLLM, llama.cpp, OpenRouter, …)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from itertools import chain
from typing import Any

from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream
from openai.resources.chat import AsyncChat, AsyncCompletions  # noqa: F401  # the SDK imports it with the first request only

from cogent.providers import Part, Request
from cogent.providers._openai_client import close_client, make_client
from cogent.providers.formats.chat import Answer, decode_event, decode_response, encode_request
from cogent.transport.answers import answered, end_of, is_event_stream, leave, opened
from cogent.transport.errors import not_looked_through, plain, without_retries

__all__ = ["close_client", "complete", "make_client", "stream"]


async def stream(client: AsyncOpenAI, request: Request) -> AsyncGenerator[Part, None]:
    """Ask, and yield what comes as it comes."""
    create: Callable[..., Awaitable[Any]] = without_retries(client).chat.completions.with_raw_response.create
    arguments = {"stream": True, "stream_options": {"include_usage": True}, **_arguments(client, request)}
    raw = await create(**arguments)
    check_end = end_of(raw.http_response)
    events = raw.parse(to=AsyncStream[object])
    answer = Answer()
    try:
        yield opened(raw.http_response)
        async for event in events:
            for part in decode_event(event, answer):
                yield part
        check_end()
    finally:
        await leave(events)


async def complete(client: AsyncOpenAI, request: Request) -> Iterable[Part]:
    """Ask for the whole answer at once."""
    create: Callable[..., Awaitable[Any]] = without_retries(client).chat.completions.with_raw_response.create
    raw = await create(**{"stream": False, **_arguments(client, request)})
    if is_event_stream(raw.http_response):  # a server that streams whatever it is asked for
        events = AsyncStream[object](cast_to=object, response=raw.http_response, client=client)
        answer = Answer()
        return [part async for event in events for part in decode_event(event, answer)]
    return chain((answered(raw.headers),), decode_response(plain(raw.parse(to=object))))


def _arguments(client: AsyncOpenAI, request: Request) -> dict[str, Any]:
    # OpenAI itself refuses `max_tokens` for its newer models; the compatible servers know only that.
    official = isinstance(client, AsyncAzureOpenAI) or client.base_url.host == "api.openai.com"
    arguments = encode_request(request, max_tokens="max_completion_tokens" if official else "max_tokens")
    return not_looked_through(arguments, "messages", "tools", messages=[])
