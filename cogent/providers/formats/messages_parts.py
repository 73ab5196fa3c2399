"""Images and files in requests of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Sequence

from cogent.content import ContentPart, File, Media
from cogent.content_json import base64_of
from cogent.json_values import Json
from cogent.providers.formats.parts import (
    COMMON_IMAGES,
    Accepted,
    file_text,
)

ACCEPTED = Accepted(
    data={"image": "image", "pdf": "file", "text": "text"},
    urls={"image": "image", "pdf": "file", None: "file"},  # of files, PDF alone
    media_types={"image": COMMON_IMAGES},
)


def encode_parts(parts: Sequence[ContentPart], provider: str) -> list[Json]:
    """The blocks of a message of the user, or of a result.

    Raises ConfigurationError for what the provider does not take.
    """
    return [_encode_part(part, provider) for part in parts]


def _encode_part(part: ContentPart, provider: str) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    match ACCEPTED.form_of(part, provider):
        case "image":
            return {"type": "image", "source": _source(part)}
        case "text":
            text = {
                "type": "text",
                "media_type": "text/plain",
                "data": file_text(part),
            }
            return _document(part, text)
        case _:
            return _document(part, _source(part))


def _source(part: Media) -> Json:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {
        "type": "base64",
        "media_type": part.media_type,
        "data": base64_of(part),
    }


def _document(part: Media, source: Json) -> Json:
    document: Json = {"type": "document", "source": source}
    if isinstance(part, File) and part.name:
        document["title"] = part.name
    return document
