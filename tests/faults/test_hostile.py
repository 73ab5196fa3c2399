"""Hostile servers: whatever they send is the right text or an error of ours, in bounded memory and time."""

import asyncio
import json
import re
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import pytest
import pytest_asyncio
from conftest import SDK_WIRES, WIRES, Wire, each_sdk, sdk_wire
from support.loopback import Reply
from support.odd_answers import MB, SAID, chunk, empty_delta, flood, head, member
from support.scene import JSON, Outcome, Shared, shared_agents, whole
from support.timed_runs import begun
from support.waiting import until
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    ollama_chat,
    openai_responses,
)
from support.wire.common import Answer, encode, event

from cogent import ModelError, ServerError, StreamInterrupted, tool

LIMIT = 60.0  # seconds after which a run hangs; each takes less than one
WORDS = ("Grüße, ", "日本", "!")
TEXT = "".join(WORDS)
HEAD_ROOM = 3  # how much more work than its share a part of a test may take in one run than in another

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
# One for each of the two HTTP clients, httpx2 and httpx, where what is tried costs too much to be tried on all.
two_wires = pytest.mark.parametrize(
    "wire",
    [wire for wire in WIRES if wire.name in ("openai-chat", "ollama")],
    ids=lambda wire: wire.name,
)

wire = sdk_wire


@tool
def look(query: Any = None) -> str:
    """Look."""
    return "Seen."


@dataclass(slots=True)
class Measured(Outcome):
    """What a run took besides."""

    cpu: float = 0
    """Seconds of the processor, the server's included."""
    memory: float = 0
    """Megabytes at the peak, the server's included."""


class Hostile(Shared):
    """The server and the agents of all tests here: what it does to a client, the next test finds."""

    async def attempt(
        self, wire: Wire, *replies: Reply, streaming: bool = True
    ) -> Outcome:
        """What comes of one question; only errors of a provider are caught, and a hang fails the test."""
        async with asyncio.timeout(LIMIT):
            return await self.play(
                wire, *replies, streaming=streaming, catch=ModelError
            )

    async def measured(
        self, wire: Wire, *replies: Reply, streaming: bool = True
    ) -> Measured:
        """The same, with what it took."""
        warm = await self.attempt(wire, good(wire, streaming), streaming=streaming)
        assert warm.text == TEXT  # an SDK builds much once
        tracemalloc.start()
        try:
            started = time.process_time()
            outcome = await self.attempt(wire, *replies, streaming=streaming)
            cpu = time.process_time() - started
            memory = tracemalloc.get_traced_memory()[1] / MB
        finally:
            tracemalloc.stop()
        given = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
        return Measured(**given, cpu=cpu, memory=memory)

    async def goes_on(self, wire: Wire) -> bool:
        """Whether the agent is as good as before; a connection that the server has spoilt may fail once more."""
        outcome = await self.attempt(wire, good(wire))
        if outcome.error is not None and outcome.error.retryable:
            # The question was sent all the same, and takes its answer with it.
            await until(lambda: not self.server._replies)
            outcome = await self.attempt(wire, good(wire))
        return (outcome.error, outcome.text) == (None, TEXT)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Hostile]:
    async with shared_agents(Hostile, tools=[look]) as shared:
        yield shared


@pytest.fixture(autouse=True)
def nothing_is_left_over(shared: Hostile) -> Iterator[None]:
    yield
    shared.server._replies.clear()


def body(wire: Wire, streaming: bool = True) -> bytes:
    """A right answer."""
    return (
        b"".join(wire.send.text(*WORDS)) if streaming else wire.send.plain_text(*WORDS)
    )


def good(wire: Wire, streaming: bool = True) -> Reply:
    return whole(wire, *WORDS, streaming=streaming)


def deflated(data: bytes, wbits: int = 31) -> bytes:
    packer = zlib.compressobj(9, wbits=wbits)
    return packer.compress(data) + packer.flush()


# Odd, and right

