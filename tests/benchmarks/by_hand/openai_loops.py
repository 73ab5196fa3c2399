"""Responses and Chat Completions."""

import json
from typing import Any

from answers import result
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient


class Responses:
    provider = "openai"
    other_http = DefaultAioHttpClient
    whole_calls = False

    @staticmethod
    def connect(url: str, **more: Any) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=url, max_retries=0, **more)

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
    async def text(client: AsyncOpenAI, **request: Any) -> str:
        text = []
        async for event in await client.responses.create(stream=True, **request):
            if event.type == "response.output_text.delta":
                text.append(event.delta)
        return "".join(text)

    @staticmethod
    async def plain(client: AsyncOpenAI, **request: Any) -> str:
        return (await client.responses.create(**request)).output_text

    @staticmethod
    async def floor(client: AsyncOpenAI, **request: Any) -> str:
        raw = await client.responses.with_raw_response.create(stream=True, **request)
        text = []
        async for event in raw.parse(to=AsyncStream[object]):
            if event["type"] == "response.output_text.delta":
                text.append(event["delta"])
        return "".join(text)

    @staticmethod
    async def round_trip(client: AsyncOpenAI, **request: Any) -> str:
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
        return await Responses.text(client, **{**request, "input": asked})


class ChatCompletions:
    provider = "openai-chat"
    other_http: Any = DefaultAioHttpClient
    whole_calls = False
    options: dict[str, Any] = {"stream_options": {"include_usage": True}}  # noqa: RUF012  # nobody changes it

    @staticmethod
    def connect(url: str, **more: Any) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=url, max_retries=0, **more)

    @staticmethod
    def request(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        functions = [{"type": "function", "function": tool} for tool in tools]
        return {"messages": messages, **({"tools": functions} if functions else {})}

    @classmethod
    async def text(cls, client: Any, **request: Any) -> str:
        text = []
        async for chunk in await client.chat.completions.create(
            stream=True, **cls.options, **request
        ):
            if chunk.choices and chunk.choices[0].delta.content:
                text.append(chunk.choices[0].delta.content)
        return "".join(text)

    @staticmethod
    async def plain(client: Any, **request: Any) -> str:
        return (
            (await client.chat.completions.create(**request)).choices[0].message.content
        )

    @classmethod
    async def floor(cls, client: Any, **request: Any) -> str:
        raw = await client.chat.completions.with_raw_response.create(
            stream=True, **cls.options, **request
        )
        text = []
        async for event in raw.parse(to=AsyncStream[object]):
            if event["choices"] and (
                content := event["choices"][0]["delta"].get("content")
            ):
                text.append(content)
        return "".join(text)

    @classmethod
    async def round_trip(cls, client: Any, **request: Any) -> str:
        id = name = arguments = ""
        async for chunk in await client.chat.completions.create(
            stream=True, **cls.options, **request
        ):
            for call in (chunk.choices and chunk.choices[0].delta.tool_calls) or ():
                id, name = call.id or id, call.function.name or name
                arguments += call.function.arguments or ""
        call = {
            "id": id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        output = result(json.loads(arguments)["asked"])
        answers = [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": output},
        ]
        return await cls.text(
            client, **{**request, "messages": [*request["messages"], *answers]}
        )


class Azure(Responses):
    provider = "azure"

    @staticmethod
    def connect(url: str, **more: Any) -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key="none", base_url=f"{url}/openai/v1/", max_retries=0, **more
        )
