"""The sources of a Gemini answer: what its grounding and its citations name.

Grounding lists chunks (pages, documents, places) and supports, each of which says which
chunks a passage of the answer rests on. A stream may say it piece by piece or repeat it
whole, before or after the text that it is about. Positions come as bytes of UTF-8, of the
passage's part or of the whole answer; the passage's own text tells which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from google.genai import types

from cogent.chunks import StreamChunk
from cogent.json_values import Json
from cogent.providers.formats.fields import first_text
from cogent.sources import Source

Position = tuple[int, int]
NOWHERE = (None, None)
# What kinds of chunks call the same thing.
URL_FIELDS = ("uri", "source_uri", "image_uri")
TITLE_FIELDS = ("title", "document_name", "place_id", "media_id")


@dataclass(slots=True)
class TextPart:
    """A part of the answer: its text, if it is a visible one, and where that begins in
    the text of the whole answer.
    """

    text: str
    start: int


@dataclass(slots=True)
class Citation:
    """A source that was named, and the passage that it is for, if any."""

    source: Source
    segment: types.Segment | None


class Grounding:
    """The sources so far."""

    def __init__(self) -> None:
        self._chunks: list[Json] = []
        self._as_they_came: list[Json] = []  # with those that came again
        self._cited: set[str] = set()  # the chunks that are for a passage
        self._known: set[tuple[str, str]] = set()  # chunks, each with a passage
        self._waiting: list[Citation] = []  # for the text that they are about

    @property
    def has_rest(self) -> bool:
        """Whether anything was named."""
        return bool(self._chunks or self._waiting)

    def add(self, candidate: types.Candidate) -> bool:
        """Take in what a candidate names; returns whether that is for a passage, and new."""
        waited = len(self._waiting)
        if candidate.grounding_metadata is not None:
            self._add_grounding(candidate.grounding_metadata)
        if candidate.citation_metadata is not None:
            for citation in candidate.citation_metadata.citations or ():
                self._add_citation(citation)
        return len(self._waiting) > waited

    def located(self, parts: Sequence[TextPart]) -> Iterator[StreamChunk]:
        """The sources whose passage has come, given once."""
        waiting, self._waiting = self._waiting, []
        for citation in waiting:
            position = _locate(citation.segment, parts)
            if position is None:
                self._waiting.append(citation)
            else:
                yield _chunk(citation.source, position)

    def rest(self, parts: Sequence[TextPart]) -> Iterator[StreamChunk]:
        """At the end: all that is left, also what is for no passage."""
        yield from self.located(parts)
        for citation in self._waiting:
            yield StreamChunk(source=citation.source)
        for chunk in self._chunks:
            if _key(chunk) not in self._cited:
                self._cited.add(_key(chunk))
                source = _source_of_chunk(chunk, None)
                if source is not None:
                    yield StreamChunk(source=source)

    def _add_grounding(self, metadata: types.GroundingMetadata) -> None:
        chunks = [chunk.to_json_dict() for chunk in metadata.grounding_chunks or ()]
        self._add_chunks(chunks)
        # An index counts in the list beside it, or in all that came. A search in files
        # counts what it found again for each of its queries.
        lists = (chunks, self._chunks, self._as_they_came)
        for support in metadata.grounding_supports or ():
            for place in support.grounding_chunk_indices or ():
                found = (_at(listed, place) for listed in lists)
                chunk = next(filter(None, found), None)
                if chunk is not None:
                    self._add_support(chunk, support)

    def _add_chunks(self, chunks: list[Json]) -> None:
        self._as_they_came += chunks
        if chunks[: len(self._chunks)] == self._chunks:
            self._chunks = chunks  # all that came before, and more
        else:
            self._chunks += [chunk for chunk in chunks if chunk not in self._chunks]

    def _add_support(self, chunk: Json, support: types.GroundingSupport) -> None:
        key = _key(chunk)
        self._cited.add(key)
        source = _source_of_chunk(chunk, support)
        self._wait(key, source, support.segment)

    def _add_citation(self, citation: types.Citation) -> None:
        raw: Json = citation.to_json_dict()
        source = None
        if citation.uri or citation.title:
            source = Source(citation.uri, citation.title, raw={"citation": raw})
        segment = None
        if citation.end_index:
            segment = types.Segment(
                start_index=citation.start_index, end_index=citation.end_index
            )
        self._wait(_key(raw), source, segment)

    def _wait(
        self,
        key: str,
        source: Source | None,
        segment: types.Segment | None,
    ) -> None:
        """Keep a source until its passage has come, unless it is known already."""
        known = (key, repr(segment))
        if source is not None and known not in self._known:
            self._known.add(known)
            self._waiting.append(Citation(source, segment))


def _chunk(source: Source, position: Position) -> StreamChunk:
    source.start, source.end = position
    return StreamChunk(source=source)


def _at(chunks: Sequence[Json], place: int) -> Json | None:
    """The chunk at this place, if there is one."""
    return chunks[place] if 0 <= place < len(chunks) else None


def _key(chunk: Json) -> str:
    return json.dumps(chunk, sort_keys=True)


def _source_of_chunk(
    chunk: Json,
    support: types.GroundingSupport | None,
) -> Source | None:
    """The source that a chunk is; None if it names nothing."""
    about: Json = {}
    for fields in chunk.values():
        about |= fields
    passage: Json = about.get("rag_chunk") or {}
    url = first_text(about, *URL_FIELDS)
    title = first_text(about, *TITLE_FIELDS)
    quote = about.get("text") or passage.get("text")
    if not (url or title or quote):
        return None
    raw: Json = {"grounding_chunk": chunk}
    if support is not None:
        raw["grounding_support"] = support.to_json_dict()
    return Source(url, title, quote, raw=raw)


# Positions


def _locate(
    segment: types.Segment | None,
    parts: Sequence[TextPart],
) -> Position | None:
    """Where in the answer a passage stands, if it has come: in the part that it names,
    in the answer as a whole, in another part; else where its text is found.
    """
    if segment is None:
        return None
    whole = TextPart("".join(part.text for part in parts), 0)
    named = parts[segment.part_index or 0 :][:1]
    for part in (*named, whole, *parts):
        position = _position_in(part, segment)
        if position is not None:
            return position
    return _find(segment, whole.text)


def _position_in(part: TextPart, segment: types.Segment) -> Position | None:
    """Where the bytes of the segment stand, if they are there and are its text."""
    data = part.text.encode()
    start, end = segment.start_index or 0, segment.end_index or 0
    if not 0 <= start < end <= len(data):
        return None
    text = data[start:end].decode(errors="ignore")
    if segment.text and text != segment.text:
        return None
    first = part.start + len(data[:start].decode(errors="ignore"))
    return first, first + len(text)


def _find(segment: types.Segment, text: str) -> Position | None:
    """The place nearest to the one that the segment names where its text stands."""
    wanted = segment.text
    if not wanted:
        return None
    expected = len(text.encode()[: segment.start_index or 0].decode(errors="ignore"))
    before = text.rfind(wanted, 0, expected + len(wanted))
    after = text.find(wanted, expected)
    places = [place for place in (before, after) if place >= 0]
    if not places:
        return None
    start = min(places, key=lambda place: abs(place - expected))
    return start, start + len(wanted)
