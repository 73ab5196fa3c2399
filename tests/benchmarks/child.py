"""A new process that measures one thing: `python child.py WHO WHAT URL [--count N] [--provider NAME]`.

WHO is a function of `peers.py`; `cogent` and `by_hand` know other providers than openai-chat too. It prints its figures
as a JSON list.
"""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter, process_time

import peers
from answers import QUESTION, ROUND_TRIP, result, words

DELTAS = 2_000
RUNS = 3
ROUND_TRIPS = 20
PACED, PACED_DELTAS = (
    "text-200-4-50",
    200,
)  # an answer that takes two and a half seconds
HELD = "text-100-4-600000"  # one that stops after its first deltas
PAUSE = 3  # milliseconds between the events of an answer that come one by one
NEW_LOOPS = 20
ENOUGH = 64 * 2**20  # bytes that tell more than what the allocator takes at once


Connect = Callable[..., peers.Ask]
"""What takes the server's address, the model's name and the tools."""


async def measure(asked: str) -> str:
    """Measure a text."""
    return result(asked)


async def text(connect: Connect, url: str) -> list[float]:
    """Microseconds of CPU per delta."""
    ask = connect(url, f"text-{DELTAS}", [])
    return [1e6 * await cpu(ask, DELTAS, RUNS) / DELTAS]


async def round_trip(connect: Connect, url: str) -> list[float]:
    """Milliseconds of CPU per round trip."""
    ask = connect(url, "call-4", [measure])
    return [1e3 * await cpu(ask, ROUND_TRIP, ROUND_TRIPS)]


async def cpu(ask: peers.Ask, deltas: int, times: int) -> float:
    """Seconds of CPU that one takes, after one that does not count."""
    await checked(ask, deltas)
    gc.collect()
    start = process_time()
    for _ in range(times):
        await checked(ask, deltas)
    return (process_time() - start) / times


async def checked(ask: peers.Ask, deltas: int) -> None:
    """Ask once; the text is checked."""
    heard: list[str] = []
    await ask(heard.append)
    said = "".join(heard)
    if said != "".join(words(deltas)):
        sys.exit(f"a wrong text of {len(said)} characters: {said[:80]!r}")


async def cold(connect: Connect, url: str) -> list[float]:
    """Milliseconds of CPU from the start of the process to the first token."""
    spent: list[float] = []
    await connect(url, f"text-{ROUND_TRIP}", [])(lambda _: spent.append(process_time()))
    return [1e3 * spent[0]]


def new_loop(connect: Connect, url: str) -> list[float]:
    """Milliseconds of CPU of a short run for which `asyncio.run` makes an event loop, and the client is a new one."""

    async def one() -> None:
        await checked(connect(url, f"text-{ROUND_TRIP}", []), ROUND_TRIP)

    asyncio.run(one())
    start = process_time()
    for _ in range(NEW_LOOPS):
        asyncio.run(one())
    return [1e3 * (process_time() - start) / NEW_LOOPS]


async def one_by_one(connect: Connect, url: str, count: int) -> list[float]:
    """Streams at once whose events come one by one: microseconds of CPU per delta; peak and first token as `many`.

    The work of opening the connections is in it.
    """
    deltas = 100 if count > 100 else 200
    model = f"text-{deltas}-1-{PAUSE}"
    spent, peak, first = await at_once(connect, url, model, deltas, count)
    figures = [1e6 * spent / deltas / count]
    return [*figures, peak, first] if count > 100 else figures


async def many(connect: Connect, url: str, count: int) -> list[float]:
    """Streams at once: seconds of CPU, the process's peak of memory in MB, the 99th percentile of the first token."""
    return await at_once(connect, url, PACED, PACED_DELTAS, count)


async def at_once(
    connect: Connect, url: str, model: str, deltas: int, count: int
) -> list[float]:
    """The same for any answer with so many deltas."""
    await checked(connect(url, f"text-{ROUND_TRIP}", []), ROUND_TRIP)
    ask = connect(url, model, [])
    waits: list[float] = []
    gc.collect()
    start, began = process_time(), perf_counter()

    async def one() -> None:
        heard: list[str] = []

        def hear(piece: str) -> None:
            if not heard:
                waits.append(perf_counter() - began)
            heard.append(piece)

        await ask(hear)
        if "".join(heard) != "".join(words(deltas)):
            sys.exit("a wrong text")

    await asyncio.gather(*(one() for _ in range(count)))
    spent = process_time() - start
    return [spent, memory("VmHWM") / 1e6, 1e3 * sorted(waits)[int(0.99 * count)]]


