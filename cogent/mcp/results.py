"""Results of MCP tools as the text, Images and Files that a model reads."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from cogent.content import ContentPart, File, Image, text_of
from cogent.errors import ConfigurationError
from cogent.tools.results import ToolOutput, to_text

if TYPE_CHECKING:
    from mcp import types


def error_output(text: str) -> ToolOutput:
    """An error result."""
    return ToolOutput(text, is_error=True)


def to_tool_output(result: types.CallToolResult) -> ToolOutput:
    """What a call gave.

    Structured content counts where no text says the same.
    """
    parts = [_to_part(block) for block in result.content]
    structured = result.structured_content
    has_text = any(isinstance(part, str) for part in parts)
    if structured is not None and not has_text:
        parts.append(json.dumps(structured, ensure_ascii=False))
    text = text_of(parts)
    if all(isinstance(part, str) for part in parts):
        return ToolOutput(text, is_error=result.is_error)
    return ToolOutput(text, parts, is_error=result.is_error)


def _to_part(block: types.ContentBlock) -> ContentPart:
    match block.type:
        case "text":
            return to_text(block.text)
        case "image" | "audio":
            return _to_media(block.data, block.mime_type, None)
        case "resource":
            return _resource_part(block.resource)
        case "resource_link":
            words = [block.title or block.name, str(block.uri), block.description]
            return ": ".join(word for word in words if word)
        case other:
            return f"(a part of the type {other!r}, which is not known)"


def _resource_part(
    resource: types.TextResourceContents | types.BlobResourceContents,
) -> ContentPart:
    from mcp import types

    if isinstance(resource, types.TextResourceContents):
        return to_text(resource.text)
    return _to_media(resource.blob, resource.mime_type, str(resource.uri))


def _to_media(data: str, media_type: str | None, uri: str | None) -> ContentPart:
    """An Image or a File of base64; words where it is none.

    What a server sends is nobody's choice here, so it is optional.
    """
    name = None if uri is None else uri.rsplit("/", 1)[-1] or None
    kind = media_type or "unknown type"
    try:
        decoded = base64.b64decode(data, validate=True)
        if kind.startswith("image/"):
            return Image(decoded, media_type=media_type, optional=True)
        return File(decoded, media_type=media_type, name=name, optional=True)
    except (binascii.Error, ConfigurationError):
        return f"(a file of {kind} that cannot be read)"
