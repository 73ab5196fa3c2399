"""Decode OpenAI Responses, streamed or whole, into what cogent knows.

A text, a refusal, a summary, a call or its arguments may come in deltas, only in a
`done` event, only in the end event of its item, or only in `response.completed`. So
what came is remembered:

- `responses_known_items`: which item an event means;
- `responses_given`: what an event holds beyond what was given before;
- `responses_sent_back`, `responses_pending`: the items as the next request takes them,
  and those that wait for the client.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cogent.chunks import StreamChunk
from cogent.json_values import Json
from cogent.providers.formats.counts import (
    Counts,
    count,
    known,
    match_total,
)
from cogent.providers.formats.details import details_of
from cogent.providers.formats.fields import Fields, mapping
from cogent.providers.formats.responses_given import EndEvents, give_call, give_text
from cogent.providers.formats.responses_items import (
    ARGUMENTS,
    CODE,
    CUSTOM_INPUT,
    LISTS,
    MCP_ARGUMENTS,
    REFUSAL,
    SUMMARY,
    TEXT,
    THOUGHT,
    OutputItem,
    Text,
    TextKind,
)
from cogent.providers.formats.responses_known_items import KnownItems
from cogent.providers.formats.responses_pending import pending_call, pending_items
from cogent.providers.formats.responses_sent_back import to_send_back
from cogent.providers.formats.updates import updates_of
from cogent.run.outputs import Item, Outputs, PendingCall, Working
from cogent.transport.reported import ReportedError, raise_reported

TEXT_EVENTS = {
    "response.output_text": TEXT,
    "response.refusal": REFUSAL,
    "response.reasoning_text": THOUGHT,
    "response.reasoning_summary_text": SUMMARY,
    "response.function_call_arguments": ARGUMENTS,
    "response.custom_tool_call_input": CUSTOM_INPUT,
    "response.mcp_call_arguments": MCP_ARGUMENTS,
    "response.code_interpreter_call_code": CODE,
}
NO_PART = object()


class StreamDecoder:
    """Decodes the events of one response, in order; a whole response is its own end
    event.
    """

    def __init__(self) -> None:
        self.is_complete: bool = False
        self._known = KnownItems()
        self._end_events = EndEvents(self._known)
        self._beside = self._end_events.beside
        self._sent_back: list[Json] = []
        self._last_event: Json = {}
        # The part that the last text delta belonged to, as the next ones mostly do.
        self._open_id: object = NO_PART
        self._open_index: int | None = None
        self._append: Callable[[str], None] = list[str]().append

    def decode(self, event: Any) -> Outputs:
        """What the event gives that was not given before."""
        if event.__class__ is not dict:
            raise_reported(event)
        kind = event.get("type")
        if kind != "response.output_text.delta":
            return self._decode_other(kind, event)
        self._last_event = event
        if (
            event.get("item_id") != self._open_id
            or event.get("content_index") != self._open_index
        ):
            item = self._known.of_text(TEXT.item, event)
            if item.phase:
                return self.text_delta(event, TEXT)
            self._open_part(item, event)
        delta = event["delta"]
        if delta:
            self._append(delta)
        return (StreamChunk(delta),)

    def close(self) -> Outputs:
        """What is to be sent back of a response whose stream ended without an end
        event.
        """
        if not self.is_complete:
            yield from self._finish([])

    def _open_part(self, item: OutputItem, event: Json) -> None:
        self._open_id = event.get("item_id")
        self._open_index = event.get("content_index")
        self._append = item.part(TEXT, self._open_index or 0).pieces.append

    def _decode_other(
        self,
        kind: str | None,
        event: Json,
    ) -> Outputs:
        before = self._last_event
        self._last_event = event
        decode = DECODERS.get(kind)
        if decode is None:
            raise_reported(event)
            return ()
        self._open_id = NO_PART  # the event may begin another item
        if _is_gap(before, event):
            self._end_events.has_gaps = True
        return decode(self, event)

    # One event of each kind

    def text_delta(
        self,
        event: Json,
        kind: TextKind,
    ) -> Outputs:
        """The next piece of a text."""
        delta = event["delta"]
        if not delta:
            return ()
        item = self._known.of_text(kind.item, event)
        return give_text(item, Text(kind, _index_of(event, kind), delta))

    def text_done(
        self,
        event: Json,
        kind: TextKind,
    ) -> Outputs:
        """A whole text."""
        key = kind.key if kind.field in LISTS else kind.field
        yield from self._whole_text(event, kind, event.get(key))
        if event.get("logprobs"):
            item = self._known.of_text(kind.item, event)
            index = _index_of(event, kind)
            yield from self._beside.give_logprobs(item, index, event["logprobs"])

    def annotation(self, event: Json) -> Outputs:
        """A text cites something."""
        item = self._known.of_text(TEXT.item, event)
        index = _index_of(event, TEXT)
        return self._beside.give_annotation(item, index, event.get("annotation"))

    def part_done(self, event: Json) -> Outputs:
        """A whole part of a message."""
        part = event.get("part") or {}
        match part.get("type"):
            case "reasoning_text":
                kind = THOUGHT
            case "refusal":
                kind = REFUSAL
            case _:
                kind = TEXT
        yield from self._whole_text(event, kind, part.get(kind.key))
        if kind is TEXT:
            item = self._known.of_text(TEXT.item, event)
            yield from self._beside.give_part(item, _index_of(event, TEXT), part)

    def thought_done(self, event: Json) -> Outputs:
        """A whole part of reasoning."""
        part = event.get("part") or {}
        return self._whole_text(event, THOUGHT, part.get("text"))

    def summary_done(self, event: Json) -> Outputs:
        """A whole part of a summary; the model thinks on before the next one."""
        yield Working()
        part = event.get("part") or {}
        yield from self._whole_text(event, SUMMARY, part.get("text"))

    def item_added(self, event: Json) -> Outputs:
        """An item begins."""
        item = self._known.of_item(event, is_end=False)
        item.opened = event["item"]
        yield from give_call(item, event["item"])
        if item.type not in ("message", "function_call"):
            yield Working()

    def item_done(self, event: Json) -> Outputs:
        """An item is whole."""
        item = self._known.of_item(event, is_end=True)
        item.closed = event["item"]
        return self._end_events.give_item(item, event["item"])

    def created(self, event: Json) -> Outputs:
        """The response begins."""
        response = event["response"]
        if response.get("status") == "failed":
            self.failed(event)
        usage = mapping(response.get("usage"))
        counts = decode_usage(usage)
        yield from updates_of(model=response.get("model"), counts=counts)
        yield from details_of(response, usage)

    def ended(self, event: Json) -> Outputs:
        """The response is complete, or as complete as it gets."""
        response = event["response"]
        if response.get("status") == "failed":
            self.failed(event)
        yield from self._finish(response.get("output") or [])
        waiting = pending_items(self._sent_back)
        yield from self._beside.give_calls_not_waiting(waiting)
        for body in waiting:
            yield PendingCall(pending_call(body))
        reason = (response.get("incomplete_details") or {}).get("reason")
        status = response.get("status") or event["type"].removeprefix("response.")
        yield from updates_of(finish=reason or status)
        yield from self.created(event)

    def failed(self, event: Json) -> Outputs:
        """The response failed. Raises ReportedError."""
        raise ReportedError(event["response"].get("error"))

    def error(self, event: Json) -> Outputs:
        """The stream broke off. Raises ReportedError."""
        raise ReportedError(event)

    def _whole_text(
        self,
        event: Json,
        kind: TextKind,
        text: object,
    ) -> Outputs:
        if not isinstance(text, str) or not text:
            return ()
        item = self._known.of_text(kind.item, event)
        whole = Text(kind, _index_of(event, kind), text)
        return self._end_events.give_text(item, whole)

    def _finish(self, output: list[Json]) -> Outputs:
        """What only the output of the end event holds, and then all items as they are
        to be sent back.
        """
        self.is_complete = True
        items = self._known.of_output(output)
        yield from self._end_events.give_output(items, output)
        for item, body in zip(items, output, strict=True):
            item.closed = _merge(body, item.closed or {})
        for item in self._known.without_end():
            if item.opened is not None:
                yield from self._end_events.give_item(item, item.opened)
        for position, item in enumerate(self._known.in_order_of(items)):
            sent_back = to_send_back(item)
            if sent_back is not None:
                self._sent_back.append(sent_back)
                yield Item(sent_back, position)


def _index_of(event: Json, kind: TextKind) -> int:
    """The place of a text in the list of its field."""
    return event.get(kind.index) or 0


def _merge(body: Json, closed: Json) -> Json:
    """An item of the output; what its own end event says goes before that."""
    merged = dict(body)
    for name, value in closed.items():
        if value:
            merged[name] = value
    return merged


def _is_gap(before: Json, event: Json) -> bool:
    """Whether events are missing between these two; it is not known without their
    numbers.
    """
    first = before.get("sequence_number")
    second = event.get("sequence_number")
    if not isinstance(first, int) or not isinstance(second, int):
        return False
    return 0 <= first < second - 1


def decode_response(response: Json) -> Outputs:
    """What a whole response gives, in the order of its items."""
    raise_reported(response)
    event = {"type": "response.completed", "response": response}
    yield from StreamDecoder().decode(event)


def decode_usage(usage: Fields) -> Counts:
    """The counts of a `usage` object; `input_tokens` includes cached ones and
    `output_tokens` includes reasoning.
    """
    read = mapping(usage.get("input_tokens_details"))
    written = mapping(usage.get("output_tokens_details"))
    counts = {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "cache_read_tokens": read.get("cached_tokens"),
        "cache_write_tokens": read.get("cache_write_tokens"),
        "reasoning_tokens": written.get("reasoning_tokens"),
    }
    return match_total(known(counts), count(usage.get("total_tokens")))


Decode = Callable[[StreamDecoder, Json], Outputs]
DECODERS: dict[str | None, Decode] = {
    "response.created": StreamDecoder.created,
    "response.output_text.annotation.added": StreamDecoder.annotation,
    "response.output_text_annotation.added": StreamDecoder.annotation,
    "response.output_item.added": StreamDecoder.item_added,
    "response.output_item.done": StreamDecoder.item_done,
    "response.content_part.done": StreamDecoder.part_done,
    "response.reasoning_part.done": StreamDecoder.thought_done,
    "response.reasoning_summary_part.done": StreamDecoder.summary_done,
    "response.completed": StreamDecoder.ended,
    "response.incomplete": StreamDecoder.ended,
    "response.cancelled": StreamDecoder.ended,
    "response.failed": StreamDecoder.failed,
    "error": StreamDecoder.error,
}
for _name, _kind in TEXT_EVENTS.items():
    DECODERS[f"{_name}.delta"] = partial(StreamDecoder.text_delta, kind=_kind)
    DECODERS[f"{_name}.done"] = partial(StreamDecoder.text_done, kind=_kind)
