"""Token counts as servers send them: under several names, as text or a fraction, or as
no number at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def count(value: object) -> int | None:
    """The value as a count; None for what is none: a bool, a negative number, a word,
    nothing.
    """
    if value.__class__ is int:
        number = value
    elif value.__class__ in (float, str):
        try:
            number = int(float(value))
        except (ValueError, OverflowError):  # a word; infinity
            return None
    else:
        return None
    return number if number >= 0 else None


def first_count(*values: object) -> int | None:
    """The first of the values that is a count and not 0; 0 if there is only that."""
    counts = [number for number in map(count, values) if number is not None]
    return next(filter(None, counts), counts[0] if counts else None)


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def known(counts: Mapping[str, object]) -> dict[str, int]:
    """Those of the named values that are counts."""
    numbers = {name: count(value) for name, value in counts.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def match_total(counts: dict[str, int], total: int | None) -> dict[str, int]:
    """The counts with what only the server's own total holds, so that input and output
    add up to it.

    Reasoning is part of the output, but not with every server (xAI; Google's compatible
    endpoint does not even name it); cached tokens are part of the input, but not with
    every gateway. A total that is too small says nothing.
    """
    rest = (total or 0) - counts.get("input_tokens", 0) - counts.get("output_tokens", 0)
    if rest <= 0:
        return counts
    read, written = (
        counts.get("cache_read_tokens", 0),
        counts.get("cache_write_tokens", 0),
    )
    left_out = rest in (read, written, read + written) and rest != counts.get(
        "reasoning_tokens"
    )
    side = (
        "input_tokens" if left_out or "input_tokens" not in counts else "output_tokens"
    )
    return {**counts, side: counts.get(side, 0) + rest}
