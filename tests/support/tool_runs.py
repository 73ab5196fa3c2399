"""Runs with tools: what a model asks for, what the tools answered, and what the model was then sent."""

from typing import Any

import pytest
from conftest import Wire

from cogent import (
    Response,
    StreamChunk,
    ToolResult,
)
from support.loopback import Loopback, Reply
from support.scene import read
from support.wire import chat_completions
from support.wire.common import Call

CHAT = Wire("openai-chat", chat_completions)


LONG = 60.0  # seconds that nothing here takes unless it hangs


SHORT = 0.05


def ask(server: Loopback, *calls: Call, wire: Wire = CHAT) -> None:
    """Let the model ask for these calls, and say "Done" when it has their results."""
    server.reply(Reply(wire.send.tool_calls(*calls)), Reply(wire.send.text("Done")))


async def run(
    server: Loopback, *tools: Any, wire: Wire = CHAT, **options: Any
) -> tuple[list[StreamChunk], Response]:
    """A whole run with these tools; `context` goes to the run, other options to the agent."""
    given = {"context": options.pop("context")} if "context" in options else {}
    return await read(wire.agent(server, tools=tools, **options), **given)


def results(chunks: list[StreamChunk]) -> list[ToolResult]:
    """The tool results in the order of their chunks."""
    return [chunk.tool_result for chunk in chunks if chunk.tool_result is not None]


def sent(server: Loopback, request: int = 1) -> list[tuple[str, str]]:
    """The id and the text of each tool result in a request, in the order in which they were sent."""
    body = server.requests[request].json
    if "input" in body:
        outputs = [
            item for item in body["input"] if item.get("type") == "function_call_output"
        ]
        return [(item["call_id"], item["output"]) for item in outputs]
    return [
        (m["tool_call_id"], m["content"])
        for m in body["messages"]
        if m["role"] == "tool"
    ]


async def one(
    server: Loopback, function: Any, arguments: str = "{}", **options: Any
) -> ToolResult:
    """The result of a run's only call, which the next request must hold as well."""
    name = getattr(function, "name", function.__name__)
    ask(server, ("c1", name, arguments))
    chunks, response = await run(server, function, **options)
    (result,) = results(chunks)
    assert response.content == "Done" and response.tool_calls[0].result == result
    assert sent(server) == [("c1", result.content)]
    return result


async def failure(stream: Any, kind: type[Exception]) -> Any:
    """The error that ends the stream, which must be of this kind."""
    with pytest.raises(kind) as caught:
        async with stream:
            async for _ in stream:
                pass
    return caught.value
