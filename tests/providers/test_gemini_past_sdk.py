"""What goes past the Gemini SDK is what the SDK would have made of it.

Over a user's own client everything goes through the SDK, so that the same run over both is the comparison.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2
import pytest
from google import genai
from support.loopback import Loopback, Reply
from support.wire import common, gemini_generate
from support.wire.common import Json

from cogent import Agent, Image, Message, Model, ToolCall
from cogent.providers.formats import gemini_text
from cogent.providers.formats.gemini_text import PLACEHOLDER, read_plain_text
from cogent.providers.formats.past_sdk import PastSdk
from cogent.tools import tool

PNG = b"\x89PNG\r\n\x1a\n" + bytes(32) + b"\xff\xfe\xfd"
USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}


def model(server: Loopback, **options: Any) -> Model:
    given = {"base_url": server.url, "api_key": "key", "max_retries": 0, **options}
    if "client" in options:
        given = options
    return Model("gemini:gemini-test", **given)


@asynccontextmanager
async def own_client(server: Loopback, **options: Any) -> AsyncIterator[genai.Client]:
    """A user's client over httpx2, as the SDK makes one where aiohttp is not installed."""
    http = httpx2.AsyncClient()
    settings = {"base_url": server.url, "api_version": "v1beta", **options}
    client = genai.Client(
        api_key="key", http_options={**settings, "httpx_async_client": http}
    )
    yield client
    client.close()
    await http.aclose()


def said(*parts: Json, **beside: Any) -> Json:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r", **beside}


def text(piece: str, **beside: Any) -> Json:
    return said({"text": piece}, **beside)


