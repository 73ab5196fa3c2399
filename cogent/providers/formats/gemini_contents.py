"""The conversation of a Gemini request, past the SDK.

The SDK makes models of its own of each message and walks through them three times: 440
ms for 2,000 messages. What stands in `extra_body` is sent as it is.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from google.genai import types
from pydantic.alias_generators import to_camel

from cogent.json_values import Json

# The SDK refuses to be without contents; those of `extra_body` take their place.
PLACEHOLDER = "-"


class _Content(dict[str, Any]):
    """A message that is not copied: the SDK makes deep copies of its settings."""

    def __deepcopy__(self, memo: object) -> _Content:
        return self


def bypass_sdk_models(arguments: Json) -> Json:
    """The same arguments of `generate_content` with the contents in `extra_body`."""
    if not arguments["contents"]:
        return arguments
    config: types.GenerateContentConfig = arguments["config"]
    options = config.http_options or types.HttpOptions()
    contents = [_on_the_wire(content) for content in arguments["contents"]]
    body = {"contents": contents, **(options.extra_body or {})}
    options = options.model_copy(update={"extra_body": body})
    config = config.model_copy(update={"http_options": options})
    return {**arguments, "contents": PLACEHOLDER, "config": config}


def _on_the_wire(content: Json) -> _Content:
    """A content with the names and strings that the SDK would send."""
    return _Content(content, parts=[_encode_part(part) for part in content["parts"]])


def _encode_part(part: Json) -> Json:
    return {_field_name(name): _without_bytes(value) for name, value in part.items()}


@lru_cache(maxsize=256)
def _field_name(name: str) -> str:
    """The name of a part's field; in what stands in it, the API takes both spellings."""
    return to_camel(name)


def _without_bytes(value: Any) -> Any:
    """The value with its bytes in base64, as JSON has none."""
    match value:
        case str():
            return value
        case bytes():
            return urlsafe_b64encode(value).decode()
        case dict():
            return {name: _without_bytes(inner) for name, inner in value.items()}
        case list() | tuple():
            return _all_without_bytes(value)
    return value


def _all_without_bytes(values: Iterable[Any]) -> list[Any]:
    return [_without_bytes(value) for value in values]
