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
    for find in (matches.by_id, matches.by_place, matches.by_type):
        for place, body in enumerate(output):
            if place not in matches.found:
                find(place, body)
    return matches.found


class _Matches:
    """Each item is claimed once, and so is each place of the output."""

    def __init__(self, items: list[OutputItem]) -> None:
        self.found: dict[int, OutputItem] = {}
        self._free = {item.place: item for item in items}
        self._by_id: dict[tuple[str, str], OutputItem] = {}
        for item in items:
            for id in (item.id, item.call_id):
                self._by_id.setdefault((item.type, id or ""), item)

    def by_id(
        self,
        place: int,
        body: Json,
    ) -> None:
        for name in ("id", "call_id"):
            id = body.get(name)
            item = self._by_id.get((type_of(body), id)) if id else None
            if item is not None and item.place in self._free:
                self._claim(place, item)
                return

    def by_place(
        self,
        place: int,
        body: Json,
    ) -> None:
        item = self._free.get(place)
        if item is not None and item.type == type_of(body):
            self._claim(place, item)

    def by_type(
        self,
        place: int,
        body: Json,
    ) -> None:
        for item in self._free.values():
            has_other_id = item.call_id and body.get("call_id")
            if item.type == type_of(body) and not has_other_id:
                self._claim(place, item)
                return

    def _claim(
        self,
        place: int,
        item: OutputItem,
    ) -> None:
        self.found[place] = self._free.pop(item.place)
