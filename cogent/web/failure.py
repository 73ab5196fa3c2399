"""What a page is told of a run that failed: no traceback, and no key."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from cogent.errors import CogentError
from cogent.json_values import Json

UNKNOWN = "Something went wrong on the server."
STOPPED = "The run was stopped before its end."


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no whole answer.

    `kind` is the name of the error's class, `retryable` says whether asking again may
    help.

    >>> failure = describe_error(RateLimited("slow down"))
    >>> failure.kind, failure.message, failure.retryable
    ('RateLimited', 'slow down', True)
    """

    kind: str
    message: str
    retryable: bool

    def to_dict(self) -> Json:
        """The three fields as JSON."""
        return asdict(self)


WAS_STOPPED = Failure("StreamInterrupted", STOPPED, retryable=True)


def describe_error(error: Exception) -> Failure:
    """What a page may show of an error.

    Cogent's own errors have messages without keys. Of any other exception the message
    may hold anything, so that a page gets none of it.

    >>> describe_error(ZeroDivisionError("the password is 1234")).message
    'Something went wrong on the server.'
    """
    if not isinstance(error, CogentError):
        return Failure("ServerError", UNKNOWN, retryable=False)
    retryable = bool(getattr(error, "retryable", False))
    return Failure(type(error).__name__, str(error), retryable)
