"""Images and files in requests of Chat Completions."""

from __future__ import annotations

from collections.abc import Sequence

from cogent.content import ContentPart, File, Media
from cogent.content_json import base64_of
from cogent.json_values import Json
from cogent.messages import Message
from cogent.providers.formats.parts import (
    COMMON_IMAGES,
    Accepted,
    data_url,
    file_name,
    marked_text,
    parts_to_send,
    url_or_data,
)

AUDIO_FORMATS = {
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
}

# Which types of images it takes depends on the server behind the format.
OPENAI_CHAT = Accepted(
    data={"image": "image", "pdf": "file", "text": "text", "audio": "audio"},
    urls={"image": "image"},
    media_types={"audio": frozenset(AUDIO_FORMATS)},
)
GROQ = Accepted(
    data={"image": "image", "text": "text"},
    urls={"image": "image"},
    media_types={"image": COMMON_IMAGES},
)
MISTRAL = Accepted(
    data={"image": "image", "pdf": "document_url", "text": "text"},
    urls={"image": "image", "pdf": "document_url", None: "document_url"},
    media_types={"image": COMMON_IMAGES},
)
LOCAL = Accepted(data={"text": "text"}, urls={}, media_types={})
ACCEPTED = {
    "openai-chat": OPENAI_CHAT,
    "groq": GROQ,
    "mistral": MISTRAL,
    "local": LOCAL,
}
# Whose results hold what messages hold; elsewhere a result has text alone.
RESULTS_WITH_PARTS = ("mistral",)
SEE_NEXT = "See the next message."  # of a result that has no text


def encode_parts(parts: Sequence[ContentPart], provider: str) -> list[Json]:
    """The content of a message of the user.

    Raises ConfigurationError for what the provider does not take.
    """
    return [_encode_part(part, provider) for part in parts]


def encode_result(result: Message, provider: str) -> Json:
    """The message with the result of a call."""
    parts = parts_to_send(result)
    content: str | list[Json] = result.content
    if parts and provider in RESULTS_WITH_PARTS:
        content = encode_parts(parts, provider)
    elif parts and not content:
        content = SEE_NEXT
    return {"role": "tool", "tool_call_id": result.tool_call_id, "content": content}


def encode_media_of_results(results: Sequence[Message], provider: str) -> list[Json]:
    """The message that follows the results of a turn with what they cannot hold.

    Images and Files come from the user there, after all results of the turn. An empty
    list where there are none.
    """
    if provider in RESULTS_WITH_PARTS:
        return []
    content: list[Json] = []
    for result in results:
        media = [part for part in parts_to_send(result) if not isinstance(part, str)]
        if media:
            text = f"From the tool {result.name!r} (call {result.tool_call_id!r}):"
            content += encode_parts([text, *media], provider)
    return [{"role": "user", "content": content}] if content else []


def _encode_part(part: ContentPart, provider: str) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    match ACCEPTED.get(provider, OPENAI_CHAT).form_of(part, provider):
        case "image":
            return {"type": "image_url", "image_url": {"url": url_or_data(part)}}
        case "audio":
            return {"type": "input_audio", "input_audio": _audio(part)}
        case "text":
            return {"type": "text", "text": marked_text(part)}
        case "document_url":
            return _document_url(part)
        case "file":
            file = {"filename": file_name(part), "file_data": data_url(part)}
            return {"type": "file", "file": file}


def _document_url(part: Media) -> Json:
    document = {"type": "document_url", "document_url": url_or_data(part)}
    if isinstance(part, File) and part.name:
        document["document_name"] = part.name
    return document


def _audio(part: Media) -> Json:
    return {"data": base64_of(part), "format": AUDIO_FORMATS[part.media_type or ""]}
