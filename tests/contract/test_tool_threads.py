"""The threads of a turn's sync tools: enough for tools that wait, few for tools that compute, none that is held up."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from support.loopback import Loopback, Reply
from support.scene import read
from support.tool_runs import CHAT, LONG, SHORT, ask, results, run

from cogent import tool

MORE_THAN_THREADS = 140  # calls, of which not all can have a thread at the same time
HELD = 1.5  # seconds for which the threads are all taken
LIMIT = 1.0  # less than that, and more than any tool here takes


def calls(name: str, number: int) -> list[tuple[str, str, str]]:
    return [(f"{name}{place}", name, "{}") for place in range(number)]


@dataclass
class Busy:
    """A tool that takes a thread until it is released."""

    released: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> str:
        self.released.wait(LONG)
        return "held"


@pytest.fixture
def busy() -> Iterator[Busy]:
    work = Busy()
    yield work
    work.released.set()


async def test_tools_that_compute_do_not_all_run_at_once(server: Loopback) -> None:
    """Of twenty tools that compute, a few at a time have a thread: each more would hold up the event loop longer."""
    ask(server, *calls("compute", 20))
    running: set[int] = set()
    most: list[int] = []

    def compute() -> int:
        running.add(threading.get_ident())
        most.append(len(running))
        end = time.thread_time() + SHORT
        while time.thread_time() < end:
            pass
        running.discard(threading.get_ident())
        return 1

    chunks, _ = await run(server, compute)
    assert [result.content for result in results(chunks)] == ["1"] * 20
    assert max(most) <= 10


async def test_a_time_out_begins_when_the_tool_does(
    server: Loopback, busy: Busy
) -> None:
    """A call that waits for a thread longer than its time-out is not late, and its duration is its own."""
    ask(
        server,
        ("r", "release", "{}"),
        *calls("hold", MORE_THAN_THREADS),
        *calls("quick", 3),
    )
    began: list[float] = []

    @tool(timeout=LIMIT)
    def quick() -> str:
        began.append(time.monotonic())
        return "quick"

    async def release() -> float:
        await asyncio.sleep(HELD)
        busy.released.set()
        return time.monotonic()

    chunks, _ = await run(server, busy.hold, quick, release)
    found = {result.id: result for result in results(chunks)}
    assert min(began) > float(found["r"].content) - SHORT
    for place in range(3):
        result = found[f"quick{place}"]
        assert (
            result.content == "quick"
            and not result.is_error
            and result.duration < LIMIT
        )


async def test_tools_that_hang_give_their_places_to_others(
    server: Loopback, busy: Busy
) -> None:
    """A call that was given up does not count: more hanging tools than there are threads all reach their time-out."""
    ask(server, *calls("hold", MORE_THAN_THREADS), *calls("quick", 1))

    def quick() -> str:
        return "quick"

    chunks, _ = await run(server, tool(timeout=SHORT)(busy.hold), quick)
    *late, last = sorted(result.content for result in results(chunks))
    assert len(late) == MORE_THAN_THREADS and last == "quick"
    assert set(late) == {f"The tool 'hold' did not end within {SHORT} seconds."}


async def test_a_call_that_waits_for_a_thread_does_not_run_after_a_stop(
    server: Loopback, busy: Busy
) -> None:
    """A run that is left while calls wait for a thread never begins them."""
    server.reply(
        Reply(
            CHAT.send.tool_calls(
                ("now", "now", "{}"),
                *calls("hold", MORE_THAN_THREADS),
                ("l", "late", "{}"),
            )
        )
    )
    acted: list[str] = []

    async def now() -> str:
        await asyncio.sleep(SHORT)
        return "now"

    def late() -> None:
        acted.append("late")

    async with (
        CHAT.agent(server, tools=[now, busy.hold, late]) as agent,
        agent.run_stream("Go") as stream,
    ):
        async for chunk in stream:
            if chunk.tool_result is not None:
                break
    busy.released.set()
    await asyncio.sleep(5 * SHORT)
    assert acted == []


async def test_agents_inside_tools_have_threads_of_their_own(server: Loopback) -> None:
    """Tools that run an agent with a sync tool do not wait for each other's threads, however many they are."""
    outer = 8

    def leaf() -> str:
        return "leaf"

    barrier = threading.Barrier(outer)

    def nest() -> str:
        barrier.wait(LONG)
        with Loopback() as inner:
            ask(inner, ("c", "leaf", "{}"))
            chunks, response = asyncio.run(read(CHAT.agent(inner, tools=[leaf])))
        return f"{results(chunks)[0].content}, {response.content}"

    ask(server, *calls("nest", outer))
    chunks, _ = await run(server, nest)
    assert [result.content for result in results(chunks)] == ["leaf, Done"] * outer
