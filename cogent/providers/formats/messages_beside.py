"""What answers of Anthropic's Messages API hold beside text, reasoning and calls of
functions: citations, tools that the server runs, and what else it tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.messages import ToolResult
from cogent.providers.formats.fields import (
    Fields,
    filled_fields,
    first_text,
    mapping,
    text_of,
)
from cogent.run.outputs import Outputs, ProviderDetails, Update
from cogent.sources import Source

# What has a place elsewhere; all other fields are told as the provider's details.
MESSAGE_FIELDS = {
    "id",
    "type",
    "role",
    "content",
    "model",
    "stop_reason",
    "usage",
    "delta",
}
USUAL_TIER = "standard"
COUNT_FIELDS = {
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens_details",
}


# Tools that the server runs


def is_server_call(item: Json) -> bool:
    """Whether a block is the call of a tool that the server runs itself: its own tools
    (`server_tool_use`), and those of an MCP server (`mcp_tool_use`).
    """
    return type_of(item).endswith("_tool_use")


def is_server_result(item: Json) -> bool:
    """Whether a block is what such a tool gave.

    Its type names the tool (`web_search_tool_result`); compatible servers leave that out.
    """
    type = type_of(item)
    return type == "tool_result" or type.endswith("_tool_result")


def server_call(item: Json, index: int) -> ToolCallDelta:
    """The beginning of a call that the server runs."""
    name = first_text(item, "name") or type_of(item)
    return ToolCallDelta(index, first_text(item, "id"), name, provider_executed=True)


def server_result(item: Json) -> Outputs:
    """What the tool gave, and the ids of the files that it made.

    The files themselves are to be had from the API, by these ids.
    """
    content = item.get("content")
    result = ToolResult(
        first_text(item, "tool_use_id") or "",
        "",
        _result_text(content),
        is_error=bool(item.get("is_error")) or _is_failure(content),
        provider_executed=True,
    )
    yield StreamChunk(tool_result=result)
    inner = mapping(content).get("content")
    blocks = [content, *inner] if isinstance(inner, list) else [content]
    yield from made_files(blocks)


def made_files(blocks: Iterable[object]) -> Iterator[Update]:
    """The ids of files that the code of the model made, or was given."""
    ids = [mapping(block).get("file_id") for block in blocks]
    known = [id for id in ids if id]
    if known:
        yield ProviderDetails({"file_ids": known})


def _result_text(content: object) -> str:
    """The result as text, or else as JSON, without what only the server can read."""
    blocks = content if isinstance(content, list) else []
    if blocks and all(map(_is_text, blocks)):
        return "\n".join(str(block["text"]) for block in blocks)
    readable = list(map(_readable, blocks)) if blocks else _readable(content)
    return text_of(readable)


def _is_text(block: object) -> bool:
    return mapping(block).get("type") == "text" and "text" in mapping(block)


def _readable(block: object) -> object:
    if not isinstance(block, dict):
        return block
    return {
        name: value
        for name, value in block.items()
        if not name.startswith("encrypted_")
    }


def _is_failure(content: object) -> bool:
    """Whether the result says that the tool, or the code that it ran, failed."""
    result = mapping(content)
    return bool(result.get("error_code") or result.get("return_code"))


# Citations


def sources_of(
    citations: object,
    start: int,
    end: int,
) -> Iterator[StreamChunk]:
    """What a block of text cites: each citation is for the whole block, which has these
    positions in the text of the answer.
    """
    if not isinstance(citations, list):
        return
    for place, citation in enumerate(citations):
        if mapping(citation) and citation not in citations[:place]:
            yield StreamChunk(source=_source(citation, start, end))


def _source(
    citation: Fields,
    start: int,
    end: int,
) -> Source:
    place = citation.get("source")  # of a search result of the user's own: any name
    address = place if _is_web_address(place) else None
    return Source(
        first_text(citation, "url") or address,
        first_text(citation, "title", "document_title", "source"),
        first_text(citation, "cited_text"),
        start,
        end,
        raw=dict(citation),
    )


def _is_web_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


# What else the server tells


def details_of(message: Fields) -> Iterator[Update]:
    """What a message, or the event that ends it, tells besides: the stop sequence, the
    container, a tier that is not the usual one, how often tools were used, and the like.
    """
    usage = mapping(message.get("usage"))
    details = filled_fields(message, MESSAGE_FIELDS)
    details |= filled_fields(usage, COUNT_FIELDS)
    if details.get("service_tier") == USUAL_TIER:
        del details["service_tier"]
    if details:
        yield ProviderDetails(details)


def type_of(item: Json) -> str:
    """The type of a block; empty where a server gives none."""
    return first_text(item, "type") or ""
