"""The proofs by counting, in small: `tests/soak` runs them in full."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from conftest import WIRES, Wire, each_sdk
from soak import ends, many, storm
from soak.faulty_server import FAULTS, POINTS, Order, planned, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server for all of these tests, which do not share any order."""
    with started() as address:
        yield address


async def test_streams_that_are_left_leave_nothing(url: str) -> None:
    """A hundred streams left at any point in any way leave no socket, task, thread or memory, here or at the server."""
    report = await storm.storm(url, 100, warm_up=100)
    assert report.problems == []
    assert report.after.held == report.before.held and report.left_at_server == 0
    assert {point for point, _ in report.stopped} == set(POINTS)
    assert {way for _, way in report.stopped} == {*storm.INSIDE, *storm.OUTSIDE}


async def test_a_storm_sees_what_is_left() -> None:
    """An open socket, a task that waits and objects that are kept are each counted."""
    before = storm.Figures.now()
    kept = [[] for _ in range(2 * storm.NOISE)]
    task = asyncio.create_task(asyncio.sleep(60))
    with socket.socket():
        grown = storm.Figures.now().grown(before, len(WIRES))
    task.cancel()
    del kept

    assert [problem.split()[-1] for problem in grown] == ["sockets", "tasks", "objects"]


async def test_no_stream_lies_about_its_end(url: str) -> None:
    """Of two hundred streams each is complete and exact, or an error after a fault with a true beginning."""
    report = await ends.soak(url, 200, 20)
    assert report.wrong == []
    assert {name for name, how in report.ends.items() if how[ends.COMPLETE]} == {
        wire.name for wire in WIRES
    }
    assert {fault for fault, _ in report.faults} == set(FAULTS)
    assert {end for fault, end in report.faults if fault == "status"} == {ends.COMPLETE}


async def test_a_soak_sees_a_lie(url: str) -> None:
    """A run that ends well is wrong where more text, other arguments or an error were to be expected of it."""
    order = next(
        order
        for number in range(200, 300)
        if len(planned(order := Order("soak", number)).turns) == 2
    )
    plan = planned(order)
    [asks, says] = plan.turns
    async with storm.agents(url, WIRES[:1], tools=[ends.echo, ends.echo_in_thread]) as [
        agent
    ]:
        seen = await ends.outcome(agent, order)
    assert ends.problem(plan, seen) == ""
    longer = replace(plan, turns=(asks, replace(says, deltas=(*says.deltas, "More."))))
    assert ends.problem(longer, seen) == "the text"
    assert (
        ends.problem(
            replace(plan, turns=(replace(asks, calls=asks.calls[1:]), says)), seen
        )
        == "the tools that ran"
    )
    assert (
        ends.problem(plan, replace(seen, chunks=seen.chunks[:-1])) == "the final chunk"
    )
    assert ends.problem(plan, replace(seen, chunks=seen.chunks[1:])).startswith(
        "the text, the response"
    )
    assert ends.problem(plan, replace(seen, error=TimeoutError())).startswith(
        "the error, the partial response"
    )


@each_sdk
async def test_many_streams_share_a_loop(url: str, wire: Wire) -> None:
    """Forty streams at once from one agent have their own texts each, and no socket or task is left."""
    report = await many.many(url, wire, 40, pause=20)
    assert report.problems == [] and report.right == 40
    assert 1 <= report.connections <= 40
