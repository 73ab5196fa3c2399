"""The cases that are measured inside this process: what a run costs in CPU, for every protocol.

All events of an answer are there at once; `children.py` has the cases where they come one by one.
"""

import gc
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from time import process_time
from typing import Any

from answers import QUESTION, ROUND_TRIP, result, words
from by_hand import PROVIDERS, protocol
from compare import Case, Figure, Sample

from cogent import Agent, Message, Model, Tool, tool

DELTAS = 2_000
LENGTHS = (1_000, 10_000, 100_000)
REPEATED = 20  # short runs in one sample
FEW_EVENTS = 0.20  # the goals where a typed event costs far more than the dict that it is made of
TEXT_GOALS = {
    "openai": FEW_EVENTS,
    "openai-chat": FEW_EVENTS,
    "azure": FEW_EVENTS,
    "groq": FEW_EVENTS,
    "anthropic": 0.60,
    "gemini": 1.02,
    "ollama": 1.10,
}
ROUND_TRIP_GOALS = {"openai-chat": 0.70}
FLAT = 1.1

Run = Callable[[], Awaitable[str]]


def cases(url: str) -> Iterator[Case]:
    """All of them, protocol by protocol; none has begun yet."""
    for provider in PROVIDERS:
        sides = Sides(protocol(provider), url)
        yield from text_cases(sides)
        yield from tool_cases(sides)
        yield from size_cases(sides)


class Sides:
    """The runs of cogent and of a loop written by hand over one protocol."""

    def __init__(self, protocol: Any, url: str) -> None:
        self.protocol, self.url = protocol, url
        self.client = protocol.connect(url)
        self.provider = protocol.provider

    def ours(
        self,
        name: str,
        history: Sequence[Message] = (),
        tools: Sequence[Tool[..., Any]] = (),
    ) -> Run:
        """Stream a run."""
        return partial(collect, self.agent(name, tools), history)

    def ours_plain(self, name: str) -> Run:
        """A run that does not stream."""
        return partial(whole, self.agent(name))

    def agent(self, name: str, tools: Sequence[Tool[..., Any]] = ()) -> Agent:
        """An agent whose model says what the server answers."""
        model = Model(f"{self.provider}:{name}", api_key="none", base_url=self.url)
        return Agent("benchmark", model, tools=tools)

    def theirs(
        self,
        loop: Any,
        name: str,
        history: Sequence[Message] = (),
        tools: Sequence[Tool[..., Any]] = (),
    ) -> Run:
        """The same by hand, with one of the protocol's functions."""
        messages = [
            {"role": m.role, "content": m.content}
            for m in (*history, Message("user", QUESTION))
        ]
        functions = [
            {"name": t.name, "description": t.description, "parameters": t.parameters}
            for t in tools
        ]
        request = self.protocol.request(messages, functions)
        return partial(joined, loop, self.client, model=name, **request)

    def theirs_plain(self, name: str) -> Run:
        """The whole answer by hand."""
        request = self.protocol.request([{"role": "user", "content": QUESTION}], [])
        return partial(self.protocol.plain, self.client, model=name, **request)

    def case(
        self,
        name: str,
        what: str,
        samples: Sequence[Sample],
        goal: float | None = None,
        times: int = 1,
    ) -> Case:
        """A case of this protocol with one figure."""
        return Case((Figure(f"{self.provider}: {name}", what, goal),), *samples, times)


def text_cases(sides: Sides) -> Iterator[Case]:
    """Text, streamed and not."""
    protocol, text, single = sides.protocol, f"text-{DELTAS}", f"text-{DELTAS}-1"
    our_text, typed = sides.ours(text), sides.theirs(protocol.text, text)
    goal = TEXT_GOALS.get(sides.provider)
    yield sides.case(
        "text", "us CPU per delta", per_delta(DELTAS, our_text, typed), goal, times=3
    )
    single_chunks = per_delta(
        DELTAS, sides.ours(single), sides.theirs(protocol.text, single)
    )
    yield sides.case(
        "text, many chunks",
        "us CPU per delta; one event in a chunk of HTTP, all at once",
        single_chunks,
        times=3,
    )
    if hasattr(protocol, "floor"):
        floor = sides.theirs(protocol.floor, text)
        yield sides.case(
            "floor",
            "us CPU per delta; ours: the SDK's dicts",
            per_delta(DELTAS, floor, typed),
        )
        above = per_delta(DELTAS, our_text, floor)
        yield sides.case(
            "above floor", "us CPU per delta; theirs: the SDK's dicts", above, times=3
        )
    short = f"text-{ROUND_TRIP}"
    both = sides.ours_plain(short), sides.theirs_plain(short)
    yield sides.case(
        "plain transport", "ms CPU", per_run(*both, repeated=REPEATED), times=2
    )