async def agents(connect: Connect, url: str) -> list[float]:
    """Bytes for each agent or client that does nothing."""
    kept = [connect(url, f"text-{ROUND_TRIP}", []) for _ in range(10)]
    before, first = memory("VmRSS"), len(kept)
    while memory("VmRSS") < before + ENOUGH:
        kept += [connect(url, f"text-{ROUND_TRIP}", []) for _ in range(50)]
    return [(memory("VmRSS") - before) / (len(kept) - first)]


async def opened(connect: Connect, url: str, count: int) -> list[float]:
    """Bytes for each stream that has begun."""
    await checked(connect(url, f"text-{ROUND_TRIP}", []), ROUND_TRIP)
    ask = connect(url, HELD, [])
    heard: list[asyncio.Event] = [asyncio.Event() for _ in range(count)]
    gc.collect()
    before = memory("VmRSS")
    tasks = [asyncio.create_task(_ask_and_tell(ask, event)) for event in heard]
    await asyncio.gather(*(event.wait() for event in heard))
    gc.collect()
    grown = memory("VmRSS") - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [grown / count]


async def _ask_and_tell(ask: peers.Ask, event: asyncio.Event) -> None:
    await ask(lambda _: event.set())


async def kept(connect: Connect, url: str) -> list[float]:
    """Bytes for each chunk of a stream that is kept whole, as Python's allocator counts them."""
    import tracemalloc

    ask = _our_chunks if connect is peers.cogent else _their_chunks
    await ask(url, f"text-{ROUND_TRIP}")
    gc.collect()
    tracemalloc.start()
    chunks = await ask(url, "text-5000")
    gc.collect()
    return [tracemalloc.get_traced_memory()[0] / len(chunks)]


async def _our_chunks(url: str, model: str) -> list[object]:
    from cogent import Agent, Model

    agent = Agent(
        "benchmark", Model(f"openai-chat:{model}", api_key="none", base_url=url)
    )
    async with agent, agent.run_stream(QUESTION) as stream:
        return [chunk async for chunk in stream]


async def _their_chunks(url: str, model: str) -> list[object]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="none", base_url=url) as client:
        messages = [{"role": "user", "content": QUESTION}]
        return [
            chunk
            async for chunk in await client.chat.completions.create(
                messages=messages, model=model, stream=True
            )
        ]


def memory(kind: str) -> float:
    """The process's own memory in bytes: `VmRSS` now, `VmHWM` at most.

    `ru_maxrss` is the greatest that is known elsewhere; where both exist it also counts the process that started this.
    """
    try:
        with open("/proc/self/status") as status:
            return 1024 * next(
                float(line.split()[1]) for line in status if line.startswith(kind)
            )
    except OSError:
        import resource

        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def connector(who: str, provider: str | None) -> Connect:
    """The function of `peers.py`, or the same for another provider."""
    connect: Connect = getattr(peers, who)
    if provider is None:
        return connect
    if who == "cogent":
        return partial(peers.cogent, provider=provider)
    return partial(peers.by_hand_over, provider)


MEASURES: dict[str, Callable[..., Awaitable[list[float]]]] = {
    "text": text,
    "round_trip": round_trip,
    "cold": cold,
    "one_by_one": one_by_one,
    "many": many,
    "agents": agents,
    "opened": opened,
    "kept": kept,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who")
    parser.add_argument("what", choices=[*MEASURES, "new_loop"])
    parser.add_argument("url")
    parser.add_argument("--count", type=int)
    parser.add_argument("--provider")
    options = parser.parse_args()
    connect = connector(options.who, options.provider)
    if options.what == "new_loop":
        print(json.dumps(new_loop(connect, options.url)))
        return
    counts = [] if options.count is None else [options.count]
    coroutine = MEASURES[options.what](connect, options.url, *counts)
    print(json.dumps(asyncio.run(coroutine)))


if __name__ == "__main__":
    main()
