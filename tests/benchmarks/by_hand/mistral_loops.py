"""Mistral: Chat Completions by an SDK of another generator, whose events have one more level and whose calls come
whole.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
from answers import result
from mistralai.client import Mistral as Client

from by_hand.chat_loops import ChatLoops


class Mistral(ChatLoops):
    provider = "mistral"
    whole_calls = True

    @staticmethod
    def connect(url: str) -> Client:
        unlimited = httpx.AsyncClient(
            limits=httpx.Limits()
        )  # its own has 100 connections
        return Client(api_key="none", server_url=url, async_client=unlimited)

    @classmethod
    async def text(
        cls, client: Client, heard: Callable[[str], object], **request: Any
    ) -> None:
        async for event in await client.chat.stream_async(**request):
            content = event.data.choices[0].delta.content
            if content:
                heard(content)

    @staticmethod
    async def plain(client: Client, **request: Any) -> str:
        return (await client.chat.complete_async(**request)).choices[0].message.content

    @classmethod
    async def round_trip(
        cls, client: Client, heard: Callable[[str], object], **request: Any
    ) -> None:
        calls: list[Any] = []
        async for event in await client.chat.stream_async(**request):
            calls += event.data.choices[0].delta.tool_calls or ()
        call = calls[0]
        output = result(json.loads(call.function.arguments)["asked"])
        answers = [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call.id, "content": output},
        ]
        request["messages"] = [*request["messages"], *answers]
        await cls.text(client, heard, **request)
