"""A stream tells the truth: whole or broken off, in time or too late, stopped or not, and never one for the other."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loopback import Loopback, Recorded, Reply
from support.wire import chat_completions, openai_responses

from cogent import Agent, Model, ModelError, ModelTimeout, StreamChunk, StreamInterrupted, Timeout, tool
from cogent.stream import AgentStream

WIRES: dict[str, Any] = {"openai": openai_responses, "openai-chat": chat_completions}
JSON = "application/json"
PROMPT = 5.0  # seconds in which a server must see that its client has left; it takes milliseconds

both_wires = pytest.mark.parametrize("provider", WIRES)
both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
few = settings(deadline=None, max_examples=25, database=None, derandomize=True)
ends = st.sampled_from(["clean", "close", "reset"])

RAN: list[str] = []


@tool
def search(query: str = "nothing") -> str:
    """Search."""
    RAN.append(query)
    return f"Found {query}."


# Letters of two, three and four bytes, and one that some line readers take for the end of a line.
TEXT = ("Grüße, ", "日本", "\u2028\n\n", "data: {}", "😀!")
CALLS = (("c1", "search", '{"query": "Grüße"}'), ("c2", "search", '{"query": "[DONE]\\n"}'))
KINDS = {
    "text": lambda wire: wire.text(*TEXT, cached=3, reasoning_tokens=2),
    "calls": lambda wire: wire.tool_calls(*CALLS, text="Let me see.", interleaved=True),
    "reasoning": lambda wire: wire.reasoning("Hm… 日本.", "Grüße."),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def _events(provider: str, kind: str) -> list[bytes]:
    return KINDS[kind](WIRES[provider])


def _agent(server: Loopback, provider: str, **options: Any) -> Agent:
    strict = options.pop("strict_end", True)
    url = server.url + "/v1"
    model = Model(f"{provider}:gpt-test", base_url=url, api_key="sk-test", max_retries=0, strict_end=strict)
    return Agent("a", model, tools=options.pop("tools", [search]), **options)


@dataclass
class Outcome:
    """What a run gave: its chunks, its error if there was one, and its stream."""

    stream: AgentStream
    chunks: list[StreamChunk] = field(default_factory=list)
    error: Any = None

    @property
    def text(self) -> str:
        return "".join(chunk.content for chunk in self.chunks)

    @property
    def kinds(self) -> set[str | None]:
        return {chunk.finish_reason for chunk in self.chunks}


async def _attempt(agent: Agent) -> Outcome:
    outcome = Outcome(agent.run_stream("Hi"))
    try:
        async for chunk in outcome.stream:
            outcome.chunks.append(chunk)
    except ModelError as error:
        outcome.error = error
    return outcome


@dataclass
class Bed:
    """A server, a loop and agents that many examples share, because making a client takes long."""

    server: Loopback
    runner: asyncio.Runner
    agents: dict[str, Agent]

    def attempt(self, provider: str, *replies: Reply) -> Outcome:
        RAN.clear()
        self.server.requests.clear()
        self.server.reply(*replies)
        return self.runner.run(_attempt(self.agents[provider]))


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with Loopback() as loopback, asyncio.Runner() as runner:
        agents = {provider: _agent(loopback, provider) for provider in WIRES}
        yield Bed(loopback, runner, agents)
        for agent in agents.values():
            runner.run(agent.aclose())


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


# The bytes


def _told(outcome: Outcome) -> list[dict[str, Any]]:
    """The chunks without what differs from run to run."""
    told = [chunk.to_dict() for chunk in outcome.chunks]
    for data in told:
        metadata = data["metadata"] or {}
        for timed in [metadata, data.get("tool_result", {}), *metadata.get("tool_calls", ())]:
            timed.pop("duration", None)
        metadata.pop("time_to_first_token", None)
    # Tools run side by side and may end in either order.
    return sorted(told, key=lambda data: str(data.get("tool_result", "")))


def _replies(provider: str, kind: str, **how: Any) -> list[Reply]:
    first = Reply(_events(provider, kind), **how)
    return [first, Reply(WIRES[provider].text("Done."))] if kind == "calls" else [first]


@both_wires
@every_kind
@given(data=st.data())
@few
def test_where_the_bytes_are_split_makes_no_difference(bed: Bed, provider: str, kind: str, data: st.DataObject) -> None:
    """However the network cuts the bytes, inside letters too, the chunks are the same."""
    size = len(b"".join(_events(provider, kind)))
    cuts = st.lists(st.integers(1, size - 1), unique=True, max_size=40).map(sorted)
    split = data.draw(st.sampled_from([1, 2, 3, 7]) | cuts, label="split")
    expected = bed.attempt(provider, *_replies(provider, kind))
    outcome = bed.attempt(provider, *_replies(provider, kind, split=split))
    assert outcome.error is None
    assert outcome.chunks[-1].is_final
    assert _told(outcome) == _told(expected)


@both_wires
def test_the_chunks_are_what_was_sent(bed: Bed, provider: str) -> None:
    """Each delta of the wire is one chunk with exactly its text, and the calls hold exactly their arguments."""
    outcome = bed.attempt(provider, *_replies(provider, "text"))
    assert tuple(chunk.content for chunk in outcome.chunks[:-1]) == TEXT
    assert outcome.chunks[-1].metadata["tokens"]["total_tokens"] == 18
    outcome = bed.attempt(provider, *_replies(provider, "calls"))
    assert sorted(RAN) == ["Grüße", "[DONE]\n"]
    assert outcome.text == "Let me see.Done."
    outcome = bed.attempt(provider, *_replies(provider, "reasoning"))
    assert "".join(chunk.reasoning for chunk in outcome.chunks) == "Hm… 日本."


def _complete_by_rule(provider: str, kind: str, size: int) -> bool:
    """Whether a chat stream of this size counts as whole: it ends between events after its finish, or after [DONE]."""
    if provider != "openai-chat":
        return False
    events, body = _events(provider, kind), b"".join(_events(provider, kind))
    finish = next(place for place, event in enumerate(events) if b'"finish_reason":null' not in event)
    boundaries = [len(b"".join(events[: place + 1])) for place in range(finish, len(events))]
    return size in boundaries or size >= len(body) - len(b"\n\n")


def _cuts(provider: str, kind: str) -> st.SearchStrategy[int]:
    """Sizes to cut a stream to, often close to the end of an event."""
    events = _events(provider, kind)
    size = len(b"".join(events))
    near = {len(b"".join(events[:place])) + off for place in range(len(events) + 1) for off in (-2, -1, 0, 1)}
    cuts = st.sampled_from(sorted(cut for cut in near if 0 <= cut < size)) | st.integers(0, size - 1)
    return cuts.filter(lambda cut: not _complete_by_rule(provider, kind, cut))


@both_wires
@every_kind
@given(data=st.data(), end=ends)
@few
def test_a_stream_that_is_cut_is_never_whole(bed: Bed, provider: str, kind: str, data: st.DataObject, end: Any) -> None:
    """A stream that breaks off anywhere gives no final chunk, runs no tool and raises with the text so far."""
    cut = data.draw(_cuts(provider, kind), label="cut")
    outcome = bed.attempt(provider, Reply(_events(provider, kind), truncate=cut, end=end))
    assert isinstance(outcome.error, ModelError)
    assert outcome.error.partial.content == outcome.stream.response.content == outcome.text
    assert outcome.error.partial.finish_reason is None
    assert (outcome.kinds - {None}, RAN, len(bed.server.requests)) == (set(), [], 1)
    assert not any(chunk.is_final for chunk in outcome.chunks)


@every_kind
@given(data=st.data())
@few
def test_a_chat_stream_may_lack_what_follows_its_finish_reason(bed: Bed, kind: str, data: st.DataObject) -> None:
    """A chat stream that ends between two events after its finish reason is whole, usage and [DONE] or not."""
    size = len(b"".join(_events("openai-chat", kind)))
    whole = [cut for cut in range(size) if _complete_by_rule("openai-chat", kind, cut)]
    assert len(whole) >= 3
    cut = data.draw(st.sampled_from(whole), label="cut")
    outcome = bed.attempt("openai-chat", *_replies("openai-chat", kind, truncate=cut))
    assert outcome.error is None
    assert outcome.chunks[-1].is_final and outcome.chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_chat_stream_that_is_lost_after_its_finish_reason(bed: Bed, end: Any) -> None:
    """Where the connection itself says that bytes are missing, the finish reason alone does not make a stream whole."""
    events = _events("openai-chat", "calls")
    size = len(b"".join(events[:-2]))  # without usage and [DONE]
    outcome = bed.attempt("openai-chat", Reply(events, truncate=size, end=end))
    assert isinstance(outcome.error, StreamInterrupted)
    assert RAN == []


@both_wires
@every_kind
@given(data=st.data(), end=ends)
@few
def test_a_plain_answer_that_is_cut_is_never_whole(
    bed: Bed, provider: str, kind: str, data: st.DataObject, end: Any
) -> None:
    """A plain answer that breaks off is an error, and no tool runs."""
    wire = WIRES[provider]
    bodies = {"text": wire.plain_text("Hi."), "calls": wire.plain_tool_calls(*CALLS)}
    body = bodies.get(kind) or wire.plain_reasoning("Hm.", "Hi.")
    reply = Reply(body, content_type=JSON, truncate=data.draw(st.integers(0, len(body) - 1), label="cut"), end=end)
    RAN.clear()
    bed.server.reply(reply)
    with pytest.raises(ModelError):
        bed.runner.run(bed.agents[provider].run("Hi"))
    assert RAN == []


@both_wires
@both_ways
@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_no_tool_runs_from_a_turn_that_was_limited(
    server: Loopback, provider: str, streaming: bool, finish: Any
) -> None:
    """Complete calls in a turn that was cut or filtered are listed as not executed, and the run ends there."""
    wire, options = WIRES[provider], {"text": "Let me see.", "finish": finish}
    body = wire.tool_calls(*CALLS, **options) if streaming else wire.plain_tool_calls(*CALLS, **options)
    server.reply(Reply(body, content_type="text/event-stream" if streaming else JSON))
    RAN.clear()
    response = asyncio.run(_agent(server, provider, stream=streaming).run("Hi"))
    assert (response.finish_reason, response.content) == (finish, "Let me see.")
    listed = response.metadata["tool_calls"]
    assert [(call["id"], call["executed"]) for call in listed] == [("c1", False), ("c2", False)]
    assert "result" not in listed[0]
    assert (RAN, len(server.requests)) == ([], 1)
    assert not any(message.tool_calls for message in response.messages), "a call without a result invalidates a history"


@both_wires
def test_strict_end_off_accepts_a_stream_without_an_end(server: Loopback, provider: str) -> None:
    """A server that never says that its answer is complete can be used, with estimated tokens."""
    events = _events(provider, "text")
    size = _after(events, "😀!")
    server.reply(Reply(events, truncate=size))
    outcome = asyncio.run(_attempt(_agent(server, provider, strict_end=False)))
    assert outcome.error is None
    last = outcome.chunks[-1]
    assert (outcome.text, last.finish_reason, last.is_final) == ("".join(TEXT), "stop", True)
    assert last.metadata["raw_finish_reason"] is None
    assert last.metadata["tokens"]["estimated"]


@both_wires
@pytest.mark.parametrize("end", ["close", "reset"])
def test_strict_end_off_accepts_no_broken_connection(server: Loopback, provider: str, end: Any) -> None:
    """A connection that breaks is an error all the same."""
    events = _events(provider, "text")
    server.reply(Reply(events, truncate=_after(events, "😀!"), end=end))
    outcome = asyncio.run(_attempt(_agent(server, provider, strict_end=False)))
    assert isinstance(outcome.error, StreamInterrupted)
    assert outcome.error.partial.content == "".join(TEXT)


def _after(events: list[bytes], mark: str) -> int:
    """Where the first event that holds the mark ends."""
    place = next(place for place, event in enumerate(events) if mark.encode() in event)
    return len(b"".join(events[: place + 1]))


# Time

FOREVER = 60.0  # seconds that no test waits for


def _begun(provider: str, *deltas: str) -> list[bytes]:
    """The events of an answer up to and with these deltas; with none, those before the first."""
    events = WIRES[provider].text(*(deltas or ("x",)))
    mark = (deltas or ("x",))[-1]
    place = next(place for place, event in enumerate(events) if _is_delta(event, mark))
    return events[: place + bool(deltas)]


def _is_delta(event: bytes, text: str) -> bool:
    return f'"delta":"{text}"'.encode() in event or f'"content":"{text}"'.encode() in event


def _delta(provider: str, text: str) -> bytes:
    return next(event for event in WIRES[provider].text(text) if _is_delta(event, text) and b"_text.done" not in event)


def _silent(provider: str, events: list[bytes], how: str) -> Reply:
    """A reply that sends these events and then nothing that counts as content, forever."""
    if how == "stall":
        return Reply([b": opened\n\n", *events], end="stall")
    more = b": ping\n\n" if how == "comments" else _delta(provider, "xyz").replace(b"xyz", b"")
    return Reply([*events, more], forever=True)


every_silence = pytest.mark.parametrize("how", ["stall", "comments", "empty deltas"])


def _late(server: Loopback, provider: str, timeout: Any, reply: Reply) -> Outcome:
    server.reply(reply)
    started = time.monotonic()
    outcome = asyncio.run(_attempt(_agent(server, provider, timeout=timeout)))
    assert time.monotonic() - started < FOREVER / 4
    assert isinstance(outcome.error, ModelTimeout)
    assert server.requests[0].wait_disconnected(PROMPT)
    assert outcome.error.partial.content == outcome.stream.response.content == outcome.text
    assert (outcome.error.provider, outcome.error.model) == (provider, "gpt-test")
    assert outcome.error.partial.finish_reason is None
    return outcome


@both_wires
@every_silence
def test_the_first_content_may_come_too_late(server: Loopback, provider: str, how: str) -> None:
    """Comments and empty deltas are no content: `first` is reached while they keep coming."""
    outcome = _late(server, provider, Timeout(first=0.3), _silent(provider, _begun(provider), how))
    assert (outcome.error.kind, outcome.text) == ("first", "")


@both_wires
@every_silence
def test_the_content_may_stop_coming(server: Loopback, provider: str, how: str) -> None:
    """Comments and empty deltas do not keep a stream alive: `stall` is reached while they keep coming."""
    outcome = _late(server, provider, Timeout(stall=0.3), _silent(provider, _begun(provider, "Hel", "lo"), how))
    assert (outcome.error.kind, outcome.text) == ("stall", "Hello")


@both_wires
@pytest.mark.parametrize("timeout", [Timeout(total=1.5), 1.5], ids=["Timeout", "a number"])
@pytest.mark.parametrize("how", ["stall", "comments", "text"])
def test_the_whole_may_take_too_long(server: Loopback, provider: str, timeout: Any, how: str) -> None:
    """`total` is reached whether the answer stands still or keeps coming, and a plain number means `total`."""
    events = _begun(provider, "Hel", "lo")
    reply = Reply(events, forever=True) if how == "text" else _silent(provider, events, how)
    outcome = _late(server, provider, timeout, reply)
    assert outcome.error.kind == "total"
    assert outcome.text.startswith("Hello")


@both_wires
@pytest.mark.parametrize(
    ("timeout", "kind"), [(Timeout(first=0.3), "first"), (Timeout(total=0.3), "total"), (0.3, "total")], ids=str
)
def test_a_plain_answer_may_take_too_long(server: Loopback, provider: str, timeout: Any, kind: str) -> None:
    """The limits hold for a run without streaming too."""
    server.reply(Reply(delay=FOREVER))
    with pytest.raises(ModelTimeout) as caught:
        asyncio.run(_agent(server, provider, timeout=timeout).run("Hi"))
    assert (caught.value.kind, caught.value.partial.content) == (kind, "")
    assert server.requests[0].wait_disconnected(PROMPT)


@both_wires
def test_the_stall_clock_starts_anew_with_content(server: Loopback, provider: str) -> None:
    """Content that keeps coming in time trips no limit, however long the whole takes."""
    server.reply(Reply(WIRES[provider].text(*"abcdefgh"), pause=0.25))
    timeout = Timeout(first=FOREVER, stall=1.2)
    outcome = asyncio.run(_attempt(_agent(server, provider, timeout=timeout)))
    assert (outcome.error, outcome.text) == (None, "abcdefgh")


@both_wires
def test_a_slow_consumer_is_not_a_stall(server: Loopback, provider: str) -> None:
    """The time that the consumer takes between two chunks counts for no limit but the total."""
    server.reply(Reply(WIRES[provider].text("Hel", "lo", pieces=1)))

    async def consume() -> str:
        text = ""
        async for chunk in _agent(server, provider, timeout=Timeout(first=PROMPT, stall=0.3)).run_stream("Hi"):
            text += chunk.content
            await asyncio.sleep(0.9)
        return text

    assert asyncio.run(consume()) == "Hello"


@both_wires
def test_a_stall_after_a_slow_consumer_is_seen(server: Loopback, provider: str) -> None:
    """After a pause of the consumer's the limit holds again."""
    server.reply(_silent(provider, _begun(provider, "Hel", "lo"), "comments"))

    async def consume() -> None:
        async for _ in _agent(server, provider, timeout=Timeout(stall=0.3)).run_stream("Hi"):
            await asyncio.sleep(0.7)

    with pytest.raises(ModelTimeout) as caught:
        asyncio.run(consume())
    assert (caught.value.kind, caught.value.partial.content) == ("stall", "Hello")


