"""Groq: Chat Completions through its own SDK, which adds `/openai/v1` to the address itself."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from itertools import chain
from typing import Any

import httpx
from groq import AsyncGroq, AsyncStream, DefaultAsyncHttpxClient, GroqError
from groq.resources.chat.completions import AsyncCompletions  # noqa: F401  # the SDK imports it only with the first request

from cogent.errors import ConfigurationError
from cogent.model import Model
from cogent.providers import Part, Request
from cogent.providers.formats.chat import Answer, decode_event, decode_response, encode_request
from cogent.timeout import Timeout
from cogent.transport.answers import answered, client_settings, end_of, guard, is_event_stream, leave, opened
from cogent.transport.errors import not_looked_through, plain, without_retries


def make_client(model: Model, timeout: Timeout) -> AsyncGroq:
    """A client with the model's key and address; what is not set comes from the SDK's environment variables."""
    if callable(model.api_key):
        raise ConfigurationError("groq takes the API key as a string, not as a function")
    address = model.base_url or os.environ.get("GROQ_BASE_URL")
    http = DefaultAsyncHttpxClient(**client_settings(httpx, timeout, address, _guard))
    try:
        return AsyncGroq(api_key=model.api_key, base_url=model.base_url, max_retries=0, http_client=http)
    except GroqError as error:
        raise ConfigurationError("no API key: set GROQ_API_KEY, or give Model(..., api_key=...)") from error


async def _guard(response: httpx.Response) -> None:
    await guard(response, reader="groq")


async def close_client(client: AsyncGroq) -> None:
    """Close its connections."""
    await client.close()


async def stream(client: AsyncGroq, request: Request) -> AsyncGenerator[Part, None]:
    """Ask, and yield what comes as it comes."""
    create: Callable[..., Awaitable[Any]] = without_retries(client).chat.completions.with_raw_response.create
    raw = await create(**{**_arguments(request), "stream": True})
    check_end = end_of(raw.http_response, "groq")
    events = await raw.parse(to=AsyncStream[object])
    answer = Answer()
    try:
        yield opened(raw.http_response, "groq")
        async for event in events:
            for part in decode_event(event, answer):
                yield part
        check_end()
    finally:
        await leave(events)


async def complete(client: AsyncGroq, request: Request) -> Iterable[Part]:
    """Ask for the whole answer at once."""
    create: Callable[..., Awaitable[Any]] = without_retries(client).chat.completions.with_raw_response.create
    raw = await create(**{"stream": False, **_arguments(request)})
    if is_event_stream(raw.http_response):  # a server that streams whatever it is asked for
        events = AsyncStream[object](cast_to=object, response=raw.http_response, client=client)
        answer = Answer()
        return [part async for event in events for part in decode_event(event, answer)]
    return chain((answered(raw.headers),), decode_response(plain(await raw.parse(to=object))))


def _arguments(request: Request) -> dict[str, Any]:
    arguments = encode_request(request, max_tokens="max_completion_tokens")
    return not_looked_through(arguments, "messages", "tools", messages=[])
