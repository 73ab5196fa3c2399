"""The cases: each measures cogent and what it is held against, in the same unit."""

import gc
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

from by_hand import PROTOCOLS
from server import ROUND_TRIP, result, words

from cogent import Agent, Message, Model, Tool, tool

DELTAS = 2_000
LENGTHS = (1_000, 10_000, 100_000)
NEVER_IMPORTED = ["openai", "anthropic", "groq", "ollama", "google.genai", "xllamacpp", "httpx", "httpx2"]
QUESTION = "Say something."

Run = Callable[[], Awaitable[str]]
Sample = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Case:
    """`ours` against `theirs`, which is a loop over the SDK's typed events unless `what` says otherwise."""

    name: str
    what: str
    ours: Sample
    theirs: Sample
    times: int = 1
    """How many rounds it needs for each that is asked for, as short samples vary more."""


def cases(url: str) -> Iterator[Case]:
    """All cases; none has begun yet."""
    bare = "ms CPU above bare Python; theirs: `import openai`"
    yield Case("import", bare, partial(import_cpu, "cogent"), partial(import_cpu, "openai"))
    yield Case("cold", "ms CPU up to the first token", partial(cold, "ours", url), partial(cold, "theirs", url))
    for protocol in PROTOCOLS:
        for case in protocol_cases(protocol, protocol.connect(url), url):
            yield replace(case, name=f"{protocol.provider}: {case.name}")


def protocol_cases(protocol: Any, client: Any, url: str) -> Iterator[Case]:
    """The cases of one protocol, as far as it has the functions for them."""

    def ours(name: str, history: Sequence[Message] = (), tools: Sequence[Tool[..., Any]] = ()) -> Run:
        model = Model(f"{protocol.provider}:{name}", api_key="none", base_url=url)
        return partial(collect, Agent("benchmark", model, tools=tools), history)

    def theirs(loop: Any, name: str, history: Sequence[Message] = (), tools: Sequence[Tool[..., Any]] = ()) -> Run:
        messages = [{"role": m.role, "content": m.content} for m in (*history, Message("user", QUESTION))]
        functions = [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in tools]
        return partial(loop, client, model=name, **protocol.request(messages, functions))

    text = f"text-{DELTAS}"
    our_text, typed = ours(text), theirs(protocol.text, text)
    yield Case("text", "us CPU per delta", *per_delta(DELTAS, our_text, typed), times=3)
    single = f"{text}-1"
    one_by_one = per_delta(DELTAS, ours(single), theirs(protocol.text, single))
    yield Case("text, one by one", "us CPU per delta; one event in a chunk of HTTP", *one_by_one, times=3)
    if hasattr(protocol, "floor"):
        plain = theirs(protocol.floor, text)
        yield Case("floor", "us CPU per delta; ours: the SDK's dicts", *per_delta(DELTAS, plain, typed))
        above = per_delta(DELTAS, our_text, plain)
        yield Case("above floor", "us CPU per delta; theirs: the SDK's dicts", *above, times=3)
    if not hasattr(protocol, "round_trip"):
        return
    for few, many in pairwise(LENGTHS):
        longer, shorter = per_delta(many, ours(f"text-{many}")), per_delta(few, ours(f"text-{few}"))
        yield Case(f"{many:,} deltas", f"us CPU per delta; theirs: ours of {few:,}", *longer, *shorter)

    for pieces, name in ((4, "tool round trip"), (1_000, "1,000 argument deltas")):
        both = ours(f"call-{pieces}", tools=[measure]), theirs(protocol.round_trip, f"call-{pieces}", tools=[measure])
        yield Case(name, "ms CPU", *per_run(*both))
    history = [Message("assistant" if n % 2 else "user", f"Message {n}. " * 10) for n in range(200)]
    tools = [tool(name=f"tool_{n}")(measure.function) for n in range(100)]
    for name, given in (("200 messages", {"history": history}), ("100 tools", {"tools": tools})):
        short = f"text-{ROUND_TRIP}"
        yield Case(name, "ms CPU", *per_run(ours(short, **given), theirs(protocol.text, short, **given)))


def per_delta(deltas: int, *runs: Run) -> list[Sample]:
    """Samples in microseconds per delta."""
    return [partial(cpu, run, deltas, 1e-6 * deltas) for run in runs]


def per_run(*runs: Run) -> list[Sample]:
    """Samples in milliseconds per run with a short answer."""
    return [partial(cpu, run, ROUND_TRIP, 1e-3) for run in runs]


async def cpu(run: Run, deltas: int, unit: float) -> float:
    """The CPU time of a run in units of so many seconds; its text is checked."""
    gc.collect()
    start = process_time()
    text = await run()
    spent = process_time() - start
    if text != "".join(words(deltas)):
        sys.exit(f"{run}: a wrong text of {len(text)} characters: {text[:80]!r}")
    return spent / unit


async def collect(agent: Agent, history: Sequence[Message]) -> str:
    """The text of a run, as users put it together."""
    async with agent.run_stream(QUESTION, history=history) as stream:
        return "".join([chunk.content async for chunk in stream])


@tool
async def measure(asked: str) -> str:
    """Measure a text."""
    return result(asked)


async def import_cpu(module: str) -> float:
    """Milliseconds of CPU that the import costs a new process; cogent alone must bring no SDK and no HTTP client."""
    spent, *found = _python("-c", f"import {module}, sys, time; print(time.process_time(), *sys.modules)").split()
    bare = _python("-c", "import sys, time; print(time.process_time())")
    if module == "cogent" and (brought := set(NEVER_IMPORTED) & set(found)):
        sys.exit(f"import cogent brings {sorted(brought)}")
    return 1e3 * (float(spent) - float(bare))


async def cold(who: str, url: str) -> float:
    """Milliseconds of CPU that a new process spends up to the first token."""
    spent, token = _python(str(Path(__file__).with_name("cold.py")), who, url).split()[:2]
    if token != words(1)[0].strip():
        sys.exit(f"cold.py {who}: the first token is {token!r}")
    return 1e3 * float(spent)


def _python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, check=True, text=True).stdout
