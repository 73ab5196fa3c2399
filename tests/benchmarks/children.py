"""The cases that need a new process for each sample: imports, the first token, many streams at once, memory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from answers import words
from compare import Case, Figure, Sample
from server import most_at_once

HERE = Path(__file__).parent
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    / "cogent-benchmarks"
)
NEVER_IMPORTED = [
    "openai",
    "anthropic",
    "groq",
    "ollama",
    "google.genai",
    "xllamacpp",
    "httpx",
    "httpx2",
]
STREAMS = 500


def cases(url: str) -> Iterator[Case]:
    """All of them; none has begun yet."""
    bare = Figure("import", "ms CPU above bare Python; theirs: `import openai`")
    yield Case((bare,), partial(import_cpu, "cogent"), partial(import_cpu, "openai"))
    first = Figure("cold", "ms CPU up to the first token of openai", 1.05)
    yield Case(
        (first,), partial(cold, "ours", url), partial(cold, "theirs", url), times=2
    )
    chat = Figure("cold, openai-chat", "ms CPU up to the first token", 1.05)
    yield Case((chat,), *both("cold", url), times=2)
    yield Case(
        many_figures(f"{STREAMS} streams", (0.30, 1.0, None)),
        *both("many", url, STREAMS),
    )
    yield Case((Figure("idle agent", "bytes; theirs: a client"),), *both("agents", url))
    yield Case(
        (Figure("open stream", "bytes for each, of openai-chat"),),
        *both("opened", url, STREAMS),
    )
    yield Case(
        (Figure("chunk kept", "bytes for each, of openai-chat"),), *both("kept", url)
    )


def many_figures(name: str, goals: Sequence[float | None]) -> tuple[Figure, ...]:
    """What `child.py many` tells."""
    whats = (
        ("CPU", "s CPU, of openai-chat"),
        ("peak memory", "MB, the whole process"),
        ("p99", "ms to first token"),
    )
    return tuple(
        Figure(f"{name}: {kind}", what, goal)
        for (kind, what), goal in zip(whats, goals, strict=True)
    )


def both(kind: str, url: str, *counts: int) -> tuple[Sample, Sample]:
    """Samples of cogent and of the loop written by hand."""
    one, other = (
        partial(child, sys.executable, who, kind, url, *counts)
        for who in ("cogent", "by_hand")
    )
    return one, other


async def child(
    python: str, who: str, kind: str, url: str, *counts: int
) -> list[float]:
    """The figures of a new process; there must have been as many streams at once as were asked for."""
    most_at_once(url)
    figures = json.loads(
        _output(
            python, str(HERE / "child.py"), who, kind, url, *map(str, counts)
        ).splitlines()[-1]
    )
    if counts and (most := most_at_once(url)) < counts[0]:
        raise RuntimeError(f"only {most} of {counts[0]} streams were open at once")
    return [float(figure) for figure in figures]


async def import_cpu(module: str) -> tuple[float]:
    """Milliseconds of CPU that the import costs a new process; cogent alone must bring no SDK and no HTTP client."""
    code = f"import {module}, sys, time; print(time.process_time(), *sys.modules)"
    spent, *found = _output(sys.executable, "-c", code).split()
    bare = _output(sys.executable, "-c", "import sys, time; print(time.process_time())")
    if module == "cogent" and (brought := set(NEVER_IMPORTED) & set(found)):
        sys.exit(f"import cogent brings {sorted(brought)}")
    return (1e3 * (float(spent) - float(bare)),)


async def cold(who: str, url: str) -> tuple[float]:
    """Milliseconds of CPU that a new process spends up to the first token."""
    spent, token = _output(sys.executable, str(HERE / "cold.py"), who, url).split()[:2]
    if token != words(1)[0].strip():
        sys.exit(f"cold.py {who}: the first token is {token!r}")
    return (1e3 * float(spent),)


def _output(*command: str) -> str:
    # As installed programs run: with bytecode, which the round that does not count leaves there.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE"
    }
    env = {**kept, "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}
    ended = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    if ended.returncode:
        raise RuntimeError(
            (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        )
    return ended.stdout
