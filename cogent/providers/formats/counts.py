"""Token counts as servers send them: under several names, as text or a fraction, or as
no number at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Counts = dict[str, int]  # under the names of `Usage`


def count(value: Any) -> int | None:
    """The value as a count, if it is one.

    None for what is none: a bool, a negative number, a word, nothing.
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
    first = None
    for number in map(count, values):
        if number:
            return number
        if first is None:
            first = number
    return first


def known(counts: Mapping[str, object]) -> Counts:
    """Those of the named values that are counts."""
    numbers: Counts = {}
    for name, value in counts.items():
        number = count(value)
        if number is not None:
            numbers[name] = number
    return numbers


def match_total(counts: Counts, total: int | None) -> Counts:
    """The counts with what only the server's own total holds, so that input and output
    add up to it.

    Reasoning is part of the output, but not with every server (xAI; Google's compatible
    endpoint does not even name it); cached tokens are part of the input, but not with
    every gateway. A total that is too small says nothing.
    """
    rest = total or 0
    rest -= counts.get("input_tokens", 0)
    rest -= counts.get("output_tokens", 0)
    if rest <= 0:
        return counts
    read = counts.get("cache_read_tokens", 0)
    written = counts.get("cache_write_tokens", 0)
    is_cache = rest in (read, written, read + written)
    is_reasoning = rest == counts.get("reasoning_tokens")
    side = "output_tokens"
    if "input_tokens" not in counts or (is_cache and not is_reasoning):
        side = "input_tokens"
    return {**counts, side: counts.get(side, 0) + rest}
