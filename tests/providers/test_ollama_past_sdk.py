"""What goes past the Ollama SDK is what the SDK would have made of it.

Over a user's own client everything goes through the SDK, so that the same run over both is the comparison.
"""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import ollama
import pytest
from support.loopback import Loopback, Reply
from support.wire.common import Json, encode

from cogent import Agent, CogentError, Model
from cogent.providers.formats import ollama_text
from cogent.providers.formats.ollama_text import PLACEHOLDER, read_plain_text
from cogent.providers.formats.past_sdk import PastSdk
from cogent.tools import tool


def line(message: Json, **beside: Any) -> bytes:
    head = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}
    body = {**head, "message": {"role": "assistant", **message}, "done": False}
    return encode({**body, **beside}) + b"\n"


def text(piece: Any, **beside: Any) -> bytes:
    return line({"content": piece}, **beside)


CALL = {"function": {"name": "add", "arguments": {"a": 1}}}
LAST = text("", done=True, done_reason="stop", prompt_eval_count=5, eval_count=2)
STREAMS: dict[str, list[bytes]] = {
    "text": [text("a"), text("b"), text("c"), LAST],
    "text at the end": [
        text("a"),
        text("b", done=True, done_reason="length", eval_count=1),
    ],
    "thoughts": [
        line({"content": "", "thinking": "Hm."}),
        text("a"),
        line({"content": "b", "thinking": "So."}),
        text("c"),
        LAST,
    ],
    "calls": [
        text("I "),
        text("add."),
        line({"content": "", "tool_calls": [CALL]}),
        text("After."),
        LAST,
    ],
    "new fields": [
        text("a"),
        text("b", new={"x": 1}),
        line({"content": "c", "new": 1}),
        text("d"),
        LAST,
    ],
    "fields that are missing": [
        encode({"message": {"role": "assistant", "content": "a"}, "done": False})
        + b"\n",
        encode({"message": {"role": "assistant", "content": "b"}}) + b"\n",
        text("c", model=None),
        text(None),
        LAST,
    ],
    "other alphabets": [text("é \U0001f600"), text("b"), LAST],
    "an error amid text": [text("a"), text("b"), b'{"error": "no more"}\n'],
    "a wrong type": [text("a"), text("b"), text(1), text("c"), LAST],
    "no JSON": [text("a"), text("b"), b"{oops\n", text("c"), LAST],
    "an empty line": [text("a"), text("b"), b"\n", text("c"), LAST],
    "two in a line": [text("a"), text("b"), text("c")[:-1] + text("d"), LAST],
    "a cut": [text("a"), text("b"), text("c")],
    "a cut in a line": [text("a"), text("b"), text("c")[:-9]],
}
FORMS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "one by one": lambda lines: lines,
    "all at once": lambda lines: [b"".join(lines)],
    "first alone": lambda lines: [lines[0], b"".join(lines[1:])],
    "CRLF": lambda lines: [one.replace(b"\n", b"\r\n") for one in lines],
    "mixed": lambda lines: [
        one if place % 3 else one.replace(b"\n", b"\r\n")
        for place, one in enumerate(lines)
    ],
    "bytes": lambda lines: [bytes([byte]) for byte in b"".join(lines)],
}


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def run(server: Loopback, pieces: list[bytes], **options: Any) -> Json:
    """All that a run shows of an answer in these pieces."""
    server.reply(Reply(pieces, content_type="application/x-ndjson"))
    if b"tool_calls" in b"".join(pieces):
        server.reply(Reply([text("ok"), LAST], content_type="application/x-ndjson"))
    model = Model("ollama:m", max_retries=0, **options)
    agent = Agent("tester", model, tools=[add])
    stream = agent.run_stream("Go")
    chunks, error = [], None
    async with agent, aclosing(stream):
        try:
            async for chunk in stream:
                chunks.append((chunk.content, chunk.reasoning, chunk.tool_call is None))
        except CogentError as raised:
            error = type(raised), str(raised)
    response = stream.response
    tokens = response.metadata.get("tokens")
    return {"chunks": chunks, "error": error, "tokens": tokens, "text": str(response)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_says_the_same_past_the_sdk(
    server: Loopback, kind: str, form: str
) -> None:
    """The chunks, the counts and the error are those of the SDK's events, in their order."""
    pieces = FORMS[form](STREAMS[kind])
    past = await run(server, pieces, base_url=server.url)
    async with ollama.AsyncClient(server.url) as client:
        through = await run(server, pieces, client=client)
    assert past == through


def test_texts_in_a_row_cost_the_sdk_one_event() -> None:
    """Texts that follow each other are one line for the SDK; what is not plain text it gets as it came."""

    async def nothing() -> Any:
        return
        yield

    events = PastSdk(nothing(), ollama_text)
    call = line({"content": "", "tool_calls": [CALL]})
    assert events.shorten(text("a") + text("b")) == PLACEHOLDER
    assert events.shorten(text("a") + call + text("b")) == (
        PLACEHOLDER + call + PLACEHOLDER
    )
    # Where lines cannot be told apart once, the SDK reads all that follow.
    assert events.shorten(b"\n") == b"\n"
    assert events.shorten(text("a")) == text("a")


@pytest.mark.parametrize(
    "data", [b"{", b"{}", b'{"a": ' * 100_000, b'{"done": false, "message": []}']
)
def test_what_is_no_text_is_left_to_the_sdk(data: bytes) -> None:
    """Broken or deep JSON and objects of another kind are no plain text, and no error here."""
    assert read_plain_text(data) is None
