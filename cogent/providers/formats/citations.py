"""Annotations of a text, in the form that OpenAI gave them, as sources.

Responses have the fields in the annotation itself, Chat Completions one level below,
under the name of its type.
"""

from __future__ import annotations

import json

from cogent.json_values import Json, copy_json
from cogent.providers.formats.counts import count
from cogent.providers.formats.fields import first_text
from cogent.sources import Source


class Citations:
    """The annotations of one answer, each given once, whichever events hold it."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def is_new(self, value: object) -> bool:
        """Whether no equal one came before."""
        key = json.dumps(value, sort_keys=True)
        if key in self._given:
            return False
        self._given.add(key)
        return True

    def source_of(self, annotation: Json, text_before: int | None = 0) -> Source | None:
        """The source; None if it was given before.

        `text_before` is the length of the answer's text before the annotated part, None
        where that part is not known.
        """
        return _source_of(annotation, text_before) if self.is_new(annotation) else None


def _source_of(annotation: Json, text_before: int | None) -> Source:
    """What an annotation cites.

    That of a file names a place of the text, not a passage. What is not known by name
    stands in `raw`.
    """
    kind = str(annotation.get("type"))
    nested = annotation.get(kind)
    fields: Json = nested if isinstance(nested, dict) else annotation
    start, end = _positions(kind, fields)
    if text_before is None or start is None or end is None:
        start = end = None
    else:
        start, end = start + text_before, end + text_before
    return Source(
        url=first_text(fields, "url"),
        title=first_text(fields, "title", "filename", "document_id", "file_id"),
        quote=first_text(fields, "quote", "content"),
        start=start,
        end=end,
        raw=copy_json(annotation),  # which goes back unchanged
    )


def _positions(kind: str, fields: Json) -> tuple[int | None, int | None]:
    """Where the cited passage begins and ends in its part of the text.

    OpenRouter says 0 and 0 where it does not know.
    """
    if kind == "file_citation" and "start_index" not in fields:
        place = _position(fields.get("index"))
        return place, place
    start = _position(fields.get("start_index"))
    end = _position(fields.get("end_index"))
    if start is None or end is None or start >= end:
        return None, None
    return start, end


def _position(value: object) -> int | None:
    return count(value) if isinstance(value, int) else None
