"""The files of messages and of results are read off the event loop.

In a thread that nobody waits for at the end: a pipe, or a disk far away, may never
answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from cogent.content import ContentPart, read_all
from cogent.messages import Message
from cogent.run.threads import ToolThreads


async def read_files(messages: Iterable[Message]) -> None:
    """Read the files of the messages that were not read yet, off the event loop.

    Raises ConfigurationError for a file that cannot be used.
    """
    for message in messages:
        if message.parts:
            message.parts = await read_parts(message.parts)


async def read_parts(parts: list[ContentPart]) -> list[ContentPart]:
    """The parts with the bytes of their files, which are read off the event loop."""
    if all(_is_read(part) for part in parts):
        return parts
    read: list[ContentPart]
    read = await ToolThreads().call(partial(read_all, parts), "files")
    return read


def _is_read(part: ContentPart) -> bool:
    return isinstance(part, str) or part.is_read
