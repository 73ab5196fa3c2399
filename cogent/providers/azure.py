"""Azure OpenAI through the OpenAI SDK.

The Responses API at the resource's `/openai/v1/`, or, when the model has an
`api_version`, Chat Completions of a deployment as in the versions before. `base_url`
(or AZURE_OPENAI_ENDPOINT) is the resource's endpoint, and the model's name that of the
deployment; `api_key` may be a function that returns a token of Microsoft Entra ID.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAIError

from cogent.errors import ConfigurationError, ModelError, ModelNotFound
from cogent.model import Model
from cogent.providers import (
    Client,
    OutputWay,
    Provider,
    Request,
    openai,
    openai_chat,
)
from cogent.providers._openai_client import Key, http_client, wrap
from cogent.timeout import Timeout

FINISH_WORDS = openai.FINISH_WORDS
ERROR_CODES: Mapping[str, type[ModelError]] = {"DeploymentNotFound": ModelNotFound}
PATH = "/openai/v1"

# That of both APIs.
output_way: Callable[[Request, bool], OutputWay] = openai.output_way


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client for the resource.

    Raises ConfigurationError, naming the variable of what is missing.
    """
    endpoint = _endpoint(model)
    key = Key(
        model.api_key or None,
        os.environ.get("AZURE_OPENAI_API_KEY")
        or os.environ.get("AZURE_OPENAI_AD_TOKEN"),
    )
    try:
        sdk = _make_sdk_client(model, endpoint, key.setting, timeout)
    except OpenAIError as error:
        raise ConfigurationError(
            "no Azure key: set AZURE_OPENAI_API_KEY, or give Model(..., api_key=...), a key or a function that "
            "returns a token"
        ) from error
    return wrap(sdk, key)


def _make_sdk_client(
    model: Model, endpoint: str, key: Any, timeout: Timeout
) -> AsyncOpenAI:
    http = http_client(model, timeout, endpoint)
    if model.api_version is None:
        return AsyncOpenAI(
            api_key=key or "",
            base_url=f"{endpoint}{PATH}/",
            max_retries=0,
            http_client=http,
        )
    name = "azure_ad_token_provider" if callable(key) else "api_key"
    secret: dict[str, Any] = {name: key}
    return AsyncAzureOpenAI(
        azure_endpoint=endpoint,
        api_version=model.api_version,
        max_retries=0,
        http_client=http,
        **secret,
    )


def _endpoint(model: Model) -> str:
    """The resource's address, without the path of the API."""
    address = model.base_url or os.environ.get("AZURE_OPENAI_ENDPOINT", "")
    endpoint = address.rstrip("/").removesuffix(PATH)
    if not endpoint:
        raise ConfigurationError(
            "no Azure endpoint: set AZURE_OPENAI_ENDPOINT, or give Model(..., base_url='https://NAME.openai.azure.com')"
        )
    return endpoint


def provider_for(sdk: AsyncOpenAI) -> Provider:
    """The API that this client speaks."""
    api = openai_chat if isinstance(sdk, AsyncAzureOpenAI) else openai
    return cast(Provider, api)
