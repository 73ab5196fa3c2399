"""What a run is asked: a string, or a list of strings, Images and Files."""

from __future__ import annotations

from collections.abc import Sequence

from cogent.content import ContentPart, File, Image, has_media
from cogent.errors import ConfigurationError
from cogent.json_values import UnsendableError, check_text
from cogent.messages import Message

UserMessage = str | Sequence[ContentPart]


def user_message(given: object) -> Message:
    """The message of the user.

    Raises ConfigurationError for one that cannot be sent.
    """
    if isinstance(given, str):
        _check_text(given, "the message")
        message = Message("user", given)
    elif isinstance(given, list | tuple):
        message = Message("user", parts=_checked_parts(given))
    elif isinstance(given, Image | File):
        raise ConfigurationError(
            f"the message is a list, also for one {type(given).__name__}: "
            f'write ["What is this?", {type(given).__name__}(...)]'
        )
    else:
        raise ConfigurationError(
            "the message must be a string, or a list of strings, Images and Files; "
            f"got {type(given).__name__}"
        )
    if not message.content.strip() and not has_media(message.parts):
        raise ConfigurationError("the message is empty")
    return message


def _checked_parts(given: Sequence[object]) -> list[ContentPart]:
    parts: list[ContentPart] = []
    for place, part in enumerate(given):
        if isinstance(part, str):
            _check_text(part, f"entry {place} of the message")
        elif not isinstance(part, Image | File):
            raise ConfigurationError(
                f"entry {place} of the message must be a string, an Image or a File; "
                f"got {type(part).__name__}"
            )
        parts.append(part)
    return parts


def _check_text(text: str, name: str) -> None:
    try:
        check_text(text)
    except UnsendableError as error:
        raise ConfigurationError(f"{name} cannot be sent: the text {error}") from None
