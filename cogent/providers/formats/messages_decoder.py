"""What Anthropic's Messages API answers, streamed or whole, as cogent's chunks and
updates.

Compatible servers leave out starts and stops of blocks, and some give all blocks the
index 0: so blocks are kept in the order in which they begin, one that begins at the
index of another ends that, and the end of the message ends all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cogent.chunks import StreamChunk
from cogent.json_values import Json
from cogent.providers.formats.counts import Counts
from cogent.providers.formats.fields import Fields, mapping
from cogent.providers.formats.messages_beside import details_of
from cogent.providers.formats.messages_blocks import (
    OTHER_BLOCK,
    Block,
    block_without_start,
)
from cogent.providers.formats.messages_usage import decode_usage, read_counts
from cogent.providers.formats.updates import updates_of
from cogent.run.outputs import FinishWord, Item, Outputs, Update
from cogent.transport.reported import raise_reported

NO_INDEX = object()


class StreamDecoder:
    """Decodes the events of one answer."""

    def __init__(self) -> None:
        self.is_complete: bool = False
        self._blocks: dict[int, Block] = {}  # that are coming in, by index
        self._next_position = 0
        self._text_length = 0  # characters of the text in the blocks that are whole
        # Blocks that came with the message itself, until they are given; they are
        # dropped where others come in their place.
        self._message_content: list[Json] = []
        self._counts: Counts = {}  # of the message itself, without compactions
        self._finish: str | None = None
        # The block that the last delta of a text was for, as the next ones mostly are.
        self._open_index: object = NO_INDEX
        self._append: Callable[[str], None] = list[str]().append

    def decode(self, event: Any) -> Outputs:
        """What an event gives; events that only repeat or announce give nothing."""
        if event.__class__ is not dict:
            raise_reported(event)
        kind = event.get("type")
        if kind != "content_block_delta":
            return self._decode_other(kind, event)
        delta = event["delta"]
        if delta["type"] == "text_delta" and event.get("index") == self._open_index:
            self._append(delta["text"])
            return (StreamChunk(delta["text"]),)
        return self._decode_delta(event, delta)

    def close(self) -> Outputs:
        """What is left after a stream that gave a stop reason, but no `message_stop`."""
        if self._finish is not None and not self.is_complete:
            yield from self._stop_all()

    def _decode_other(
        self,
        kind: str | None,
        event: Json,
    ) -> Outputs:
        self._open_index = NO_INDEX
        decode = DECODERS.get(kind)
        if decode is None:
            raise_reported(event)
            return ()
        return decode(self, event)

    # The message

    def start_message(self, event: Json) -> Outputs:
        """The message begins."""
        message = mapping(event.get("message"))
        self._message_content = message.get("content") or []
        self._finish = message.get("stop_reason")
        yield from self.updates(message)
        yield from decode_container(message)
        yield from details_of(message)

    def end_message(self, event: Json) -> Outputs:
        """Why the message ends, and its counts."""
        delta = mapping(event.get("delta"))
        self._finish = delta.get("stop_reason") or self._finish
        yield from self.updates(event, self._finish)
        yield from decode_container(delta)
        yield from details_of({**event, **delta})

    def stop_message(self, _: Json) -> Outputs:
        """The message is over, also if it gave no reason."""
        self.is_complete = True
        yield from self._stop_all()
        yield FinishWord(self._finish or "message_stop")

    def updates(
        self,
        source: Fields,
        finish: str | None = None,
    ) -> Iterator[Update]:
        """The model and the counts of a message, or of an event."""
        usage = mapping(source.get("usage"))
        counts = decode_usage(usage, self._counts)
        for name, number in read_counts(usage).items():
            if number:
                self._counts[name] = number
        return updates_of(model=source.get("model"), finish=finish, counts=counts)

    def _stop_all(self) -> Outputs:
        """The blocks that no event ended, and those that only the message held."""
        for index in list(self._blocks):
            yield from self._stop(index)
        yield from self._give_message_content()

    def _give_message_content(self) -> Outputs:
        blocks, self._message_content = self._message_content, []
        for index, block in enumerate(blocks):
            yield from self.decode_block(index, block)

    # Its blocks

    def decode_block(
        self,
        index: int,
        item: Json,
    ) -> Outputs:
        """What a block gives that came whole."""
        yield from self._start(index, item)
        yield from self._stop(index)

    def start_block(self, event: Json) -> Outputs:
        """A block begins; after those of the message itself if it has a later index."""
        index = event.get("index") or 0
        if index >= len(self._message_content):
            yield from self._give_message_content()
        yield from self._start(index, event["content_block"])

    def stop_block(self, event: Json) -> Outputs:
        """A block is whole."""
        return self._stop(event.get("index") or 0)

    def _decode_delta(
        self,
        event: Json,
        delta: Json,
    ) -> Outputs:
        index = event.get("index") or 0
        kind = delta["type"]
        self._open_index = NO_INDEX
        block = self._blocks.get(index)
        if block is None:
            block = self._begin(index, block_without_start(delta))
        elif block.item["type"] == OTHER_BLOCK.get(kind):
            return (*self._stop(index), *self._decode_delta(event, delta))
        if kind == "text_delta":
            self._open_index = event.get("index")
            self._append = block.pieces.append
        return block.add(delta)

    def _start(
        self,
        index: int,
        item: Json,
    ) -> Outputs:
        yield from self._stop(index)
        yield from self._begin(index, dict(item)).start()

    def _begin(
        self,
        index: int,
        item: Json,
    ) -> Block:
        self._message_content = []
        block = Block(index, max(index, self._next_position), item)
        self._next_position = block.position + 1
        self._blocks[index] = block
        return block

    def _stop(self, index: int) -> Outputs:
        block = self._blocks.pop(index, None)
        if block is not None:
            yield from block.stop()
            yield from block.sources(self._text_length)
            self._text_length += block.text_length()


def decode_container(source: Fields) -> Iterator[Update]:
    """The container in which the provider ran code: the next request of the
    conversation names it.
    """
    container = mapping(source.get("container")).get("id")
    if container:
        yield Item({"container": container}, position=-1)


def decode_response(response: Json) -> Outputs:
    """What a whole answer gives, in the order of its blocks."""
    raise_reported(response)
    decoder = StreamDecoder()
    for index, block in enumerate(response.get("content") or ()):
        yield from decoder.decode_block(index, block)
    yield from decode_container(response)
    yield from decoder.updates(response, response.get("stop_reason"))
    yield from details_of(response)


DECODERS: dict[str | None, Callable[[StreamDecoder, Json], Outputs]] = {
    "message_start": StreamDecoder.start_message,
    "content_block_start": StreamDecoder.start_block,
    "content_block_stop": StreamDecoder.stop_block,
    "message_delta": StreamDecoder.end_message,
    "message_stop": StreamDecoder.stop_message,
}
