"""An answer says what its bytes say: however they are split, and where they end too early.

Wherever a stream is cut is tried in `test_truth_matrix.py`.
"""

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import pytest
import pytest_asyncio
from conftest import Wire, sdk_wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.loopback import Loopback, Reply
from support.scene import Outcome, Shared, outcome_of, shared_agents

from cogent import ModelError, StreamInterrupted, tool

JSON = "application/json"
PROMPT = 30.0  # seconds after which something hangs; a server sees in milliseconds that its client has left
FOREVER = 600.0  # seconds that no test waits for

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
few = settings(
    deadline=None,
    max_examples=6,  # for each of eight wires
    database=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture
    ],  # `wire` is the same value for all examples
)

wire = sdk_wire
ends = st.sampled_from(["clean", "close", "reset"])

RAN: list[str] = []


@tool
def search(query: str = "nothing") -> str:
    """Search."""
    RAN.append(query)
    return f"Found {query}."


# Letters of two, three and four bytes, and one that some line readers take for the end of a line.
TEXT = ("Grüße, ", "日本", "\u2028\n\n", "data: {}", "😀!")
CALLS = (
    ("c1", "search", '{"query": "Grüße"}'),
    ("c2", "search", '{"query": "[DONE]\\n"}'),
)
KINDS = {
    "text": lambda send: send.text(*TEXT, cached=3, reasoning_tokens=2),
    "calls": lambda send: send.tool_calls(*CALLS, text="Let me see.", interleaved=True),
    "reasoning": lambda send: send.reasoning("Hm… 日本.", "Grüße."),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def _events(send: Any, kind: str) -> list[bytes]:
    return KINDS[kind](send)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Shared]:
    async with shared_agents(tools=[search]) as shared:
        yield shared


async def attempt(shared: Shared, wire: Wire, *replies: Reply) -> Outcome:
    """What comes of these replies; the tool notes in `RAN` that it ran."""
    RAN.clear()
    return await shared.play(wire, *replies, catch=ModelError)


# The bytes


def _told(outcome: Outcome) -> list[dict[str, Any]]:
    """The chunks without what differs from run to run."""
    told = [chunk.to_dict() for chunk in outcome.chunks]
    for data in told:
        metadata = data["metadata"] or {}
        for timed in [
            metadata,
            data.get("tool_result", {}),
            *metadata.get("tool_calls", ()),
        ]:
            timed.pop("duration", None)
        metadata.pop("time_to_first_token", None)
    # Tools run side by side and may end in either order.
    return sorted(told, key=lambda data: str(data.get("tool_result", "")))


def _replies(wire: Wire, kind: str, **how: Any) -> list[Reply]:
    first = Reply(_events(wire.send, kind), **how)
    return [first, Reply(wire.send.text("Done."))] if kind == "calls" else [first]


@every_kind
@given(data=st.data())
@few
async def test_where_the_bytes_are_split_makes_no_difference(
    shared: Shared, wire: Wire, kind: str, data: st.DataObject
) -> None:
    """However the network cuts the bytes, inside letters too, the chunks are the same."""
    size = len(b"".join(_events(wire.send, kind)))
    cuts = st.lists(st.integers(1, size - 1), unique=True, max_size=40).map(sorted)
    split = data.draw(st.sampled_from([1, 2, 3, 7]) | cuts, label="split")
    expected = await attempt(shared, wire, *_replies(wire, kind))
    outcome = await attempt(shared, wire, *_replies(wire, kind, split=split))
    assert outcome.error is None
    assert outcome.chunks[-1].is_final
    assert _told(outcome) == _told(expected)