Make = Callable[[bytes, str], Reply]


def packed(data: bytes, *codings: str, **how: Any) -> Make:
    """A compressed answer that says so, in one header for each of the codings."""
    lines = [f"content-encoding: {coding}" for coding in codings]
    return lambda _, kind: Reply(
        data, raw=head(*lines, f"content-length: {len(data)}", kind=kind), **how
    )


def with_body(make: Callable[[bytes], Make]) -> Make:
    return lambda data, kind: make(data)(data, kind)


def closed(*lines: str, status: str = "HTTP/1.1 200 OK", before: bytes = b"") -> Make:
    """An answer that the end of the connection ends."""
    return lambda data, kind: Reply(
        data, raw=before + head(*lines, status=status, kind=kind), end="close"
    )


def chunks(*lines: str, extension: str = "", trailer: bytes = b"") -> Make:
    def make(data: bytes, kind: str) -> Reply:
        pieces = [
            chunk(data[:50], extension),
            chunk(data[50:], extension),
            b"0\r\n",
            trailer + b"\r\n",
        ]
        return Reply(pieces, raw=head("transfer-encoding: chunked", *lines, kind=kind))

    return make


ODD: dict[str, Make] = {
    "HTTP/1.0": closed(status="HTTP/1.0 200 OK"),
    "no length": closed(),
    "no reason": closed(status="HTTP/1.1 200 "),
    "299": closed(status="HTTP/1.1 299 Fine"),
    "odd names": lambda data, kind: Reply(
        chunk(data) + chunk(b""),
        raw=head(f"CoNtEnT-tYpE: {kind}", "TRANSFER-encoding: Chunked"),
    ),
    "no content type": closed("content-type:"),
    "another content type": closed("content-type: application/octet-stream"),
    "letters in a header": closed("x-request-id: \xe4\xf6\xfc"),
    "1xx before": closed(
        before=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    ),
    "trailers": chunks(trailer=b"x-checksum: 1\r\ncontent-type: text/html\r\n"),
    "chunk extensions": chunks(extension=';name="value"'),
    "gzip": with_body(lambda data: packed(deflated(data), "gzip")),
    "gzip byte by byte": with_body(
        lambda data: packed(deflated(data), "GZip", split=1)
    ),
    "x-gzip": with_body(lambda data: packed(deflated(data), "x-gzip")),
    "gzip twice": with_body(
        lambda data: packed(deflated(deflated(data)), "gzip, gzip")
    ),
    "gzip twice in two headers": with_body(
        lambda data: packed(deflated(deflated(data)), "gzip", "gzip")
    ),
    "deflate in gzip": with_body(
        lambda data: packed(deflated(deflated(data, 15)), "deflate, gzip")
    ),
    "deflate": with_body(lambda data: packed(deflated(data, 15), "deflate")),
    "bare deflate": with_body(lambda data: packed(deflated(data, -15), "deflate")),
    "identity": with_body(lambda data: packed(data, "identity")),
}


def refused_by_the_sdk(wire: Wire, streaming: bool, case: str) -> bool:
    """Whether the SDK itself takes the answer for none: it is then an error of ours that says so."""
    return ("content type" in case and not streaming) or (
        case == "299" and wire.provider in ("gemini", "mistral")
    )


@both_ways
@pytest.mark.parametrize("case", ODD)
async def test_an_odd_answer_is_read(
    shared: Hostile, wire: Wire, streaming: bool, case: str
) -> None:
    """What HTTP allows, however rare, gives the right text, or an error where an SDK does not take it."""
    reply = ODD[case](body(wire, streaming), wire.mime if streaming else JSON)
    outcome = await shared.attempt(wire, reply, streaming=streaming)
    if refused_by_the_sdk(wire, streaming, case) and outcome.error is not None:
        assert type(outcome.error) is ServerError
    else:
        assert (outcome.error, outcome.text) == (None, TEXT)
    assert await shared.goes_on(wire)


