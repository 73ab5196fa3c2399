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
    """Whatever cogent raises on purpose.

    >>> agent = Agent("writer", ScriptedModel(Overloaded("try later")))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except CogentError as error:
    ...     print(error)
    scripted:model: try later
    """

    partial: Response | None = None


class ConfigurationError(CogentError):
    """The agent, a tool, a model string or a message is not usable as written.

    >>> try:
    ...     Agent("", "gpt-5.4")
    ... except ConfigurationError as error:
    ...     print(error)
    an agent's name is a string that is not empty; got ''
    """


class PlaybackError(ConfigurationError):
    """A script or recording of `cogent.testing` has no answer to what was asked.

    It ends the run, also where there is another model to ask.

    >>> model = ScriptedModel("The only answer.")
    >>> try:
    ...     print([Agent("writer", model).run_sync(question) for question in "AB"])
    ... except PlaybackError as error:
    ...     print(str(error).partition(":")[0])
    the script has no answer for request 2
    """


class ModelError(CogentError):
    """The provider failed.

    `status` is the HTTP status (200 for an error inside a stream), `code` the
    provider's name for the error, `retry_after` seconds that the provider asked to wait.
    `retryable` says whether asking again may help.

    >>> agent = Agent("writer", ScriptedModel(ModelError("no voice", code="voice")))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except ModelError as error:
    ...     print(error.code, error.retryable)
    voice False
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
    """The provider does not accept the key.

    >>> agent = Agent("writer", ScriptedModel(AuthenticationError("no", status=401)))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except AuthenticationError as error:
    ...     print(error.status)
    401
    """


class PermissionDenied(ModelError):
    """The key is good, but may not do this.

    >>> agent = Agent("writer", ScriptedModel(PermissionDenied("no", status=403)))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except PermissionDenied as error:
    ...     print(error.status)
    403
    """


class ModelNotFound(ModelError):
    """The provider has no such model, or the `base_url` no such path.

    >>> agent = Agent("writer", ScriptedModel(ModelNotFound("no gpt-0", status=404)))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except ModelNotFound as error:
    ...     print(error.status)
    404
    """


class BadRequest(ModelError):
    """The provider refuses the request as it is.

    >>> agent = Agent("writer", ScriptedModel(BadRequest("no such role", code="role")))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except BadRequest as error:
    ...     print(error.code)
    role
    """


class ContextTooLong(BadRequest):
    """The conversation is longer than the model's context.

    >>> agent = Agent("writer", ScriptedModel(ContextTooLong("200001 tokens")))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except ContextTooLong as error:
    ...     print("too long for", error.model)
    too long for model
    """


class RateLimited(ModelError):
    """Too many requests or tokens in a while, or a quota that is used up.

    With a used-up quota it is not retryable.

    >>> agent = Agent("writer", ScriptedModel(RateLimited("slow down", retry_after=20)))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except RateLimited as error:
    ...     print("again in", error.retry_after, "seconds")
    again in 20 seconds
    """

    retryable = True


class Overloaded(ModelError):
    """The provider has no capacity at the moment.

    >>> agent = Agent("writer", ScriptedModel(Overloaded("try later")))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except Overloaded as error:
    ...     print(error.retryable)
    True
    """

    retryable = True


class ServerError(ModelError):
    """The provider failed, or sent something that is no answer.

    >>> agent = Agent("writer", ScriptedModel(ServerError("bad gateway", status=502)))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except ServerError as error:
    ...     print(error.status, error.retryable)
    502 True
    """

    retryable = True


class ConnectionFailed(ModelError):
    """The server could not be reached.

    >>> agent = Agent("writer", ScriptedModel(ConnectionFailed("no route to host")))
    >>> try:
    ...     agent.run_sync("Hello")
    ... except ConnectionFailed as error:
    ...     print(error)
    scripted:model: no route to host
    """

    retryable = True


class ModelTimeout(ModelError):
    """A limit of time was reached.

    `kind` is `"connect"`, `"first"` (no content yet), `"stall"` (content stopped
    coming), `"total"` (the whole run), `"idle"` (nobody asked for the next chunk) or
    `"request"` (a limit of the SDK or the server).

    >>> agent = Agent("writer", ScriptedModel([Delay(60), "Hello."]), timeout=0.01)
    >>> try:
    ...     agent.run_sync("Hello")
    ... except ModelTimeout as error:
    ...     print(error.kind)
    total
    """

    retryable = True

    def __init__(
        self, message: str, *, kind: str = "request", **details: object
    ) -> None:
        # The fields of ModelError are passed on.
        super().__init__(message, **details)  # type: ignore[arg-type]
        self.kind = kind


class StreamInterrupted(ModelError):
    """The answer ended before it was complete; `partial` has what came of it.

    >>> agent = Agent("writer", ScriptedModel(["The sea", Cut()]), stream=True)
    >>> try:
    ...     agent.run_sync("Write about the sea.")
    ... except StreamInterrupted as error:
    ...     print(error.partial.content)
    The sea
    """

    retryable = True


class ToolError(CogentError):
    """A tool failed that was declared with `on_error="raise"`.

    The tool's own exception is `__cause__`.

    >>> model = ScriptedModel([ToolCall("c1", "divide", {"a": 1, "b": 0})])
    >>> try:
    ...     Agent("a", model, tools=[Tool(divide, on_error="raise")]).run_sync("1 / 0?")
    ... except ToolError as error:
    ...     print(type(error.__cause__).__name__)
    ZeroDivisionError
    """


class OutputError(CogentError):
    """The answer is not of the `output_type`, also after the model read why.

    `problems` say what is wrong, one sentence each: of an answer that was cut off or
    refused, that it was. `partial` has what came.

    >>> agent = Agent("counter", ScriptedModel("many", "a lot"), output_type=int)
    >>> try:
    ...     agent.run_sync("How many rivers are there?")
    ... except OutputError as error:
    ...     print(error.partial.content)
    a lot
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems: list[str] = list(problems)


class MaxStepsExceeded(CogentError):
    """The model asked for tools in each of `max_steps` turns.

    They ran, and `partial` holds their results.

    >>> model = ScriptedModel([ToolCall("c1", "divide", {"a": 6, "b": 3})])
    >>> try:
    ...     Agent("a", model, tools=[divide], max_steps=1).run_sync("6 / 3?")
    ... except MaxStepsExceeded as error:
    ...     print(error.partial.tool_calls[0].result.content)
    2.0
    """
