"""Find out which of the items that were streamed each item in the output of the end
event is.
"""

from __future__ import annotations

from cogent.json_values import Json
from cogent.providers.formats.responses_items import OutputItem, type_of


def match_items(items: list[OutputItem], output: list[Json]) -> dict[int, OutputItem]:
    """The item that each of the output is, by its place there; a new one has no entry.

    Found by id, else by place, else it is the next one of its type.
    """
    matches = _Matches(items)
    for place, body in enumerate(output):
        matches.claim_by_id(place, body)
    for place, body in enumerate(output):
        matches.claim_by_place(place, body)
    for place, body in enumerate(output):
        matches.claim_by_type(place, body)
    return matches.found


class _Matches:
    """Each item is claimed once, and so is each place of the output."""

    def __init__(self, items: list[OutputItem]) -> None:
        self.found: dict[int, OutputItem] = {}
        self._free = {item.place: item for item in items}
        self._by_place = {(item.type, item.place): item for item in items}
        self._by_id: dict[tuple[str, object], OutputItem] = {}
        for item in items:
            for id in (item.id, item.call_id):
                if id:
                    self._by_id.setdefault((item.type, id), item)

    def claim_by_id(self, place: int, body: Json) -> None:
        type = type_of(body)
        self._claim(place, self._by_id.get((type, body.get("id"))))
        self._claim(place, self._by_id.get((type, body.get("call_id"))))

    def claim_by_place(self, place: int, body: Json) -> None:
        self._claim(place, self._by_place.get((type_of(body), place)))

    def claim_by_type(self, place: int, body: Json) -> None:
        if place in self.found:
            return
        for item in self._free.values():
            if _may_be(item, body):
                self._claim(place, item)
                return

    def _claim(self, place: int, item: OutputItem | None) -> None:
        if item is not None and place not in self.found and item.place in self._free:
            self.found[place] = self._free.pop(item.place)


def _may_be(item: OutputItem, body: Json) -> bool:
    """Whether the item is of this type, and no call with another id."""
    return item.type == type_of(body) and not (item.call_id and body.get("call_id"))
