"""A run as server-sent events of cogent's own, for a page without a library.

The events of a run: `start` first, then one for each chunk as `StreamChunk.to_sse`
names them, `partial` with the value of a typed answer so far, `history` as soon as a
call has run that the page approved, so that it is not approved again whatever happens
next, and one that says the end: `done` with the metadata, or `failed` with `kind`,
`message` and `retryable`. What ends without either of them was cut. The id of each
event is RUN-N.
"""

from __future__ import annotations

from typing import Any

from cogent.chunks import StreamChunk, write_event
from cogent.json_values import Json
from cogent.messages import ToolResult
from cogent.output import plain_json
from cogent.stream import AgentStream
from cogent.web.encoding import PartialOutput, Texts, encode_run, new_run_id
from cogent.web.failure import Failure
from cogent.web.question import Question


def sse_events(
    stream: AgentStream[Any],
    *,
    question: Question | None = None,
    partial: bool = False,
) -> Texts:
    """The events of a run, for servers that `sse_response` is not for.

    Each text is one or more whole events. Send them with
    `Content-Type: text/event-stream` and the headers of `NO_BUFFERING`, and answer a
    request that has the header `Last-Event-ID` by status 204 instead.

    >>> async def main():
    ...     async for text in sse_events(agent.run_stream("Hi")):
    ...         print(text.splitlines()[1])
    >>> asyncio.run(main())
    event: start
    event: token
    event: done
    """
    return encode_run(stream, SseEncoder(stream, question, partial))


class SseEncoder:
    """Writes the events and counts them."""

    def __init__(
        self, stream: AgentStream[Any], question: Question | None, partial: bool
    ) -> None:
        self._stream = stream
        self._question = question
        self._partial = PartialOutput(stream, partial)
        self._run_id = new_run_id()
        self._count = 0

    def begin(self) -> str:
        """The event `start`.

        It gives a browser an id at once, so that it never asks again by itself.
        """
        return self._write("start", {"run": self._run_id})

    def encode(self, chunk: StreamChunk) -> str:
        """The event of a chunk, and `partial` where the value has changed."""
        if chunk.is_final:
            return self._write("done", self._ending(chunk))
        text = chunk.to_sse(self._next_id())
        if chunk.tool_result is not None:
            text += self._write_history(chunk.tool_result)
        if chunk.content:
            text += self._write_partial()
        return text

    def fail(self, failure: Failure) -> str:
        """The event `failed`, with the conversation as far as it came.

        A question that would only fail again is not in it.
        """
        data = failure.to_dict()
        self._add_history(data, asks_again=failure.retryable)
        return self._write("failed", data)

    def _write_partial(self) -> str:
        value = self._partial.take_change()
        return "" if value is None else self._write("partial", {"value": value})

    def _write_history(self, result: ToolResult) -> str:
        """The event `history` after the result of a call that the page approved."""
        if self._question is None or not self._question.has_approved(result.id):
            return ""
        data: Json = {}
        self._add_history(data)
        return self._write("history", data)

    def _ending(self, chunk: StreamChunk) -> Json:
        """What `done` says: the final chunk, the typed answer, the conversation."""
        data: Json = {
            "content": "",
            "is_final": True,
            "finish_reason": chunk.finish_reason,
            "metadata": chunk.metadata,
        }
        response = self._stream.response
        if response.output is not None:
            data["output"] = plain_json(response.output)
        if response.pending:
            waits = self._stream.awaits_approval
            data["to_approve"] = [call.id for call in response.pending if waits(call)]
        self._add_history(data)
        return data

    def _add_history(self, data: Json, *, asks_again: bool = True) -> None:
        if self._question is not None:
            data["history"] = self._question.write_history(
                self._stream.response, asks_again=asks_again
            )

    def _write(self, name: str, data: Json) -> str:
        return write_event(name, data, self._next_id())

    def _next_id(self) -> str:
        id = f"{self._run_id}-{self._count}"
        self._count += 1
        return id
