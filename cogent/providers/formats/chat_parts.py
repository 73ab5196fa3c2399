"""Images and files in requests of Chat Completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cogent.content import ContentPart, Media
from cogent.content_json import base64_of
from cogent.json_values import Json
from cogent.messages import Message
from cogent.providers.formats.parts import (
    Accepted,
    Form,
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

FormOf = Callable[[Media], Form]  # `Accepted.form_of` of a provider

# What OpenAI takes; which types of images depends on the server behind the format.
OPENAI_CHAT = Accepted(
    data={"image": "image", "pdf": "file", "text": "text", "audio": "audio"},
    urls={"image": "image"},
    media_types={"audio": frozenset(AUDIO_FORMATS)},
)


def encode_parts(parts: Sequence[ContentPart], form_of: FormOf) -> list[Json]:
    """The content of a message of the user.

    Raises ConfigurationError for what the provider does not take.
    """
    return [_encode_part(part, form_of) for part in parts]


def encode_media_of_results(results: Sequence[Message], form_of: FormOf) -> list[Json]:
    """The message that follows the results of a turn with what they cannot hold.

    A result has text alone in this format: Images and Files come from the user, after
    all results of the turn. An empty list where the results have none.
    """
    content: list[Json] = []
    for result in results:
        media = [part for part in parts_to_send(result) if not isinstance(part, str)]
        if media:
            text = f"From the tool {result.name!r} (call {result.tool_call_id!r}):"
            content += encode_parts([text, *media], form_of)
    return [{"role": "user", "content": content}] if content else []


def _encode_part(part: ContentPart, form_of: FormOf) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    match form_of(part):
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
