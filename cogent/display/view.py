"""What a run shows, whatever it is shown on: text, reasoning, tools, files, figures."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content import File, Image
from cogent.display.printable import one_line, shorten
from cogent.json_values import Json
from cogent.messages import Response, ToolResult
from cogent.sources import Source

MAX_ARGUMENTS_CHARS = 80  # of a call's heading
ENDINGS = {
    "length": "cut at the token limit",
    "content_filter": "ended by a content filter",
    "tool_calls": "waits for an answer to its calls",
}


@dataclass(slots=True, eq=False)
class Text:
    """Text of the answer, or reasoning, that came in one go."""

    is_reasoning: bool = False
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.pieces)


@dataclass(slots=True, eq=False)
class Call:
    """A tool call: its arguments as they come, and what it gave."""

    id: str
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    arguments: Json | str | None = None  # once they are whole
    result: ToolResult | None = None
    state: str = "asked for"

    def heading(self) -> str:
        """The call in one short line, like a call in Python."""
        shown = shorten(one_line(_as_python(self._whole())), MAX_ARGUMENTS_CHARS)
        return f"{one_line(self.name)}({shown})"

    def arguments_text(self) -> str:
        """The arguments as indented JSON, or as the model wrote them."""
        whole = self._whole()
        if isinstance(whole, str):
            return whole
        return json.dumps(whole, ensure_ascii=False, indent=2)

    def state_text(self) -> str:
        """What has become of the call, with the seconds of one that has ended."""
        if self.result is None or not self.result.duration:
            return self.state
        return f"{self.state}, {self.result.duration:.1f} s"

    def finish(self, result: ToolResult) -> None:
        """The call has ended."""
        self.name = self.name or result.name
        self.result = result
        self.state = "failed" if result.is_error else "done"

    def _whole(self) -> Json | str:
        if self.arguments is not None:
            return self.arguments
        written = "".join(self.pieces)
        try:
            value = json.loads(written)
        except ValueError:
            return written
        return value if isinstance(value, dict) else written


def _as_python(arguments: Json | str) -> str:
    if isinstance(arguments, str):
        return arguments
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in arguments.items()
    )


@dataclass(slots=True, eq=False)
class Made:
    """An image or a file that the model made."""

    file: Image | File

    def describe(self) -> str:
        """What it is, in a few words."""
        name = getattr(self.file, "name", None)
        words = [name, self.file.media_type or type(self.file).__name__.lower()]
        if self.file.data is not None:
            words.append(f"{len(self.file.data):,} bytes")
        elif self.file.url is not None:
            words.append(self.file.url)
        return one_line(", ".join(filter(None, words)))


@dataclass(slots=True, eq=False)
class Note:
    """A remark of cogent's own between two pieces of an answer."""

    text: str


Entry = Text | Call | Made | Note


@dataclass(slots=True, eq=False)
class View:
    """What a run has shown so far, in order; `footer` once it has ended."""

    entries: list[Entry] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    footer: str = ""
    _calls: dict[str, Call] = field(default_factory=dict)

    def take(self, chunk: StreamChunk) -> Entry | None:
        """Take in a chunk; returns the entry that it began or changed."""
        if chunk.content:
            return self._add_text(chunk.content, is_reasoning=False)
        if chunk.reasoning:
            return self._add_text(chunk.reasoning, is_reasoning=True)
        if chunk.tool_call is not None:
            return self._add_piece(chunk.tool_call)
        if chunk.tool_result is not None:
            result = chunk.tool_result
            call = self._call(result.id)
            call.finish(result)
            return call
        return self._take_rest(chunk)

    def end(self, response: Response[Any], error: BaseException | None) -> None:
        """The run has ended; `error` is what ended it, if it did not end by itself."""
        for call in self._calls.values():
            if call.state == "asked for":
                call.state = "not run"
            elif call.state == "running":
                call.state = "stopped"
        self.footer = " · ".join(_footer(response, error))

    def _take_rest(self, chunk: StreamChunk) -> Entry | None:
        if chunk.source is not None:
            self._add_source(chunk.source)
            return None
        if chunk.file is not None:
            return self._append(Made(chunk.file))
        metadata = chunk.metadata or {}
        if "output_retry" in metadata:
            return self._append(
                Note("not of the type asked for: the model tries again")
            )
        if chunk.is_final:
            self._mark(metadata.get("pending", ()), "waits for an answer")
        elif chunk.finish_reason == "tool_calls":
            self._mark(metadata.get("tool_calls", ()), "running")
        return None

    def _append(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        return entry

    def _add_text(self, text: str, *, is_reasoning: bool) -> Text:
        last = self.entries[-1] if self.entries else None
        if not isinstance(last, Text) or last.is_reasoning != is_reasoning:
            last = Text(is_reasoning)
            self.entries.append(last)
        last.pieces.append(text)
        return last

    def _add_piece(self, piece: ToolCallDelta) -> Call:
        call = self._call(piece.id or "")
        call.name = call.name or piece.name
        call.pieces.append(piece.arguments)
        return call

    def _call(self, id: str) -> Call:
        call = self._calls.get(id)
        if call is None:
            call = self._calls[id] = Call(id)
            self.entries.append(call)
        return call

    def _mark(self, calls: Any, state: str) -> None:
        for described in calls:
            call = self._call(described["id"])
            call.name = described.get("name") or call.name
            call.arguments = described.get("arguments", call.arguments)
            if call.result is None:
                call.state = state

    def _add_source(self, source: Source) -> None:
        places = {(known.url, known.title) for known in self.sources}
        if (source.url, source.title) not in places:
            self.sources.append(source)


def _footer(response: Response[Any], error: BaseException | None) -> list[str]:
    """The model, tokens and seconds, and how the run ended where that is not plain."""
    metadata = response.metadata
    tokens = metadata.get("tokens") or {}
    was_answered = error is None or tokens.get("output_tokens")
    words = [
        one_line(metadata.get("model") or ""),
        _token_counts(tokens) if was_answered else "",
        _seconds(metadata.get("duration")),
        _ending(response, error),
    ]
    return [word for word in words if word]


def _token_counts(tokens: Mapping[str, int]) -> str:
    total = tokens.get("total_tokens")
    if not total:
        return ""
    about = "about " if tokens.get("estimated") else ""
    came_in = tokens["input_tokens"]
    went_out = tokens["output_tokens"]
    return f"{about}{total:,} tokens ({came_in:,} in, {went_out:,} out)"


def _seconds(duration: float | None) -> str:
    return "" if duration is None else f"{duration:.1f} s"


def _ending(response: Response[Any], error: BaseException | None) -> str:
    if error is None:
        return ENDINGS.get(response.finish_reason or "", "")
    if isinstance(error, KeyboardInterrupt | CancelledError | GeneratorExit):
        return "stopped"
    return f"failed ({type(error).__name__})"  # what it says is raised on
