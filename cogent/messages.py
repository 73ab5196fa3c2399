"""The values of a conversation: what was said, what was called, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from cogent.errors import ConfigurationError
from cogent.json_values import Json, UnsendableError, check_json, check_text
from cogent.validation import check_fields, shown

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(slots=True)
class Usage:
    """Tokens of a turn or a run; `estimated` when the provider gave no figures and they
    were counted here.

    `input_tokens` includes cache reads and writes, `output_tokens` includes reasoning,
    as in the OpenTelemetry GenAI conventions.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
        )

    def to_dict(self) -> Json:
        """The six counts, and `"estimated": True` where it holds."""
        counts: Json = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }
        if self.estimated:
            counts["estimated"] = True
        return counts


@dataclass(slots=True)
class ToolResult:
    """What one tool call gave: `content` is what the model reads, `duration` is in
    seconds.
    """

    id: str
    name: str
    content: str
    is_error: bool = False
    duration: float = 0.0


@dataclass(slots=True)
class ToolCall:
    """A call that the model asked for.

    `arguments` is an object, or the model's own string where that is no JSON object.
    `result` is None until the tool has ended, and stays None for a call that was never
    run. `type` is "function", or the provider's own word for a call that it leaves to
    its client, like "local_shell_call".
    """

    id: str
    name: str
    arguments: Json | str
    result: ToolResult | None = None
    type: str = "function"

    def to_dict(self) -> Json:
        """The call alone: `{"id", "name", "arguments"}`, and the `type` of one that is
        no function.
        """
        call: Json = {"id": self.id, "name": self.name, "arguments": self.arguments}
        if self.type != "function":
            call["type"] = self.type
        return call


@dataclass(slots=True)
class Message:
    """One entry of a conversation.

    A `tool` message answers the call named by `tool_call_id`. `items` are the
    provider's own pieces of an assistant message (reasoning with its signature or
    encrypted content, calls, text), sent back unchanged and in order to the server that
    made them: the same `provider` at the same `address`. Any other server gets
    `content` and `tool_calls`. `address` is scheme, host, port and path of that server,
    without credentials, or "local"; None where it is not known, and then every server
    of the provider counts as the one.
    """

    role: Role
    content: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_call_id: str | None = None
    name: str | None = None
    is_error: bool = False
    reasoning: str = ""
    provider: str | None = None
    items: list[Json] = field(default_factory=list)
    address: str | None = None

    def __post_init__(self) -> None:
        _check_role(self.role)
        if not isinstance(self.content, str):
            raise TypeError(
                f"a message's content is a string; got {type(self.content).__name__}"
            )

    def to_dict(self) -> Json:
        """A JSON-safe dict without the empty fields; `from_dict` reads it back.

        Its keys are the fields' names: `role` and `content` (always there),
        `tool_calls` (dicts with `id`, `name` and `arguments`), `tool_call_id`, `name`,
        `is_error`, `reasoning`, `provider`, `address` and `items`.
        """
        data: Json = {"role": self.role, "content": self.content}
        for name in FIELDS_OF_MESSAGE:
            value = getattr(self, name)
            if value:
                data[name] = value
        if self.tool_calls:
            data["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Message:
        """Read what `to_dict` wrote, also before there was an `address`; `{"role",
        "content"}` is enough.

        Raises ConfigurationError.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(
                f'a message is a dict like {{"role": "user", "content": "..."}}; got {shown(data)}'
            )
        unknown = data.keys() - FIELDS_OF_MESSAGE
        if unknown:
            raise ConfigurationError(
                f"not a message: unknown keys {', '.join(map(shown, unknown))}"
            )
        if "role" not in data:
            raise ConfigurationError("not a message: no role")
        values: Json = dict(data)
        calls = values.get("tool_calls", [])
        if isinstance(calls, list | tuple):
            values["tool_calls"] = [
                _read_call(call, f"tool_calls[{place}]")
                for place, call in enumerate(calls)
            ]
        try:
            message = cls(**values)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"not a message: {error}") from None
        message.check()
        return message

    def check(self) -> None:
        """Raise ConfigurationError if a field has another type than it says, or holds
        what JSON cannot.
        """
        try:
            _check_role(self.role)
            check_fields(self)
        except ValueError as error:
            raise ConfigurationError(f"not a message: {error}") from None
        path = "content"
        try:
            check_text(self.content)
            path = "reasoning"
            check_text(self.reasoning)
            for place, call in enumerate(self.tool_calls):
                path = f"tool_calls[{place}].arguments"
                check_json(call.arguments)
            path = "items"
            if self.items:
                check_json(self.items)
        except UnsendableError as error:
            raise ConfigurationError(
                f"this message cannot be sent: {error.at(path)}"
            ) from None


FIELDS_OF_MESSAGE = tuple(field.name for field in fields(Message))


def _check_role(role: object) -> None:
    if role not in ROLES:
        raise ValueError(f"a message's role is one of {', '.join(ROLES)}; got {role!r}")


def _read_call(data: object, path: str) -> ToolCall:
    """The call that `ToolCall.to_dict` wrote."""
    if isinstance(data, ToolCall):
        return data
    if not isinstance(data, Mapping):
        raise ConfigurationError(
            f"not a message: {path} is a dict with id, name and arguments; got {shown(data)}"
        )
    missing = [name for name in ("id", "name", "arguments") if name not in data]
    if missing:
        raise ConfigurationError(f"not a message: {path} has no {', '.join(missing)}")
    return ToolCall(
        data["id"], data["name"], data["arguments"], type=data.get("type", "function")
    )


@dataclass(slots=True)
class TurnSummary:
    """One answer of the model: its text, why it ended, what it cost and who gave it."""

    content: str
    finish_reason: FinishReason | None
    raw_finish_reason: str | None
    model: str
    usage: Usage
    request_id: str | None = None


@dataclass(slots=True)
class Response:
    """A whole run, or as much of one as there was.

    `content` is all text of the run, exactly what a stream's chunks add up to.
    `finish_reason` is None when the run did not end by itself. `metadata` is the final
    chunk's. `messages` is the whole conversation: pass it as `history=` to go on.
    `turns` has one entry per answer of the model. `pending` are calls that wait for an
    answer, which the next run takes as `results=` or `approvals=`.
    """

    content: str
    finish_reason: FinishReason | None
    metadata: Json
    messages: list[Message]
    tool_calls: list[ToolCall]
    turns: list[TurnSummary]
    pending: list[ToolCall] = field(default_factory=list)

    def __str__(self) -> str:
        return self.content

    def _repr_markdown_(self) -> str:
        return self.content
