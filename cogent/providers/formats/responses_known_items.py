"""The items of a response that came so far, and which of them an event means.

Servers do not agree on how an event names its item: by `item_id`, by `output_index` or
not at all; some give every item the index 0, some send a new id with each event. An
item is found by its type with its id, else by its type with its index, else it is the
last one of its type.
"""

from __future__ import annotations

from dataclasses import dataclass

from cogent.json_values import Json
from cogent.providers.formats.responses_items import TEXT, OutputItem, type_of
from cogent.providers.formats.responses_matching import match_items


@dataclass(frozen=True, slots=True)
class ItemName:
    """How an event names its item."""

    type: str
    id: str | None
    index: int | None


class KnownItems:
    """The items so far."""

    def __init__(self) -> None:
        self._items: list[OutputItem] = []  # as they came
        self._places: set[int] = set()
        self._next_place = 0
        # All by their type too.
        self._by_id: dict[tuple[str, str | None], OutputItem] = {}
        self._by_index: dict[tuple[str, int | None], OutputItem] = {}
        self._last: dict[str, OutputItem] = {}

    def of_text(
        self,
        type: str,
        event: Json,
    ) -> OutputItem:
        """The item that a text belongs to, a new one if none is known."""
        id = event.get("item_id") or None
        name = ItemName(type, id, event.get("output_index"))
        return self._find(name) or self._add(name)

    def of_item(
        self,
        event: Json,
        *,
        is_end: bool,
    ) -> OutputItem:
        """The item that an event holds; a new one if the one that is known had such an
        event before.
        """
        name = _name_of(event["item"], event.get("output_index"))
        item = self._find(name)
        if item is None:
            return self._add(name)
        had_event = item.closed if is_end else item.opened
        is_same = name.id is not None and item.id == name.id
        is_same = is_same and item.index == name.index
        if had_event is None or is_same:
            return item
        return self._add(name)

    def of_output(self, output: list[Json]) -> list[OutputItem]:
        """The item that each of the end event's output is: by id, else by place, else
        the next one of its type, else a new one.
        """
        found = match_items(self._items, output)
        for place, body in enumerate(output):
            if place not in found:
                found[place] = self._add(_name_of(body, place))
        return [found[place] for place in range(len(output))]

    def without_end(self) -> list[OutputItem]:
        """Those that no event held whole."""
        return [item for item in self._items if item.closed is None]

    def given(self, type: str) -> str:
        """The text of all items of this type that was given."""
        same = [item for item in self._by_place() if item.type == type]
        return "".join(item.given() for item in same)

    def with_call_id(self, id: object) -> OutputItem | None:
        """The item that is the call with this id."""
        for item in self._items:
            body = item.closed or item.opened or {}
            if id and id in (body.get("call_id"), body.get("id")):
                return item
        return None

    def of_type(self, type: str) -> list[OutputItem]:
        """The items of this type, as they came."""
        return [item for item in self._items if item.type == type]

    def text_before(self, item: OutputItem, index: int) -> int | None:
        """The length of the text that was given before a part of a message.

        None where nobody knows, as the part's text was given with another item.
        """
        length = 0
        for other in filter(_is_message, self._by_place()):
            for place, part in other.parts_of(TEXT.field):
                if other is item and place == index:
                    return length
                length += len(part.text)
        return length if item is self._last.get(item.type) else None

    def in_order_of(self, output: list[OutputItem]) -> list[OutputItem]:
        """All items, in the order of the end event if that has them all."""
        in_output = set(output)
        others = [item for item in self._by_place() if item not in in_output]
        if any(item.closed for item in others):
            return self._by_place()
        return [*output, *others]

    def _by_place(self) -> list[OutputItem]:
        return sorted(self._items, key=lambda item: item.place)

    def _find(self, name: ItemName) -> OutputItem | None:
        if name.id is None and name.index is None:
            return self._last.get(name.type)
        item = self._by_id.get((name.type, name.id))
        return item or self._by_index.get((name.type, name.index))

    def _add(self, name: ItemName) -> OutputItem:
        place = name.index
        if place is None or place in self._places:
            place = self._next_place
        item = OutputItem(name.type, place, name.id, name.index)
        self._items.append(item)
        self._places.add(place)
        self._next_place = max(self._next_place, place + 1)
        self._last[name.type] = item
        if name.id is not None:
            self._by_id[name.type, name.id] = item
        if name.index is not None:
            self._by_index[name.type, name.index] = item
        return item


def _is_message(item: OutputItem) -> bool:
    return item.type == TEXT.item


def _name_of(body: Json, index: int | None) -> ItemName:
    return ItemName(type_of(body), body.get("id") or None, index)