LINES: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "CR": lambda data: data.replace(b"\n", b"\r"),
    "a mark before": lambda data: b"\xef\xbb\xbf" + data,
}


@pytest.mark.parametrize("split", [None, 1, 7])
@pytest.mark.parametrize("case", LINES)
async def test_lines_may_end_in_any_way(
    shared: Hostile, wire: Wire, case: str, split: int | None
) -> None:
    """CR LF, CR and a byte order mark before the first event lose nothing, wherever the network cuts."""
    events = wire.send.text(*WORDS)
    data = b"".join(
        events[wire.format is chat_completions :]
    )  # so that there is something to lose in the first event
    data = LINES[case](data.replace(b"\r\n", b"\n"))
    outcome = await shared.attempt(
        wire, Reply(data, split=split, content_type=wire.mime)
    )
    assert (outcome.error, outcome.text, outcome.tokens.get("input_tokens")) == (
        None,
        TEXT,
        11,
    )


# What no event stream of today has

NEW: dict[Any, bytes] = {
    openai_responses: event(
        {"type": "response.new.delta", "delta": "x", "text": "x"},
        name="response.new.delta",
    ),
    chat_completions: event(
        {"object": "chat.completion.new", "delta": {"content": "x"}}
    ),
    anthropic_messages: event(
        {"type": "content_block_new", "index": 0, "delta": {"text": "x"}},
        "content_block_new",
    ),
    gemini_generate: event({"newThing": {"text": "x"}}),
    ollama_chat: encode(
        {"model": "m", "message": {"role": "assistant"}, "new": "x", "done": False}
    )
    + b"\n",
}
IN_A_STREAM = {
    "a comment": b": x\n\n",
    "a new field": b"x-new: x\nnew\n\n",
    "an id": b"id: 7\n\n",
    "an id and a comment": b"id: 7\n: x\n\n",
    "a time": b"retry: 10\n\n",
    "a name": b"event: new\n\n",
    "no data": b"data:\n\n",
    "blank lines": b"\n\n\n",
}
EVENTS = ("an id", "an id and a comment", "a time", "a name", "no data")


def between(wire: Wire, more: bytes) -> Reply:
    """A right answer with this before and after each of its events."""
    return Reply(
        more + b"".join(one + more for one in wire.send.text(*WORDS)),
        content_type=wire.mime,
    )


async def test_a_new_kind_of_event_is_skipped(shared: Hostile, wire: Wire) -> None:
    """An event of a type that nobody knows yet says nothing."""
    outcome = await shared.attempt(wire, between(wire, NEW[wire.format]))
    assert (outcome.error, outcome.text, outcome.tokens.get("input_tokens")) == (
        None,
        TEXT,
        11,
    )


@pytest.mark.parametrize("case", IN_A_STREAM)
async def test_an_event_without_data_is_skipped(
    shared: Hostile, wire: Wire, case: str
) -> None:
    """Comments, unknown fields and events without data are skipped, or an error where an SDK cannot read them."""
    if wire.bare:
        pytest.skip("lines of JSON have no such")
    outcome = await shared.attempt(wire, between(wire, IN_A_STREAM[case]))
    # The standard drops an event without data; most SDKs take it for JSON. Gemini's knows no line but data.
    refused = wire.provider == "gemini" or (
        case in EVENTS and wire.provider != "anthropic"
    )
    if refused and outcome.error is not None:
        assert isinstance(outcome.error, ServerError | StreamInterrupted)
        assert TEXT.startswith(outcome.text)
    else:
        assert (outcome.error, outcome.text, outcome.tokens.get("input_tokens")) == (
            None,
            TEXT,
            11,
        )


def grown(value: Any) -> Any:
    """The JSON value with a field more in each of its objects."""
    if isinstance(value, list):
        return [grown(inner) for inner in value]
    if isinstance(value, dict):
        return {name: grown(inner) for name, inner in value.items()} | {
            "x_new": {"y": [None, "x"]},
            "Ä": "x",
        }
    return value


