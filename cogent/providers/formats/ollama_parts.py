"""Images and files in requests of Ollama, whose messages have one text and images."""

from __future__ import annotations

from collections.abc import Sequence

from cogent.content import TEXT_SEPARATOR, ContentPart
from cogent.json_values import Json
from cogent.providers.formats.parts import Accepted, marked_text

# Which types of images it takes depends on the server's version.
ACCEPTED = Accepted(data={"image": "image", "text": "text"}, urls={}, media_types={})


def encode_parts(parts: Sequence[ContentPart], provider: str) -> Json:
    """The `content` and the `images` of a message; the images stand apart from the text.

    The SDK takes a string for the name of a file, so it is given bytes. Raises
    ConfigurationError for what the provider does not take.
    """
    texts: list[str] = []
    images: list[bytes] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif ACCEPTED.form_of(part, provider) == "text":
            texts.append(marked_text(part))
        else:
            images.append(part.data or b"")
    encoded: Json = {"content": TEXT_SEPARATOR.join(texts)}
    if images:
        encoded["images"] = images
    return encoded
