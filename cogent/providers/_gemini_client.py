"""The Gemini SDK's client, with a key and an address, and with an HTTP client of ours."""

from __future__ import annotations

import os
import re
from typing import Any

import httpx2
from google import genai
from google.auth.exceptions import GoogleAuthError
from google.genai import types

from cogent.errors import ConfigurationError, ModelError
from cogent.model import Model
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings, guard, opened
from cogent.transport.error_body import decoded, is_error
from cogent.transport.error_events import SSE_BOUNDARY, ErrorEvents
from cogent.transport.errors import plain, provider_error

DELAY = re.compile(r"(\d+(\.\d+)?)s")
KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
ADDRESS, VERTEX_ADDRESS = "https://generativelanguage.googleapis.com", "https://aiplatform.googleapis.com"
VERTEX = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")


class Client(genai.Client):
    """The SDK's client over an HTTP client of its own: where it finds aiohttp, the SDK retries with that by itself."""

    def __init__(self, model: Model, timeout: Timeout) -> None:
        vertex = next((os.environ[name] for name in VERTEX if name in os.environ), "").lower() in ("true", "1")
        # The SDK's own default, v1, knows less than what Google documents, and compatible servers know only v1beta.
        default = None if vertex or os.environ.get("GOOGLE_GENAI_API_VERSION") else "v1beta"
        address = model.base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL")
        settings = client_settings(httpx2, timeout, address, _guard, _check)
        self.http = httpx2.AsyncClient(follow_redirects=True, **settings)
        self.http.event_hooks["request"].append(self._limit)
        options = types.HttpOptions(base_url=model.base_url, api_version=model.api_version or default)
        options.httpx_async_client = self.http
        # The SDK does not tell the address that it has found.
        found = os.environ.get("GOOGLE_VERTEX_BASE_URL" if vertex else "GOOGLE_GEMINI_BASE_URL")
        self.base_url = model.base_url or found or (VERTEX_ADDRESS if vertex else ADDRESS)
        key = model.api_key or next((os.environ[name] for name in KEYS if os.environ.get(name)), None)
        self.api_key = key if isinstance(key, str) else None
        super().__init__(api_key=model.api_key, http_options=options)  # type: ignore[arg-type]  # no function: see below

    async def _limit(self, request: httpx2.Request) -> None:
        # The SDK sets a time-out of its own for each request: none, unless the user set one.
        if not any(request.extensions["timeout"].values()):
            request.extensions["timeout"] = self.http.timeout.as_dict()


async def _guard(response: httpx2.Response) -> None:
    streamed = response.status_code == 200 and response.url.path.endswith(":streamGenerateContent")
    await guard(response, most=8192, reader="gemini", mender=_error_events if streamed else None)


def _error_events() -> ErrorEvents:
    return ErrorEvents(read_error, SSE_BOUNDARY, documents=True)


async def _check(response: httpx2.Response) -> None:
    """Raise for what the SDK would take for an empty answer: something else, or an error, with status 200."""
    if response.status_code != 200:
        return
    if response.url.path.endswith(":streamGenerateContent"):
        opened(response, "gemini")
    else:
        await response.aread()
        answer = response.json() if "json" in response.headers.get("content-type", "") else response.text
        if is_error(answer):
            raise read_error(answer)
        plain(answer)


def read_error(body: object, status: int = 200) -> ModelError:
    """The error that Google described: the most telling word, and the time to wait, stand among its details."""
    infos = dict(item for info in _details(body) for item in info.items())
    told = provider_error(body, status=status, code=infos.get("reason"))
    delay = DELAY.fullmatch(str(infos.get("retryDelay")))
    told.retry_after = float(delay[1]) if delay else None
    return told


def _details(body: object) -> list[dict[str, Any]]:
    body = decoded(body)
    while isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [info for info in details if isinstance(info, dict)] if isinstance(details, list) else []


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's key and address; what is not set comes from the SDK's environment variables."""
    if callable(model.api_key):
        raise ConfigurationError("the Gemini SDK takes no function as api_key: give the key, or a client of your own")
    try:
        return Client(model, timeout)
    except (ValueError, GoogleAuthError) as error:
        raise ConfigurationError(
            f"no API key: set GEMINI_API_KEY or GOOGLE_API_KEY, or give Model(..., api_key=...) ({error})"
        ) from error


async def close_client(client: Client) -> None:
    """Close its connections."""
    client.close()
    await client.http.aclose()
