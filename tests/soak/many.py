"""Many streams at once from one agent on one loop: `uv run python tests/soak/many.py --streams 1000 --wire groq`.

The server is slow, so that all answers are under way together. Every text has to be right, and nothing may be left.
What is printed is the price: CPU, memory, the time to the first token, the longest pause of the loop, connections.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import WIRES, Wire
from soak.faulty_server import Order, planned, started
from soak.storm import Figures, agents, complaints, each, rss, settled, state

from cogent import Agent, CogentError

TICK = 0.01  # seconds between two looks at the clock
SETTLING = 0.05  # seconds between two counts of what is left
PAUSE = 200  # milliseconds between two deltas, of which an answer has 20
MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """What it cost to run so many at once; times in seconds, memory in bytes."""

    right: int
    cpu: float
    wall: float
    first_p50: float
    first_p99: float
    last_first: float
    """The longest time to a first token."""
    pause: float
    """The longest time for which the loop did nothing else."""
    memory: int
    """What the process had in use at the most."""
    connections: int
    problems: list[str]

    def __str__(self) -> str:
        firsts = f"{self.first_p50:.2f} s (p50), {self.first_p99:.2f} s (p99), {self.last_first:.2f} s (last)"
        return (
            f"{self.right} right, {self.cpu:.1f} s CPU in {self.wall:.1f} s, {self.connections} connections, "
            f"{self.memory / MB:.0f} MB at the most, longest pause of the loop {self.pause:.2f} s, "
            f"first token after {firsts}"
        )


@dataclass(slots=True)
class Watch:
    """The longest pause of the loop and the most memory, seen by a task that only ticks."""

    pause: float = 0
    memory: int = 0

    async def run(self) -> None:
        """Tick until cancelled."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            self.pause, last = max(self.pause, now - last - TICK), now
            self.memory = max(self.memory, rss())


async def first_token(agent: Agent, order: Order) -> tuple[float, str]:
    """Seconds to the first token of a stream, and what was wrong with it."""
    text, first, begun = "", 0.0, time.monotonic()
    try:
        async with agent.run_stream(str(order)) as stream:
            async for chunk in stream:
                text += chunk.content
                first = first or time.monotonic() - begun
    except CogentError as error:
        return first, f"{order}: {error!r}"
    return first, "" if text == planned(
        order
    ).text else f"{order}: a wrong text: {text[:80]!r}"


async def many(
    url: str, wire: Wire, streams: int, pause: int = PAUSE, over: float = 0
) -> Report:
    """Run so many streams, begun within `over` seconds, after one that does not count."""
    with complaints() as found:
        async with agents(url, [wire]) as [agent]:
            await first_token(agent, Order("many", streams))
        before = await settled(wait=SETTLING)
        made = state(url)["made"]
        results, watch, spent, wall = await _measured(url, wire, streams, pause, over)
        after = await settled(before.held, SETTLING)
    left = state(url)
    problems = [wrong for _, wrong in results if wrong]
    right = streams - len(problems)
    problems += (
        found
        + _held(before, after)
        + ([f"{left['open']} left at the server"] if left["open"] else [])
    )
    firsts = [first for first, _ in results]
    cuts = quantiles(firsts, n=100, method="inclusive")
    figures = cuts[49], cuts[98], max(firsts), watch.pause, watch.memory
    return Report(right, spent, wall, *figures, left["made"] - made - 1, problems)


async def _measured(
    url: str, wire: Wire, streams: int, pause: int, over: float
) -> tuple[Sequence[tuple[float, str]], Watch, float, float]:
    results: list[tuple[float, str]] = []
    watch = Watch()
    ticking = asyncio.create_task(watch.run())
    async with agents(url, [wire]) as [agent]:

        async def do(number: int) -> None:
            await asyncio.sleep(over * number / streams)
            results.append(await first_token(agent, Order("many", number, pause)))

        cpu, begun = time.process_time(), time.monotonic()
        await each(range(streams), streams, do)
        spent, wall = time.process_time() - cpu, time.monotonic() - begun
    ticking.cancel()
    return results, watch, spent, wall


def _held(before: Figures, after: Figures) -> list[str]:
    names = ("sockets", "tasks", "threads")
    return [
        f"{name}: {a}, then {b}"
        for name, a, b in zip(names, before.held, after.held, strict=True)
        if b > a
    ]


def run(wire: Wire, streams: int, pause: int = PAUSE, over: float = 0) -> Report:
    """One wire against a server of its own."""
    with started() as url:
        return asyncio.run(many(url, wire, streams, pause, over))


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000, metavar="N")
    parser.add_argument(
        "--wire", choices=[wire.name for wire in WIRES], help="only this one"
    )
    parser.add_argument(
        "--pause",
        type=int,
        default=PAUSE,
        metavar="MS",
        help="between two of an answer's 20 deltas",
    )
    parser.add_argument(
        "--over",
        type=float,
        default=0,
        metavar="SECONDS",
        help="begin them one by one in this time",
    )
    options = parser.parse_args()
    if (
        options.wire is None
    ):  # each in a process of its own, whose memory is nobody else's
        return max(
            subprocess.call([sys.executable, *sys.argv, "--wire", wire.name])
            for wire in WIRES
        )
    wire = next(wire for wire in WIRES if wire.name == options.wire)
    report = run(wire, options.streams, options.pause, options.over)
    print(f"{wire.name}: {report}", *report.problems[:20], sep="\n")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