@both_ways
async def test_a_new_field_is_skipped(
    shared: Hostile, wire: Wire, streaming: bool
) -> None:
    """An answer each of whose objects has fields that nobody knows yet is read all the same."""
    lines = body(wire, streaming).splitlines(keepends=True)
    for place, line in enumerate(lines):
        name, brace, data = line.partition(b"{")
        if brace:
            lines[place] = name + encode(grown(json.loads(brace + data))) + b"\n"
    reply = Reply(b"".join(lines), content_type=wire.mime if streaming else JSON)
    outcome = await shared.attempt(wire, reply, streaming=streaming)
    assert (outcome.error, outcome.text) == (None, TEXT)


# Letters that are none

HALF, OTHER = "\\ud83d", "\\ude00"  # as JSON has them
LETTERS = {
    "NUL": (("a\\u0000b", "\\u0000"), "a\0b\0"),
    "controls": (
        ("\\u001b[31m", "\\u0085\\u2028", "\\u001e"),
        "\x1b[31m\x85\u2028\x1e",
    ),
    "a pair": ((HALF + OTHER,), "\U0001f600"),
    "a pair in two": (("a" + HALF, OTHER + "b"), "a\U0001f600b"),
    "half": (("a" + HALF, "b", OTHER + "c", HALF), "a\ufffdb\ufffdc"),
    "the wrong way": ((OTHER + HALF, "a"), "\ufffd\ufffda"),
}


@pytest.mark.parametrize("part", ["text", "reasoning"])
@pytest.mark.parametrize("case", LETTERS)
async def test_every_letter_can_be_sent_on(
    shared: Hostile, wire: Wire, case: str, part: str
) -> None:
    """NUL and controls arrive as they are; a half finds its other, becomes U+FFFD, or is dropped at the very end."""
    pieces, expected = LETTERS[case]
    marks = [f"<{place}>" for place in range(len(pieces))]
    events = (
        wire.send.text(*marks)
        if part == "text"
        else wire.send.reasoning("".join(marks), "!", pieces=len(marks))
    )
    data = b"".join(events)
    for mark, piece in zip(marks, pieces, strict=True):
        data = data.replace(mark.encode(), piece.encode())
    outcome = await shared.attempt(wire, Reply(data, content_type=wire.mime))
    assert outcome.error is None
    assert getattr(outcome, part) == expected
    expected.encode()


@both_ways
async def test_bytes_that_are_no_letters(
    shared: Hostile, wire: Wire, streaming: bool
) -> None:
    """Bytes that are no UTF-8 are an error, or U+FFFD in their place."""
    data = body(wire, streaming).replace("日本".encode(), b"\xff\xfe\xc3(")
    outcome = await shared.attempt(
        wire,
        Reply(data, content_type=wire.mime if streaming else JSON),
        streaming=streaming,
    )
    assert isinstance(outcome.error, ServerError) or (
        outcome.error is None and "\ufffd" in outcome.text
    )
    outcome.text.encode()


# Broken answers


def broken(
    status: str = "HTTP/1.1 200 OK", *lines: str, more: bytes = b"", end: Any = "close"
) -> Make:
    return lambda data, kind: Reply(
        data + more, raw=head(*lines, status=status, kind=kind), end=end
    )


