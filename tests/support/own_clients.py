"""Clients of each SDK as a user makes them, to be given as `Model(client=...)`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import groq
import ollama
import openai
from conftest import Wire
from google import genai
from mistralai.client import Mistral
from mistralai.client.utils import BackoffStrategy, RetryConfig


def make_client(
    wire: Wire, url: str, *, key: str = "key", seconds: float = 30, retries: int = 0
) -> Any:
    """A client that waits for so many seconds and asks again so many times by itself."""
    settings: dict[str, Any] = {
        "api_key": key,
        "timeout": seconds,
        "max_retries": retries,
    }
    makers: dict[str, Callable[[], Any]] = {
        "openai": lambda: openai.AsyncOpenAI(base_url=f"{url}/v1", **settings),
        "openai-chat": lambda: openai.AsyncOpenAI(base_url=f"{url}/v1", **settings),
        "azure": lambda: openai.AsyncOpenAI(base_url=f"{url}/openai/v1/", **settings),
        "azure-chat": lambda: openai.AsyncAzureOpenAI(
            azure_endpoint=url, api_version="2025-04-01", **settings
        ),
        "groq": lambda: groq.AsyncGroq(base_url=url, **settings),
        "anthropic": lambda: anthropic.AsyncAnthropic(base_url=url, **settings),
        "gemini": lambda: _gemini(url, key, seconds),
        "mistral": lambda: _mistral(url, key, seconds, retries),
        "ollama": lambda: ollama.AsyncClient(
            url, timeout=seconds, headers={"authorization": f"Bearer {key}"}
        ),
    }
    return makers[wire.name]()


def _gemini(url: str, key: str, seconds: float) -> genai.Client:
    options = {"base_url": url, "api_version": "v1beta", "timeout": int(seconds * 1000)}
    return genai.Client(api_key=key, http_options=options)


def _mistral(url: str, key: str, seconds: float, retries: int) -> Mistral:
    pauses = BackoffStrategy(10, 10, 1, 1000)
    again = RetryConfig("backoff", pauses, True) if retries else None
    return Mistral(
        key, server_url=url, timeout_ms=int(1000 * seconds), retry_config=again
    )


async def close_client(client: Any) -> None:
    """Close a client as its user does."""
    if isinstance(client, genai.Client):
        client.close()
        await client.aio.aclose()
    elif isinstance(client, Mistral):
        await client.__aexit__(None, None, None)
    else:
        await client.close()


@asynccontextmanager
async def own_client(
    wire: Wire, url: str, seconds: float = 30, retries: int = 0
) -> AsyncIterator[Any]:
    """Such a client, closed in the end."""
    client = make_client(wire, url, seconds=seconds, retries=retries)
    yield client
    await close_client(client)