LAST = {"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": USAGE}
STREAMS: dict[str, list[Json]] = {
    "text": [text("a"), text("b"), text("c", usageMetadata=USAGE), LAST],
    "thoughts": [
        said({"text": "Hm.", "thought": True}),
        text("a"),
        said({"text": "So.", "thought": True}),
        text("b"),
        text("c"),
        said({"text": "d", "thoughtSignature": "c2ln"}),
        text("e"),
        LAST,
    ],
    "calls": [
        text("I "),
        text("add."),
        said({"functionCall": {"name": "add", "args": {"a": 1}}}),
        text("After."),
        LAST,
    ],
    "two parts": [text("a"), said({"text": "b"}, {"text": "c"}), text("d"), LAST],
    "new fields": [
        text("a"),
        text("b", newField={"x": 1}),
        said({"text": "c", "newField": 1}),
        {"candidates": [{"content": {"parts": [{"text": "d"}], "new": 1}, "new": 1}]},
        text("e"),
        LAST,
    ],
    "other candidates": [
        text("a"),
        {"candidates": [{"content": {"parts": [{"text": "x"}]}, "index": 1}]},
        {"candidates": [{"content": {"parts": [{"text": "b"}]}, "index": None}]},
        {"candidates": []},
        {},
        text("c"),
        LAST,
    ],
    "odd texts": [
        text("a"),
        text(""),
        text("\u2028\x85 \U0001f600"),
        text("b"),
        LAST,
    ],
    "odd counts": [
        text("a"),
        text("b", usageMetadata={"promptTokenCount": "5", "promptTokensDetails": []}),
        text("c", usageMetadata={"promptTokenCount": None}),
        text("d", modelVersion=None, responseId=None),
        LAST,
    ],
}
FORMS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "one by one": lambda events: events,
    "all at once": lambda events: [b"".join(events)],
    "by threes": lambda events: [
        b"".join(events[start : start + 3]) for start in range(0, len(events), 3)
    ],
    "CRLF": lambda events: [event.replace(b"\n", b"\r\n") for event in events],
    "CR": lambda events: [event.replace(b"\n", b"\r") for event in events],
    "mixed": lambda events: [
        event if place % 3 else event.replace(b"\n", b"\r\n")
        for place, event in enumerate(events)
    ],
    "bytes": lambda events: [bytes([byte]) for byte in b"".join(events)],
}


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def run(server: Loopback, model: Model, pieces: list[bytes]) -> Json:
    """All that a run shows of an answer in these pieces."""
    server.reply(Reply(pieces))
    if b"functionCall" in b"".join(pieces):
        server.reply(Reply(gemini_generate.text("ok")))
    agent = Agent("tester", model, tools=[add])
    stream = agent.run_stream("Go")
    async with agent, aclosing(stream):
        chunks = [chunk async for chunk in stream]
    response = stream.response
    # The ids of calls are made up, and a final chunk tells the time.
    return {
        "chunks": [
            (chunk.content, chunk.reasoning, chunk.tool_call and chunk.tool_call.name)
            for chunk in chunks
        ],
        "items": [message.items for message in response.messages],
        "tokens": response.metadata["tokens"],
        "model": response.metadata["model"],
        "ids": response.metadata["request_ids"],
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_says_the_same_past_the_sdk(
    server: Loopback, kind: str, form: str
) -> None:
    """The chunks, the items that go back, counts and names are those of the SDK's events, in their order."""
    pieces = FORMS[form]([common.event(body) for body in STREAMS[kind]])
    past = await run(server, model(server), pieces)
    async with own_client(server) as client:
        through = await run(server, model(server, client=client), pieces)
    assert past == through


def test_texts_in_a_row_cost_the_sdk_one_event() -> None:
    """Texts that follow each other are one empty event for the SDK; what is not plain text it gets as it came."""

    async def nothing() -> Any:
        return
        yield

    events = PastSdk(nothing(), gemini_text)
    plain = [common.event(body) for body in (text("a"), text("b", usageMetadata=USAGE))]
    call = common.event(said({"functionCall": {"name": "add", "args": {}}}))
    assert events.shorten(b"".join(plain)) == PLACEHOLDER
    assert (
        events.shorten(plain[0] + call + plain[1]) == PLACEHOLDER + call + PLACEHOLDER
    )
    # Where events cannot be told apart once, the SDK reads all that follow.
    assert events.shorten(b"{}\n") == b"{}\n"
    assert events.shorten(plain[0]) == plain[0]


@pytest.mark.parametrize(
    "data", [b"{", b"{}", b"[" * 100_000, b'{"candidates": {"a": 1}}']
)
def test_what_is_no_text_is_left_to_the_sdk(data: bytes) -> None:
    """Broken or deep JSON and objects of another kind are no plain text, and no error here."""
    assert read_plain_text(data) is None


# The conversation


HISTORY = [
    Message("user", "What is this?"),
    Message(
        "assistant",
        "A picture.",
        items=[
            {"text": "Hm.", "thought": True, "thought_signature": "c2ln-_8="},
            {"text": "A picture."},
            {"function_call": {"id": "c1", "name": "add", "args": {"some_name": 1}}},
            {"executable_code": {"code": "print(1)", "language": "PYTHON"}},
            {"code_execution_result": {"outcome": "OUTCOME_OK", "output": "1"}},
            {"inline_data": {"mime_type": "image/png", "data": "_-8="}},
        ],
        provider="gemini",
        tool_calls=[ToolCall("c1", "add", {"some_name": 1})],
    ),
    Message("tool", "2", tool_call_id="c1", name="add"),
    Message("assistant", tool_calls=[ToolCall("c2", "add", {"a_b": {"c_d": [None]}})]),
    Message("tool", "No.", tool_call_id="c2", name="add", is_error=True),
    Message("assistant", "So."),
]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_conversation_is_the_one_that_the_sdk_would_send(
    server: Loopback, stream: bool
) -> None:
    """Images, calls, results and the provider's own parts reach the server as through the SDK's models."""
    if stream:
        reply = Reply(gemini_generate.text("ok"))
    else:
        reply = Reply(gemini_generate.plain_text("ok"), content_type="application/json")
    message = ["And this?", Image(PNG)]
    async with own_client(server) as client:
        for options in ({}, {"client": client}):
            server.reply(reply)
            agent = Agent(
                "tester", model(server, **options), tools=[add], stream=stream
            )
            async with agent:
                await agent.run(message, history=HISTORY)
    past, through = (request.json for request in server.requests)
    assert past == through
    assert past["contents"][-1]["parts"][1]["inlineData"]["data"].startswith("iVBORw")


async def test_the_users_own_extra_body_is_sent_too(server: Loopback) -> None:
    """What stands in `extra_body` goes beside the conversation, from a model's settings as from a user's client."""
    options = {"extra_body": {"labels": {"a": "b"}}, "headers": {"x-mine": "1"}}
    server.reply(Reply(gemini_generate.text("ok")), Reply(gemini_generate.text("ok")))
    async with Agent(
        "tester", model(server, extra={"http_options": options}), stream=True
    ) as one:
        await one.run("Go")
    async with own_client(server, **options) as client:
        await Agent("tester", model(server, client=client), stream=True).run("Go")
    for request in server.requests:
        assert request.json["labels"] == {"a": "b"}
        assert request.json["contents"] == [{"role": "user", "parts": [{"text": "Go"}]}]
        assert request.headers["x-mine"] == "1"


async def test_comments_between_events_change_nothing(server: Loopback) -> None:
    """A server that sends signs of life between its events gets the same answer read."""
    bodies = [common.event(body) for body in STREAMS["thoughts"]]
    plain = await run(server, model(server), bodies)
    assert plain == await run(
        server, model(server), [b": ping\n\n" + b for b in bodies]
    )
