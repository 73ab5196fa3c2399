"""What Anthropic's Messages API answers, streamed or whole, as cogent's chunks and
updates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.providers.formats.counts import known, mapping
from cogent.providers.formats.updates import updates_of
from cogent.run.history import fit_arguments
from cogent.run.outputs import FinishWord, Item, Output, Update, Working
from cogent.transport.reported import ReportedError, raise_reported

# By the type of a delta, the type of block that it never belongs to: such a delta
# begins a block of its own.
OTHER_BLOCK = {"text_delta": "thinking", "thinking_delta": "text"}


@dataclass(slots=True)
class Block:
    """A content block that is still coming in: `pieces` are its text, or the JSON of
    its input, so far.
    """

    position: int
    item: Json
    pieces: list[str] = field(default_factory=list)


class StreamDecoder:
    """Decodes the events of one answer.

    It remembers the blocks still coming in and the stop reason. Blocks are kept in the
    order in which they begin, as some servers give all of them index 0.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}  # by index
        self._next_position = 0
        self._counts: dict[str, int] = {}  # of the message itself, without compactions
        self._finish: str | None = None
        self.is_complete: bool = False
        self._message_content: list[
            Json
        ] = []  # came with the message itself, and no block has begun since

    def decode(self, event: Any) -> Iterable[Output]:
        """The parts that an event stands for; events that only repeat or announce give
        none.
        """
        if event.__class__ is not dict:
            raise_reported(event)
        if event.get("type") == "content_block_delta":
            return self._decode_delta(event.get("index") or 0, event["delta"])
        return self._decode_other(event)

    def close(self) -> Iterator[Output]:
        """What is left after a stream that gave a stop reason, but no `message_stop`."""
        if self._finish is not None and not self.is_complete:
            yield from self._stop_message()

    def decode_block(self, index: int, block: Json) -> Iterator[Output]:
        """The parts of a block that came whole."""
        yield from self._start_block(index, block)
        yield from self._stop_block(index)

    def updates(
        self, source: Mapping[str, Any], finish: str | None = None
    ) -> Iterator[Update]:
        """The model and the counts of a message, or of an event."""
        usage = mapping(source.get("usage"))
        counts = decode_usage(usage, self._counts)
        for name, number in _read_counts(usage).items():
            if number:
                self._counts[name] = number
        return updates_of(model=source.get("model"), finish=finish, counts=counts)

    def _decode_other(self, event: Json) -> Iterable[Output]:
        match event.get("type"):
            case "content_block_start":
                return self._start_block(
                    event.get("index") or 0, event["content_block"]
                )
            case "content_block_stop":
                return self._stop_block(event.get("index") or 0)
            case "message_start":
                message = mapping(event.get("message"))
                self._message_content = message.get("content") or []
                return (*self.updates(message), *decode_container(message))
            case "message_delta":
                delta = mapping(event.get("delta"))
                self._finish = delta.get("stop_reason") or self._finish
                return (*self.updates(event, self._finish), *decode_container(delta))
            case "message_stop":
                self.is_complete = True
                # A message that gave no reason ended all the same.
                return (
                    *self._stop_message(),
                    FinishWord(self._finish or "message_stop"),
                )
        raise_reported(event)
        return ()

    def _stop_message(self) -> Iterator[Output]:
        """Blocks that the server did not stop, or did not even start: then the message
        itself may hold them.
        """
        for index in list(self._blocks):
            yield from self._stop_block(index)
        for index, block in enumerate(list(self._message_content)):
            yield from self.decode_block(index, block)

    def _begin_block(self, index: int, item: Json) -> Block:
        self._message_content = []
        block = Block(max(index, self._next_position), item)
        self._next_position = block.position + 1
        self._blocks[index] = block
        return block

    def _start_block(self, index: int, item: Json) -> Iterator[Output]:
        yield from self._stop_block(
            index
        )  # of the block before, which the server did not stop
        self._begin_block(index, dict(item))
        match item["type"]:
            case "text":
                yield StreamChunk(item.get("text") or "")
            case "tool_use":
                yield StreamChunk(
                    tool_call=ToolCallDelta(
                        index, item.get("id"), item.get("name") or ""
                    )
                )
            case "thinking":
                yield StreamChunk(reasoning=item.get("thinking") or "")
                yield Working()
            case _:
                yield Working()

    def _decode_delta(self, index: int, delta: Json) -> Iterable[Output]:
        kind = delta["type"]
        block = self._blocks.get(index)
        if block is None:  # compatible servers leave out the start
            block = self._begin_block(index, {"type": _block_type(kind)})
        elif block.item["type"] == OTHER_BLOCK.get(kind):  # and the stop
            return (*self._stop_block(index), *self._decode_delta(index, delta))
        match kind:
            case "text_delta":
                text = delta["text"]
                block.pieces.append(text)
                return (StreamChunk(text),)
            case "thinking_delta":
                reasoning = delta["thinking"]
                block.pieces.append(reasoning)
                return (StreamChunk(reasoning=reasoning),)
            case "input_json_delta":
                return _add_input(index, block, delta["partial_json"])
            case "citations_delta":
                block.item["citations"] = [
                    *(block.item.get("citations") or ()),
                    delta["citation"],
                ]
            case _:  # a signature, the summary of a compaction: each comes whole
                _add_fields(block, delta)
        return ()

    def _stop_block(self, index: int) -> Iterator[Output]:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        item = block.item
        kind = item["type"]
        text = "".join(block.pieces)
        if kind in ("text", "thinking"):
            item[kind] = (item.get(kind) or "") + text
        elif text.strip():
            item["input"] = fit_arguments(text)
        elif kind == "tool_use":  # the input came whole, or there is none
            arguments = json.dumps(item.setdefault("input", {}))
            yield StreamChunk(tool_call=ToolCallDelta(index, arguments=arguments))
        yield Item(item, block.position)


