"""Texts, images and files as JSON, for messages that are stored."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Set

from cogent.content import (
    ContentPart,
    File,
    Image,
    Media,
    MediaSource,
    describe,
    is_url,
    read,
)
from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.validation import shown

FORM_VERSION = 1
"""Of the JSON that `to_dict` writes; what has no `version` is of version 1."""

MEDIA_KEYS = frozenset({"type", "media_type", "data", "url", "optional"})


def part_to_dict(part: ContentPart) -> Json:
    """A part as JSON: its `type` is "text", "image" or "file".

    `{"type": "text", "text"}`; the others have `data` (base64) or `url`, and, where
    they are known, `media_type` and `name`, and `optional` where that is true. A file
    that was not read yet is read.
    """
    if isinstance(part, str):
        return {"type": "text", "text": part}
    media = read(part)
    written: Json = {"type": "image" if isinstance(media, Image) else "file"}
    if media.media_type is not None:
        written["media_type"] = media.media_type
    if isinstance(media, File) and media.name is not None:
        written["name"] = media.name
    if media.optional:
        written["optional"] = True
    if media.url is not None:
        written["url"] = media.url
    else:
        written["data"] = base64_of(media)
    return written


def part_from_dict(data: object, path: str) -> ContentPart:
    """The part that `part_to_dict` wrote; `path` is its place, for errors.

    No file is ever read for it: JSON may come from anywhere.
    """
    if isinstance(data, str | Image | File):
        return data
    if not isinstance(data, Mapping):
        raise ConfigurationError(
            f"{path} is a dict with a type; got {type(data).__name__}"
        )
    match data.get("type"):
        case "text":
            return _text_from_dict(data, path)
        case "image":
            _check_keys(data, MEDIA_KEYS, path)
            source = _source_from_dict(data, path)
            optional = data.get("optional") is True
            return Image(source, data.get("media_type"), optional=optional)
        case "file":
            _check_keys(data, MEDIA_KEYS | {"name"}, path)
            source = _source_from_dict(data, path)
            optional = data.get("optional") is True
            return File(
                source, data.get("media_type"), data.get("name"), optional=optional
            )
        case unknown:
            raise ConfigurationError(
                f"{path} has the type text, image or file; got {shown(unknown)}"
            )


def base64_of(media: Media) -> str:
    """The bytes in base64. Raises ConfigurationError if there are none."""
    if media.data is None:
        raise ConfigurationError(f"{describe(media)} has no bytes")
    return b64encode(media.data).decode()


def _text_from_dict(data: Mapping[str, object], path: str) -> str:
    _check_keys(data, {"type", "text"}, path)
    text = data.get("text")
    if not isinstance(text, str):
        raise ConfigurationError(f"{path}.text is a string; got {shown(text)}")
    return text


def _source_from_dict(data: Mapping[str, object], path: str) -> MediaSource:
    url = data.get("url")
    encoded = data.get("data")
    if (url is None) == (encoded is None):
        raise ConfigurationError(f"{path} has either data (base64) or a url")
    if url is not None:
        if not isinstance(url, str) or not is_url(url):
            raise ConfigurationError(f"{path}.url is no URL")
        return url
    try:
        if not isinstance(encoded, str):
            raise ValueError("no string")
        return b64decode(encoded, validate=True)
    except ValueError:
        raise ConfigurationError(f"{path}.data is no base64") from None


def _check_keys(data: Mapping[str, object], known: Set[str], path: str) -> None:
    unknown = data.keys() - known
    if unknown:
        names = ", ".join(map(shown, unknown))
        raise ConfigurationError(f"{path} has unknown keys: {names}")


def read_parts(data: object) -> list[ContentPart]:
    """The parts that `part_to_dict` wrote."""
    if not isinstance(data, list | tuple):
        raise ConfigurationError(f"parts is a list; got {type(data).__name__}")
    return [part_from_dict(part, f"parts[{place}]") for place, part in enumerate(data)]


def check_version(data: Mapping[str, object]) -> None:
    """Raise ConfigurationError for JSON that a later version of cogent wrote."""
    version = data.get("version", FORM_VERSION)
    if version != FORM_VERSION:
        raise ConfigurationError(
            f"this was written in version {shown(version)} of the JSON form; "
            f"this cogent reads version {FORM_VERSION}"
        )
