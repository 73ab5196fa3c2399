"""The Gemini SDK's client, with a key and an address, and with an HTTP client that
cogent makes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import httpx2
from google import genai
from google.auth.exceptions import GoogleAuthError
from google.genai import types

from cogent.errors import ConfigurationError, ModelError
from cogent.json_values import Json
from cogent.model import Model
from cogent.timeout import Timeout
from cogent.transport.answers import client_settings, guard, watch_stream
from cogent.transport.error_body import decoded, is_error
from cogent.transport.error_events import SSE_BOUNDARY, ErrorEvents
from cogent.transport.errors import provider_error
from cogent.transport.event_stream import SdkReader
from cogent.transport.requests import require_json_object

DELAY = re.compile(r"(\d+(\.\d+)?)s")
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
    reads_json_documents=True,
    closes_after_bad_data=False,
)


class Client(genai.Client):
    """The SDK's client over an HTTP client of its own: where it finds aiohttp, the SDK
    retries with that by itself.
    """

    def __init__(self, model: Model, timeout: Timeout) -> None:
        address = model.base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL")
        settings = client_settings(httpx2, timeout, address, _guard, _check)
        self.http = httpx2.AsyncClient(follow_redirects=True, **settings)
        self.http.event_hooks["request"].append(self._limit)
        options = types.HttpOptions(
            base_url=model.base_url, api_version=model.api_version or _default_version()
        )
        options.httpx_async_client = self.http
        self.base_url = model.base_url or _default_address()
        key = model.api_key or _first_variable(KEYS)
        self.api_key = key if isinstance(key, str) else None
        super().__init__(api_key=model.api_key, http_options=options)  # type: ignore[arg-type]  # no function: see below

    async def _limit(self, request: httpx2.Request) -> None:
        # The SDK sets a time-out of its own for each request: none, unless the user set
        # one.
        if not any(request.extensions["timeout"].values()):
            request.extensions["timeout"] = self.http.timeout.as_dict()


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


async def _guard(response: httpx2.Response) -> None:
    streamed = response.status_code == 200 and response.url.path.endswith(
        ":streamGenerateContent"
    )
    mender = _error_events if streamed else None
    await guard(response, most=MAX_BYTES_PER_READ, reader=SDK_READER, mender=mender)


def _error_events() -> ErrorEvents:
    return ErrorEvents(read_error, SSE_BOUNDARY, documents=True)


async def _check(response: httpx2.Response) -> None:
    """Raise for what the SDK would take for an empty answer: something else, or an
    error, with status 200.
    """
    if response.status_code != 200:
        return
    if response.url.path.endswith(":streamGenerateContent"):
        watch_stream(response, SDK_READER)
        return
    await response.aread()
    is_json = "json" in response.headers.get("content-type", "")
    answer = response.json() if is_json else response.text
    if is_error(answer):
        raise read_error(answer)
    require_json_object(answer)


def read_error(body: object, status: int = 200) -> ModelError:
    """The error that Google described: the most specific code, and the time to wait,
    stand among its details.
    """
    infos: Json = {}
    for info in _details(body):
        infos |= info
    error = provider_error(body, status=status, code=infos.get("reason"))
    delay = DELAY.fullmatch(str(infos.get("retryDelay")))
    error.retry_after = float(delay[1]) if delay else None
    return error


def _details(body: object) -> list[Json]:
    body = decoded(body)
    while isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    if not isinstance(details, list):
        return []
    return [info for info in details if isinstance(info, dict)]


def make_client(model: Model, timeout: Timeout) -> Client:
    """A client with the model's key and address; what is not set comes from the SDK's
    environment variables.
    """
    if callable(model.api_key):
        raise ConfigurationError(
            "the Gemini SDK takes no function as api_key: give the key, or a client of your own"
        )
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
