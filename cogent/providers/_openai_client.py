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
from cogent.providers import Client
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings
from cogent.transport.event_stream import SdkReader
from cogent.validation import check_key

SDK_READER = SdkReader()


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's key and address; what is not set comes from the SDK's
    environment variables.
    """
    address = model.base_url or os.environ.get("OPENAI_BASE_URL")
    http = http_client(model, timeout, address)
    key = Key(model.api_key, os.environ.get("OPENAI_API_KEY"))
    try:
        sdk = AsyncOpenAI(
            api_key=key.setting,
            base_url=model.base_url,
            max_retries=0,
            http_client=http,
        )
    except OpenAIError as error:
        raise ConfigurationError(
            "no API key: set OPENAI_API_KEY, or give Model(..., api_key=...) (any word for a server that needs none)"
        ) from error
    return wrap(sdk, key)


def wrap(sdk: AsyncOpenAI, key: Key) -> Client:
    """The SDK's client with its address and its key."""
    return Client(sdk, str(sdk.base_url), key.known, sdk.close)


def http_client(
    model: Model, timeout: Timeout, address: str | None
) -> DefaultAsyncHttpxClient:
    """The SDK's default HTTP client with our limits."""
    settings = client_settings(httpx2, timeout, address, SDK_READER, model.http)
    return DefaultAsyncHttpxClient(**settings)


class Key:
    """A key as the SDK takes it: a string, or an async function that returns one.

    `setting` is what the SDK is given, `known` are the keys that were used.
    """

    def __init__(self, given: Any, from_environment: str | None) -> None:
        key = from_environment if given is None else given
        self._read: Any = given
        self.setting = self._provide if callable(key) else key
        self.known: list[str] = [key] if isinstance(key, str) else []

    async def _provide(self) -> str:
        value = self._read()
        if inspect.isawaitable(value):
            value = await value
        check_key(value)
        self.known[:] = [str(value)]
        return str(value)