BROKEN: dict[str, Make] = {
    "no HTTP": lambda data, kind: Reply(
        b"SSH-2.0-OpenSSH_9.6\r\n", raw=b"", end="close"
    ),
    "no head": lambda data, kind: Reply(data, raw=b"", end="close"),
    "600": broken("HTTP/1.1 600 Odd"),
    "999": broken("HTTP/1.1 999 Odd"),
    "099": broken("HTTP/1.1 099 Odd"),
    "20": broken("HTTP/1.1 20 Odd"),
    "101": broken(
        "HTTP/1.1 101 Switching Protocols", "upgrade: websocket", "connection: upgrade"
    ),
    "204": broken("HTTP/1.1 204 No Content", end="clean"),
    "304": broken("HTTP/1.1 304 Not Modified", end="clean"),
    "300": broken("HTTP/1.1 300 Multiple Choices"),
    "only 1xx": lambda data, kind: Reply(
        raw=b"HTTP/1.1 100 Continue\r\n\r\n", end="close"
    ),
    "NUL in a header": broken("HTTP/1.1 200 OK", "x-odd: a\0b"),
    "NUL in a name": broken("HTTP/1.1 200 OK", "x-o\0d: ab"),
    "a name with a blank": broken("HTTP/1.1 200 OK", "x-odd : ab"),
    "two lengths": broken("HTTP/1.1 200 OK", "content-length: 9", "content-length: 8"),
    "a negative length": broken("HTTP/1.1 200 OK", "content-length: -9"),
    "an endless length": broken("HTTP/1.1 200 OK", f"content-length: {'9' * 40}"),
    "an odd encoding": broken("HTTP/1.1 200 OK", "transfer-encoding: gzip, chunked"),
    "a chunk of no size": broken(
        "HTTP/1.1 200 OK", "transfer-encoding: chunked", more=b"xyz\r\n"
    ),
    "a length too long": lambda data, kind: broken(
        "HTTP/1.1 200 OK", f"content-length: {len(data) + 9}"
    )(data, kind),
    "a length too short": lambda data, kind: broken(
        "HTTP/1.1 200 OK", f"content-length: {len(data) // 2}", end="clean"
    )(data, kind),
    "gzip that is none": broken("HTTP/1.1 200 OK", "content-encoding: gzip"),
    "deflate that is none": broken("HTTP/1.1 200 OK", "content-encoding: deflate"),
    "gzip cut off": with_body(lambda data: packed(deflated(data)[:-20], "gzip")),
    "gzip once, said twice": with_body(
        lambda data: packed(deflated(data), "gzip", "gzip")
    ),
    "gzip in members": with_body(  # the HTTP clients read only the first
        lambda data: packed(deflated(data[:99]) + deflated(data[99:]), "gzip")
    ),
    "gzip unsaid": with_body(lambda data: packed(deflated(data))),
    "an unknown coding": with_body(lambda data: packed(deflated(data), "x-new")),
}
# What comes whole before the fault is found: where the answer itself says that it is complete, it is.
WHOLE = ("a length too long", "no HTTP")


@both_ways
@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_answer_is_an_error_of_ours(
    shared: Hostile, wire: Wire, streaming: bool, case: str
) -> None:
    """What is no HTTP, or not what its head says, is an error after at most what was right, and spoils nothing."""
    reply = BROKEN[case](body(wire, streaming), wire.mime if streaming else JSON)
    outcome = await shared.attempt(wire, reply, streaming=streaming)
    assert TEXT.startswith(outcome.text)
    if case == "a length too long" and streaming and outcome.error is None:
        assert outcome.text == TEXT, (
            "an answer that says itself that it is complete is so"
        )
    else:
        assert isinstance(outcome.error, ModelError), outcome.text
        assert outcome.error.partial.content == outcome.text
    assert await shared.goes_on(wire)


STRAY = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"


@both_ways
@pytest.mark.parametrize("pause", [0, 0.1], ids=["at once", "later"])
async def test_a_second_answer_is_not_the_next_ones(
    shared: Hostile, wire: Wire, streaming: bool, pause: float
) -> None:
    """An answer that nobody asked for is never taken for that to the next question."""
    data, kind = body(wire, streaming), wire.mime if streaming else JSON
    wrong = data.replace("日本".encode(), b"WRONG")
    second = STRAY % (kind.encode(), len(wrong), wrong)
    whole = head(f"content-length: {len(data)}", kind=kind) + data
    reply = Reply([whole, second] if pause else whole + second, raw=b"", pause=pause)
    assert (await shared.attempt(wire, reply, streaming=streaming)).text == TEXT
    await asyncio.sleep(2 * pause)
    outcome = await shared.attempt(wire, good(wire, streaming), streaming=streaming)
    assert "WRONG" not in outcome.text
    assert outcome.text == TEXT if outcome.error is None else outcome.error.retryable
    assert await shared.goes_on(wire)


