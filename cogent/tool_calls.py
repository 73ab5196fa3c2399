"""A tool call of the model, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cogent.content import ContentPart
from cogent.content_json import part_to_dict, read_parts
from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.validation import shown


@dataclass(slots=True)
class ToolResult:
    """What one tool call gave.

    `content` is what the model reads, `duration` is in seconds. `parts` are its texts,
    Images and Files, where it gave more than text. `provider_executed` says that the
    provider ran the tool itself: `content` is then the result as the provider tells it,
    as JSON where it is no plain text, and `duration` is 0.

    >>> model = ScriptedModel([ToolCall("c1", "divide", {"a": 6, "b": 3})], "It is 2.")
    >>> response = Agent("adder", model, tools=[divide]).run_sync("6 / 3?")
    >>> response.tool_calls[0].result.content
    '2.0'
    """

    id: str
    name: str
    content: str
    is_error: bool = False
    duration: float = 0.0
    parts: list[ContentPart] = field(default_factory=list)
    provider_executed: bool = False

    def to_dict(self) -> Json:
        """The fields as JSON, `parts` and `provider_executed` only where they are set."""
        data: Json = {
            "id": self.id,
            "name": self.name,
            "content": self.content,
            "is_error": self.is_error,
            "duration": self.duration,
        }
        if self.parts:
            data["parts"] = [part_to_dict(part) for part in self.parts]
        if self.provider_executed:
            data["provider_executed"] = True
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ToolResult:
        """Read what `to_dict` wrote."""
        values = dict(data)
        values["parts"] = read_parts(values.get("parts", []))
        return cls(**values)


@dataclass(slots=True)
class ToolCall:
    """A call that the model asked for.

    `arguments` is an object, or the model's own string where that is no JSON object.
    `result` is None until the tool has ended, and stays None for a call that was never
    run. `type` is "function", or the provider's type of a call that it leaves to its
    client, like "local_shell_call". `provider_executed` says that the provider runs the
    tool itself: nobody here answers the call, and no message has it in its `tool_calls`.

    >>> model = ScriptedModel([ToolCall("c1", "divide", {"a": 6, "b": 3})], "It is 2.")
    >>> for call in Agent("adder", model, tools=[divide]).run_sync("6 / 3?").tool_calls:
    ...     print(call.name, call.arguments)
    divide {'a': 6, 'b': 3}
    """

    id: str
    name: str
    arguments: Json | str
    result: ToolResult | None = None
    type: str = "function"
    provider_executed: bool = False

    def to_dict(self) -> Json:
        """The call alone: `{"id", "name", "arguments"}`.

        One that is no function has its `type` too, and one that the provider runs
        `"provider_executed": True`.
        """
        call: Json = {"id": self.id, "name": self.name, "arguments": self.arguments}
        if self.type != "function":
            call["type"] = self.type
        if self.provider_executed:
            call["provider_executed"] = True
        return call


def call_with_result(call: ToolCall) -> Json:
    """The call as JSON together with its `result`, which may be None."""
    result = None if call.result is None else call.result.to_dict()
    return {**call.to_dict(), "result": result}


def read_call(data: object, path: str) -> ToolCall:
    """The call that `ToolCall.to_dict` or `call_with_result` wrote."""
    if isinstance(data, ToolCall):
        return data
    if not isinstance(data, Mapping):
        raise ConfigurationError(
            f"not a message: {path} is a dict with id, name and arguments; "
            f"got {shown(data)}"
        )
    missing = [name for name in ("id", "name", "arguments") if name not in data]
    if missing:
        raise ConfigurationError(f"not a message: {path} has no {', '.join(missing)}")
    result = data.get("result")
    return ToolCall(
        data["id"],
        data["name"],
        data["arguments"],
        None if result is None else ToolResult.from_dict(result),
        data.get("type", "function"),
        data.get("provider_executed", False),
    )
