"""Azure OpenAI through the OpenAI SDK.

The Responses API at the resource's `/openai/v1/`, or, when the model has an
`api_version`, Chat Completions of a deployment as in the versions before. `base_url`
(or AZURE_OPENAI_ENDPOINT) is the resource's endpoint, and the model's name that of the
deployment; `api_key` may be a function that returns a token of Microsoft Entra ID.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast

from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAIError

from cogent.errors import ConfigurationError
from cogent.model import Model
from cogent.providers import Provider, Request, openai, openai_chat
from cogent.providers._openai_client import close_client, http_client, key
from cogent.run.outputs import Output
from cogent.timeout import Timeout

__all__ = ["close_client", "complete", "make_client", "stream"]

FINISH_WORDS = openai.FINISH_WORDS

PATH = "/openai/v1"


def make_client(model: Model, timeout: Timeout) -> AsyncOpenAI:
    """A client for the resource.

    Raises ConfigurationError, naming the variable of what is missing.
    """
    endpoint = _endpoint(model)
    secret = (
        key(model)
        or os.environ.get("AZURE_OPENAI_API_KEY")
        or os.environ.get("AZURE_OPENAI_AD_TOKEN")
    )
    common: dict[str, Any] = {
        "max_retries": 0,
        "http_client": http_client(timeout, endpoint),
    }
    try:
        if model.api_version is None:
            return AsyncOpenAI(
                api_key=secret or "", base_url=f"{endpoint}{PATH}/", **common
            )
        given = (
            {"azure_ad_token_provider": secret}
            if callable(secret)
            else {"api_key": secret}
        )
        return AsyncAzureOpenAI(
            azure_endpoint=endpoint, api_version=model.api_version, **common, **given
        )
    except OpenAIError as error:
        raise ConfigurationError(
            "no Azure key: set AZURE_OPENAI_API_KEY, or give Model(..., api_key=...), a key or a function that "
            "returns a token"
        ) from error


def _endpoint(model: Model) -> str:
    """The resource's address, without the path of the API."""
    address = model.base_url or os.environ.get("AZURE_OPENAI_ENDPOINT", "")
    endpoint = address.rstrip("/").removesuffix(PATH)
    if not endpoint:
        raise ConfigurationError(
            "no Azure endpoint: set AZURE_OPENAI_ENDPOINT, or give Model(..., base_url='https://NAME.openai.azure.com')"
        )
    return endpoint


def stream(client: AsyncOpenAI, request: Request) -> AsyncGenerator[Output, None]:
    """Ask, and yield what comes as it comes."""
    return _api_for(client).stream(client, request)


async def complete(client: AsyncOpenAI, request: Request) -> Iterable[Output]:
    """Ask for the whole answer at once."""
    return await _api_for(client).complete(client, request)


def _api_for(client: AsyncOpenAI) -> Provider:
    return cast(
        Provider, openai_chat if isinstance(client, AsyncAzureOpenAI) else openai
    )
