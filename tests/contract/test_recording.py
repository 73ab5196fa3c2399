"""Answers of servers, recorded and replayed: bytes, timing, breaks, and what is never in a file."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.own_clients import own_client
from support.scene import JSON, outcome_of, read, refusal, whole

from cogent import (
    Agent,
    ConfigurationError,
    ConnectionFailed,
    Model,
    ModelTimeout,
    RateLimited,
    StreamInterrupted,
    Timeout,
    tool,
)
from cogent.testing import PlaybackError, record, replay

KEY = "sk-a-key-that-nobody-may-see-0123456789"
CHAT = next(wire for wire in WIRES if wire.name == "openai-chat")
ANTHROPIC = next(wire for wire in WIRES if wire.name == "anthropic")
CLIENTS = ["httpx"] + ["aiohttp"] * (os.environ.get("TEST_HTTP") == "aiohttp")
wire = pytest.fixture(lambda sdk_wire: sdk_wire)
both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the recording is."""
    return tmp_path / "answer.jsonl"


@pytest.fixture
def away() -> Iterator[Loopback]:
    """A server that is never asked."""
    with Loopback() as running:
        yield running
        assert running.requests == []


def text_of(path: Path) -> str:
    """What is in a file."""
    return path.read_text("utf-8")


def lines_of(path: Path) -> list[Any]:
    """The lines of a file."""
    return [json.loads(line) for line in text_of(path).splitlines()]


async def recorded(
    path: Path, server: Loopback, wire: Wire, *replies: Reply, **settings: Any
) -> Any:
    """What came of a streamed run that was recorded."""
    server.reply(*replies)
    async with wire.agent(server, **settings) as agent:
        with record(path):
            return await outcome_of(agent)


@both_ways
@pytest.mark.parametrize("http", CLIENTS)
async def test_what_was_recorded_is_replayed(
    wire: Wire, http: str, streaming: bool, path: Path, server: Loopback, away: Loopback
) -> None:
    """On every provider: a run with a tool gives the same again, without a server and without a key."""
    call = ("c1", "add", '{"a": 1, "b": 2}')
    kind = "tool_calls" if streaming else "plain_tool_calls"
    body = getattr(wire.send, kind)(call)
    server.reply(
        Reply(body, content_type=wire.mime if streaming else JSON),
        whole(wire, "It ", "is 3. 🌊", streaming=streaming),
    )
    settings = {"tools": [add], "stream": streaming}
    async with wire.agent(server, model={"http": http}, **settings) as agent:
        with record(path):
            first = await agent.run("Go")
    again = wire.agent(away, model={"http": http, "api_key": None}, **settings)
    with replay(path):
        second = await again.run("Go")
        with pytest.raises(PlaybackError, match="no further answer"):
            await again.run("Go")
    assert second.content == first.content == "It is 3. 🌊"
    assert second.metadata["tokens"] == first.metadata["tokens"]
    assert [call.result.content for call in second.tool_calls] == ["3"]
    assert len(server.requests) == 2


async def test_a_file_is_read_by_people(path: Path, server: Loopback) -> None:
    """Text is text, JSON is JSON, and each piece says when it came."""
    reply = Reply(CHAT.send.text("Hé", "llo"), pause=0.02)
    await recorded(path, server, CHAT, reply)
    first, request, head, *pieces, end = lines_of(path)
    assert first == {"cogent_recording": 1}
    assert request["request"] == 1 and request["method"] == "POST"
    assert request["url"] == f"{server.url}/v1/chat/completions"
    assert request["json"]["messages"] == [{"role": "user", "content": "Go"}]
    assert (head["response"], head["status"]) == (1, 200)
    assert head["headers"] == {"content-type": "text/event-stream"}
    sent = b"".join(reply.pieces()).decode()
    assert "".join(piece["text"] for piece in pieces) == sent
    times = [line["after"] for line in (head, *pieces, end)]
    assert times == sorted(times) and times[-1] - times[0] >= 0.02
    assert end["end"] == "complete" and "Hé" in text_of(path)


