"""Groq: Chat Completions by an SDK of its own, without `stream_options`."""

from collections.abc import Callable
from typing import Any

import groq
import httpx

from by_hand.chat_loops import ChatLoops


class Groq(ChatLoops):
    provider = "groq"

    @staticmethod
    def connect(url: str) -> groq.AsyncGroq:
        # Its own client has 100 connections.
        client = groq.DefaultAsyncHttpxClient(limits=httpx.Limits())
        return groq.AsyncGroq(
            api_key="none", base_url=url, max_retries=0, http_client=client
        )

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