@both_ways
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_that_names_the_base_url(
    shared: Hostile, wire: Wire, streaming: bool, status: int
) -> None:
    """No redirect is followed, and none is asked again; with the base_url that the error gives, the target answers."""
    assert (
        await shared.attempt(wire, good(wire, streaming), streaming=streaming)
    ).text == TEXT
    target = "/moved" + shared.server.requests[0].path
    away = Reply(b"", status, "text/plain", {"location": target})
    error = (await shared.attempt(wire, away, streaming=streaming)).error
    assert (type(error), error.status, error.retryable) == (ServerError, status, False)
    assert len(shared.server.requests) == 1

    shared.server.reply(good(wire, streaming))
    base_url = re.search("base_url='(.+?)'", str(error))[1]

    async def ask_there() -> str:
        model = {"base_url": base_url}
        async with wire.agent(shared.server, model=model, stream=streaming) as agent:
            return (await agent.run("Hi")).content

    assert await ask_there() == TEXT
    assert shared.server.requests[1].path == target


@both_ways
async def test_a_redirect_to_what_no_base_url_leads_to_names_the_target(
    shared: Hostile, wire: Wire, streaming: bool
) -> None:
    """Where the target does not end as the SDK's paths do, the error says only where it is."""
    away = Reply(b"", 302, "text/plain", {"location": "/login?next=%2Fv1"})
    error = (await shared.attempt(wire, away, streaming=streaming)).error
    assert f"{shared.server.url}/login, " in str(error)
    assert "next=" not in str(error) and "base_url=" not in str(error)


@both_ways
async def test_no_compression_is_asked_for(
    shared: Hostile, wire: Wire, streaming: bool
) -> None:
    """A server is asked to send its answer as it is."""
    assert (
        await shared.attempt(wire, good(wire, streaming), streaming=streaming)
    ).text == TEXT
    assert shared.server.requests[0].headers["accept-encoding"] == "identity"


# Too much


ENDLESS: dict[str, Callable[[str], Reply]] = {
    "a status line": lambda kind: flood(b"a" * 9999, raw=b"HTTP/1.1 200 "),
    "a header": lambda kind: flood(b"a" * 9999, raw=b"HTTP/1.1 200 OK\r\nx-long: "),
    "headers": lambda kind: flood(b"x-long: a\r\n" * 999, raw=b"HTTP/1.1 200 OK\r\n"),
    "a chunk's size": lambda kind: flood(
        b"0" * 9999, raw=head("transfer-encoding: chunked", kind=kind)
    ),
    "a chunk's extension": lambda kind: flood(
        b"1;", b"a" * 9999, raw=head("transfer-encoding: chunked", kind=kind)
    ),
    "trailers": lambda kind: flood(
        b"0\r\n", b"x: a\r\n" * 999, raw=head("transfer-encoding: chunked", kind=kind)
    ),
}


@both_ways
@pytest.mark.parametrize("case", ENDLESS)
async def test_a_head_without_end(
    shared: Hostile, wire: Wire, streaming: bool, case: str
) -> None:
    """What belongs to no body is given up before it has filled the memory."""
    outcome = await shared.measured(
        wire, ENDLESS[case](wire.mime if streaming else JSON), streaming=streaming
    )
    assert isinstance(outcome.error, ModelError)
    assert outcome.memory < 16
    assert shared.server.requests[0].sent < 32 * MB


FULL = {"stream": 64 * MB, "plain": 256 * MB}


