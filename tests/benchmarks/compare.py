"""Two sides measured in turns.

Ours goes first in one round and theirs in the next. The ratio is taken pair by pair, so that a busy moment of the
machine falls on both sides; the medians are told, and the ratio's least and most.
"""

import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

Sample = Callable[[], Awaitable[Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Figure:
    """What a sample measures: `what` says the unit and, unless it is the loop over typed events, what theirs is."""

    name: str
    what: str
    goal: float | None = None
    """The ratio that is wanted, or less."""


@dataclass(frozen=True, slots=True)
class Case:
    """`ours` against `theirs`; a sample of either has a value for each of the figures."""

    figures: tuple[Figure, ...]
    ours: Sample
    theirs: Sample
    times: int = 1
    """How many rounds it needs for each that is asked for, as short samples vary more."""
    warm: bool = False
    """Whether it needs no round that does not count."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The medians of a figure and of its ratios."""

    name: str
    what: str
    ours: float
    theirs: float
    ratio: float
    least: float
    most: float
    goal: float | None

    def __str__(self) -> str:
        figures = f"{self.ours:10.2f} {self.theirs:10.2f} {self.ratio:7.3f} {self.least:7.3f} {self.most:7.3f}"
        goal = (
            ""
            if self.goal is None
            else f"{self.goal:.2f} {'yes' if self.ratio <= self.goal else 'NO'}"
        )
        return f"{self.name:35} {figures} {goal:>8}  {self.what}"


HEADING = f"{'case':35} {'ours':>10} {'theirs':>10} {'ratio':>7} {'min':>7} {'max':>7} {'goal':>8}"


async def compare(case: Case, rounds: int) -> list[Outcome]:
    """Measure both sides in turns, after a round that does not count."""
    if not case.warm:
        await case.ours(), await case.theirs()
    gc.freeze()  # What the SDK keeps for good would make each collection before a sample slow.
    ours, theirs = [], []
    for number in range(rounds * case.times):
        turns = [(ours, case.ours), (theirs, case.theirs)]
        for samples, sample in reversed(turns) if number % 2 else turns:
            samples.append(await sample())
    columns = zip(
        case.figures, zip(*ours, strict=True), zip(*theirs, strict=True), strict=True
    )
    return [outcome(figure, our, their) for figure, our, their in columns]


def outcome(figure: Figure, ours: Sequence[float], theirs: Sequence[float]) -> Outcome:
    """What the samples of both sides come to."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = median(ours), median(theirs), median(ratios)
    return Outcome(
        figure.name, figure.what, *middle, min(ratios), max(ratios), figure.goal
    )