async def test_bytes_that_are_no_text_are_kept(path: Path, server: Loopback) -> None:
    """A piece that ends in the middle of a character is played as it came."""
    body = b"".join(CHAT.send.text("wave 🌊 and ", "more"))
    place = body.index("🌊".encode()) + 2
    await recorded(path, server, CHAT, Reply(body, split=[place], pause=0.02))
    assert [line for line in lines_of(path) if "base64" in line]
    with replay(path):
        outcome = await outcome_of(CHAT.agent(server))
    assert outcome.text == "wave 🌊 and more" and len(server.requests) == 1


# Secrets


async def test_no_key_is_in_a_file(wire: Wire, path: Path, server: Loopback) -> None:
    """Not from headers or the address, and not where a server repeats it, even in two pieces; the replay works."""
    text = f"Your key is {KEY}."
    body = b"".join(wire.send.text(text))
    reply = Reply(
        body,
        content_type=wire.mime,
        split=[body.index(KEY.encode()[:8]) + 5],
        pause=0.02,
        headers={
            "x-request-id": f"r-{KEY}",
            "set-cookie": "session=very-secret-session",
            "openai-organization": "org-private",
        },
    )
    server.reply(reply)
    model = {"api_key": KEY, "extra": {"extra_headers": {"x-my-token": "tok-12345678"}}}
    if wire.provider in ("gemini", "ollama", "mistral"):
        model = {"api_key": KEY}
    async with wire.agent(server, model=model) as agent:
        with record(path):
            outcome = await outcome_of(agent)
        assert outcome.text == text
        written = text_of(path)
        for secret in (KEY, KEY[5:], "very-secret", "org-private", "tok-12345678"):
            assert secret not in written
        with replay(path):
            again = await outcome_of(agent)
    assert again.text == "Your key is [key]."
    assert len(server.requests) == 1


async def test_secrets_in_the_request_are_left_out(
    path: Path, server: Loopback
) -> None:
    """The password of an address, keys in its query, and what a request hands on to others."""
    hands_on = [{"type": "mcp", "headers": {"Authorization": "Bearer mcp-secret-1"}}]
    settings = {
        "base_url": server.url.replace("//", "//user:pass-word-1@") + "/v1",
        "http": "httpx",  # aiohttp takes no password beside a header for the key
        "extra": {"extra_query": {"api-key": "query-secret-1"}, "tools": hands_on},
    }
    server.reply(whole(CHAT, "Heard mcp-secret-1, query-secret-1."))
    async with CHAT.agent(server, model=settings) as agent:
        with record(path):
            assert (await outcome_of(agent)).error is None
        written = text_of(path)
        assert "secret-1" not in written and "pass-word-1" not in written
        assert "api-key=[key]" in written
        with replay(path):
            again = await outcome_of(agent)
    assert again.error is None and again.text == "Heard [key], [key]."


async def test_a_key_in_a_compressed_answer_is_found(
    path: Path, server: Loopback
) -> None:
    """A server that compresses what nobody wanted compressed hides no key in a file."""
    import gzip

    body = gzip.compress(b"".join(CHAT.send.text(f"Your key is {KEY}.")))
    reply = Reply(body, headers={"content-encoding": "gzip"})
    await recorded(path, server, CHAT, reply, model={"api_key": KEY})
    assert "Your key is [key]" in text_of(path)
    with replay(path):
        assert (await outcome_of(CHAT.agent(server))).text == "Your key is [key]."


# Failures


async def test_errors_and_retries_are_recorded(path: Path, server: Loopback) -> None:
    """What failed fails again, with its waits as the server asked for."""
    replies = [
        refusal(CHAT, 429, {"retry-after-ms": "10"}),
        refusal(CHAT, 429, {"retry-after-ms": "10"}, message="Slow down."),
    ]
    model = {"max_retries": 1}
    outcome = await recorded(path, server, CHAT, *replies, model=model)
    assert isinstance(outcome.error, RateLimited)
    with replay(path):
        again = await outcome_of(CHAT.agent(server, model=model))
    assert isinstance(again.error, RateLimited) and len(server.requests) == 2
    assert str(again.error) == str(outcome.error)
    assert again.error.retry_after == outcome.error.retry_after


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_break_is_recorded(end: Any, path: Path, server: Loopback) -> None:
    """An answer that was cut is cut again."""
    reply = Reply(CHAT.send.text("Hel", "lo")[:2], end=end)
    outcome = await recorded(path, server, CHAT, reply)
    assert isinstance(outcome.error, StreamInterrupted)
    with replay(path):
        again = await outcome_of(CHAT.agent(server))
    assert isinstance(again.error, StreamInterrupted) and again.text == "Hel"


