"""What is wrong with a request's body."""

from __future__ import annotations

from cogent.errors import ConfigurationError
from cogent.json_values import Json


class BadInput(ConfigurationError):  # noqa: N818  # as all of cogent's errors
    """A request that asks nothing that a run could answer; no model is asked.

    `status` is the HTTP status that says so: 400, 413 (too large) or 415 (no JSON). The
    message is one sentence, for whoever sent it.

    >>> try:
    ...     parse_question('{"message": 42}')
    ... except BadInput as error:
    ...     print(error.status, error.to_dict()["kind"])
    400 BadInput
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    def to_dict(self) -> Json:
        """`kind`, `message` and `retryable`, as in the event `failed`."""
        return {"kind": "BadInput", "message": str(self), "retryable": False}
