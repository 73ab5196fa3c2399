"""Messages."""

import json
from collections.abc import Callable
from typing import Any

from answers import result
from anthropic import AsyncAnthropic, AsyncStream


class Anthropic:
    provider = "anthropic"
    whole_calls = False

    @staticmethod
    def connect(url: str) -> AsyncAnthropic:
        return AsyncAnthropic(api_key="none", base_url=url, max_retries=0)

    @staticmethod
    def request(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        named = [
            {
                "name": tool["name"],
                "description": tool["description"],
                "input_schema": tool["parameters"],
            }
            for tool in tools
        ]
        return {
            "messages": messages,
            "max_tokens": 8192,
            **({"tools": named} if named else {}),
        }

    @staticmethod
    async def text(
        client: AsyncAnthropic, heard: Callable[[str], object], **request: Any
    ) -> None:
        async for event in await client.messages.create(stream=True, **request):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                heard(event.delta.text)

    @staticmethod
    async def plain(client: AsyncAnthropic, **request: Any) -> str:
        blocks = (await client.messages.create(**request)).content
        return "".join(block.text for block in blocks if block.type == "text")

    @staticmethod
    async def floor(
        client: AsyncAnthropic, heard: Callable[[str], object], **request: Any
    ) -> None:
        raw = await client.messages.with_raw_response.create(stream=True, **request)
        async for event in await raw.parse(to=AsyncStream[object]):
            if (
                event["type"] == "content_block_delta"
                and event["delta"]["type"] == "text_delta"
            ):
                heard(event["delta"]["text"])

    @staticmethod
    async def round_trip(
        client: AsyncAnthropic, heard: Callable[[str], object], **request: Any
    ) -> None:
        use: dict[str, Any] = {}
        arguments = ""
        async for event in await client.messages.create(stream=True, **request):
            if (
                event.type == "content_block_start"
                and event.content_block.type == "tool_use"
            ):
                use = {
                    "type": "tool_use",
                    "id": event.content_block.id,
                    "name": event.content_block.name,
                }
            elif (
                event.type == "content_block_delta"
                and event.delta.type == "input_json_delta"
            ):
                arguments += event.delta.partial_json
        use["input"] = json.loads(arguments)
        output = {
            "type": "tool_result",
            "tool_use_id": use["id"],
            "content": result(use["input"]["asked"]),
        }
        answers = [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [output]},
        ]
        request["messages"] = [*request["messages"], *answers]
        await Anthropic.text(client, heard, **request)
