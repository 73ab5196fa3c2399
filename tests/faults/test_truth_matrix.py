"""The truth matrix of `soak/truth.py`, one test for each SDK and format and each way in which an answer goes wrong."""

from collections.abc import Iterator

import pytest
from conftest import SDK_WIRES
from soak.truth import FAULTS, Bed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=SDK_WIRES, ids=lambda wire: wire.name)
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """Each wire in turn, with a server and an event loop for all of its faults."""
    with Bed(request.param) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_told_as_it_was(bed: Bed, fault: str) -> None:
    """Wherever this fault strikes an answer, its error or end, text, calls, usage and history say what really came."""
    verdicts = bed.verdicts(fault)
    wrong = [f"{cell}: {'; '.join(found)}" for cell, found in verdicts.items() if found]
    assert not wrong, f"{len(wrong)} of {len(verdicts)} cells are wrong:\n" + "\n".join(
        wrong
    )