def tool_cases(sides: Sides) -> Iterator[Case]:
    """A call, its tool and the answer, with arguments in a few pieces and in many."""
    goal = ROUND_TRIP_GOALS.get(sides.provider)
    for pieces, name, repeated in (
        (4, "tool round trip", REPEATED),
        (1_000, "1,000 argument deltas", 1),
    ):
        if pieces == 4 or not sides.protocol.whole_calls:
            answer = f"call-{pieces}"
            both = (
                sides.ours(answer, tools=[measure]),
                sides.theirs(sides.protocol.round_trip, answer, tools=[measure]),
            )
            samples = per_run(*both, repeated=repeated)
            yield sides.case(
                name, "ms CPU", samples, goal if pieces == 4 else None, times=2
            )


def size_cases(sides: Sides) -> Iterator[Case]:
    """What must not cost more than in proportion: a longer answer, a long history, many tools."""
    fewest, *lengths = LENGTHS
    for many in lengths:
        samples = per_delta(many, sides.ours(f"text-{many}")) + per_delta(
            fewest, sides.ours(f"text-{fewest}")
        )
        yield sides.case(
            f"{many:,} deltas",
            f"us CPU per delta; theirs: ours of {fewest:,}",
            samples,
            FLAT,
        )
    history = [
        Message("assistant" if n % 2 else "user", f"Message {n}. " * 10)
        for n in range(200)
    ]
    tools = [tool(name=f"tool_{n}")(measure.function) for n in range(100)]
    short = f"text-{ROUND_TRIP}"
    for name, given in (
        ("200 messages", {"history": history}),
        ("100 tools", {"tools": tools}),
    ):
        both = (
            sides.ours(short, **given),
            sides.theirs(sides.protocol.text, short, **given),
        )
        yield sides.case(name, "ms CPU", per_run(*both, repeated=5))


def per_delta(deltas: int, *runs: Run) -> list[Sample]:
    """Samples in microseconds per delta."""
    return [partial(cpu, run, deltas, 1e-6 * deltas) for run in runs]


def per_run(*runs: Run, repeated: int) -> list[Sample]:
    """Samples in milliseconds per run with a short answer."""
    return [partial(cpu, run, ROUND_TRIP, 1e-3, repeated) for run in runs]


async def cpu(run: Run, deltas: int, unit: float, repeated: int = 1) -> tuple[float]:
    """The CPU time of a run in units of so many seconds; its text is checked."""
    gc.collect()
    start = process_time()
    texts = [await run() for _ in range(repeated)]
    spent = process_time() - start
    if wrong := {*texts} - {"".join(words(deltas))}:
        text = wrong.pop()
        sys.exit(f"{run}: a wrong text of {len(text)} characters: {text[:80]!r}")
    return (spent / repeated / unit,)


async def collect(agent: Agent, history: Sequence[Message]) -> str:
    """The text of a run, as users put it together."""
    async with agent.run_stream(QUESTION, history=history) as stream:
        return "".join([chunk.content async for chunk in stream])


async def joined(loop: Any, client: Any, **request: Any) -> str:
    """The text that a loop written by hand collects."""
    pieces: list[str] = []
    await loop(client, pieces.append, **request)
    return "".join(pieces)


async def whole(agent: Agent) -> str:
    """The text of a run that does not stream."""
    return (await agent.run(QUESTION)).content


@tool
async def measure(asked: str) -> str:
    """Measure a text."""
    return result(asked)
