"""What a server says of an error, before it is known what that means.

Decoders and hooks find such errors and raise them as `ReportedError`; a provider's
`read_error` knows where its SDK's exceptions keep the same. `errors.py` makes
ModelErrors of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cogent.transport.error_body import is_error


class ReportedError(Exception):
    """A server reports an error: `body` is a decoded JSON value, or text.

    `status` is that of the HTTP answer: 200 for an error in the place of an answer, or
    amid one.
    """

    def __init__(self, body: object, status: int = 200) -> None:
        super().__init__(body)
        self.body = body
        self.status = status


@dataclass(slots=True)
class ErrorReport:
    """What an exception knows of an error that a server reported.

    `body` is a decoded JSON value, or text; None if the server gave no reason. `code`
    says more than the codes in the usual places of the body. `retry_after` is in
    seconds, for servers that do not say it in a header. `request` is what was sent, as
    the HTTP client has it: its `url` and `headers` are read. `response` is its answer,
    of an SDK that leaves it open. `hint` says what helps.
    """

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    retry_after: float | None = None
    request: Any = None
    response: Any = None
    hint: str = ""


def raise_reported(value: object) -> None:
    """Raise the error that a JSON value reports in the place of an answer, if it
    reports one.
    """
    if is_error(value):
        raise ReportedError(value)
