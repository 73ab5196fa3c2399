"""The pictures and files that a model made, as Images and Files.

What a provider sends cannot always be used: base64 that is none, a URL that only the
provider understands, nothing at all. Then there is no file; the provider's own item, which
goes back with the next request, still has it.
"""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import unquote_to_bytes

from cogent.content import File, Image, Media, MediaSource, is_url
from cogent.errors import ConfigurationError
from cogent.media_types import detect_media_type, kind_of

URL_SAFE = str.maketrans("-_", "+/")


def file_of_data(
    data: bytes | str, media_type: str | None = None, name: str | None = None
) -> Media | None:
    """The picture or file with this content: bytes, or base64 of either alphabet."""
    content = decode_base64(data) if isinstance(data, str) else data
    if not content:
        return None
    return _made(content, media_type or detect_media_type(content), name)


def file_of_url(
    url: object, media_type: str | None = None, name: str | None = None
) -> Media | None:
    """The picture or file at an http(s) URL, which nobody fetches, or in a data: URL.

    One of no known type is a File.
    """
    if not isinstance(url, str) or not is_url(url):
        return None
    if url[:5].lower() != "data:":
        return _made(url, media_type, name)
    head, _, body = url[5:].partition(",")
    given, *options = head.split(";")
    if "base64" in options:
        return file_of_data(body, given or media_type, name)
    return file_of_data(unquote_to_bytes(body), given or media_type, name)


def _made(
    source: MediaSource, media_type: str | None, name: str | None
) -> Media | None:
    try:
        if media_type is not None and kind_of(media_type) == "image":
            return Image(source, media_type)
        return File(source, media_type, name)
    except ConfigurationError:
        # Too large, no URL that can be used, a type that is none.
        return None


def decode_base64(text: str) -> bytes:
    """The bytes that the text is in base64, of either alphabet; empty if it is none."""
    text = "".join(text.split()).translate(URL_SAFE).rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
