"""A run as plain text.

Text has no place to say how it ended, but these two: a connection that is broken before
the end of the body; and, for who asks for it, a last line of JSON:

    {"event": "done", "finish_reason": "stop", "metadata": {...}}
    {"event": "failed", "kind": "Overloaded", "message": "...", "retryable": true}

It stands after one line break that is none of the answer's. A text without it was cut.
`sources` and `files` are in it where there are any: the text has no place for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogent.chunks import StreamChunk
from cogent.content_json import part_to_dict
from cogent.errors import StreamInterrupted
from cogent.json_values import Json, dump_json
from cogent.stream import AgentStream
from cogent.web.encoding import Texts, encode_run
from cogent.web.failure import STOPPED, Failure


def text_pieces(stream: AgentStream[Any], *, last_line: bool = False) -> Texts:
    """The text of a run, for servers that `text_response` is not for.

    Without a `last_line` the error of a run that fails is raised: break the connection.

    >>> async def main():
    ...     async for text in text_pieces(agent.run_stream("Hi")):
    ...         print(text)
    >>> asyncio.run(main())
    Hello.
    """
    if last_line:
        return encode_run(stream, TextEncoder(stream))
    return _pieces(stream)


async def _pieces(stream: AgentStream[Any]) -> Texts:
    async with stream:
        async for chunk in stream:
            if chunk.content:
                yield chunk.content
            if chunk.is_final:
                return
        raise StreamInterrupted(STOPPED)


class TextEncoder:
    """Text with a last line that says how it ended, and what there was beside it."""

    def __init__(self, stream: AgentStream[Any]) -> None:
        self._stream = stream

    def begin(self) -> str:
        """Nothing."""
        return ""

    def encode(self, chunk: StreamChunk) -> str:
        """The text; of the final chunk the last line."""
        if not chunk.is_final:
            return chunk.content
        ending: Json = {
            "finish_reason": chunk.finish_reason,
            "metadata": chunk.metadata,
        }
        response = self._stream.response
        if response.sources:
            ending["sources"] = [source.to_dict() for source in response.sources]
        if response.files:
            ending["files"] = [part_to_dict(file) for file in response.files]
        return _last_line("done", ending)

    def fail(self, failure: Failure) -> str:
        """The last line."""
        return _last_line("failed", failure.to_dict())


def _last_line(event: str, data: Mapping[str, object]) -> str:
    return "\n" + dump_json({"event": event, **data})
