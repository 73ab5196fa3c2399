"""Chat Completions, whichever SDK speaks it: nothing is imported from one."""

import json
from collections.abc import Callable
from typing import Any

from answers import result


class ChatLoops:
    """What an SDK's class says besides: how it connects, and its `options`."""

    whole_calls = False
    options: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it

    @staticmethod
    def request(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        functions = [{"type": "function", "function": tool} for tool in tools]
        return {"messages": messages, **({"tools": functions} if functions else {})}

    @classmethod
    async def text(
        cls, client: Any, heard: Callable[[str], object], **request: Any
    ) -> None:
        async for chunk in await client.chat.completions.create(
            stream=True, **cls.options, **request
        ):
            if chunk.choices and chunk.choices[0].delta.content:
                heard(chunk.choices[0].delta.content)

    @staticmethod
    async def plain(client: Any, **request: Any) -> str:
        return (
            (await client.chat.completions.create(**request)).choices[0].message.content
        )

    @classmethod
    async def round_trip(
        cls, client: Any, heard: Callable[[str], object], **request: Any
    ) -> None:
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
        request["messages"] = [*request["messages"], *answers]
        await cls.text(client, heard, **request)
