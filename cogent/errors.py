"""Everything that cogent raises, one family whichever provider answers.

    CogentError
    ├── ConfigurationError        what the caller wrote is wrong; before a request
    │                             where it can be known
    │   └── PlaybackError         a test's script or recording has no such answer
    ├── ModelError                the provider, the network or the model failed
    │   ├── AuthenticationError   401: the key is missing, wrong or expired
    │   ├── PermissionDenied      403
    │   ├── ModelNotFound         404: no such model, or no such path in `base_url`
    │   ├── BadRequest            400 and other refusals of the request itself
    │   │   └── ContextTooLong    the conversation does not fit into the context
    │   ├── RateLimited           429; not retryable when a quota is used up
    │   ├── Overloaded            the provider has no room just now
    │   ├── ServerError           5xx, or an answer that makes no sense
    │   ├── ConnectionFailed      no connection, or none that lasted to the first byte
    │   ├── ModelTimeout          too slow; `kind` says which limit
    │   └── StreamInterrupted     the answer ended before it was complete
    ├── ToolError                 a tool failed that has `on_error="raise"`
    ├── OutputError               the answer is not of the `output_type`
    └── MaxStepsExceeded          the model still asked for tools after `max_steps`

An error that ends a run carries in `partial` the `Response` as far as it came. The
SDK's own error is `__cause__`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogent.messages import Response


class CogentError(Exception):
    """Whatever cogent raises on purpose."""

    partial: Response | None = None


class ConfigurationError(CogentError):
    """The agent, a tool, a model string or a message is not usable as written."""


class PlaybackError(ConfigurationError):
    """A script or recording of `cogent.testing` has no answer to what was asked.

    It ends the run, also where there is another model to ask.
    """


class ModelError(CogentError):
    """The provider failed.

    `status` is the HTTP status (200 for an error inside a stream), `code` the
    provider's name for the error, `retry_after` seconds that the provider asked to wait.
    `retryable` says whether asking again may help.
    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        code: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        partial: Response | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after
        self.request_id = request_id
        self.partial = partial

    def __str__(self) -> str:
        text = super().__str__()
        if self.provider:
            text = f"{self.provider}:{self.model}: {text}"
        code = None if self.code == str(self.status) else self.code
        details = [
            str(detail)
            for detail in (self.status, code, self.request_id)
            if detail is not None
        ]
        return f"{text} ({', '.join(details)})" if details else text


class AuthenticationError(ModelError):
    """The provider does not accept the key."""


class PermissionDenied(ModelError):
    """The key is good, but may not do this."""


class ModelNotFound(ModelError):
    """The provider has no such model, or the `base_url` no such path."""


class BadRequest(ModelError):
    """The provider refuses the request as it is."""


class ContextTooLong(BadRequest):
    """The conversation is longer than the model's context."""


class RateLimited(ModelError):
    """Too many requests or tokens in a while, or a quota that is used up.

    With a used-up quota it is not retryable.
    """

    retryable = True


class Overloaded(ModelError):
    """The provider has no capacity at the moment."""

    retryable = True


class ServerError(ModelError):
    """The provider failed, or sent something that is no answer."""

    retryable = True


class ConnectionFailed(ModelError):
    """The server could not be reached."""

    retryable = True


class ModelTimeout(ModelError):
    """A limit of time was reached.

    `kind` is `"connect"`, `"first"` (no content yet), `"stall"` (content stopped
    coming), `"total"` (the whole run), `"idle"` (nobody asked for the next chunk) or
    `"request"` (a limit of the SDK or the server).
    """

    retryable = True

    def __init__(
        self, message: str, *, kind: str = "request", **details: object
    ) -> None:
        # The fields of ModelError are passed on.
        super().__init__(message, **details)  # type: ignore[arg-type]
        self.kind = kind


class StreamInterrupted(ModelError):
    """The answer ended before it was complete; `partial` has what came of it."""

    retryable = True


class ToolError(CogentError):
    """A tool failed that was declared with `on_error="raise"`.

    The tool's own exception is `__cause__`.
    """


class OutputError(CogentError):
    """The answer is not of the `output_type`, also after the model read why.

    `problems` say what is wrong, one sentence each: of an answer that was cut off or
    refused, that it was. `partial` has what came.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems: list[str] = list(problems)


class MaxStepsExceeded(CogentError):
    """The model asked for tools in each of `max_steps` turns.

    They ran, and `partial` holds their results.
    """
