"""The errors themselves: one family, that can be pickled and imported."""

import pickle
from collections.abc import Iterator

import pytest

from cogent import (
    CogentError,
    ConfigurationError,
    ModelError,
    ModelTimeout,
    RateLimited,
)

SAMPLES = [
    ModelError(
        "m",
        provider="openai",
        model="g",
        status=500,
        code="c",
        retry_after=1.5,
        request_id="r",
    ),
    RateLimited("m", retryable=False),
    ModelTimeout("m", kind="stall", provider="openai", model="g"),
    ConfigurationError("m"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: CogentError) -> None:
    """An unpickled error has the same class, text and fields."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (
        type(error),
        str(error),
        vars(error),
    )


def _family(kind: type[CogentError]) -> Iterator[type[CogentError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _family(inner)


def test_no_error_shadows_a_builtin() -> None:
    """The names of our errors can be imported beside Python's own."""
    import builtins

    assert [
        kind.__name__
        for kind in _family(CogentError)
        if hasattr(builtins, kind.__name__)
    ] == []
