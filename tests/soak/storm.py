"""Nothing is left of streams that were left: `uv run python tests/soak/storm.py --streams 5000`.

Each stream comes to a planned point and hangs there for good: before the head of the answer, in its text, at the chunk
that asks for tools, in a tool, in the text of the second turn. It is ended from there in one of the ways that users
have, and the server has to see it go without the help of a garbage collection. Before and after, with the agents
closed, the process's sockets, tasks, threads and objects are counted.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import WIRES, Wire
from soak.faulty_server import RESULT, Order, Plan, planned, started

from cogent import Agent, AgentStream, tool

AT_ONCE = 48
WARM_UP = 400
ROUND = 480  # streams between two garbage collections
LONGEST = 60.0  # seconds after which a stream counts as one that cannot be stopped
SETTLED = 30.0  # seconds that what is left may take to go, on a busy machine
LOOK = 0.05  # seconds between two questions to the server
BLOCKED = (
    0.2  # seconds that a function in a thread takes to end, as it cannot be cancelled
)
OUTSIDE = (
    "cancel",
    "cancel from a thread",
    "cancel the task",
    "close from another task",
)
INSIDE = (
    "drop",
    "close",
    "leave the block",
    "raise",
)  # what a consumer does when it is given a chunk
# Caches of the interpreter and the SDKs come and go: objects in all and for each stream, and bytes.
NOISE, NOISE_EACH, NOISE_BYTES = 400, 0.02, 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Figures:
    """What a process holds; `blocks` are the pieces of memory that Python's own allocator has given out."""

    sockets: int
    tasks: int
    threads: int
    objects: int
    blocks: int
    rss: int

    @classmethod
    def now(cls) -> "Figures":
        """Counted now, in a running loop."""
        gc.collect()
        tasks, threads = len(asyncio.all_tasks()), threading.active_count()
        return cls(
            sockets(),
            tasks,
            threads,
            len(gc.get_objects()),
            sys.getallocatedblocks(),
            rss(),
        )

    @property
    def held(self) -> tuple[int, int, int]:
        """What has to be equal before and after."""
        return self.sockets, self.tasks, self.threads

    def grown(self, before: "Figures", streams: int) -> list[str]:
        """What there is more of than before, beyond what may be."""
        noise = NOISE + NOISE_EACH * streams
        limits = {
            "sockets": 0,
            "tasks": 0,
            "threads": 0,
            "objects": noise,
            "blocks": 3 * noise,
            "rss": NOISE_BYTES,
        }
        more = {name: getattr(self, name) - getattr(before, name) for name in limits}
        return [
            f"{more[name]:,} more {name}"
            for name, limit in limits.items()
            if more[name] > limit
        ]


@dataclass(frozen=True, slots=True)
class Report:
    """What a storm came to; `stopped` counts each point and way."""

    stopped: Counter[tuple[str, str]]
    before: Figures
    after: Figures
    left_at_server: int
    problems: list[str]


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one by which the list was read
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
    return count


