"""The events of a chat-completions answer "ab", and the loops of SDKs that read it."""

import importlib
import json
from collections.abc import AsyncIterator

MESSAGES = [{"role": "user", "content": "x"}]
STAINLESS = {
    "openai": ("openai", "AsyncOpenAI", {}),
    "groq": ("groq", "AsyncGroq", {}),
    "together": ("together", "AsyncTogether", {}),
    "perplexity": ("perplexity", "AsyncPerplexity", {}),
}


def chunk(content: str | None, finish: str | None = None) -> bytes:
    """One event of the answer."""
    text = {} if content is None else {"content": content}
    return event({"role": "assistant"} | text, finish)


def event(
    delta: dict[str, object], finish: str | None = None, **fields: object
) -> bytes:
    """One event with any delta; `fields` stand beside its choices."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    } | fields
    return b"data: " + json.dumps(data).encode() + b"\n\n"


A, B, END, DONE = chunk("a"), chunk("b"), chunk("", "stop"), b"data: [DONE]\n\n"
WHOLE = A + B + END + DONE


async def stainless(name: str, url: str) -> AsyncIterator[str]:
    """The deltas that an SDK made by Stainless gives; "no choices" for a chunk without any."""
    module, client, options = STAINLESS[name]
    sdk = getattr(importlib.import_module(module), client)(
        api_key="k", base_url=url, max_retries=0, **options
    )
    async for event in await sdk.chat.completions.create(
        model="m", messages=MESSAGES, stream=True
    ):
        choices = getattr(event, "choices", None)
        yield (choices[0].delta.content or "") if choices else "no choices"


async def mistral(url: str) -> AsyncIterator[str]:
    """The same for mistralai."""
    from mistralai.client import Mistral

    async for event in await Mistral(api_key="k", server_url=url).chat.stream_async(
        model="m", messages=MESSAGES
    ):
        yield event.data.choices[0].delta.content or ""


async def hugging_face(url: str) -> AsyncIterator[str]:
    """The same for huggingface_hub."""
    from huggingface_hub import AsyncInferenceClient

    client = AsyncInferenceClient(
        base_url=url, api_key="k"
    )  # its stream does not keep it alive
    async for event in await client.chat_completion(MESSAGES, stream=True):
        yield (event.choices[0].delta.content or "") if event.choices else "no choices"


async def openrouter(url: str) -> AsyncIterator[str]:
    """The same for openrouter."""
    from openrouter import OpenRouter

    async with OpenRouter(api_key="k", server_url=url) as client:
        async for event in await client.chat.send_async(
            messages=MESSAGES, model="m", stream=True
        ):
            yield (
                (event.choices[0].delta.content or "")
                if event.choices
                else "no choices"
            )


async def read(deltas: AsyncIterator[str]) -> str:
    """All deltas joined, with the error's class in brackets if one was raised, else "|" for a quiet end."""
    text = ""
    try:
        async for delta in deltas:
            text += delta
    except Exception as error:  # noqa: BLE001  # which one is the finding
        return f"{text}[{type(error).__name__}]"
    return f"{text}|"
