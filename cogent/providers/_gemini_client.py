"""The Gemini SDK's client, with a key and an address, and with an HTTP client that
cogent makes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import httpx2
from google import genai
from google.auth.exceptions import GoogleAuthError
from google.genai import types

from cogent.errors import ConfigurationError
from cogent.model import Model
from cogent.providers import Client
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings
from cogent.transport.event_stream import SdkReader
from cogent.transport.tls import shared_context

KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
ADDRESS = "https://generativelanguage.googleapis.com"
VERTEX_ADDRESS = "https://aiplatform.googleapis.com"
VERTEX = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")
# The SDK's stream can be left only where it waits for more bytes; to parse this many,
# in short events, takes it 2 ms.
MAX_BYTES_PER_READ = 8192


SDK_READER = SdkReader(
    reads_event_names=False,
    reads_done=False,
    reads_errors=False,
    reads_json_documents=True,
    max_bytes_per_read=MAX_BYTES_PER_READ,
)


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's key and address; what is not set comes from the SDK's
    environment variables.
    """
    if callable(model.api_key):
        raise ConfigurationError(
            "the Gemini SDK takes no function as api_key: give the key, or a client of your own"
        )
    http = _http_client(model, timeout)
    options = types.HttpOptions(
        base_url=model.base_url, api_version=model.api_version or _default_version()
    )
    options.httpx_async_client = http
    if not _uses_vertex():  # that may need the certificate of a client
        # The SDK makes an HTTP client and a context for websockets that nothing here
        # uses; it is not to load the certificates for them.
        context = shared_context(httpx2)
        options.client_args = {"verify": context}
        options.async_client_args = {"ssl": context}
    try:
        sdk = genai.Client(api_key=model.api_key, http_options=options)
    except (ValueError, GoogleAuthError) as error:
        raise ConfigurationError(
            f"no API key: set GEMINI_API_KEY or GOOGLE_API_KEY, or give Model(..., api_key=...) ({error})"
        ) from error

    async def close() -> None:
        sdk.close()
        await http.aclose()

    key = model.api_key or _first_variable(KEYS)
    address = model.base_url or _default_address()
    return Client(sdk, address, (key,) if key else (), close)


def _http_client(model: Model, timeout: Timeout) -> httpx2.AsyncClient:
    """An HTTP client of our own: where it finds aiohttp, the SDK retries with that by
    itself.
    """
    address = model.base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL")
    settings = client_settings(httpx2, timeout, address, SDK_READER, model.http)
    http = httpx2.AsyncClient(**settings)

    async def limit(request: httpx2.Request) -> None:
        # The SDK sets a time-out of its own for each request: none, unless the user set
        # one.
        if not any(request.extensions["timeout"].values()):
            request.extensions["timeout"] = http.timeout.as_dict()

    http.event_hooks["request"].append(limit)
    return http


def _first_variable(names: Iterable[str]) -> str | None:
    """The first of these environment variables that is set and not empty."""
    for name in names:
        if value := os.environ.get(name):
            return value
    return None


def _uses_vertex() -> bool:
    """Whether the environment asks for Vertex AI, read as the SDK does: the first
    variable that is set counts.
    """
    for name in VERTEX:
        if name in os.environ:
            return os.environ[name].lower() in ("true", "1")
    return False


def _default_version() -> str | None:
    """The API version for a model that names none; None leaves it to the SDK.

    The SDK's own default, v1, knows less than what Google documents, and compatible
    servers know only v1beta.
    """
    if _uses_vertex() or os.environ.get("GOOGLE_GENAI_API_VERSION"):
        return None
    return "v1beta"


def _default_address() -> str:
    """The address that the SDK takes for a model without one: it has no public
    attribute for that.
    """
    if _uses_vertex():
        return os.environ.get("GOOGLE_VERTEX_BASE_URL") or VERTEX_ADDRESS
    return os.environ.get("GOOGLE_GEMINI_BASE_URL") or ADDRESS