def rss() -> int:
    """The bytes of memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )


def state(url: str) -> dict[str, int]:
    """How many connections the server has seen, has open, and has hanging."""
    with urlopen(url) as answer:
        return json.load(answer)


async def settled(
    held: tuple[int, int, int] | None = None, wait: float = 2 * BLOCKED
) -> Figures:
    """The figures when they are as before, or have had long enough to be; without a before, when they keep still."""
    # The loop's own threads come as the SDKs need them, up to a number: all are there before they are counted.
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(64)))
    end = time.monotonic() + SETTLED
    figures = Figures.now()
    while figures.held != held and time.monotonic() < end:
        await asyncio.sleep(wait)
        last, figures = figures, Figures.now()
        held = last.held if held is None and last.held == figures.held else held
    return figures


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What is complained of where nobody can catch it: by the loop, a finaliser, a thread, or as a warning."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    hooks = sys.unraisablehook, threading.excepthook
    loop.set_exception_handler(lambda _, told: found.append(f"the loop: {told}"))
    sys.unraisablehook = threading.excepthook = lambda told: found.append(
        f"unraisable: {told}"
    )
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield found
            gc.collect()
        found += [
            f"{warning.category.__name__}: {warning.message}" for warning in warned
        ]
    finally:
        loop.set_exception_handler(None)
        sys.unraisablehook, threading.excepthook = hooks


@asynccontextmanager
async def agents(
    url: str, wires: Iterable[Wire] = WIRES, **settings: Any
) -> AsyncIterator[list[Agent]]:
    """An agent of each wire, closed at the end."""
    server: Any = SimpleNamespace(url=url)
    async with AsyncExitStack() as stack:
        made = [
            wire.agent(server, model={"max_retries": 2}, **settings) for wire in wires
        ]
        yield [await stack.enter_async_context(agent) for agent in made]


async def each(
    numbers: Iterable[int], at_once: int, do: Callable[[int], Awaitable[None]]
) -> None:
    """Do it with each number, with so many at once."""
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await do(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


class LeaveError(Exception):
    """What a consumer raises to leave its loop."""


@tool
async def wait(seconds: float, context: dict[str, Any]) -> str:
    """Wait in the loop."""
    context["begin"]()
    await asyncio.sleep(seconds)
    return f"{RESULT} waiting"


@tool
def block(seconds: float, context: dict[str, Any]) -> str:
    """Wait in a thread."""
    context["begin_in_thread"]()
    time.sleep(min(seconds, BLOCKED))
    return f"{RESULT} blocking"


@dataclass(frozen=True, slots=True)
class Visit:
    """One stream, and how it is to end."""

    plan: Plan
    way: str
    texts: int
    """How many pieces of the hanging answer's text are read before."""
    delay: float
    """Seconds from the point to a stop from outside."""
    there: asyncio.Event
    """Set at the point."""

    @classmethod
    def of(cls, order: Order) -> "Visit":
        """The visit of an order, by chance but always the same."""
        plan, random = planned(order), Random(f"leave {order}")
        way = random.choice(
            OUTSIDE if plan.point in ("head", "tool") else OUTSIDE + INSIDE
        )
        return cls(
            plan,
            way,
            random.randint(1, 3),
            random.choice((0, random.uniform(0, 0.05))),
            asyncio.Event(),
        )

    async def made(self, agent: Agent, order: Order) -> str:
        """Run it to its end; returns what was wrong."""
        loop = asyncio.get_running_loop()
        begin = self.there.set if self.plan.point == "tool" else lambda: None
        context = {
            "begin": begin,
            "begin_in_thread": lambda: loop.call_soon_threadsafe(begin),
        }
        stream = agent.run_stream(str(order), context=context)
        consumer = asyncio.create_task(
            self._leave_block(stream) if "block" in self.way else self._consume(stream)
        )
        if self.plan.point == "head":
            self.there.set()
        if self.way in OUTSIDE:
            there = asyncio.create_task(self.there.wait())
            await asyncio.wait(
                [consumer, there], timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED
            )
            there.cancel()
            await asyncio.sleep(self.delay)
            await self._stop(stream, consumer)
            finish = stream.response.finish_reason
        else:
            finish = None
            del stream  # the consumer's is the only one: dropped is dropped
        await asyncio.wait([consumer], timeout=LONGEST)
        return _wrong(consumer, self.way) or ("it finished" if finish else "")

    async def _consume(self, stream: AgentStream) -> None:
        text = ""
        before = "".join(
            delta for turn in self.plan.turns[:-1] for delta in turn.deltas
        )
        async for chunk in stream:
            text += chunk.content
            read = (
                text.removeprefix(before).count(" ") if text.startswith(before) else 0
            )
            asks, reads = (
                self.plan.point == "calls",
                self.plan.point in ("text", "second"),
            )
            if (asks and chunk.finish_reason) or (reads and read >= self.texts):
                self.there.set()
                if self.way in ("drop", "leave the block"):
                    break
                if self.way == "raise":
                    raise LeaveError
                if self.way == "close":
                    await stream.aclose()

    async def _leave_block(self, stream: AgentStream) -> None:
        async with stream:
            await self._consume(stream)

    async def _stop(self, stream: AgentStream, consumer: asyncio.Task[None]) -> None:
        match self.way:
            case "cancel":
                stream.cancel()
            case "cancel from a thread":
                threading.Thread(target=stream.cancel).start()
            case "cancel the task":
                consumer.cancel()
            case "close from another task":
                await stream.aclose()


