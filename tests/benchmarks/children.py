"""The cases that need a new process for each sample: imports, the first token, events that come one by one, many
streams at once, memory.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from answers import words
from by_hand import PROVIDERS
from compare import Case, Figure, Sample
from server import AUTHORITY, Addresses, most_at_once

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
AT_ONCE = (1, 50, STREAMS)
ONE_BY_ONE_GOALS = {"anthropic": 0.65, "ollama": 0.60, "gemini": 1.02}
OTHER_GOAL = 0.40
TLS_GOALS = {"openai-chat": 0.50}
MANY_GOALS = (0.30, 1.0, 0.40)
"""Of CPU, peak memory and the 99th percentile of the first token."""
BUILD_GOALS = {"one by one": 0.60, "new loop": 0.30}

Both = Callable[..., tuple[Sample, Sample]]
"""Makes the two samples of a case from the kind, the address and the child's options."""


def cases(urls: Addresses) -> Iterator[Case]:
    """All of them; none has begun yet."""
    bare = Figure("import", "ms CPU above bare Python; theirs: `import openai`")
    yield Case((bare,), partial(import_cpu, "cogent"), partial(import_cpu, "openai"))
    url = urls.plain
    first = Figure("cold", "ms CPU up to the first token of openai", 1.05)
    yield Case(
        (first,), partial(cold, "ours", url), partial(cold, "theirs", url), times=2
    )
    chat = Figure("cold, openai-chat", "ms CPU up to the first token", 1.05)
    yield Case((chat,), *both("cold", url), times=2)
    yield Case(
        many_figures(f"{STREAMS} streams", (0.30, 1.0, None)),
        *both("many", url, count=STREAMS),
    )
    yield Case((Figure("idle agent", "bytes; theirs: a client"),), *both("agents", url))
    yield Case(
        (Figure("open stream", "bytes for each, of openai-chat", 1.1),),
        *both("opened", url, count=STREAMS),
    )
    yield Case(
        (Figure("chunk kept", "bytes for each, of openai-chat"),), *both("kept", url)
    )
    for provider in PROVIDERS:
        yield from one_by_one_cases(provider, urls)
        yield new_loop_case(provider, url)


def build_cases(urls: Addresses, build: Path) -> Iterator[Case]:
    """This cogent against that of another checkout, where events come one by one."""

    def builds(kind: str, url: str, **options: Any) -> tuple[Sample, Sample]:
        sample = partial(child, sys.executable, "cogent", kind, url, **options)
        return sample, partial(sample, build=build)

    for provider in PROVIDERS:
        module = provider.replace("-", "_")
        if not (build / "cogent" / "providers" / f"{module}.py").exists():
            print(f"{provider}: not in the other build")
            continue
        yield from one_by_one_cases(provider, urls, builds)
        yield new_loop_case(provider, urls.plain, builds)


def one_by_one_cases(
    provider: str, urls: Addresses, sides: Both | None = None
) -> Iterator[Case]:
    """One event in a chunk of HTTP and then a pause, without and with TLS."""
    for secure, url in zip(("", ", TLS"), urls, strict=True):
        for count in AT_ONCE:
            name = f"{provider}: one by one{secure}, {count} at once"
            goal = None
            if count == 1 and sides is not None:
                goal = BUILD_GOALS["one by one"]
            elif count == 1:
                goals = TLS_GOALS if secure else ONE_BY_ONE_GOALS
                goal = goals.get(provider, None if secure else OTHER_GOAL)
            figures: tuple[Figure, ...] = (Figure(name, "us CPU per delta", goal),)
            if count == STREAMS:
                goals_of_many = (None,) * 3 if secure or sides else MANY_GOALS
                figures = many_figures(name, goals_of_many, "us CPU per delta")
            samples = (sides or both)("one_by_one", url, provider=provider, count=count)
            yield Case(figures, *samples, warm=True)


def new_loop_case(provider: str, url: str, sides: Both | None = None) -> Case:
    """A short run for which `asyncio.run` makes a loop."""
    goal = BUILD_GOALS["new loop"] if sides else None
    figure = Figure(f"{provider}: new loop", "ms CPU of a short run", goal)
    return Case((figure,), *(sides or both)("new_loop", url, provider=provider))


def many_figures(
    name: str, goals: Sequence[float | None], cpu: str = "s CPU, of openai-chat"
) -> tuple[Figure, ...]:
    """What `child.py` tells of many streams at once."""
    whats = (
        ("CPU", cpu),
        ("peak memory", "MB, the whole process"),
        ("p99", "ms to first token"),
    )
    return tuple(
        Figure(f"{name}: {kind}", what, goal)
        for (kind, what), goal in zip(whats, goals, strict=True)
    )


def both(kind: str, url: str, **options: Any) -> tuple[Sample, Sample]:
    """Samples of cogent and of the loop written by hand."""
    one, other = (
        partial(child, sys.executable, who, kind, url, **options)
        for who in ("cogent", "by_hand")
    )
    return one, other


async def child(
    python: str,
    who: str,
    kind: str,
    url: str,
    *,
    count: int | None = None,
    provider: str | None = None,
    build: Path | None = None,
) -> list[float]:
    """The figures of a new process; there must have been as many streams at once as were asked for.

    `build` is a checkout whose cogent is measured.
    """
    command = [python, str(HERE / "child.py"), who, kind, url]
    if count is not None:
        command += ["--count", str(count)]
    if provider is not None:
        command += ["--provider", provider]
    env = {"PYTHONPATH": str(build)} if build else {}
    secure = url.startswith("https")
    if secure:
        env["SSL_CERT_FILE"] = str(AUTHORITY)
    else:
        most_at_once(url)
    figures = json.loads(_output(*command, **env).splitlines()[-1])
    if count and not secure and (most := most_at_once(url)) < count:
        raise RuntimeError(f"only {most} of {count} streams were open at once")
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


def _output(*command: str, **more: str) -> str:
    # As installed programs run: with bytecode, which the round that does not count leaves there.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE"
    }
    env = {**kept, "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode"), **more}
    ended = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    if ended.returncode:
        raise RuntimeError(
            (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        )
    return ended.stdout
