"""Images and files in requests of OpenAI Responses."""

from __future__ import annotations

from collections.abc import Sequence

from cogent.content import ContentPart, Media
from cogent.json_values import Json
from cogent.providers.formats.parts import (
    COMMON_IMAGES,
    Accepted,
    data_url,
    file_name,
    marked_text,
    url_or_data,
)

OPENAI = Accepted(
    data={"image": "image", "pdf": "file", "text": "file", "document": "file"},
    urls={
        "image": "image",
        "pdf": "file",
        "text": "file",
        "document": "file",
        None: "file",
    },
    media_types={"image": COMMON_IMAGES},
)
# Of files Azure documents PDF alone.
AZURE = Accepted(
    data={"image": "image", "pdf": "file", "text": "text"},
    urls={"image": "image", "pdf": "file", None: "file"},
    media_types={"image": COMMON_IMAGES},
)
ACCEPTED = {"openai": OPENAI, "azure": AZURE}


def accepted_by(provider: str) -> Accepted:
    """What the provider takes."""
    return ACCEPTED.get(provider, OPENAI)


def encode_parts(parts: Sequence[ContentPart], provider: str) -> list[Json]:
    """The content of a message, or the output of a call.

    Raises ConfigurationError for what the provider does not take.
    """
    return [_encode_part(part, provider) for part in parts]


def _encode_part(part: ContentPart, provider: str) -> Json:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    match accepted_by(provider).form_of(part, provider):
        case "image":
            return {
                "type": "input_image",
                "image_url": url_or_data(part),
                "detail": "auto",
            }
        case "text":
            return {"type": "input_text", "text": marked_text(part)}
        case _:
            return _encode_file(part)


def _encode_file(part: Media) -> Json:
    if part.url is not None:
        return {"type": "input_file", "file_url": part.url}
    return {
        "type": "input_file",
        "filename": file_name(part),
        "file_data": data_url(part),
    }
