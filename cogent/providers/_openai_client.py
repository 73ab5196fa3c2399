"""The OpenAI SDK's client, with a key and an address: what all modules share that speak
through that SDK.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError

from cogent.errors import ConfigurationError
from cogent.model import Model
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings, guard
from cogent.transport.event_stream import SdkReader
from cogent.transport.keys import check_key

SDK_READER = SdkReader()


def make_client(model: Model, timeout: Timeout) -> AsyncOpenAI:
    """A client with the model's key and address; what is not set comes from the SDK's
    environment variables.
    """
    http = http_client(timeout, model.base_url or os.environ.get("OPENAI_BASE_URL"))
    try:
        return AsyncOpenAI(
            api_key=key(model), base_url=model.base_url, max_retries=0, http_client=http
        )
    except OpenAIError as error:
        raise ConfigurationError(
            "no API key: set OPENAI_API_KEY, or give Model(..., api_key=...) (any word for a server that needs none)"
        ) from error


def http_client(timeout: Timeout, address: str | None) -> DefaultAsyncHttpxClient:
    """The SDK's default HTTP client with our limits."""
    return DefaultAsyncHttpxClient(**client_settings(httpx2, timeout, address, _guard))


async def _guard(response: httpx2.Response) -> None:
    await guard(response, reader=SDK_READER)


async def close_client(client: AsyncOpenAI) -> None:
    """Close its connections."""
    await client.close()


def key(model: Model) -> Any:
    """The key as the SDK takes it: a string, or an async function that returns one."""
    provide = model.api_key
    if not callable(provide):
        return provide

    async def provided() -> str:
        value = provide()
        if inspect.isawaitable(value):
            value = await value
        check_key(value)
        return str(value)

    return provided
