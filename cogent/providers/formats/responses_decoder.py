"""Decode OpenAI Responses, streamed or whole, into what cogent knows.

A text, a refusal, a summary, a call or its arguments may come in deltas, only in a
`done` event, only in the end event of its item, or only in `response.completed`. So
what was streamed is remembered, and these rules hold:

- What was streamed is never given twice.
- An end event that goes on where the stream stopped gives the rest.
- An end event that holds less, or something else, changes nothing: what was streamed is
  what is sent back later.
- Neither does one in a stream whose sequence numbers have a gap (shortened recordings
  do): a text that began stays.

Servers do not agree on how an event names its item: by `item_id`, by `output_index` or
not at all; some give every item the index 0, some send a new id with each event. An
item is found by its type with its id, else by its type with its index, else it is the
last one of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.providers.formats.counts import count, known, mapping, match_total
from cogent.providers.formats.responses_items import (
    ARGUMENTS,
    LISTS,
    REASONING,
    REFUSAL,
    SUMMARY,
    TEXT,
    TEXT_EVENTS,
    THOUGHT,
    OutputItem,
    Text,
    TextKind,
    pending_call,
    pending_items,
    text_key,
    texts_of,
    to_send_back,
    type_of,
)
from cogent.providers.formats.responses_matching import match_items
from cogent.providers.formats.updates import updates_of
from cogent.run.outputs import Item, Output, PendingCall, Refusal, WholeCall, Working
from cogent.run.surrogates import json_object
from cogent.transport.reported import ReportedError, raise_reported

ENDS = ("response.completed", "response.incomplete", "response.cancelled")
UNKNOWN = object()


class StreamDecoder:
    """Decodes the events of one response, in order; a whole response is its own end
    event.
    """

    def __init__(self) -> None:
        self._items: list[OutputItem] = []
        self._places: set[int] = set()
        self._next_place = 0
        self._registry: dict[tuple[str, str | int], OutputItem] = {}
        self._kept: dict[int, Json] = {}  # what is sent back
        self.is_complete = False
        self._open_id: object = (
            UNKNOWN  # of the part that the last text delta belonged to
        )
        self._open_index: int | None = None
        self._append: Callable[[str], None] = list[str]().append
        self._last: Json = {}  # the event before
        self._has_gaps = False

    def decode(self, event: Any) -> Iterable[Output]:
        """What the event gives that was not given before."""
        if event.__class__ is not dict:
            raise_reported(event)
        kind = event.get("type")
        if kind == "response.output_text.delta":
            self._last = event
            if (
                event.get("item_id") != self._open_id
                or event.get("content_index") != self._open_index
            ):
                self._open_part(event)
            delta = event["delta"]
            if delta:
                self._append(delta)
            return (StreamChunk(delta),)
        before, self._last = self._last, event
        decode = DECODERS.get(kind)
        if decode is None:
            raise_reported(event)
            return ()
        self._open_id = UNKNOWN  # the event may begin another item
        self._has_gaps = self._has_gaps or _is_gap(before, event)
        return decode(self, event)

    def close(self) -> Iterator[Output]:
        """What is to be sent back of a response whose stream ended without an end
        event.
        """
        if not self.is_complete:
            yield from self._finish([])

    # One event

    def text_delta(self, event: Json, kind: TextKind) -> Iterator[Output]:
        """The next piece of a text."""
        delta = event["delta"]
        if delta:
            item = self._item(kind.item, event)
            item.part(kind, event.get(kind.index) or 0).pieces.append(delta)
            yield from _give(item, kind, delta)

    def text_done(self, event: Json, kind: TextKind) -> Iterator[Output]:
        """A whole text."""
        key = text_key(kind) if kind.field in LISTS else kind.field
        yield from self._whole_text(event, kind, event.get(key))

    def part_done(self, event: Json) -> Iterator[Output]:
        """A whole part of a message, of reasoning, or of a summary."""
        part = event.get("part") or {}
        kind = _kind_of_part(event["type"], part)
        if kind is SUMMARY:
            yield Working()
        yield from self._whole_text(event, kind, part.get(text_key(kind)))

    def item_added(self, event: Json) -> Iterator[Output]:
        """An item begins."""
        body = event["item"]
        item = self._item_of(body, event, "opened")
        item.opened = body
        yield from _announce(item, body)
        if item.type not in ("message", "function_call"):
            yield Working()

    def item_done(self, event: Json) -> Iterator[Output]:
        """An item is whole."""
        body = event["item"]
        item = self._item_of(body, event, "closed")
        item.closed = body
        yield from self._whole_item(item, body)

    def response(self, event: Json) -> Iterator[Output]:
        """The response itself: its beginning, its end or its failure.

        Raises ModelError for that.
        """
        response = event["response"]
        status = response.get("status")
        if status == "failed" or event["type"] == "response.failed":
            raise ReportedError(response.get("error"))
        finish = None
        if event["type"] in ENDS:
            reason = (response.get("incomplete_details") or {}).get("reason")
            finish = reason or status
            yield from self._finish(response.get("output") or [])
            for item in pending_items(self._kept.values()):
                yield PendingCall(pending_call(item))
        yield from updates_of(
            model=response.get("model"),
            finish=finish,
            counts=decode_usage(mapping(response.get("usage"))),
        )

    # What an end event holds beyond what was streamed

    def _whole_text(
        self, event: Json, kind: TextKind, text: object
    ) -> Iterator[Output]:
        if isinstance(text, str) and text:
            item = self._item(kind.item, event)
            yield from self._whole_part(
                item, Text(kind, event.get(kind.index) or 0, text)
            )

    def _whole_part(self, item: OutputItem, whole: Text) -> Iterator[Output]:
        known = (whole.kind.field, whole.index) in item.parts
        if not known and any(
            whole.text == part.text for _, part in item.in_order(whole.kind.field)
        ):
            return  # the same part: its events do not agree on the index
        if known and self._has_gaps:
            return
        (rest,) = _unsent([whole.text], item.part(whole.kind, whole.index).text) or [""]
        yield from _give_rest(item, whole, rest)

    def _whole_item(self, item: OutputItem, body: Json) -> Iterator[Output]:
        yield from _announce(item, body)
        texts = list(texts_of(body))
        begun = item.parts and self._has_gaps
        rests = None if begun else _unsent([text.text for text in texts], item.given())
        if rests is None:
            rests = ["" if self._was_given(item, text) else text.text for text in texts]
            yield from _replace_broken_arguments(item, texts)
        for text, rest in zip(texts, rests, strict=True):
            yield from _give_rest(item, text, rest)

    def _was_given(self, item: OutputItem, text: Text) -> bool:
        return (
            text.kind.field,
            text.index,
        ) in item.parts or text.text.strip() in self._given(text.kind.item)

    def _given(self, type: str) -> str:
        """The text of all items of this type."""
        items = sorted(self._items, key=lambda item: item.place)
        return "".join(item.given() for item in items if item.type == type)

    def _finish(self, output: list[Json]) -> Iterator[Output]:
        """What only the output of the end event holds, and then all items as they are
        to be sent back.
        """
        self.is_complete = True
        items = self._match(output)
        yield from self._whole_output(items, output)
        for item in self._items:
            if item.closed is None and item.opened is not None:
                yield from self._whole_item(item, item.opened)
        for position, item in enumerate(self._ordered(items)):
            kept = to_send_back(item)
            if kept is not None:
                self._kept[position] = kept
                yield Item(kept, position)

    def _whole_output(
        self, items: list[OutputItem], output: list[Json]
    ) -> Iterator[Output]:
        repeated = {
            type: self._is_repeated(type, output) for type in ("message", "reasoning")
        }
        for item, body in zip(items, output, strict=True):
            is_repeated = repeated.get(item.type)
            if is_repeated is None or not is_repeated(item, body):
                yield from self._whole_item(item, body)
            item.closed = _merge_closed(item.closed, body)

    def _is_repeated(
        self, type: str, output: list[Json]
    ) -> Callable[[OutputItem, Json], bool]:
        """Whether an item of the output holds nothing new, whichever item its text was
        given with.

        Some servers put into the output other items than those that they streamed, with
        the same text.
        """
        whole = "".join(
            text.text
            for body in output
            if type_of(body) == type
            for text in texts_of(body)
        )
        given = self._given(type)
        if given.startswith(whole):
            return lambda item, body: True
        if whole.startswith(given):
            return lambda item, body: False
        return lambda item, body: all(
            self._was_given(item, text) for text in texts_of(body)
        )

    def _ordered(self, items: list[OutputItem]) -> list[OutputItem]:
        """All items, in the order of the end event if that has them all."""
        matched = set(items)
        others = [
            item
            for item in sorted(self._items, key=lambda item: item.place)
            if item not in matched
        ]
        if any(item.closed is not None for item in others):
            return sorted(self._items, key=lambda item: item.place)
        return [*items, *others]

    # Which item is meant

    def _open_part(self, event: Json) -> None:
        """Remember the part that this text delta belongs to, as the next ones mostly
        do.
        """
        self._open_id, self._open_index = (
            event.get("item_id"),
            event.get("content_index"),
        )
        item = self._item(TEXT.item, event)
        self._append = item.part(TEXT, self._open_index or 0).pieces.append

    def _item(self, type: str, event: Json) -> OutputItem:
        id, index = event.get("item_id") or None, event.get("output_index")
        return self._find(type, id, index) or self._new(type, id, index)

    def _item_of(self, body: Json, event: Json, state: str) -> OutputItem:
        """The item that an event holds; a new one if the one that is known was `opened`
        or `closed` before.
        """
        type, id, index = (
            type_of(body),
            body.get("id") or None,
            event.get("output_index"),
        )
        item = self._find(type, id, index)
        if item is None:
            return self._new(type, id, index)
        same = id is not None and (item.id, item.index) == (id, index)
        return (
            item if same or getattr(item, state) is None else self._new(type, id, index)
        )

    def _find(self, type: str, id: str | None, index: int | None) -> OutputItem | None:
        for key in (id, index):
            if key is not None and (type, key) in self._registry:
                return self._registry[type, key]
        if id is None and index is None:
            return next(
                (item for item in reversed(self._items) if item.type == type), None
            )
        return None

    def _new(self, type: str, id: str | None, index: int | None) -> OutputItem:
        place = index
        if place is None or place in self._places:
            place = self._next_place
        item = OutputItem(type, place, id, index)
        self._items.append(item)
        self._places.add(place)
        self._next_place = max(self._next_place, place + 1)
        for key in (id, index):
            if key is not None:
                self._registry[type, key] = item
        return item

    def _match(self, output: list[Json]) -> list[OutputItem]:
        """The item that each of the output is: by id, else by place, else the next one
        of its type, else a new one.
        """
        found = match_items(self._items, output)
        return [
            found.get(place) or self._new(type_of(body), body.get("id") or None, place)
            for place, body in enumerate(output)
        ]


def _kind_of_part(event_type: str, part: Json) -> TextKind:
    if event_type == "response.reasoning_summary_part.done":
        return SUMMARY
    if (
        event_type == "response.reasoning_part.done"
        or part.get("type") == "reasoning_text"
    ):
        return THOUGHT
    return REFUSAL if part.get("type") == "refusal" else TEXT


def _merge_closed(closed: Json | None, body: Json) -> Json:
    """The item as its own end event holds it, with what only the output of the response
    has.
    """
    if closed is None:
        return body
    return body | {name: value for name, value in closed.items() if value}


def _is_gap(before: Json, event: Json) -> bool:
    """Whether events are missing between these two; it is not known without their
    numbers.
    """
    first = _number(before)
    return first >= 0 and _number(event) > first + 1


def _number(event: Json) -> int:
    """The place of the event in its stream, below zero if it has none."""
    number = event.get("sequence_number")
    return number if isinstance(number, int) else -2


# Texts


def _unsent(texts: list[str], given: str) -> list[str] | None:
    """What of each of these texts, which follow one another, was not given yet; None if
    they hold something else.
    """
    whole = "".join(texts)
    if given.startswith(whole):
        return [""] * len(texts)
    if not whole.startswith(given):
        return None
    rests, skip = [], len(given)
    for text in texts:
        rests.append(text[skip:])
        skip = max(0, skip - len(text))
    return rests


def _give_rest(item: OutputItem, text: Text, rest: str) -> Iterator[Output]:
    if rest:
        item.part(text.kind, text.index).pieces.append(rest)
        yield from _give(item, text.kind, rest)


def _give(item: OutputItem, kind: TextKind, text: str) -> Iterator[Output]:
    if kind is ARGUMENTS:
        yield StreamChunk(tool_call=ToolCallDelta(item.place, arguments=text))
    elif kind.part in REASONING:
        yield StreamChunk(reasoning=text)
    elif kind.field == "content":
        yield StreamChunk(text)
    if kind is REFUSAL:
        yield Refusal()


def _announce(item: OutputItem, body: Json) -> Iterator[Output]:
    """The id and the name of a call, as soon as they are known; neither changes after
    that.
    """
    if item.type != "function_call":
        return
    call_id = _announced(item.call_id, body.get("call_id"))
    name = _announced(item.name, body.get("name"))
    if call_id or name:
        item.call_id = item.call_id or call_id
        item.name = item.name or name
        yield StreamChunk(tool_call=ToolCallDelta(item.place, call_id or None, name))


def _announced(known: str, value: str | None) -> str:
    """The value if it is the first; else an empty one."""
    if known:
        return ""
    return value or ""


def _replace_broken_arguments(item: OutputItem, texts: list[Text]) -> Iterator[Output]:
    """The whole arguments of a call whose pieces make up no JSON object."""
    if item.type == "function_call" and texts and json_object(item.given()) is None:
        whole = texts[0].text
        if json_object(whole) is not None:
            item.part(ARGUMENTS, 0).pieces[:] = [whole]
            yield WholeCall(
                ToolCallDelta(item.place, item.call_id or None, item.name, whole)
            )


# The rest


def _error(_: StreamDecoder, event: Json) -> Iterable[Output]:
    raise ReportedError(event)


def decode_response(response: Json) -> Iterator[Output]:
    """The parts of a whole response, in the order of its items."""
    raise_reported(response)
    yield from StreamDecoder().decode(
        {"type": "response.completed", "response": response}
    )


def decode_usage(usage: Mapping[str, Any]) -> dict[str, int]:
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


def _text_decoders() -> Iterator[
    tuple[str, Callable[[StreamDecoder, Json], Iterable[Output]]]
]:
    for name, kind in TEXT_EVENTS.items():
        yield f"{name}.delta", partial(StreamDecoder.text_delta, kind=kind)
        yield f"{name}.done", partial(StreamDecoder.text_done, kind=kind)


DECODERS: dict[str, Callable[[StreamDecoder, Json], Iterable[Output]]] = {
    **dict(_text_decoders()),
    "response.content_part.done": StreamDecoder.part_done,
    "response.reasoning_part.done": StreamDecoder.part_done,
    "response.reasoning_summary_part.done": StreamDecoder.part_done,
    "response.output_item.added": StreamDecoder.item_added,
    "response.output_item.done": StreamDecoder.item_done,
    "response.created": StreamDecoder.response,
    "response.failed": StreamDecoder.response,
    **dict.fromkeys(ENDS, StreamDecoder.response),
    "error": _error,
}
