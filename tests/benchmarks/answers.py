"""What the server says and what the tool returns: the one thing that all sides agree on."""

QUESTION = "Say something."
ROUND_TRIP = 10  # deltas of the text after a tool's result
RESULT = "The result of"


def words(count: int) -> list[str]:
    """The deltas of a text."""
    return [f" word{number}" for number in range(count)]


def result(asked: str) -> str:
    """What the tool returns, and what tells a request that holds it from the one before."""
    return f"{RESULT} {len(asked)} characters"
