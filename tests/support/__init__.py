"""What the tests stand on: a loopback server and the wire formats of the providers."""

import pytest

# So that an assertion in a helper shows its values as one in a test does.
pytest.register_assert_rewrite(
    "support.scene", "support.timed_runs", "support.tool_runs", "support.waiting"
)
