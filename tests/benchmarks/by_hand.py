"""What users would write without cogent: loops over the SDK's typed events, one set of them for each protocol.

A protocol is a class with the provider's name and these functions: `connect` makes a client, `request` writes the
arguments of the SDK's call, `text` collects an answer, `floor` does so over plain dicts, which is the least that the
SDK can be had for, and `round_trip` runs the one tool that is called. The last two may be left out, and their cases
with them. Another protocol is another class here and a wire format in `server.py`.
"""

import json
from typing import Any

import groq
import ollama
from anthropic import AsyncAnthropic
from anthropic import AsyncStream as AnthropicStream
from google import genai
from openai import AsyncOpenAI, AsyncStream
from server import result


class Responses:
    provider = "openai"

    @staticmethod
    def connect(url: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=url, max_retries=0)

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
    def connect(url: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=url, max_retries=0)

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


class Azure:
    provider = "azure"
    request, text, floor = Responses.request, Responses.text, Responses.floor

    @staticmethod
    def connect(url: str) -> AsyncOpenAI:
        return AsyncOpenAI(api_key="none", base_url=f"{url}/openai/v1/", max_retries=0)


class Groq:
    provider = "groq"
    text = ChatCompletions.text

    @staticmethod
    def connect(url: str) -> groq.AsyncGroq:
        return groq.AsyncGroq(api_key="none", base_url=url, max_retries=0)

    @staticmethod
    def request(messages: list[dict[str, Any]], _: list[dict[str, Any]]) -> dict[str, Any]:
        return {"messages": messages}

    @staticmethod
    async def floor(client: groq.AsyncGroq, **request: Any) -> str:
        raw = await client.chat.completions.with_raw_response.create(stream=True, **request)
        text = []
        async for event in await raw.parse(to=groq.AsyncStream[object]):
            if event["choices"] and (content := event["choices"][0]["delta"].get("content")):
                text.append(content)
        return "".join(text)


class Anthropic:
    provider = "anthropic"

    @staticmethod
    def connect(url: str) -> AsyncAnthropic:
        return AsyncAnthropic(api_key="none", base_url=url, max_retries=0)

    @staticmethod
    def request(messages: list[dict[str, Any]], _: list[dict[str, Any]]) -> dict[str, Any]:
        return {"messages": messages, "max_tokens": 8192}

    @staticmethod
    async def text(client: AsyncAnthropic, **request: Any) -> str:
        text = []
        async for event in await client.messages.create(stream=True, **request):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                text.append(event.delta.text)
        return "".join(text)

    @staticmethod
    async def floor(client: AsyncAnthropic, **request: Any) -> str:
        raw = await client.messages.with_raw_response.create(stream=True, **request)
        text = []
        async for event in await raw.parse(to=AnthropicStream[object]):
            if event["type"] == "content_block_delta" and event["delta"]["type"] == "text_delta":
                text.append(event["delta"]["text"])
        return "".join(text)


class Gemini:
    provider = "gemini"

    @staticmethod
    def connect(url: str) -> genai.Client:
        return genai.Client(api_key="none", http_options={"base_url": url})

    @staticmethod
    def request(messages: list[dict[str, Any]], _: list[dict[str, Any]]) -> dict[str, Any]:
        return {"contents": [message["content"] for message in messages]}

    @staticmethod
    async def text(client: genai.Client, **request: Any) -> str:
        text = []
        async for chunk in await client.aio.models.generate_content_stream(**request):
            if chunk.text:
                text.append(chunk.text)
        return "".join(text)


class Ollama:
    provider = "ollama"
    connect = ollama.AsyncClient

    @staticmethod
    def request(messages: list[dict[str, Any]], _: list[dict[str, Any]]) -> dict[str, Any]:
        return {"messages": messages}

    @staticmethod
    async def text(client: ollama.AsyncClient, **request: Any) -> str:
        text = []
        async for chunk in await client.chat(stream=True, **request):
            if chunk.message.content:
                text.append(chunk.message.content)
        return "".join(text)


PROTOCOLS = (Responses, ChatCompletions, Azure, Groq, Anthropic, Gemini, Ollama)