def _block_type(delta_type: str) -> str:
    """The type of the block that a delta belongs to.

    Raises ServerError for arguments of a call without a name.
    """
    match delta_type:
        case "thinking_delta" | "signature_delta":
            return "thinking"
        case "text_delta" | "citations_delta":
            return "text"
    raise ReportedError(
        f"the server sent a {delta_type} without the start of its block"
    )


def _add_input(index: int, block: Block, piece: str) -> Iterable[Output]:
    block.pieces.append(piece)
    if not piece or block.item["type"] != "tool_use":  # a tool of the provider's own
        return ()
    return (StreamChunk(tool_call=ToolCallDelta(index, arguments=piece)),)


def _add_fields(block: Block, delta: Json) -> None:
    for name, value in delta.items():
        if name != "type" and value is not None:
            block.item[name] = value


def decode_container(source: Mapping[str, Any]) -> Iterator[Output]:
    """The container in which the provider ran code: the next request of the
    conversation names it.
    """
    container = mapping(source.get("container")).get("id")
    if container:
        yield Item({"container": container}, position=-1)


def decode_response(response: Json) -> Iterator[Output]:
    """The parts of a whole answer, in the order of its blocks."""
    raise_reported(response)
    decoder = StreamDecoder()
    for index, block in enumerate(response.get("content") or ()):
        yield from decoder.decode_block(index, block)
    yield from decode_container(response)
    yield from decoder.updates(response, response.get("stop_reason"))


def decode_usage(
    usage: Mapping[str, Any], earlier: Mapping[str, int] = MappingProxyType({})
) -> dict[str, int]:
    """The counts of a `usage` object, as far as given; `input_tokens` leaves out what
    the cache served or took in.

    A compaction is billed like an answer and is not in the totals, while the iterations
    of type `message` are. `earlier` are the counts so far: a later zero hides none, but
    where the iterations name the message's own counts.
    """
    counts = _read_counts(usage)
    if not _iterations(usage, "compaction"):
        return counts
    own = (
        counts
        if _iterations(usage, "message")
        else {**earlier, **_without_zeros(counts)}
    )
    for compaction in _iterations(usage, "compaction"):
        for name, number in _read_counts(compaction).items():
            counts[name] = own.get(name, 0) + number
        own = counts
    return counts


def _iterations(usage: Mapping[str, Any], type: str) -> list[Mapping[str, Any]]:
    iterations = usage.get("iterations")
    if not isinstance(iterations, list):
        return []
    return [
        iteration
        for iteration in map(mapping, iterations)
        if iteration.get("type") == type
    ]


def _without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}


def _read_counts(usage: Mapping[str, Any]) -> dict[str, int]:
    details = mapping(usage.get("output_tokens_details"))
    return known(
        {
            "input_tokens_uncached": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cache_read_tokens": usage.get("cache_read_input_tokens"),
            "cache_write_tokens": usage.get("cache_creation_input_tokens"),
            "reasoning_tokens": details.get("thinking_tokens"),
        }
    )
