"""Which lines of Ollama's are plain text, that `past_sdk` keeps from the SDK.

Of each line the SDK makes two models; to read its JSON by pydantic's parser and look at
it takes a third of that.
"""

from __future__ import annotations

import re

from pydantic_core import from_json

PLACEHOLDER: bytes = b'{"message":{"role":"assistant"},"done":false}\n'
# The SDK ends a line at these characters too.
LINES = re.compile(rb"(?:\{[^\n\r\x0b\x0c\x1c-\x1e]*\n)++")
EVENT_FIELDS = {"model", "created_at"}
MESSAGE_FIELDS = {"role", "content"}


def split_events(data: bytes) -> list[bytes] | None:
    """The lines, if each holds an object."""
    return data.splitlines(keepends=True) if LINES.fullmatch(data) else None


def read_plain_text(line: bytes) -> str | None:
    """The text of a line that holds one, and else only what stands beside each text."""
    try:
        event = from_json(line)
    except ValueError:
        return None
    message = event.pop("message", None)
    if event.pop("done", None) is not False or not isinstance(message, dict):
        return None
    if message.keys() != MESSAGE_FIELDS or not event.keys() <= EVENT_FIELDS:
        return None
    for text in (*message.values(), *event.values()):
        if not isinstance(text, str):
            return None
    content: str = message["content"]
    return content or None
