"""What users may rely on stays as it is, until somebody means to change it."""

import os
import re
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

from support import surface

import cogent

HOW = (
    "the public surface is another one. If that is meant, `uv run python tests/support/surface.py` writes it anew; "
    "a line that goes or changes breaks users, and belongs into the changelog."
)


def test_the_public_surface_is_the_one_that_was_written_down() -> None:
    """Names, signatures, attributes and base classes of everything public."""
    written = surface.FILE.read_text("utf-8").splitlines()
    changes = list(unified_diff(written, surface.surface(), "written", "now", n=0))
    assert not changes, "\n".join([HOW, *changes])


def test_it_is_the_same_on_every_machine() -> None:
    """Nothing of an address in memory, a path or the order of a set is in it."""
    text = surface.FILE.read_text("utf-8")
    assert not re.search(r" at 0x|/home/|site-packages", text)
    root = Path(cogent.__file__).parents[1]
    program = "from support import surface; print(*surface.surface(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": "tests"},
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=300,
    )
    assert done.stdout == text


def test_all_names_are_sorted_and_there() -> None:
    """`__all__` is in order, and names nothing that is not there."""
    names = list(cogent.__all__)
    assert names == sorted(names)
    assert all(hasattr(cogent, name) for name in names)
