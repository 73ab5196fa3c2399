"""Groq: Chat Completions by an SDK of its own, without `stream_options`."""

from typing import Any

import groq

from by_hand.openai_loops import ChatCompletions


class Groq(ChatCompletions):
    provider = "groq"
    other_http = groq.DefaultAioHttpClient
    options: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it

    @staticmethod
    def connect(url: str, **more: Any) -> groq.AsyncGroq:
        return groq.AsyncGroq(api_key="none", base_url=url, max_retries=0, **more)

    @classmethod
    async def floor(cls, client: groq.AsyncGroq, **request: Any) -> str:
        raw = await client.chat.completions.with_raw_response.create(
            stream=True, **request
        )
        text = []
        async for event in await raw.parse(to=groq.AsyncStream[object]):
            if event["choices"] and (
                content := event["choices"][0]["delta"].get("content")
            ):
                text.append(content)
        return "".join(text)