@both_wires
def test_a_slow_tool_is_not_a_stall(server: Loopback, provider: str) -> None:
    """The time that tools take counts neither for the stall nor for the first content of the next turn."""

    @tool
    async def slow() -> str:
        """Take a while."""
        await asyncio.sleep(2.5)
        return "done"

    server.reply(Reply(WIRES[provider].tool_calls(("c1", "slow", "{}"))), Reply(WIRES[provider].text("Hello")))
    timeout = Timeout(first=2.0, stall=2.0)
    outcome = asyncio.run(_attempt(_agent(server, provider, tools=[slow], timeout=timeout)))
    assert (outcome.error, outcome.text) == (None, "Hello")


@both_wires
def test_the_total_covers_tools_and_consumer(server: Loopback, provider: str) -> None:
    """A consumer that is too slow for `total` is told so at its next step."""
    server.reply(Reply(WIRES[provider].text("Hel", "lo")))

    async def consume() -> None:
        async for _ in _agent(server, provider, timeout=1.5).run_stream("Hi"):
            await asyncio.sleep(2)

    with pytest.raises(ModelTimeout) as caught:
        asyncio.run(consume())
    assert (caught.value.kind, caught.value.partial.content) == ("total", "Hel")


# Stopping

Consumer = Callable[[AgentStream, list[str]], Awaitable[None]]


