"""Images and files in requests of Gemini."""

from __future__ import annotations

from collections.abc import Sequence
from mimetypes import guess_type
from urllib.parse import urlsplit

from cogent.content import ContentPart, Media
from cogent.json_values import Json
from cogent.providers.formats.parts import Accepted

IMAGES = frozenset(
    {"image/heic", "image/heif", "image/jpeg", "image/png", "image/webp"}
)
ACCEPTED = Accepted(
    data={
        "image": "image",
        "pdf": "file",
        "text": "file",
        "audio": "file",
        "video": "file",
    },
    urls={
        "image": "image",
        "pdf": "file",
        "text": "file",
        "audio": "file",
        "video": "file",
        None: "file",
    },
    media_types={"image": IMAGES},
)


def encode_parts(parts: Sequence[ContentPart], provider: str) -> list[Json]:
    """The parts of a message of the user. The SDK writes the bytes in base64.

    Raises ConfigurationError for what the provider does not take.
    """
    return [_encode_part(part, provider) for part in parts]


def encode_media(parts: Sequence[ContentPart], provider: str) -> list[Json]:
    """The parts of a result, whose text stands elsewhere."""
    media = [part for part in parts if not isinstance(part, str)]
    return encode_parts(media, provider)


def _encode_part(part: ContentPart, provider: str) -> Json:
    if isinstance(part, str):
        return {"text": part}
    ACCEPTED.form_of(part, provider)
    if part.url is None:
        return {"inline_data": {"mime_type": part.media_type, "data": part.data}}
    file: Json = {"file_uri": part.url}
    media_type = part.media_type or _type_by_ending(part)
    if media_type:
        file["mime_type"] = media_type
    return {"file_data": file}


def _type_by_ending(part: Media) -> str | None:
    """What a URL's ending says: Vertex AI wants a type, and nobody has read it yet."""
    return guess_type(urlsplit(part.url or "").path)[0]
