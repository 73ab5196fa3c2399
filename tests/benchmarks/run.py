"""What cogent costs beside a loop written by hand over the same SDK: `uv run python tests/benchmarks/run.py`.

Both sides of a case run in turns, ours first in one round and theirs first in the next. The ratio is taken pair by
pair, so that a busy moment of the machine falls on both sides; medians are shown, and the ratio's least and most.
"""

import argparse
import asyncio
import gc
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from cases import Case, cases
from server import started


@dataclass(frozen=True, slots=True)
class Outcome:
    """The medians of a case and of its ratios."""

    case: str
    what: str
    ours: float
    theirs: float
    ratio: float
    least: float
    most: float

    def __str__(self) -> str:
        figures = f"{self.ours:9.2f} {self.theirs:9.2f} {self.ratio:7.3f} {self.least:7.3f} {self.most:7.3f}"
        return f"{self.case:35} {figures}  {self.what}"


async def compare(case: Case, rounds: int) -> Outcome:
    """Measure both sides in turns, after one round that does not count."""
    await case.ours(), await case.theirs()
    gc.freeze()  # What the SDK keeps for good would make each collection before a sample slow.
    ours, theirs = [], []
    for number in range(rounds * case.times):
        turns = [(ours, case.ours), (theirs, case.theirs)]
        for samples, sample in reversed(turns) if number % 2 else turns:
            samples.append(await sample())
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Outcome(case.name, case.what, median(ours), median(theirs), median(ratios), min(ratios), max(ratios))


async def main(only: str, rounds: int) -> list[Outcome]:
    """Measure and print the cases whose names contain `only`."""
    outcomes = []
    print(f"{'case':35} {'ours':>9} {'theirs':>9} {'ratio':>7} {'min':>7} {'max':>7}")
    with started() as url:
        for case in cases(url):
            if only in case.name:
                outcomes.append(outcome := await compare(case, rounds))
                print(outcome, flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="only the cases whose names contain this")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there too")
    options = parser.parse_args()
    measured = asyncio.run(main(options.only, options.rounds))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in measured], indent=1))
