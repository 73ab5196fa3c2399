"""Responses and Chat Completions."""

import json
from collections.abc import Callable
from typing import Any

from answers import result
from openai import AsyncOpenAI, AsyncStream

from by_hand.chat_loops import ChatLoops


class Responses:
    provider = "openai"
    whole_calls = False

    @staticmethod
    def connect(url: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=url, max_retries=0)

    @staticmethod
    def request(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        return {
            "input": messages,
            "store": False,
            "tools": [{"type": "function", **t, "strict": False} for t in tools],
        }

    @staticmethod
    async def text(
        client: AsyncOpenAI, heard: Callable[[str], object], **request: Any
    ) -> None:
        async for event in await client.responses.create(stream=True, **request):
            if event.type == "response.output_text.delta":
                heard(event.delta)

    @staticmethod
    async def plain(client: AsyncOpenAI, **request: Any) -> str:
        return (await client.responses.create(**request)).output_text

    @staticmethod
    async def floor(
        client: AsyncOpenAI, heard: Callable[[str], object], **request: Any
    ) -> None:
        raw = await client.responses.with_raw_response.create(stream=True, **request)
        async for event in raw.parse(to=AsyncStream[object]):
            if event["type"] == "response.output_text.delta":
                heard(event["delta"])

    @staticmethod
    async def round_trip(
        client: AsyncOpenAI, heard: Callable[[str], object], **request: Any
    ) -> None:
        asked = list(request["input"])
        async for event in await client.responses.create(stream=True, **request):
            if (
                event.type == "response.output_item.done"
                and event.item.type == "function_call"
            ):
                output = result(json.loads(event.item.arguments)["asked"])
                asked.append(event.item.to_dict())
                asked.append(
                    {
                        "type": "function_call_output",
                        "call_id": event.item.call_id,
                        "output": output,
                    }
                )
        await Responses.text(client, heard, **{**request, "input": asked})


class ChatCompletions(ChatLoops):
    provider = "openai-chat"
    options: dict[str, Any] = {"stream_options": {"include_usage": True}}  # noqa: RUF012  # nobody changes it

    @staticmethod
    def connect(url: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=url, max_retries=0)

    @classmethod
    async def floor(
        cls, client: AsyncOpenAI, heard: Callable[[str], object], **request: Any
    ) -> None:
        raw = await client.chat.completions.with_raw_response.create(
            stream=True, **cls.options, **request
        )
        async for event in raw.parse(to=AsyncStream[object]):
            if event["choices"] and (
                content := event["choices"][0]["delta"].get("content")
            ):
                heard(content)


class Azure(Responses):
    provider = "azure"

    @staticmethod
    def connect(url: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=f"{url}/openai/v1/", max_retries=0)
