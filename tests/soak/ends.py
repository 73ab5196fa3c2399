"""No stream lies about its end: `uv run python tests/soak/ends.py --streams 20000 --faults 1`.

Each stream is of a random text in random pieces, with and without tools; of a hundred so many have a fault: the answer
is cut, fails inside, stalls, or is refused and given when asked for again. A stream is right if it is complete and
exactly what was planned, or, after a fault, raises an error of ours when what was seen is how the plan begins.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import WIRES
from soak.faulty_server import RESULT, Order, Plan, planned, started
from soak.storm import agents, complaints, each

from cogent import (
    Agent,
    CogentError,
    ModelError,
    ModelTimeout,
    Response,
    ServerError,
    StreamChunk,
    StreamInterrupted,
    Timeout,
    tool,
)

AT_ONCE = 48
LONGEST = 300.0  # seconds after which a stream counts as one that hangs
PATIENCE = Timeout(
    first=1.5, stall=1.5
)  # for the streams that are meant to stall, and for no others
# What may be raised after a fault; a request that was refused is asked again and must be answered.
ERRORS: dict[str, tuple[type[CogentError], ...]] = {
    "cut": (StreamInterrupted, ServerError),
    "error": (ModelError,),
    "stall": (ModelTimeout,),
    "status": (),
    "": (),
}
COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a user saw of one run, and what the tools were given in it."""

    chunks: Sequence[StreamChunk]
    response: Response
    ran: Sequence[tuple[str, str, int]]
    error: BaseException | None

    @property
    def seen(self) -> str:
        """The text as it was printed."""
        return "".join(chunk.content for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Report:
    """How the streams of each wire ended, which faults they had, and what was wrong."""

    ends: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Each fault and how it ended."""
    wrong: list[str] = field(default_factory=list)


@tool
async def echo(text: str, count: int, context: dict[str, Any]) -> str:
    """Note the arguments in the loop."""
    context["ran"].append(("echo", text, count))
    return f"{RESULT} echo"


@tool
def echo_in_thread(text: str, count: int, context: dict[str, Any]) -> str:
    """Note the arguments in a thread."""
    context["ran"].append(("echo_in_thread", text, count))
    return f"{RESULT} echo_in_thread"


async def outcome(agent: Agent, order: Order) -> Outcome:
    """Consume a run to its end."""
    chunks: list[StreamChunk] = []
    ran: list[tuple[str, str, int]] = []
    error: BaseException | None = None
    stream = agent.run_stream(str(order), context={"ran": ran})
    try:
        async with asyncio.timeout(LONGEST), stream:
            async for chunk in stream:
                chunks.append(chunk)
    except Exception as raised:  # noqa: BLE001  # of whatever family: the verdict is about that
        error = raised
    return Outcome(chunks, stream.response, ran, error)


def problem(plan: Plan, seen: Outcome) -> str:
    """What is wrong with an outcome; nothing if it is what the plan allows."""
    whole = [(name, given["text"], given["count"]) for name, given in plan.arguments]
    finals = [chunk.is_final for chunk in seen.chunks]
    partial = (
        seen.response if seen.error is None else getattr(seen.error, "partial", None)
    )
    told = partial is not None and partial.content == seen.seen
    if seen.error is None:
        checks = {
            "the text": seen.seen == plan.text,
            "the response": told,
            "the tools that ran": sorted(seen.ran) == sorted(whole),
            "the final chunk": finals.count(True) == 1 and finals[-1],
            "the finish reason": seen.response.finish_reason == "stop",
            "the turns": len(seen.response.turns) == len(plan.turns),
        }
    else:
        checks = {
            "the error": isinstance(seen.error, ERRORS[plan.fault]),
            "the text that was seen": plan.text.startswith(seen.seen),
            "the partial response": told,
            "the tools that ran": not Counter(seen.ran) - Counter(whole),
            "a final chunk after an error": True not in finals,
            "the finish reason": seen.response.finish_reason is None,
        }
    return ", ".join(name for name, right in checks.items() if not right)


async def soak(url: str, streams: int, faults: int, at_once: int = AT_ONCE) -> Report:
    """Run so many streams, so many in a hundred with a fault."""
    report = Report()
    tools = [echo, echo_in_thread]
    with complaints() as found:
        async with (
            agents(url, tools=tools) as calm,
            agents(url, tools=tools, timeout=PATIENCE) as hasty,
        ):

            async def do(number: int) -> None:
                order, place = Order("soak", number, faults), number % len(WIRES)
                plan = planned(order)
                seen = await outcome(
                    (hasty if plan.fault == "stall" else calm)[place], order
                )
                end = COMPLETE if seen.error is None else type(seen.error).__name__
                if wrong := problem(plan, seen):
                    report.wrong.append(
                        f"{WIRES[place].name} {order}, {plan.fault or 'no fault'}: {wrong}; {seen.error!r}"
                    )
                    end = "wrong"
                report.ends[WIRES[place].name][end] += 1
                if plan.fault:
                    report.faults[plan.fault, end] += 1

            await each(range(streams), at_once, do)
    report.wrong.extend(found)
    return report


def run(streams: int, faults: int) -> Report:
    """A soak against a server of its own."""
    with started() as url:
        return asyncio.run(soak(url, streams, faults))


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=20000, metavar="N")
    parser.add_argument("--faults", type=int, default=1, metavar="PERCENT")
    options = parser.parse_args()
    begun, report = time.monotonic(), run(options.streams, options.faults)
    ends = sorted(set().union(*report.ends.values()))
    print(f"{'':12}", *(f"{end:>18}" for end in ends))
    for name, counts in report.ends.items():
        print(f"{name:12}", *(f"{counts[end]:18,}" for end in ends))
    for (fault, end), count in sorted(report.faults.items()):
        print(f"{fault:8} {end:18} {count:6,}")
    print(
        f"{options.streams:,} streams in {time.monotonic() - begun:.0f} s, {AT_ONCE} at once"
    )
    print(f"wrong: {len(report.wrong)}", *report.wrong[:20], sep="\n")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
