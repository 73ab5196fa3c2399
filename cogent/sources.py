"""What an answer is based on: web pages, documents and passages that a provider names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cogent.content import Media
from cogent.content_json import part_to_dict, read_parts
from cogent.json_values import Json, copy_json


@dataclass(slots=True)
class Source:
    """A citation: something that the answer, or a passage of it, is based on.

    `url` and `title` name it; a document that was uploaded has its file name as title,
    and no URL. `quote` is the text of the source that is cited, where the provider gives
    it. `start` and `end` are positions in the text of the answer: what is cited is
    `response.content[source.start:source.end]`; None where the provider does not say.
    `raw` is the citation as the provider wrote it.

    >>> model = ScriptedModel(["The Nile.", Source("https://example.org/rivers")])
    >>> Agent("guide", model).run_sync("Name a river.").sources[0].url
    'https://example.org/rivers'
    """

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    raw: Json = field(default_factory=dict)

    def to_dict(self) -> Json:
        """The fields that are set, as JSON."""
        data: Json = {}
        for name in ("url", "title", "quote", "start", "end"):
            value = getattr(self, name)
            if value is not None:
                data[name] = value
        if self.raw:
            data["raw"] = copy_json(self.raw)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Source:
        """Read what `to_dict` wrote."""
        return cls(**data)


def write_beside(sources: Sequence[Source], files: Sequence[Media]) -> Json:
    """What a response has beside its text as JSON: the two lists that are not empty."""
    data: Json = {}
    if sources:
        data["sources"] = [source.to_dict() for source in sources]
    if files:
        data["files"] = [part_to_dict(file) for file in files]
    return data


def read_beside(data: Json) -> Json:
    """The lists that `write_beside` wrote."""
    sources = [Source.from_dict(source) for source in data.get("sources", ())]
    return {"sources": sources, "files": read_parts(data.get("files", []))}


def copy_source(source: Source) -> Source:
    """The source with a dict of its own."""
    return replace(source, raw=copy_json(source.raw))