async def test_the_chunks_are_what_was_sent(shared: Shared, wire: Wire) -> None:
    """Each delta of the wire is one chunk with exactly its text, and the calls hold exactly their arguments."""
    outcome = await attempt(shared, wire, *_replies(wire, "text"))
    assert tuple(chunk.content for chunk in outcome.chunks[:-1]) == TEXT
    assert outcome.chunks[-1].metadata["tokens"]["total_tokens"] == 18
    outcome = await attempt(shared, wire, *_replies(wire, "calls"))
    assert sorted(RAN) == ["Grüße", "[DONE]\n"]
    assert outcome.text == "Let me see.Done."
    outcome = await attempt(shared, wire, *_replies(wire, "reasoning"))
    assert "".join(chunk.reasoning for chunk in outcome.chunks) == "Hm… 日本."


@every_kind
@given(data=st.data(), end=ends)
@few
async def test_a_plain_answer_that_is_cut_is_never_whole(
    shared: Shared, wire: Wire, kind: str, data: st.DataObject, end: Any
) -> None:
    """A plain answer that breaks off is an error, and no tool runs."""
    bodies = {
        "text": wire.send.plain_text("Hi."),
        "calls": wire.send.plain_tool_calls(*CALLS),
    }
    body = bodies.get(kind) or wire.send.plain_reasoning("Hm.", "Hi.")
    reply = Reply(
        body,
        content_type=JSON,
        truncate=data.draw(st.integers(0, len(body) - 1), label="cut"),
        end=end,
    )
    RAN.clear()
    shared.server.reply(reply)
    with pytest.raises(ModelError):
        await shared.agents[wire.name].run("Hi")
    assert RAN == []


@both_ways
@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_no_tool_runs_from_a_turn_that_was_limited(
    server: Loopback, wire: Wire, streaming: bool, finish: Any
) -> None:
    """Complete calls in a turn that was cut or filtered are listed as not executed, and the run ends there."""
    options = {"text": "Let me see.", "finish": finish}
    make = wire.send.tool_calls if streaming else wire.send.plain_tool_calls
    server.reply(
        Reply(
            make(*CALLS, **options),
            content_type="text/event-stream" if streaming else JSON,
        )
    )
    RAN.clear()
    response = await wire.agent(server, stream=streaming, tools=[search]).run("Hi")
    assert (response.finish_reason, response.content) == (finish, "Let me see.")
    listed = response.metadata["tool_calls"]
    assert [(call["name"], call["executed"]) for call in listed] == [
        ("search", False)
    ] * 2
    assert wire.bare or [call["id"] for call in listed] == ["c1", "c2"]
    assert "result" not in listed[0]
    assert (RAN, len(server.requests)) == ([], 1)
    assert not any(message.tool_calls for message in response.messages), (
        "a call without a result invalidates a history"
    )


async def test_strict_end_off_accepts_a_stream_without_an_end(
    server: Loopback, wire: Wire
) -> None:
    """A server that never says that its answer is complete can be used, with estimated tokens."""
    events = _events(wire.send, "text")
    size = _after(events, "😀!")
    server.reply(Reply(events, truncate=size))
    outcome = await outcome_of(
        wire.agent(server, model={"strict_end": False}), catch=ModelError
    )
    assert outcome.error is None
    last = outcome.chunks[-1]
    assert (outcome.text, last.finish_reason, last.is_final) == (
        "".join(TEXT),
        "stop",
        True,
    )
    assert last.metadata["raw_finish_reason"] is None
    assert last.metadata["tokens"]["estimated"]


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_strict_end_off_accepts_no_broken_connection(
    server: Loopback, wire: Wire, end: Any
) -> None:
    """A connection that breaks is an error all the same."""
    events = _events(wire.send, "text")
    server.reply(Reply(events, truncate=_after(events, "😀!"), end=end))
    outcome = await outcome_of(
        wire.agent(server, model={"strict_end": False}), catch=ModelError
    )
    assert isinstance(outcome.error, StreamInterrupted)
    assert outcome.error.partial.content == "".join(TEXT)


def _after(events: list[bytes], mark: str) -> int:
    """Where the first event that holds the mark ends."""
    place = next(place for place, event in enumerate(events) if mark.encode() in event)
    return len(b"".join(events[: place + 1]))
