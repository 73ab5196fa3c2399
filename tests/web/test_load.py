"""Many clients on one worker, in small; `tests/soak/web_load.py` does it with 500."""

from pathlib import Path

import pytest
from soak.web_load import measure


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
async def test_many_clients_get_answers_of_their_own() -> None:
    """No answer is cut or mixed with another, also while others leave; memory does not grow with those that went."""
    outcome = await measure(clients=20, rounds=3, pause=0.02, arrival=0.2)
    assert outcome.wrong == []
    assert outcome.whole == 18 * 3
    *_, before, after = outcome.memory
    assert after - before < 8, "MiB"