async def _until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, in vain at most as long as everything here may take."""
    deadline = time.monotonic() + PROMPT
    for _ in iter(condition, True):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _left(request: Recorded) -> bool:
    """Whether the server sees in time that the client has left."""
    return await asyncio.to_thread(request.wait_disconnected, PROMPT)


async def _no_task_is_left() -> None:
    await _until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def _break_and_drop(stream: AgentStream, seen: list[str]) -> None:
    async for chunk in stream:
        seen.append(chunk.content)
        break


async def _break_in_a_block(stream: AgentStream, seen: list[str]) -> None:
    async with stream:
        async for chunk in stream:
            seen.append(chunk.content)
            break


async def _raise_in_the_loop(stream: AgentStream, seen: list[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        async for chunk in stream:
            seen.append(chunk.content)
            raise ZeroDivisionError


async def _close_twice(stream: AgentStream, seen: list[str]) -> None:
    async for chunk in stream:
        seen.append(chunk.content)
        await stream.aclose()
        await stream.aclose()


async def _cancel_in_the_loop(stream: AgentStream, seen: list[str]) -> None:
    async for chunk in stream:
        seen.append(chunk.content)
        stream.cancel()


async def _timeout_of_the_caller(stream: AgentStream, seen: list[str]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            async for chunk in stream:
                seen.append(chunk.content)
                if len(seen) == 1:
                    limit.reschedule(asyncio.get_running_loop().time() + 0.3)


async def _stop_from_outside(stream: AgentStream, seen: list[str], stop: Callable[[asyncio.Task[None]], Any]) -> None:
    """Stop while another task consumes, once it has seen something; that task must end by itself."""

    async def consume() -> None:
        async for chunk in stream:
            seen.append(chunk.content)

    task = asyncio.create_task(consume())
    await _until(lambda: bool(seen))
    stopped = stop(task)
    if stopped is not None:
        await stopped
    await asyncio.wait([task], timeout=PROMPT)
    assert task.done()
    if not task.cancelled():
        task.result()


async def _close_from_another_task(stream: AgentStream, seen: list[str]) -> None:
    await _stop_from_outside(stream, seen, lambda task: stream.aclose())


async def _cancel_from_another_task(stream: AgentStream, seen: list[str]) -> None:
    await _stop_from_outside(stream, seen, lambda task: stream.cancel())


async def _cancel_from_another_thread(stream: AgentStream, seen: list[str]) -> None:
    await _stop_from_outside(stream, seen, lambda task: threading.Thread(target=stream.cancel).start())


async def _cancel_the_task(stream: AgentStream, seen: list[str]) -> None:
    tasks = []

    def cancel(task: asyncio.Task[None]) -> None:
        tasks.append(task)
        task.cancel()

    await _stop_from_outside(stream, seen, cancel)
    assert tasks[0].cancelled(), "a cancellation of the caller's own task is never swallowed"


STOPS: dict[str, Consumer] = {
    "break and drop": _break_and_drop,
    "break in a block": _break_in_a_block,
    "an exception in the loop": _raise_in_the_loop,
    "aclose twice": _close_twice,
    "cancel in the loop": _cancel_in_the_loop,
    "a time-out of the caller": _timeout_of_the_caller,
    "aclose from another task": _close_from_another_task,
    "cancel from another task": _cancel_from_another_task,
    "cancel from another thread": _cancel_from_another_thread,
    "cancel of the task": _cancel_the_task,
}


@both_wires
@pytest.mark.parametrize("how", ["text", "stall"])
@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_stopping_closes_the_connection_at_once(server: Loopback, provider: str, stop: Consumer, how: str) -> None:
    """However a run is stopped, the server sees it promptly, no task stays, and the response is what came so far."""
    events = _begun(provider, "Hel", "lo")
    server.reply(Reply(events, forever=True) if how == "text" else Reply(events, pause=0.05, end="stall"))

    async def run() -> None:
        stream, seen = _agent(server, provider).run_stream("Hi"), []
        # The stream itself must be dropped, because leaving a loop closes only what nobody holds.
        run_so_far = stream._run
        consuming = stop(stream, seen)
        del stream
        await consuming
        del consuming
        assert await _left(server.requests[0])
        await _no_task_is_left()
        response = run_so_far.response()
        assert seen[0] == "Hel"
        assert response.content == "".join(seen)
        assert response.finish_reason is None
        assert response.metadata["tokens"]["estimated"]

    asyncio.run(run())
    assert len(server.requests) == 1


@both_wires
@pytest.mark.parametrize("stop", [_close_twice, _break_in_a_block], ids=["aclose", "a block"])
def test_aclose_returns_when_the_connection_is_closed(server: Loopback, provider: str, stop: Consumer) -> None:
    """When `aclose()` or the end of the block returns, the closing is done and not only begun."""
    server.reply(Reply(_begun(provider, "Hel", "lo"), forever=True))

    async def run() -> bool:
        stream = _agent(server, provider).run_stream("Hi")
        await stop(stream, [])
        return server.requests[0].wait_disconnected(PROMPT)  # while this waits, the loop can do nothing more

    assert asyncio.run(run())


@both_wires
def test_a_stream_that_was_stopped_just_ends(server: Loopback, provider: str) -> None:
    """After a cancel the iteration ends without an error or a final chunk, as often as it is asked."""
    server.reply(Reply(_begun(provider, "Hel", "lo"), forever=True))

    async def run() -> list[StreamChunk]:
        stream = _agent(server, provider).run_stream("Hi")
        first = await anext(stream)
        stream.cancel()
        rest = [chunk async for chunk in stream] + [chunk async for chunk in stream]
        await stream.aclose()
        assert stream.response.finish_reason is None
        return [first, *rest]

    chunks = asyncio.run(run())
    assert [chunk.content for chunk in chunks] == ["Hel"]


@both_wires
@pytest.mark.parametrize("from_task", [False, True], ids=["same task", "another task"])
def test_cancel_holds_for_what_has_already_arrived(server: Loopback, provider: str, from_task: bool) -> None:
    """A cancel between two chunks ends the run even when the whole answer has already come in."""
    server.reply(Reply(b"".join(WIRES[provider].text("Hel", "lo", "!"))))

    async def cancel(stream: AgentStream) -> None:
        stream.cancel()

    async def run() -> tuple[list[str], Any]:
        stream, seen = _agent(server, provider).run_stream("Hi"), []
        async for chunk in stream:
            seen.append(chunk.content)
            if from_task:
                await asyncio.create_task(cancel(stream))
            else:
                stream.cancel()
        return seen, stream.response.finish_reason

    assert asyncio.run(run()) == (["Hel"], None)


@both_wires
@pytest.mark.parametrize("stop", ["cancel", "aclose", "aclose in a block"])
def test_stopping_before_the_first_chunk_sends_nothing(server: Loopback, provider: str, stop: str) -> None:
    """A run that is stopped before it began sends no request and is an empty iteration."""

    async def run() -> list[StreamChunk]:
        stream = _agent(server, provider).run_stream("Hi")
        if stop == "cancel":
            stream.cancel()
        elif stop == "aclose":
            await stream.aclose()
        else:
            async with stream:
                pass
        return [chunk async for chunk in stream]

    assert asyncio.run(run()) == []
    assert server.requests == []


@both_wires
@pytest.mark.parametrize("stop", ["cancel", "aclose"])
def test_stopping_while_the_first_chunk_is_awaited(server: Loopback, provider: str, stop: str) -> None:
    """A run that is stopped while the server still thinks ends at once and empty."""
    server.reply(Reply(delay=FOREVER))

    async def run() -> list[StreamChunk]:
        stream = _agent(server, provider).run_stream("Hi")

        async def consume() -> list[StreamChunk]:
            return [chunk async for chunk in stream]

        task = asyncio.create_task(consume())
        await _until(lambda: bool(server.requests))
        if stop == "cancel":
            stream.cancel()
        else:
            await stream.aclose()
        chunks = await asyncio.wait_for(task, PROMPT)
        assert await _left(server.requests[0])
        await _no_task_is_left()
        return chunks

    assert asyncio.run(run()) == []


@both_wires
@pytest.mark.parametrize("order", ["stream first", "task first"])
@pytest.mark.parametrize("stop", ["cancel", "aclose"])
def test_a_cancelled_task_stays_cancelled(server: Loopback, provider: str, stop: str, order: str) -> None:
    """A task that is cancelled in the moment in which its stream is stopped ends as cancelled."""
    server.reply(Reply(_begun(provider, "Hel", "lo"), end="stall"))

    async def run() -> bool:
        stream, seen = _agent(server, provider).run_stream("Hi"), []

        async def consume() -> None:
            async for chunk in stream:
                seen.append(chunk.content)

        task = asyncio.create_task(consume())
        await _until(lambda: len(seen) == 2)
        if order == "task first":
            task.cancel()
        closing = asyncio.create_task(stream.aclose()) if stop == "aclose" else stream.cancel()
        if order == "stream first":
            task.cancel()
        await asyncio.wait([task, *([closing] if closing else [])], timeout=PROMPT)
        assert await _left(server.requests[0])
        await _no_task_is_left()
        return task.cancelled()

    assert asyncio.run(run())


@asynccontextmanager
async def _endless_tool(ended: list[str]) -> AsyncIterator[tuple[Any, asyncio.Event]]:
    started = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait for ever."""
        started.set()
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "never"

    yield wait, started


