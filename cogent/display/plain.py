"""A run in a pipe or a file: the text of the answer, and nothing else."""

from __future__ import annotations

from typing import Any, TextIO

from cogent.chunks import StreamChunk
from cogent.display.printable import encodable
from cogent.messages import Response


class PlainScreen:
    """Writes the text as it comes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def take(self, chunk: StreamChunk) -> None:
        """Write the text of the chunk."""
        if chunk.content:
            self._out.write(encodable(chunk.content, self._out))
            self._out.flush()

    def end(self, response: Response[Any], error: BaseException | None) -> None:
        """There is nothing more to say."""

    def settle(self) -> None:
        """All is written."""
