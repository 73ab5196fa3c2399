"""A content block of Anthropic's Messages API while it comes in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.providers.formats.messages_beside import (
    is_server_call,
    is_server_result,
    made_files,
    server_call,
    server_result,
    sources_of,
)
from cogent.run.history import fit_arguments
from cogent.run.outputs import Item, Outputs, Working
from cogent.run.surrogates import fix_surrogates
from cogent.transport.reported import ReportedError

# By the type of a delta: the type of block that it never belongs to.
OTHER_BLOCK = {"text_delta": "thinking", "thinking_delta": "text"}
# By the type of a delta: the type of its block, where a server leaves out the start.
OWN_BLOCK = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}


@dataclass(slots=True)
class Block:
    """A block so far.

    `item` is what goes back, without the text, or the JSON of its input, that is in
    `pieces` until the block ends.
    """

    index: int
    position: int
    item: Json
    pieces: list[str] = field(default_factory=list)

    def start(self) -> Outputs:
        """What the start of the block holds."""
        match self.item["type"]:
            case "text":
                yield StreamChunk(self.item.get("text") or "")
            case "tool_use":
                delta = ToolCallDelta(self.index, self.item.get("id"))
                delta.name = self.item.get("name") or ""
                yield StreamChunk(tool_call=delta)
            case "thinking":
                yield StreamChunk(reasoning=self.item.get("thinking") or "")
                yield Working()
            case _:
                yield from self._start_of_server()
                yield Working()

    def _start_of_server(self) -> Outputs:
        """What the start of a block holds that is of the server's own tools."""
        if is_server_call(self.item):
            yield StreamChunk(tool_call=server_call(self.item, self.index))
        elif is_server_result(self.item):
            yield from server_result(self.item)
        elif self.item["type"] == "container_upload":
            yield from made_files([self.item])

    def add(self, delta: Json) -> Outputs:
        """What the next piece of the block holds."""
        match delta["type"]:
            case "text_delta":
                self.pieces.append(delta["text"])
                return (StreamChunk(delta["text"]),)
            case "thinking_delta":
                self.pieces.append(delta["thinking"])
                return (StreamChunk(reasoning=delta["thinking"]),)
            case "input_json_delta":
                return self._add_input(delta["partial_json"])
            case "citations_delta":
                self._add_citation(delta.get("citation"))
            case _:
                self._add_fields(delta)
        return ()

    def stop(self) -> Outputs:
        """The whole block, to be sent back."""
        item = self.item
        kind = item["type"]
        text = "".join(self.pieces)
        if kind in ("text", "thinking"):
            item[kind] = (item.get(kind) or "") + text
        elif text.strip():
            item["input"] = fit_arguments(text)
        elif self._is_call():  # the input came whole, or there is none
            arguments = json.dumps(item.setdefault("input", {}))
            yield self._arguments(arguments)
        yield Item(item, self.position)
        if is_server_call(item):
            yield Working()

    def sources(self, text_before: int) -> Outputs:
        """What the block cites, once it is whole; so many characters of the answer come
        before it.
        """
        citations = self.item.get("citations")
        if citations:
            end = text_before + self.text_length()
            yield from sources_of(citations, text_before, end)

    def text_length(self) -> int:
        """How many characters of the answer's text the block has, once it is whole."""
        if self.item["type"] != "text":
            return 0
        return len(fix_surrogates(self.item["text"]))

    def _is_call(self) -> bool:
        return self.item["type"] == "tool_use" or is_server_call(self.item)

    def _add_input(self, piece: str) -> Outputs:
        self.pieces.append(piece)
        return (self._arguments(piece),) if piece and self._is_call() else ()

    def _arguments(self, text: str) -> StreamChunk:
        is_executed = is_server_call(self.item)
        delta = ToolCallDelta(self.index, arguments=text, provider_executed=is_executed)
        return StreamChunk(tool_call=delta)

    def _add_citation(self, citation: object) -> None:
        if isinstance(citation, dict):
            known = self.item.get("citations")
            known = known if isinstance(known, list) else []
            self.item["citations"] = [*known, citation]

    def _add_fields(self, delta: Json) -> None:
        """Add a signature, or the summary of a compaction: each comes whole."""
        for name, value in delta.items():
            if name != "type" and value is not None:
                self.item[name] = value


def block_without_start(delta: Json) -> Json:
    """The start of the block that a delta belongs to, where the server sent none.

    Raises ReportedError for arguments of a call without a name.
    """
    kind = delta["type"]
    if kind not in OWN_BLOCK:
        raise ReportedError(f"the server sent a {kind} without the start of its block")
    return {"type": OWN_BLOCK[kind]}
