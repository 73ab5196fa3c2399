"""What cogent costs beside a loop written by hand over the same SDK: `uv run python tests/benchmarks/run.py`.

Both sides of a case run in turns. The ratio is taken pair by pair, so that a busy moment of the machine falls on both
sides; medians are shown, and the ratio's least and most. A whole run writes the outcomes to `outcomes.json` and draws
them; `--peers` adds other libraries.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import against
import cases
import children
from compare import HEADING, Case, Outcome, compare
from server import started

HERE = Path(__file__).parent
OUTCOMES, PICTURE = HERE / "outcomes.json", HERE / "picture.png"
SDKS = ("openai", "anthropic", "google-genai", "groq", "ollama", "mistralai")


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    """All that was asked for, printed as it comes."""
    found: dict[str, Any] = {}
    with started() as urls:
        if options.build is not None:
            print(HEADING)
            all_cases = children.build_cases(urls, options.build)
            rows = [row async for row in _rows(all_cases, options.only, options.rounds)]
            return {"build": str(options.build), "rows": [asdict(row) for row in rows]}
        if not options.peers_only:
            print(HEADING)
            all_cases = chain(children.cases(urls), cases.cases(urls.plain))
            rows = [row async for row in _rows(all_cases, options.only, options.rounds)]
            versions = {
                "python": ".".join(map(str, sys.version_info[:3])),
                **{sdk: version(sdk) for sdk in SDKS},
            }
            found |= {
                "versions": versions,
                "rounds": options.rounds,
                "rows": [asdict(row) for row in rows],
            }
        if options.peers or options.peers_only:
            peers = await against.measured(urls, min(options.rounds, 3), options.only)
            print(f"\n{against.summary(peers)}")
            found["peers"] = [asdict(peer) for peer in peers]
    return found


async def _rows(
    all_cases: Iterator[Case], only: str, rounds: int
) -> AsyncIterator[Outcome]:
    for case in all_cases:
        if any(only in figure.name for figure in case.figures):
            for row in await compare(case, rounds):
                print(row, flush=True)
                yield row


def missed(rows: list[dict[str, Any]]) -> str:
    """The rows whose ratio is above the goal."""
    names = [
        row["name"]
        for row in rows
        if row["goal"] is not None and row["ratio"] > row["goal"]
    ]
    return f"goals missed: {', '.join(names) or 'none'}"


def draw(source: Path, target: Path) -> None:
    """Draw the outcomes, with matplotlib in an environment that lasts no longer."""
    command = [
        "uv",
        "run",
        "--quiet",
        "--no-project",
        "--with",
        "matplotlib",
        "python",
        str(HERE / "picture.py"),
    ]
    ended = subprocess.run(
        [*command, str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    print(
        f"drawn: {target.name}"
        if ended.returncode == 0
        else f"not drawn: {ended.stderr.strip()[-300:]}"
    )


def main() -> None:
    """Measure, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        metavar="NAME",
        help="only the cases and peers whose names contain this",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument(
        "--peers", action="store_true", help="other libraries too, three rounds at most"
    )
    parser.add_argument(
        "--peers-only", action="store_true", help="nothing but the other libraries"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the outcomes there, not to outcomes.json",
    )
    parser.add_argument(
        "--build",
        type=Path,
        metavar="CHECKOUT",
        help="theirs is the cogent of another checkout; only where events come one by one",
    )
    options = parser.parse_args()
    found = asyncio.run(measured(options))
    if "rows" in found:
        print(missed(found["rows"]))
    partly = options.only or options.build
    target = options.json or (None if partly else OUTCOMES)
    if target is not None:
        # What was not measured now stays as it was: the peers take longer than all the rest.
        before = json.loads(target.read_text()) if target.exists() else {}
        target.write_text(json.dumps(before | found, indent=1) + "\n")
        draw(target, PICTURE if target == OUTCOMES else target.with_suffix(".png"))


if __name__ == "__main__":
    main()
