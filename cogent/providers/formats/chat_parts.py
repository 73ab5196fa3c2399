"""Images and files in requests of Chat Completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cogent.content import ContentPart, Media
from cogent.content_json import base64_of
from cogent.json_values import Json
from cogent.messages import Message
from cogent.providers.formats.parts import (
    Accepted,
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

# What OpenAI takes; which types of images depends on the server behind the format.
OPENAI_CHAT = Accepted(
    data={"image": "image", "pdf": "file", "text": "text", "audio": "audio"},
    urls={"image": "image"},
    media_types={"audio": frozenset(AUDIO_FORMATS)},
)


SEE_NEXT = "See the next message."  # of a result that has no text


@dataclass(frozen=True, slots=True)
class Receiver:
    """The provider that a request is for, and what it takes."""

    provider: str
    accepted: Accepted


def encode_parts(parts: Sequence[ContentPart], receiver: Receiver) -> list[Json]:
    """The content of a message of the user.

    Raises ConfigurationError for what the provider does not take.
    """
    return [_encode_part(part, receiver) for part in parts]


def encode_result(result: Message, receiver: Receiver) -> Json:
    """The message with the result of a call."""
    parts = parts_to_send(result)
    content: str | list[Json] = result.content
    if parts and receiver.accepted.in_results:
        content = encode_parts(parts, receiver)
    elif parts and not content:
        content = SEE_NEXT
    return {"role": "tool", "tool_call_id": result.tool_call_id, "content": content}


def encode_media_of_results(
    results: Sequence[Message], receiver: Receiver
) -> list[Json]:
    """The message that follows the results of a turn with what they cannot hold.

    A result has text alone, unless the provider says otherwise: Images and Files come
    from the user, after all results of the turn. An empty list where there are none.
    """
    if receiver.accepted.in_results:
        return []
    content: list[Json] = []
    for result in results:
        media = [part for part in parts_to_send(result) if not isinstance(part, str)]
        if media:
            text = f"From the tool {result.name!r} (call {result.tool_call_id!r}):"
            content += encode_parts([text, *media], receiver)
    return [{"role": "user", "content": content}] if content else []


def _encode_part(part: ContentPart, receiver: Receiver) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    match receiver.accepted.form_of(part, receiver.provider):
        case "image":
            return {"type": "image_url", "image_url": {"url": url_or_data(part)}}
        case "audio":
            return {"type": "input_audio", "input_audio": _audio(part)}
        case "text":
            return {"type": "text", "text": marked_text(part)}
        case "file":
            file = {"filename": file_name(part), "file_data": url_or_data(part)}
            return {"type": "file", "file": file}


def _audio(part: Media) -> Json:
    return {"data": base64_of(part), "format": AUDIO_FORMATS[part.media_type or ""]}