def zeros(size: int, times: int) -> bytes:
    """So many zeros compressed so many times."""
    packer = zlib.compressobj(1, wbits=31)
    data = b"".join(
        [*(packer.compress(bytes(MB)) for _ in range(size // MB)), packer.flush()]
    )
    return data if times == 1 else deflated(data)


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """A body of a few bytes that hold 300 MB, for each content-encoding."""
    return {"gzip": zeros(300 * MB, 1), "gzip, gzip": zeros(300 * MB, 2)}


@pytest.mark.slow
@each_sdk
@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
async def test_a_bomb_is_not_unpacked(
    shared: Hostile, wire: Wire, bombs: dict[str, bytes], coding: str
) -> None:
    """An event of 300 MB in a few bytes is given up when it has reached its limit of 64 MB."""
    assert len(bombs[coding]) < 2 * MB
    outcome = await shared.measured(wire, packed(bombs[coding], coding)(b"", wire.mime))
    assert type(outcome.error) is ServerError and "more than 64 MB" in str(
        outcome.error
    )
    assert outcome.memory < 64 * 5
    assert await shared.goes_on(wire)


@pytest.mark.slow
@two_wires
@pytest.mark.parametrize("coding", [None, "gzip, gzip"])
async def test_a_plain_answer_may_be_too_large(
    shared: Hostile, wire: Wire, bombs: dict[str, bytes], coding: str | None
) -> None:
    """A plain answer of 300 MB, whether sent or unpacked, is given up when it has reached its limit of 256 MB."""
    reply = (
        packed(bombs[coding], coding)("", JSON)
        if coding
        else flood(b" " * MB, raw=head(kind=JSON))
    )
    outcome = await shared.measured(wire, reply, streaming=False)
    assert type(outcome.error) is ServerError and "more than 256 MB" in str(
        outcome.error
    )
    assert outcome.memory < 256 * 1.25
    assert shared.server.requests[0].sent < 300 * MB


@two_wires
async def test_an_event_without_end(shared: Hostile, wire: Wire) -> None:
    """A line that never ends is given up when it has reached the limit of 64 MB."""
    start = b'{"x": "' if wire.bare else b'data: {"x": "'
    outcome = await shared.measured(
        wire, flood(start, b"a" * MB, raw=head(kind=wire.mime))
    )
    assert type(outcome.error) is ServerError and "more than 64 MB" in str(
        outcome.error
    )
    assert not outcome.error.retryable
    assert outcome.memory < 64 * 5
    assert shared.server.requests[0].sent < 80 * MB


@each_sdk
async def test_a_large_event_is_read(shared: Hostile, wire: Wire) -> None:
    """Text of 8 MB in one event arrives whole, and takes no more than so many times the work of 1 MB."""

    def large(megabytes: int) -> Reply:
        data = b"".join(wire.send.text("<big>")).replace(
            b"<big>", b"a" * megabytes * MB
        )
        return Reply(data, content_type=wire.mime)

    small, outcome = (
        await shared.measured(wire, large(1)),
        await shared.measured(wire, large(8)),
    )
    assert outcome.error is None and outcome.text == "a" * 8 * MB
    assert outcome.memory < 8 * 16
    assert outcome.cpu < 8 * small.cpu * HEAD_ROOM


@two_wires
@both_ways
@pytest.mark.parametrize("status", [307, 500])
async def test_an_error_page_without_end(
    shared: Hostile, wire: Wire, streaming: bool, status: int
) -> None:
    """Of the page of an error or of a redirect no more is read than can be told, even if it looks like events."""
    raw = head("location: /x", status=f"HTTP/1.1 {status} Odd", kind="text/plain")
    page = flood(b"a" * (MB - 2) + b"\n\n", raw=raw, size=64 * MB)
    outcome = await shared.measured(wire, page, streaming=streaming)
    assert isinstance(outcome.error, ModelError)
    assert outcome.memory < 48
    assert shared.server.requests[0].sent < 32 * MB


async def test_what_follows_gzip_is_not_kept(shared: Hostile, wire: Wire) -> None:
    """Bytes after the end of what was compressed are an error or are dropped, and do not fill the memory."""
    reply = flood(
        member(begun(wire, *SAID)),
        bytes(MB),
        raw=head("content-encoding: gzip"),
        size=32 * MB,
    )
    outcome = await shared.measured(wire, reply)
    assert isinstance(outcome.error, ServerError | StreamInterrupted)
    assert outcome.text == "".join(SAID)
    assert outcome.memory < 16


@pytest.mark.slow
@each_sdk
async def test_empty_deltas_leave_nothing(shared: Hostile, wire: Wire) -> None:
    """Many deltas without text neither add up, nor take longer the more there were, nor hide the text that follows."""
    start, one = begun(wire), empty_delta(wire)
    if wire.provider == "gemini":  # whose SDK takes long for each event
        one = one.replace(b"{", b"{" + b" " * 900, 1)
    piece = one * (20_000 // len(one))

    def many(pieces: int) -> Reply:
        return Reply(
            start,
            content_type=wire.mime,
            more=[*[piece] * pieces, body(wire)[len(start) :]],
        )

    small, outcome = (
        await shared.measured(wire, many(12)),
        await shared.measured(wire, many(60)),
    )
    assert (outcome.error, outcome.text) == (None, TEXT)
    assert outcome.memory < 0.9 < 60 * len(piece) / MB, "less than what was sent"
    assert outcome.cpu < 5 * small.cpu * HEAD_ROOM


DEPTHS = (200, 400, 900, 990, 5_000, 100_000)


@both_ways
async def test_arguments_may_be_nested_deeply(
    shared: Hostile, wire: Wire, streaming: bool
) -> None:
    """However deep the arguments of a call are, the tool runs, the model is told, or it is an error of ours."""
    for depth in DEPTHS:
        call = ("c1", "look", '{"query": "<deep>"}')
        data = (
            b"".join(wire.send.tool_calls(call, pieces=1))
            if streaming
            else wire.send.plain_tool_calls(call)
        )
        for mark in (b'"<deep>"', b'\\"<deep>\\"'):
            data = data.replace(mark, b"[" * depth + b"]" * depth)
        first = Reply(data, content_type=wire.mime if streaming else JSON)
        outcome = await shared.attempt(
            wire, first, good(wire, streaming), streaming=streaming
        )
        assert isinstance(outcome.error, ModelError) or outcome.text == TEXT, depth
        shared.server._replies.clear()


class Many(tuple[Any, ...]):
    """Calls whose text is short: the builders make their ids of it, anew for each event."""

    def __repr__(self) -> str:
        return f"{len(self)} calls"


@pytest.mark.parametrize(
    "wire",
    [wire for wire in SDK_WIRES if wire.provider != "groq"],
    ids=lambda wire: wire.name,
)
@pytest.mark.parametrize("interleaved", [True, False], ids=["in turn", "one by one"])
async def test_the_work_grows_with_the_number_of_calls(
    shared: Hostile, wire: Wire, interleaved: bool
) -> None:
    """The time that the calls of a turn take grows with their number, and not with its square."""

    async def asked() -> list[dict[str, Any]]:
        async with (
            asyncio.timeout(LIMIT),
            shared.agents[wire.name].run_stream("Hi") as stream,
        ):
            async for chunk in stream:
                if chunk.finish_reason == "tool_calls":
                    return chunk.metadata["tool_calls"]
        raise AssertionError("no tool was called")

    async def work(number: int) -> float:
        calls = Many((f"c{place}", "look", "{}") for place in range(number))
        events = wire.send._stream(
            Answer(calls=calls, pieces=1, interleaved=interleaved)
        )
        shared.server.reply(Reply(b"".join(events), content_type=wire.mime))
        started = time.process_time()
        found = await asked()
        spent = time.process_time() - started
        assert [call["name"] for call in found] == ["look"] * number
        assert wire.bare or [call["id"] for call in found] == [id for id, _, _ in calls]
        return spent

    await work(10)  # what an SDK builds once
    assert await work(2_000) < 10 * await work(200) * HEAD_ROOM
