"""What callers give a run, checked: the message and the history.

A message is a string, or a list of strings, Images and Files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cogent.content import ContentPart, File, Image, has_media
from cogent.errors import ConfigurationError
from cogent.json_values import UnsendableError, check_text
from cogent.messages import Message, Response
from cogent.run.copies import copy_message
from cogent.validation import shown

UserMessage = str | Sequence[ContentPart]
History = Sequence[Message | Mapping[str, Any]]


def read_message(given: object) -> Message:
    """The message of the user.

    Raises ConfigurationError for one that cannot be sent.
    """
    if isinstance(given, str):
        check_sendable(given, "the message")
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
            check_sendable(part, f"entry {place} of the message")
        elif not isinstance(part, Image | File):
            raise ConfigurationError(
                f"entry {place} of the message must be a string, an Image or a File; "
                f"got {type(part).__name__}"
            )
        parts.append(part)
    return parts


def check_sendable(text: object, name: str) -> None:
    """Raise ConfigurationError unless this is a string that JSON can hold."""
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} must be a string; got {type(text).__name__}")
    try:
        check_text(text)
    except UnsendableError as error:
        raise ConfigurationError(f"{name} cannot be sent: the text {error}") from None


def read_history(history: History | None) -> list[Message]:
    """Copies of the messages, each of them checked.

    Raises ConfigurationError, which says which one is wrong.
    """
    if history is None:
        return []
    if isinstance(history, Response):
        raise ConfigurationError(
            "history is a list of messages: pass response.messages"
        )
    is_other = isinstance(history, str | bytes | Message | Mapping)
    if is_other or not isinstance(history, Iterable):
        raise ConfigurationError(
            "history is a list of messages, as in response.messages; "
            f"got {shown(history)}"
        )
    messages: list[Message] = []
    for place, entry in enumerate(history):
        try:
            messages.append(_read_entry(entry))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the history cannot be read: entry {place}: {error}"
            ) from None
    return messages


def _read_entry(entry: Message | Mapping[str, object]) -> Message:
    if not isinstance(entry, Message):
        return copy_message(Message.from_dict(entry))
    entry.check()
    return copy_message(entry)
