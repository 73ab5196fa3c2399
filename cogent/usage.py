"""What a run cost, and what its turns were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cogent.json_values import Json, copy_json

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(slots=True)
class Usage:
    """Tokens of a turn or a run.

    `input_tokens` includes cache reads and writes, `output_tokens` includes reasoning,
    as in the OpenTelemetry GenAI conventions. They are `estimated` when the provider
    gave no figures and they were counted here.

    >>> model = ScriptedModel(["The Nile.", Usage(input_tokens=12, output_tokens=3)])
    >>> Agent("writer", model).run_sync("Name a river.").turns[0].usage.total_tokens
    15
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Usage:
        """Read what `to_dict` wrote."""
        counts = dict(data)
        counts.pop("total_tokens", None)  # the sum of two others
        return cls(**counts)


@dataclass(slots=True)
class TurnSummary:
    """One answer of the model: its text, why it ended, what it cost, who gave it, and
    what else the provider tells of it.

    >>> model = ScriptedModel([ToolCall("c1", "divide", {"a": 6, "b": 3})], "It is 2.")
    >>> response = Agent("adder", model, tools=[divide]).run_sync("6 / 3?")
    >>> [(turn.content, turn.finish_reason) for turn in response.turns]
    [('', 'tool_calls'), ('It is 2.', 'stop')]
    """

    content: str
    finish_reason: FinishReason | None
    raw_finish_reason: str | None
    model: str
    usage: Usage
    request_id: str | None = None
    provider_details: Json = field(default_factory=dict)
    provider: str = ""

    def to_dict(self) -> Json:
        """The fields as JSON, `provider_details` only where there are any."""
        data: Json = {
            "content": self.content,
            "finish_reason": self.finish_reason,
            "raw_finish_reason": self.raw_finish_reason,
            "model": self.model,
            "usage": self.usage.to_dict(),
            "request_id": self.request_id,
            "provider": self.provider,
        }
        if self.provider_details:
            data["provider_details"] = copy_json(self.provider_details)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TurnSummary:
        """Read what `to_dict` wrote."""
        values = dict(data)
        values["usage"] = Usage.from_dict(values["usage"])
        return cls(**values)
