"""Other libraries over Chat Completions, each in an environment of its own, beside a loop by hand over the same SDK.

The environments are made by uv under the user's cache directory, from the package registry alone. One for each: in one
for all, uv would settle on years-old versions of some.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from children import AT_ONCE, CACHE, STREAMS, child, many_figures
from compare import Case, Figure, Outcome, compare
from peers import PACKAGES
from server import Addresses

ROOT = Path(__file__).parents[2]
PEER_STREAMS = 200
COGENT = "cogent"


@dataclass(frozen=True, slots=True)
class Peer:
    """A library's version and outcomes, or the reason why there are none."""

    name: str
    version: str
    outcomes: list[Outcome]
    not_measured: str = ""


async def measured(urls: Addresses, rounds: int, only: str) -> list[Peer]:
    """All peers whose names contain `only`, and cogent first; what they come to is printed as it comes."""
    peers = []
    for name in (COGENT, *PACKAGES):
        if only in name or name == COGENT:
            peers.append(await _measure(name, urls, rounds))
    return peers


async def _measure(name: str, urls: Addresses, rounds: int) -> Peer:
    version, outcomes = "", []
    try:
        python = environment(name)
        version = _version(python, name)
        print(f"\n{name} {version}", flush=True)
        for case in _cases(python, name, urls):
            for outcome in await compare(case, rounds):
                outcomes.append(outcome)
                print(outcome, flush=True)
    except (RuntimeError, subprocess.SubprocessError, OSError) as error:
        reason = str(error)[:200]
        print(f"{name} {version}: not measured: {reason}", flush=True)
        return Peer(name, version, outcomes, reason)
    return Peer(name, version, outcomes)


def _cases(python: str, name: str, urls: Addresses) -> Iterator[Case]:
    def both(
        kind: str, *figures: Figure, url: str = urls.plain, **options: int
    ) -> Case:
        ours, theirs = (
            partial(child, python, who, kind, url, **options)
            for who in (name, "by_hand")
        )
        return Case(
            figures, ours, theirs, warm=kind != "text"
        )  # the first case warms the disk for all

    yield both("text", Figure(f"{name}: text", "us CPU per delta"))
    for secure, url in zip(("", ", TLS"), urls, strict=True):
        for count in AT_ONCE:
            case = f"{name}: one by one{secure}, {count} at once"
            figures: tuple[Figure, ...] = (Figure(case, "us CPU per delta"),)
            if count == STREAMS:
                figures = many_figures(case, (None,) * 3, "us CPU per delta")
            yield both("one_by_one", *figures, url=url, count=count)
    yield both("round_trip", Figure(f"{name}: tool round trip", "ms CPU"))
    yield both("cold", Figure(f"{name}: cold", "ms CPU up to the first token"))
    streams = many_figures(f"{name}: {PEER_STREAMS} streams", (None,) * 3)
    yield both("many", *streams, count=PEER_STREAMS)


def environment(name: str) -> str:
    """The Python of the peer's environment, which is made where it is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    python = (
        CACHE
        / name
        / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    )
    if not python.exists():
        _uv(
            "venv",
            "--python",
            f"{sys.version_info.major}.{sys.version_info.minor}",
            name,
        )
    packages = PACKAGES.get(name) or ["--editable", f"{ROOT}[openai-chat]"]
    _uv("pip", "install", "--python", str(python), *packages)
    return str(python)


def _uv(*arguments: str) -> None:
    # Not in this project's folder, where its settings would hold.
    ended = subprocess.run(
        ["uv", "--quiet", *arguments],
        cwd=CACHE,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(
            f"uv {arguments[0]} failed: {' '.join(ended.stderr.split())}"
        )


def _version(python: str, name: str) -> str:
    package = PACKAGES.get(name, ["cogent-ai"])[0].partition("[")[0]
    code = f"import importlib.metadata as m; print(m.version({package!r}), '(openai ' + m.version('openai') + ')')"
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def summary(peers: list[Peer]) -> str:
    """One line for each peer with its ratios to the loop by hand, and whether any is below cogent's."""
    ours = next(peer for peer in peers if peer.name == COGENT)
    kinds = [outcome.name.removeprefix(f"{COGENT}: ") for outcome in ours.outcomes]
    lines = [
        "ratio to the loop by hand".ljust(40)
        + "".join(f"{kind.removeprefix('200 '):>21}" for kind in kinds)
    ]
    below = []
    for peer in peers:
        ratios = {
            outcome.name.removeprefix(f"{peer.name}: "): outcome.ratio
            for outcome in peer.outcomes
        }
        cells = "".join(
            f"{ratios[kind]:21.3f}" if kind in ratios else f"{'-':>21}"
            for kind in kinds
        )
        lines.append(f"{peer.name} {peer.version}".ljust(40) + cells)
        if peer.not_measured:
            lines.append(f"  not measured: {peer.not_measured}")
        least = {
            outcome.name.removeprefix(f"{COGENT}: "): outcome.ratio
            for outcome in ours.outcomes
        }
        below += [
            f"{peer.name}: {kind}"
            for kind in ratios
            if peer is not ours and ratios[kind] < least[kind]
        ]
    return "\n".join([*lines, f"less than cogent: {', '.join(below) or 'none'}"])
