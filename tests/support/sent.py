"""What a request sends back of a conversation, read from the format of each wire."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conftest import Wire

from cogent import Message, tool
from support.loopback import Loopback, Reply
from support.scene import answer
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    ollama_chat,
    openai_responses,
)
from support.wire.common import Json


@tool
def weather(city: str = "Bergen") -> str:
    """The weather of a city."""
    return f"Rain in {city}"


@tool
def search(q: str = "") -> str:
    """Search."""
    return f"found {q}"


@dataclass(frozen=True)
class Sent:
    """The calls of a request as (id, name, arguments), and its results as (id, text) in their order."""

    calls: list[tuple[str | None, str, Any]]
    results: list[tuple[str | None, str]]


def read(wire: Wire, body: Json) -> Sent:
    """What a request of this format holds; fails if a result does not stand right after its calls."""
    entries = list(_entries(wire, body))
    waiting: Counter[str | None] = Counter()
    for kind, entry in entries:
        if kind == "call":
            waiting[entry[0]] += 1
        elif kind == "result":
            waiting[entry[0]] -= 1
        else:
            assert not +waiting, f"calls without a result before {entry!r}"
    assert not any(waiting.values()), f"calls and results do not go together: {entries}"
    return Sent(
        [e for kind, e in entries if kind == "call"],
        [e for kind, e in entries if kind == "result"],
    )


def _entries(wire: Wire, body: Json) -> Any:
    readers = {
        openai_responses: _read_responses,
        chat_completions: _read_chat,
        anthropic_messages: _read_anthropic,
        gemini_generate: _read_gemini,
        ollama_chat: _read_ollama,
    }
    return readers[wire.format](body)


def _read_responses(body: Json) -> Any:
    for item in body["input"]:
        if item.get("type") == "function_call":
            yield "call", (item["call_id"], item["name"], json.loads(item["arguments"]))
        elif item.get("type") == "function_call_output":
            yield "result", (item["call_id"], item["output"])
        elif "role" in item:
            yield "text", item["content"]


def _read_chat(body: Json) -> Any:
    for message in body["messages"]:
        if message["role"] == "tool":
            yield "result", (message["tool_call_id"], message["content"])
            continue
        yield "text", message["content"]
        for call in message.get("tool_calls", ()):
            yield (
                "call",
                (
                    call["id"],
                    call["function"]["name"],
                    json.loads(call["function"]["arguments"]),
                ),
            )


def _read_anthropic(body: Json) -> Any:
    for message in body["messages"]:
        for block in message["content"]:
            if block["type"] == "tool_use":
                yield "call", (block["id"], block["name"], block["input"])
            elif block["type"] == "tool_result":
                yield "result", (block["tool_use_id"], block["content"])
            elif block["type"] == "text":
                yield "text", block["text"]


def _read_gemini(body: Json) -> Any:
    for content in body["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                call = part["functionCall"]
                yield "call", (call.get("id"), call["name"], call.get("args", {}))
            elif "functionResponse" in part:
                [text] = part["functionResponse"]["response"].values()
                yield "result", (part["functionResponse"].get("id"), text)
            else:
                yield "text", part["text"]


def _read_ollama(body: Json) -> Any:
    for message in body["messages"]:
        if message["role"] == "tool":
            yield "result", (None, message["content"])
            continue
        yield "text", message.get("content")
        for call in message.get("tool_calls", ()):
            yield (
                "call",
                (None, call["function"]["name"], call["function"]["arguments"]),
            )


def calling(
    wire: Wire, stream: bool, *calls: tuple[str, str, str], **more: Any
) -> Reply:
    """An answer with these calls, streamed or plain."""
    if stream:
        return Reply(wire.send.tool_calls(*calls, **more), content_type=wire.mime)
    return Reply(
        wire.send.plain_tool_calls(*calls, **more), content_type="application/json"
    )


def saying(wire: Wire, stream: bool, text: str = "ok") -> Reply:
    """An answer with this text, streamed or plain."""
    if stream:
        return Reply(wire.send.text(text), content_type=wire.mime)
    return Reply(wire.send.plain_text(text), content_type="application/json")


async def moved(
    server: Loopback, wire: Wire, history: Sequence[Message | Json]
) -> Json:
    """The request that goes on with this history."""
    server.reply(saying(wire, True))
    await answer(
        wire.agent(server, tools=[weather, search], stream=True),
        "Go on",
        history=history,
    )
    return server.requests[-1].json
