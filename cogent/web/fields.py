"""Values of a request's JSON, each of the type that its form names; else BadInput."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from cogent.json_values import Json
from cogent.validation import shown
from cogent.web.bad_input import BadInput

DATA_URL = "data:"
WEB_URLS = ("http://", "https://")

Fields = Mapping[str, object]


def as_text(value: object, path: str) -> str:
    """The text; `path` names its place for the error."""
    if not isinstance(value, str):
        raise BadInput(f"{path} is a text; got {shown(value)}")
    return value


def as_name(value: object, path: str) -> str:
    """The text, which may not be empty."""
    if value == "":
        raise BadInput(f"{path} is empty")
    return as_text(value, path)


def as_object(value: object, path: str) -> Json:
    """The object."""
    if not isinstance(value, dict):
        raise BadInput(f"{path} is an object; got {shown(value)}")
    return value


def as_objects(value: object, path: str) -> list[Json]:
    """The list of objects."""
    if not isinstance(value, list):
        raise BadInput(f"{path} is a list; got {shown(value)}")
    return [as_object(entry, f"{path}[{place}]") for place, entry in enumerate(value)]


def as_url(value: object, path: str) -> str:
    """The http(s) URL. No path is ever taken for a file's."""
    url = as_text(value, path)
    if not url.startswith(WEB_URLS):
        raise BadInput(f"{path} is an http(s) URL, or has its data")
    return url


def as_source(value: object, path: str) -> bytes | str:
    """The bytes in a data URL, or an http(s) URL."""
    url = as_text(value, path)
    if not url.startswith(DATA_URL):
        return as_url(url, path)
    head, _, data = url.partition(",")
    if head.endswith(";base64"):
        return as_bytes(data, path)
    return unquote_to_bytes(data)


def as_bytes(value: object, path: str) -> bytes:
    """The bytes in base64."""
    try:
        return b64decode(as_text(value, path), validate=True)
    except ValueError:
        raise BadInput(f"{path} holds no base64") from None
