"""The simulation of a service on Ray, and the tables in the README beside it that it made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "ray"
TABLE = re.compile(r"^    \$ python (\S+)(.*)\n((?:    .+\n)+)", re.MULTILINE)


def run(*arguments: str) -> str:
    """What `python examples/ray/capacity.py` prints."""
    command = [sys.executable, "-W", "error", str(FOLDER / "capacity.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def rows(printed: str) -> list[list[float]]:
    """The numbers of the table's rows."""
    lines = [line for line in printed.splitlines() if line.count("|") == 6]
    return [[float(cell.strip(" %")) for cell in line.split("|")] for line in lines[1:]]


def test_the_tables_of_the_readme_are_what_the_program_prints() -> None:
    """Each table there stands below the command that makes it, to the digit."""
    found = TABLE.findall((FOLDER / "README.md").read_text("utf-8"))
    assert len(found) == 4
    for program, arguments, table in found:
        assert program == "examples/ray/capacity.py"
        assert run(*arguments.split()) == re.sub("^    ", "", table, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("option", "more"),
    [("--streams-per-day", "4e6"), ("--tokens", "1200"), ("--speed", "10")],
)
def test_more_load_needs_more_replicas(option: str, more: str) -> None:
    """Four times the streams or the tokens, or streams that stay longer, need more than the service had."""
    [*_, [usual, *_]] = rows(run())
    [*_, [needed, *_]] = rows(run(option, more))
    assert needed > usual


def test_full_replicas_refuse() -> None:
    """Where places are few, streams wait and are refused, until there are replicas enough."""
    table = rows(run("--places", "10", "--waiting", "5"))
    _, _, _, _, first_p50, _, first_refused = table[0]
    _, _, _, _, last_p50, last_p99, last_refused = table[-1]
    assert first_refused > 1 and first_p50 > 10 * last_p50
    assert last_refused <= 0.1 and last_p99 <= 200