@both_wires
@pytest.mark.parametrize("stop", ["cancel", "aclose"])
def test_stopping_cancels_tools_that_still_run(server: Loopback, provider: str, stop: str) -> None:
    """A run that is stopped while a tool works cancels the tool, and its call is listed as not executed."""
    server.reply(Reply(WIRES[provider].tool_calls(("c1", "wait", "{}"))))
    ended: list[str] = []

    async def run() -> Any:
        async with _endless_tool(ended) as (wait, started):
            stream = _agent(server, provider, tools=[wait]).run_stream("Hi")
            task = asyncio.create_task(_consume(stream))
            await asyncio.wait_for(started.wait(), PROMPT)
            stopped = stream.cancel() if stop == "cancel" else await stream.aclose()
            assert stopped is None
            await asyncio.wait_for(task, PROMPT)
            await _no_task_is_left()
            return stream.response

    response = asyncio.run(run())
    assert ended == ["cancelled"]
    assert [call["executed"] for call in response.metadata["tool_calls"]] == [False]
    assert [message.role for message in response.messages] == ["user", "assistant", "tool"]
    assert (response.messages[-1].is_error, response.finish_reason) == (True, None)


async def _consume(stream: AgentStream) -> None:
    async for _ in stream:
        pass


@both_wires
def test_stopping_after_the_end_changes_nothing(server: Loopback, provider: str) -> None:
    """A run that has ended keeps its response, whatever is closed or cancelled afterwards."""
    server.reply(Reply(WIRES[provider].text("Hello")))

    async def run() -> AgentStream:
        stream = _agent(server, provider).run_stream("Hi")
        await _consume(stream)
        stream.cancel()
        await stream.aclose()
        await _no_task_is_left()
        return stream

    stream = asyncio.run(run())
    assert (stream.response.content, stream.response.finish_reason) == ("Hello", "stop")
    assert "estimated" not in stream.response.metadata["tokens"]
