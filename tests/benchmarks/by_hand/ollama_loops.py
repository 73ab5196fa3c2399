"""Ollama: its SDK's events are thin, so there is no floor."""

from collections.abc import Callable
from typing import Any

import httpx
import ollama
from answers import result


class Ollama:
    provider = "ollama"
    whole_calls = True

    @staticmethod
    def connect(url: str) -> ollama.AsyncClient:
        # Its own limit is 100 connections.
        return ollama.AsyncClient(url, limits=httpx.Limits())

    @staticmethod
    def request(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        functions = [{"type": "function", "function": tool} for tool in tools]
        return {"messages": messages, **({"tools": functions} if functions else {})}

    @staticmethod
    async def text(
        client: ollama.AsyncClient, heard: Callable[[str], object], **request: Any
    ) -> None:
        async for chunk in await client.chat(stream=True, **request):
            if chunk.message.content:
                heard(chunk.message.content)

    @staticmethod
    async def plain(client: ollama.AsyncClient, **request: Any) -> str:
        return (await client.chat(**request)).message.content or ""

    @staticmethod
    async def round_trip(
        client: ollama.AsyncClient, heard: Callable[[str], object], **request: Any
    ) -> None:
        messages = list(request["messages"])
        async for chunk in await client.chat(stream=True, **request):
            for call in chunk.message.tool_calls or ():
                output = result(call.function.arguments["asked"])
                messages += [
                    chunk.message,
                    {
                        "role": "tool",
                        "tool_name": call.function.name,
                        "content": output,
                    },
                ]
        await Ollama.text(client, heard, **{**request, "messages": messages})