async def test_a_server_that_is_not_there_is_recorded(path: Path) -> None:
    """A request without an answer has none in the replay."""
    gone = Loopback()
    with gone:
        pass
    agent = CHAT.agent(gone)
    for tape in (record, replay):
        with tape(path):
            assert isinstance((await outcome_of(agent)).error, ConnectionFailed)


async def test_a_stream_that_was_left_is_recorded(path: Path, server: Loopback) -> None:
    """What came until then is in the file, and the replay ends there."""
    server.reply(Reply(CHAT.send.text("Hel", "lo")[:2], end="stall"))
    async with CHAT.agent(server) as agent:
        with record(path):
            async for chunk in agent.run_stream("Go"):
                assert chunk.content == "Hel"
                break
            await asyncio.sleep(0.05)
        assert lines_of(path)[-1]["end"] == "left"
        with replay(path):
            outcome = await outcome_of(agent)
    assert isinstance(outcome.error, StreamInterrupted) and outcome.text == "Hel"


# Time


async def test_cut_at_breaks_the_connection_anywhere(
    wire: Wire, path: Path, server: Loopback, away: Loopback
) -> None:
    """On every provider an answer cut after so many bytes is an error, with the text until then."""
    await recorded(path, server, wire, whole(wire, "One, ", "two, ", "three."))
    size = sum(
        len(line.get("text", "").encode()) for line in lines_of(path) if "text" in line
    )
    agent = wire.agent(away)
    for cut_at in (0, size // 2, size - 3):
        with replay(path, cut_at=cut_at):
            outcome = await outcome_of(agent)
        assert isinstance(outcome.error, StreamInterrupted), cut_at
        assert "One, two, three.".startswith(outcome.text)
    with replay(path):
        assert (await outcome_of(agent)).text == "One, two, three."


@pytest.mark.parametrize("kind", ["first", "stall", "total"])
async def test_stall_at_lets_the_limits_of_time_work(
    kind: str, wire: Wire, path: Path, server: Loopback, away: Loopback
) -> None:
    """The answer goes silent after so many bytes, and the agent's own limit ends the run."""
    body = wire.send.text("One, ", "two.")
    await recorded(path, server, wire, Reply(body, content_type=wire.mime))
    before = next(place for place, event in enumerate(body) if b"two" in event)
    stall_at = 0 if kind == "first" else len(b"".join(body[:before]))
    agent = wire.agent(away, timeout=Timeout(**{kind: 0.2}))
    with replay(path, stall_at=stall_at):
        outcome = await outcome_of(agent)
    assert isinstance(outcome.error, ModelTimeout) and outcome.error.kind == kind


async def test_speed_keeps_the_timing(path: Path, server: Loopback) -> None:
    """With 1 as it was, with 2 twice as fast, with 0 at once."""
    reply = Reply(CHAT.send.text("a", "b"), pause=0.1)
    await recorded(path, server, CHAT, reply)
    lasted = lines_of(path)[-1]["after"]
    took = {}
    for speed in (0, 1, 2.0):
        began = time.perf_counter()
        with replay(path, speed=speed):
            assert (await outcome_of(CHAT.agent(server))).text == "ab"
        took[speed] = time.perf_counter() - began
    assert took[1] >= lasted and took[2.0] >= lasted / 2
    assert took[0] < lasted


async def test_a_stream_can_be_left_in_a_replay(path: Path, server: Loopback) -> None:
    """Leaving the loop, cancelling, and closing work as with a server."""
    await recorded(path, server, CHAT, whole(CHAT, "a", "b"))
    size = sum(len(line.get("text", "").encode()) for line in lines_of(path))
    with replay(path, stall_at=size - 20):
        agent = CHAT.agent(server)
        async for _ in agent.run_stream("Go"):
            break
        closed = agent.run_stream("Go")
        assert (await anext(closed)).content == "a"
        await closed.aclose()
        cancelled = agent.run_stream("Go")
        async for chunk in cancelled:
            if chunk.content == "b":  # the last that comes
                asyncio.get_running_loop().call_soon(cancelled.cancel)
        assert cancelled.response.content == "ab"
    assert len(server.requests) == 1


# What is compared


async def test_a_changed_request_is_shown_as_a_difference(
    wire: Wire, path: Path, server: Loopback, away: Loopback
) -> None:
    """On every provider, streamed or not, and nothing is retried."""
    await recorded(path, server, wire, whole(wire, "Hi"))
    agent = wire.agent(away, instructions="Be brief.", model={"max_retries": 2})
    with replay(path):
        outcome = await outcome_of(agent)
    assert isinstance(outcome.error, PlaybackError)
    text = str(outcome.error)
    assert text.startswith("the request is not the one that was recorded in ")
    assert "--- recorded\n+++ now\n" in text
    changed = [line for line in text.splitlines() if line.startswith("+")]
    assert any("Be brief." in line for line in changed)


async def test_a_replay_asks_for_no_key(path: Path, server: Loopback) -> None:
    """A function that gives the key is called for a server alone; its key is in no file."""
    asked: list[str] = []

    async def key() -> str:
        asked.append(KEY)
        return KEY

    model = {"api_key": key}
    await recorded(path, server, CHAT, whole(CHAT, f"It is {KEY}."), model=model)
    assert KEY not in text_of(path) and len(asked) == 1
    with replay(path):
        outcome = await outcome_of(CHAT.agent(server, model=model))
    assert outcome.text == "It is [key]." and len(asked) == 1


async def test_a_changed_request_asks_no_other_model(
    path: Path, server: Loopback
) -> None:
    """A replay that does not fit is no failure of a model."""
    await recorded(path, server, CHAT, whole(CHAT, "Hi"))
    models = [CHAT.model(server, temperature=0.5), ANTHROPIC.model(server)]
    with replay(path), pytest.raises(PlaybackError, match=r"temperature") as raised:
        await Agent("a", models, stream=True).run("Go")
    assert len(str(raised.value).splitlines()) < 70


async def test_parallel_runs_are_told_apart(path: Path, server: Loopback) -> None:
    """Each request gets its own answer, in whatever order they come; equal ones in theirs."""
    server.reply(*[whole(CHAT, word) for word in ("one", "two", "three", "four")])
    async with CHAT.agent(server) as agent:
        with record(path):
            for message in ("a", "b", "same", "same"):
                await outcome_of(agent, message)
        with replay(path):
            told = await asyncio.gather(
                *[outcome_of(agent, message) for message in ("b", "a", "same")]
            )
            last = await outcome_of(agent, "same")
    assert [one.text for one in told] == ["two", "one", "three"]
    assert last.text == "four"


async def test_a_tape_holds_for_its_task_alone(path: Path, server: Loopback) -> None:
    """A task beside it asks the server, and so does the agent afterwards."""
    await recorded(path, server, CHAT, whole(CHAT, "recorded"))
    begun, ended = asyncio.Event(), asyncio.Event()
    async with CHAT.agent(server) as agent:

        async def test() -> str:
            with replay(path):
                begun.set()
                await ended.wait()
                return (await outcome_of(agent)).text

        task = asyncio.create_task(test())
        await begun.wait()
        server.reply(whole(CHAT, "real"), whole(CHAT, "real"))
        assert (await outcome_of(agent)).text == "real"
        ended.set()
        assert await task == "recorded"
        assert (await outcome_of(agent)).text == "real"


# What cannot be used


GOOD = [
    '{"cogent_recording": 1}',
    '{"request": 1, "method": "POST", "url": "http://h/v1/x", "headers": {}, "json": {}}',
    '{"response": 1, "after": 0.1, "status": 200, "headers": {}}',
    '{"response": 1, "after": 0.1, "text": "abc"}',
    '{"response": 1, "after": 0.1, "end": "complete"}',
]


def good(path: Path) -> None:
    """Write a file that can be used."""
    path.write_text("\n".join(GOOD), "utf-8")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is empty"),
        (["{broken", *GOOD[1:]], "is damaged at line 1: it is no JSON"),
        ([*GOOD[:3], "{broken"], "is damaged at line 4: it is no JSON"),
        (['{"version": 1}'], "is no recording"),
        (["[1]"], "is damaged at line 1"),
        (['{"cogent_recording": 2}', *GOOD[1:]], "has the form 2, and this is read: 1"),
        (GOOD[:1], "has no request in it"),
        ([*GOOD[:2], '{"response": 2, "after": 1, "text": ""}'], "line 3: KeyError: 2"),
        ([*GOOD[:2], '{"response": 1, "text": "x"}'], "line 3: KeyError: 'after'"),
        ([*GOOD[:3], '{"response": 1, "after": 1, "base64": "?"}'], "line 4: "),
        (
            [*GOOD[:2], '{"response": 1, "after": "x", "end": "y"}'],
            "line 3: ValueError",
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    lines: list[str], words: str, path: Path
) -> None:
    """Damaged, of another version, or no recording at all: an error with the line, before anything is asked."""
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(ConfigurationError) as raised:
        replay(path)
    assert words in str(raised.value) and str(path) in str(raised.value)


def test_a_file_that_is_not_there(path: Path, tmp_path: Path) -> None:
    """So does one that is missing, a directory, or bytes; and a folder that is missing where one is to be written."""
    with pytest.raises(ConfigurationError, match="No such file"):
        replay(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        replay(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        replay(path)
    with pytest.raises(ConfigurationError, match="there is no folder"):
        record(tmp_path / "nowhere" / "answer.jsonl")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"speed": -1}, "speed is a number from 0"),
        ({"speed": "fast"}, "speed is a number from 0"),
        ({"cut_at": 4}, "cut_at=4 is behind the end: .* 3 bytes"),
        ({"stall_at": -1}, "stall_at"),
        ({"cut_at": 1.5}, "cut_at"),
        ({"cut_at": 1, "stall_at": 1}, "not both"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: dict[str, Any], words: str, path: Path
) -> None:
    """They are refused where they are written."""
    good(path)
    with pytest.raises(ConfigurationError, match=words):
        replay(path, **arguments)


async def test_a_client_of_the_users_is_refused(path: Path, server: Loopback) -> None:
    """Nothing of it can be seen or answered, and nothing is sent behind a replay's back."""
    good(path)
    async with own_client(CHAT, server.url) as client:
        agent: Agent = Agent("a", Model("openai-chat:gpt-test", client=client))
        with replay(path), pytest.raises(ConfigurationError, match="leave out client"):
            await agent.run("Go")
    assert server.requests == []


def test_a_recording_of_nothing_says_so(path: Path) -> None:
    """An empty file would be of no use; an error inside the block comes first."""
    with pytest.raises(ConfigurationError, match="nothing was recorded"), record(path):
        pass
    with pytest.raises(KeyError), record(path):
        raise KeyError
    assert not path.exists()


async def test_reading_chunks_is_the_same(path: Path, server: Loopback) -> None:
    """The chunks of a replay are those of the recorded run."""
    server.reply(whole(CHAT, "a", "b", "c"))
    with record(path):
        first, _ = await read(CHAT.agent(server))
    with replay(path):
        second, _ = await read(CHAT.agent(server))
    assert [chunk.content for chunk in first] == [chunk.content for chunk in second]


def test_runs_without_asyncio_are_recorded_and_replayed(
    path: Path, server: Loopback
) -> None:
    """The loop in the background sees the tape of whoever asks; several runs at once do too."""
    server.reply(*[whole(CHAT, word) for word in ("one", "two")])
    agent = CHAT.agent(server, stream=True)
    with record(path):
        assert str(agent.run_sync("a")) == "one"
        assert "".join(chunk.content for chunk in agent.stream_sync("b")) == "two"
    with replay(path):
        assert str(agent.run_sync("a")) == "one"
        assert str(agent.run_sync("b")) == "two"
    with replay(path):
        told = dict(agent.run_many_sync(["b", "a"]))
    assert [str(told[place]) for place in (0, 1)] == ["two", "one"]
    assert len(server.requests) == 2
