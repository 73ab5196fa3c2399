"""What users would write without cogent: loops over the SDK's typed events, one set of them for each protocol.

A protocol is a class with the provider's name and these functions: `request` writes the arguments of the SDK's call,
`text` collects an answer, `floor` does so over plain dicts, which is the least that the SDK can be had for, and
`round_trip` runs the one tool that is called. Another protocol is another class here and a wire format in `server.py`.
"""

import json
from typing import Any

from openai import AsyncOpenAI, AsyncStream
from server import result


class Responses:
    provider = "openai"

    @staticmethod
    def request(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        return {"input": messages, "store": False, "tools": [{"type": "function", **t, "strict": False} for t in tools]}

    @staticmethod
    async def text(client: AsyncOpenAI, **request: Any) -> str:
        text = []
        async for event in await client.responses.create(stream=True, **request):
            if event.type == "response.output_text.delta":
                text.append(event.delta)
        return "".join(text)

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
            if event.type == "response.output_item.done" and event.item.type == "function_call":
                output = result(json.loads(event.item.arguments)["asked"])
                asked.append(event.item.to_dict())
                asked.append({"type": "function_call_output", "call_id": event.item.call_id, "output": output})
        return await Responses.text(client, **{**request, "input": asked})


class ChatCompletions:
    provider = "openai-chat"

    @staticmethod
    def request(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        functions = [{"type": "function", "function": tool} for tool in tools]
        request: dict[str, Any] = {"messages": messages, "stream_options": {"include_usage": True}}
        return {**request, "tools": functions} if functions else request

    @staticmethod
    async def text(client: AsyncOpenAI, **request: Any) -> str:
        text = []
        async for chunk in await client.chat.completions.create(stream=True, **request):
            if chunk.choices and chunk.choices[0].delta.content:
                text.append(chunk.choices[0].delta.content)
        return "".join(text)

    @staticmethod
    async def floor(client: AsyncOpenAI, **request: Any) -> str:
        raw = await client.chat.completions.with_raw_response.create(stream=True, **request)
        text = []
        async for event in raw.parse(to=AsyncStream[object]):
            if event["choices"] and (content := event["choices"][0]["delta"].get("content")):
                text.append(content)
        return "".join(text)

    @staticmethod
    async def round_trip(client: AsyncOpenAI, **request: Any) -> str:
        id = name = arguments = ""
        async for chunk in await client.chat.completions.create(stream=True, **request):
            for call in (chunk.choices and chunk.choices[0].delta.tool_calls) or ():
                id, name = call.id or id, call.function.name or name
                arguments += call.function.arguments or ""
        call = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        output = result(json.loads(arguments)["asked"])
        answers = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": id, "content": output}]
        return await ChatCompletions.text(client, **{**request, "messages": [*request["messages"], *answers]})


PROTOCOLS = (Responses, ChatCompletions)
