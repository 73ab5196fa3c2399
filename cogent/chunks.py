"""What a run yields, piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cogent.content import File, Image
from cogent.content_json import part_from_dict, part_to_dict
from cogent.json_values import Json, dump_json
from cogent.messages import FinishReason, ToolResult
from cogent.reprs import line, total_tokens
from cogent.sources import Source


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call: `arguments` is the next part of its JSON text.

    On chunks that a run yields, `index` is the call's place in its turn and `id` its
    id, both always set; `name` comes with the first piece. What the server left out, a
    provider leaves out. `provider_executed` says that the provider runs the tool itself,
    web search say: no tool of the agent is called, and the result comes by itself.

    >>> model = ScriptedModel([ToolCall("c1", "divide", {"a": 6, "b": 3})], "It is 2.")
    >>> stream = Agent("adder", model, tools=[divide]).stream_sync("6 / 3?")
    >>> print("".join(chunk.tool_call.arguments for chunk in stream if chunk.tool_call))
    {"a": 6, "b": 3}
    """

    index: int | None = None
    id: str | None = None
    name: str = ""
    arguments: str = ""
    provider_executed: bool = False

    def to_dict(self) -> Json:
        """The fields as JSON, `provider_executed` only where it holds."""
        data: Json = {
            "index": self.index,
            "id": self.id,
            "name": self.name,
            "arguments": self.arguments,
        }
        if self.provider_executed:
            data["provider_executed"] = True
        return data


@dataclass(slots=True, init=False)
class StreamChunk:
    """One step of a run's stream; `delta` is always equal to `content`.

    Text has nothing but `content`. All else has `content == ""`: `reasoning`, a piece
    of a `tool_call`, a `tool_result`, a `source` that the answer cites, a `file` that the
    model made, the end of a turn that asks for tools (`finish_reason="tool_calls"`), and,
    last and once, the end of the run (`is_final`).
    Both ends have `metadata`. So has the chunk between an answer that is not of the
    `output_type` and the next one: `{"output_retry": problems}`.

    >>> agent = Agent("writer", ScriptedModel("The Nile."))
    >>> [(each.content, each.finish_reason) for each in agent.stream_sync("A river?")]
    [('The Nile.', None), ('', 'stop')]
    """

    content: str
    delta: str
    is_final: bool
    finish_reason: FinishReason | None
    metadata: Json | None
    reasoning: str
    tool_call: ToolCallDelta | None
    tool_result: ToolResult | None
    source: Source | None
    file: Image | File | None

    # By hand, as one is made for each delta: a fifth faster than with __post_init__.
    def __init__(
        self,
        content: str = "",
        delta: str | None = None,
        is_final: bool = False,
        finish_reason: FinishReason | None = None,
        metadata: Json | None = None,
        reasoning: str = "",
        tool_call: ToolCallDelta | None = None,
        tool_result: ToolResult | None = None,
        source: Source | None = None,
        file: Image | File | None = None,
    ) -> None:
        if delta is not None and delta != content:
            raise ValueError(
                "delta is another name for content and cannot differ from it"
            )
        self.content = content
        self.delta = content
        self.is_final = is_final
        self.finish_reason = finish_reason
        self.metadata = metadata
        self.reasoning = reasoning
        self.tool_call = tool_call
        self.tool_result = tool_result
        self.source = source
        self.file = file

    def __repr__(self) -> str:
        metadata = self.metadata or {}
        return line(
            "StreamChunk",
            self.content,
            is_final=self.is_final,
            finish_reason=self.finish_reason,
            reasoning=self.reasoning,
            tool_call=self.tool_call,
            tool_result=self.tool_result,
            source=self.source,
            file=self.file,
            model=metadata.get("model"),
            tokens=total_tokens(metadata),
            output_retry=metadata.get("output_retry"),
        )

    def to_dict(self) -> Json:
        """A JSON-safe dict: the five first fields, and those of the others that are
        set.
        """
        data: Json = {
            "content": self.content,
            "delta": self.content,
            "is_final": self.is_final,
            "finish_reason": self.finish_reason,
            "metadata": self.metadata,
        }
        if self.reasoning:
            data["reasoning"] = self.reasoning
        if self.tool_call is not None:
            data["tool_call"] = self.tool_call.to_dict()
        if self.tool_result is not None:
            data["tool_result"] = self.tool_result.to_dict()
        if self.source is not None:
            data["source"] = self.source.to_dict()
        if self.file is not None:
            data["file"] = part_to_dict(self.file)
        return data

    def to_sse(self, id: str | None = None) -> str:
        """The chunk as one whole server-sent event, for those who write their own.

        It is called `token` (text), `reasoning`, `tool_call`, `tool_calls` (the end of a
        turn that asks for tools), `tool_result`, `source`, `file`, `output_retry`, or
        `done`: the final chunk. Its data is the JSON of what `to_dict` gives, without
        `delta` and what is empty; `from_dict` reads it.

            async for chunk in stream:
                await response.write(chunk.to_sse().encode())
        """
        data = {key: value for key, value in self.to_dict().items() if value}
        data.pop("delta", None)
        return write_event(self._event_name(), {"content": self.content, **data}, id)

    def _event_name(self) -> str:
        if self.is_final:
            return "done"
        for name in ("reasoning", "tool_call", "tool_result", "source", "file"):
            if getattr(self, name):
                return name
        if self.finish_reason is not None:
            return "tool_calls"
        return "output_retry" if self.metadata else "token"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StreamChunk:
        """The chunk that `to_dict` wrote."""
        values = dict(data)
        if values.get("tool_call") is not None:
            values["tool_call"] = ToolCallDelta(**values["tool_call"])
        if values.get("tool_result") is not None:
            values["tool_result"] = ToolResult.from_dict(values["tool_result"])
        if values.get("source") is not None:
            values["source"] = Source.from_dict(values["source"])
        if values.get("file") is not None:
            values["file"] = part_from_dict(values["file"], "file")
        return cls(**values)


def write_event(name: str, data: object, id: str | None = None) -> str:
    """A server-sent event whose data is JSON, in which line breaks are escaped."""
    head = "" if id is None else f"id: {id}\n"
    return f"{head}event: {name}\ndata: {dump_json(data)}\n\n"
