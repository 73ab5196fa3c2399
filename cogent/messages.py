"""The values of a conversation: what was said, what was called, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, Literal, get_args

from cogent.content import ContentPart, File, Image, has_media, text_of
from cogent.content_json import FORM_VERSION, check_version, part_to_dict, read_parts
from cogent.errors import ConfigurationError
from cogent.json_values import (
    Json,
    UnsendableError,
    check_json,
    check_text,
    copy_json,
)
from cogent.output import plain_json
from cogent.reprs import line, names, total_tokens
from cogent.sources import Source, read_beside, write_beside
from cogent.tool_calls import ToolCall, ToolResult, call_with_result, read_call
from cogent.type_variables import Out
from cogent.usage import FinishReason, TurnSummary, Usage
from cogent.validation import check_fields, shown

__all__ = [
    "FinishReason",
    "Message",
    "Response",
    "Role",
    "ToolCall",
    "ToolResult",
    "TurnSummary",
    "Usage",
]

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(slots=True)
class Message:
    """One entry of a conversation.

    A `tool` message answers the call named by `tool_call_id`. `items` are the
    provider's own pieces of an assistant message (reasoning with its signature or
    encrypted content, calls, text), sent back unchanged and in order to the server that
    made them: the same `provider` at the same `address`. Any other server gets
    `content`, `parts` and `tool_calls`. `address` is scheme, host, port and path of
    that server, without credentials, or "local"; None where it is not known, and then
    every server of the provider counts as the one.

    `parts` are the texts, Images and Files of a `user` or `tool` message, in the order
    in which the model sees them; empty where there is nothing but text. `content` is
    then their text.

    >>> history = [Message("user", "I am Ada."), Message("assistant", "Hello, Ada.")]
    >>> agent = Agent("writer", ScriptedModel("You are Ada."))
    >>> print(agent.run_sync("Who am I?", history=history))
    You are Ada.
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
    parts: list[ContentPart] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check_role(self.role)
        if not isinstance(self.content, str):
            raise TypeError(
                f"a message's content is a string; got {type(self.content).__name__}"
            )
        if self.parts and isinstance(self.parts, list):
            self._join_text()

    def _join_text(self) -> None:
        """Give `content` the text of the parts, or the parts the text of `content`."""
        text = text_of(self.parts)
        if not self.content:
            self.content = text
        elif not text:
            self.parts = [self.content, *self.parts]

    def __repr__(self) -> str:
        return line(
            "Message",
            self.role,
            self.content,
            reasoning=self.reasoning,
            tool_calls=names(self.tool_calls),
            tool_call_id=self.tool_call_id,
            is_error=self.is_error,
            parts=[type(part).__name__ for part in self.parts],
        )

    def to_dict(self) -> Json:
        """A JSON-safe dict without the empty fields; `from_dict` reads it back.

        Its keys are the fields' names: `role` and `content` (always there),
        `tool_calls` (dicts with `id`, `name` and `arguments`), `tool_call_id`, `name`,
        `is_error`, `reasoning`, `provider`, `address`, `items` and `parts`.

        A part is `{"type": "text", "text"}`, or has the type "image" or "file", with
        `data` (base64) or `url`, and with `media_type` and `name` where they are known.
        A message with parts has a `version` too.
        """
        data: Json = {"role": self.role, "content": self.content}
        for name in FIELDS_OF_MESSAGE:
            value = getattr(self, name)
            if value:
                data[name] = value
        if self.tool_calls:
            data["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        if self.parts:
            data["parts"] = [part_to_dict(part) for part in self.parts]
            data["version"] = FORM_VERSION
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Message:
        """Read what `to_dict` wrote; `{"role", "content"}` is enough.

        Raises ConfigurationError.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(
                'a message is a dict like {"role": "user", "content": "..."}; '
                f"got {shown(data)}"
            )
        check_version(data)
        unknown = data.keys() - FIELDS_OF_MESSAGE - {"version"}
        if unknown:
            raise ConfigurationError(
                f"not a message: unknown keys {', '.join(map(shown, unknown))}"
            )
        if "role" not in data:
            raise ConfigurationError("not a message: no role")
        values: Json = dict(data)
        values.pop("version", None)
        if "parts" in values:
            values["parts"] = read_parts(values["parts"])
        calls = values.get("tool_calls", [])
        if isinstance(calls, list | tuple):
            values["tool_calls"] = [
                read_call(call, f"tool_calls[{place}]")
                for place, call in enumerate(calls)
            ]
        try:
            message = cls(**values)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"not a message: {error}") from None
        message.check()
        return message

    def check(self) -> None:
        """Raise ConfigurationError for a field that cannot be sent.

        Either it has another type than it says, or it holds what JSON cannot.
        """
        try:
            _check_role(self.role)
            if self.parts:
                self._check_parts()
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

    def _check_parts(self) -> None:
        if not isinstance(self.parts, list):
            raise ValueError(f"parts is a list; got {type(self.parts).__name__}")
        for place, part in enumerate(self.parts):
            if not isinstance(part, str | Image | File):
                raise ValueError(
                    f"parts[{place}] is a string, an Image or a File; "
                    f"got {type(part).__name__}"
                )
        if self.role not in ("user", "tool") and has_media(self.parts):
            raise ValueError(
                "only user and tool messages have Images and Files; "
                f"this one's role is {self.role}"
            )
        if text_of(self.parts) != self.content:
            raise ValueError("content and parts hold different texts")


FIELDS_OF_MESSAGE = tuple(field.name for field in fields(Message))


def _check_role(role: object) -> None:
    if role not in ROLES:
        raise ValueError(f"a message's role is one of {', '.join(ROLES)}; got {role!r}")


@dataclass(slots=True)
class Response(Generic[Out]):
    """A whole run, or as much of one as there was.

    `content` is all text of the run, exactly what a stream's chunks add up to.
    `finish_reason` is None when the run did not end by itself. `metadata` is the final
    chunk's. `messages` is the whole conversation: pass it as `history=` to go on.
    `turns` has one entry per answer of the model. `pending` are calls that wait for an
    answer, which the next run takes as `results=` or `approvals=`. `output` is the answer
    as a value of the run's `output_type`, once the run has ended with one; `content` is
    then the text since the model was last asked to answer again. `tool_calls` has those
    that the provider ran itself too (`provider_executed`), unlike messages and
    `metadata`. `sources` are what the answer cites, `files` what the model made.

    What the code of an Anthropic model made stays with Anthropic, and is not in `files`.
    It is fetched by its id with Anthropic's own client:

        for turn in response.turns:
            for id in turn.provider_details.get("file_ids", []):
                content = await AsyncAnthropic().files.download(id)
                await content.write_to_file(id)

    >>> response = Agent("writer", ScriptedModel("The Nile.")).run_sync("Name a river.")
    >>> print(response, response.finish_reason, len(response.messages))
    The Nile. stop 2
    """

    content: str
    finish_reason: FinishReason | None
    metadata: Json
    messages: list[Message]
    tool_calls: list[ToolCall]
    turns: list[TurnSummary]
    pending: list[ToolCall] = field(default_factory=list)
    output: Out = None  # type: ignore[assignment]  # before the end
    sources: list[Source] = field(default_factory=list)
    files: list[Image | File] = field(default_factory=list)
    _shown_in_cell: int | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __repr__(self) -> str:
        return line(
            "Response",
            self.content,
            finish_reason=self.finish_reason,
            output=self.output,
            model=self.metadata.get("model"),
            tokens=total_tokens(self.metadata),
            turns=len(self.turns),
            tool_calls=names(self.tool_calls),
            pending=names(self.pending),
        )

    def __str__(self) -> str:
        return self.content

    def _repr_markdown_(self) -> str:
        """The content for a notebook, where the tags of a model stay text."""
        from cogent.display.safe_markdown import safe_markdown

        return safe_markdown(self.content)

    def _ipython_display_(self) -> None:
        """Show nothing as the value of the cell in which `show()` has shown the run."""
        from cogent.display import cell_number

        if self._shown_in_cell is None or self._shown_in_cell != cell_number():
            raise NotImplementedError  # IPython then takes the next representation

    def to_dict(self) -> Json:
        """The response as JSON; `from_dict` reads it back as an equal one.

        Its keys are `version` (1) and the fields' names. `messages` are written as
        `Message.to_dict` does, a call as `{"id", "name", "arguments"}` with its `type`
        unless that is "function", in `tool_calls` also with its `result`. An `output` is
        written as plain JSON values. `sources` and `files` (written like the parts of a
        message) are there where there are any.
        """
        results = {call.id: call.result for call in self.tool_calls}
        data: Json = {
            "version": FORM_VERSION,
            "content": self.content,
            "finish_reason": self.finish_reason,
            "metadata": copy_json(self.metadata),
            "messages": [_write_message(message, results) for message in self.messages],
            "tool_calls": [call_with_result(call) for call in self.tool_calls],
            "turns": [turn.to_dict() for turn in self.turns],
            "pending": [call.to_dict() for call in self.pending],
        }
        if self.output is not None:
            data["output"] = plain_json(self.output)
        return data | write_beside(self.sources, self.files)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Response[Any]:
        """Read what `to_dict` wrote; the output stays plain JSON values.

        Raises ConfigurationError.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(
                f"a response is what its to_dict() gave; got {shown(data)}"
            )
        check_version(data)
        values = dict(data)
        values.pop("version", None)
        try:
            calls = [read_call(call, "tool_calls") for call in values["tool_calls"]]
            results = {call.id: call.result for call in calls}
            values["tool_calls"] = calls
            values["messages"] = [
                _read_message(message, results) for message in values["messages"]
            ]
            values["turns"] = [TurnSummary.from_dict(turn) for turn in values["turns"]]
            values["pending"] = [
                read_call(call, "pending") for call in values["pending"]
            ]
            return cls(**(values | read_beside(values)))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigurationError(f"not a response: {reason}") from error


Results = Mapping[str, ToolResult | None]


def _write_message(message: Message, results: Results) -> Json:
    """The message, whose calls have their results only where `results` has others."""
    written = message.to_dict()
    if message.tool_calls:
        written["tool_calls"] = [
            call.to_dict()
            if call.result == results.get(call.id)
            else call_with_result(call)
            for call in message.tool_calls
        ]
    return written


def _read_message(data: Mapping[str, Any], results: Results) -> Message:
    message = Message.from_dict(data)
    for call, written in zip(
        message.tool_calls, data.get("tool_calls", ()), strict=True
    ):
        if "result" not in written:
            call.result = results.get(call.id)
    return message
