"""Groq: Chat Completions by an SDK of its own, without `stream_options`."""

from collections.abc import Callable
from typing import Any

import groq

from by_hand.chat_loops import ChatLoops


class Groq(ChatLoops):
    provider = "groq"
    other_http = groq.DefaultAioHttpClient

    @staticmethod
    def connect(url: str, **more: Any) -> groq.AsyncGroq:
        return groq.AsyncGroq(api_key="none", base_url=url, max_retries=0, **more)

    @classmethod
    async def floor(
        cls, client: groq.AsyncGroq, heard: Callable[[str], object], **request: Any
    ) -> None:
        raw = await client.chat.completions.with_raw_response.create(
            stream=True, **request
        )
        async for event in await raw.parse(to=groq.AsyncStream[object]):
            if event["choices"] and (
                content := event["choices"][0]["delta"].get("content")
            ):
                heard(content)