def _wrong(consumer: asyncio.Task[None], way: str) -> str:
    if not consumer.done():
        return "it hangs"
    if consumer.cancelled():
        return "" if way == "cancel the task" else "it was cancelled"
    error = consumer.exception()
    expected = {"raise": LeaveError, "cancel the task": asyncio.CancelledError}.get(
        way, type(None)
    )
    return "" if type(error) is expected else f"it ended with {error!r}"


async def _batch(
    url: str, numbers: range, stopped: Counter[tuple[str, str]]
) -> list[str]:
    problems: list[str] = []
    async with agents(url, tools=[wait, block]) as made:

        async def do(number: int) -> None:
            order = Order("storm", number)
            visit = Visit.of(order)
            if wrong := await visit.made(made[number % len(made)], order):
                wire = WIRES[number % len(made)].name
                problems.append(
                    f"{wire} {number}, at {visit.plan.point!r}, by {visit.way!r}: {wrong}"
                )
            stopped[visit.plan.point, visit.way] += 1

        for begin in range(numbers.start, numbers.stop, ROUND):
            gc.disable()  # which would close what a dropped stream has left open
            try:
                await each(range(begin, min(begin + ROUND, numbers.stop)), AT_ONCE, do)
                if hanging := await _hanging(url):
                    problems.append(
                        f"{hanging} connections of streams that were left are open"
                    )
            finally:
                gc.enable()
                gc.collect()
    return problems


async def _hanging(url: str) -> int:
    """How many streams the server still answers, after long enough."""
    hanging = 0
    for _ in range(round(SETTLED / LOOK)):
        if not (hanging := state(url)["hanging"]):
            break
        await asyncio.sleep(LOOK)
    return hanging


async def storm(url: str, streams: int, warm_up: int = WARM_UP) -> Report:
    """Run a storm and count; nothing is counted of the warm-up."""
    stopped: Counter[tuple[str, str]] = Counter()
    with complaints() as found:
        problems = await _batch(url, range(streams, streams + warm_up), Counter())
        before = await settled()
        problems += await _batch(url, range(streams), stopped)
        after = await settled(before.held)
    left = state(url)["open"]
    problems += (
        found
        + after.grown(before, streams)
        + ([f"{left} left at the server"] if left else [])
    )
    return Report(stopped, before, after, left, problems)


def run(streams: int, warm_up: int = WARM_UP) -> Report:
    """A storm against a server of its own."""
    with started() as url:
        return asyncio.run(storm(url, streams, warm_up))


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=5000, metavar="N")
    streams = parser.parse_args().streams
    begun, report = time.monotonic(), run(streams)
    for (point, way), count in sorted(report.stopped.items()):
        print(f"{point:8} {way:24} {count:6,}")
    print(
        f"{report.stopped.total():,} streams in {time.monotonic() - begun:.0f} s, {AT_ONCE} at once"
    )
    for name in Figures.__slots__:
        print(
            f"{name:8} {getattr(report.before, name):14,} {getattr(report.after, name):14,}"
        )
    print(
        f"left open at the server: {report.left_at_server}", *report.problems, sep="\n"
    )
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
