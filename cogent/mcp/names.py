"""Names of tools as every provider takes them."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_CHARS = 64
NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def tool_names(given: Sequence[str], prefix: str) -> list[str]:
    """The names, with the prefix before each: `[A-Za-z0-9_-]{1,64}`, all different."""
    taken: set[str] = set()
    names: list[str] = []
    for one in given:
        name = _free_name(NOT_IN_NAMES.sub("_", prefix + one) or "_", taken)
        taken.add(name)
        names.append(name)
    return names


def _free_name(name: str, taken: set[str]) -> str:
    """The name cut to its length, with a number at its end if it is taken."""
    free, number = name[:MAX_CHARS], 1
    while free in taken:
        number += 1
        ending = f"_{number}"
        free = name[: MAX_CHARS - len(ending)] + ending
    return free
