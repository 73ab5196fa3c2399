"""Streams for callers without asyncio.

Nothing is done twice: the run is that of an AgentStream on the background loop, and the
caller waits for each of its chunks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from cogent.messages import Response
from cogent.run.background import wait_for
from cogent.stream import AgentStream
from cogent.type_variables import Out

if TYPE_CHECKING:
    from cogent.chunks import StreamChunk

T = TypeVar("T")


class SyncStream(Generic[Out]):
    """The chunks of a run, as they come: `for chunk in stream`.

    Nothing happens before the first chunk is asked for. Leaving the loop, leaving
    `with stream`, `close()`, `cancel()`, an interrupt and dropping the stream all close
    the connection and cancel tools that still run. Reading on then just ends; after an
    error it raises that error again, and after an interrupt StreamInterrupted. One
    chunk at a time is `next(stream)`, which leaves the run open in between.

    The run itself goes on in a background thread, which all streams of the process
    share; one thread at a time may read a stream. A sync tool that still runs when the
    run is stopped runs on in its own thread, and nobody waits for it.

    >>> agent = Agent("writer", ScriptedModel(["The ", "Nile."]))
    >>> for chunk in agent.stream_sync("Name a river."):
    ...     print(chunk.content, end="", flush=True)
    The Nile.
    """

    def __init__(self, stream: AgentStream[Out]) -> None:
        self._stream = stream

    @property
    def response(self) -> Response[Out]:
        """The response, complete after the end, else as far as it came."""
        return self._stream.response

    @property
    def partial(self) -> Any:
        """The answer so far of a run with an `output_type`, as plain JSON values.

        Its last string or number may be unfinished. None as long as there is nothing.
        """
        return self._stream.partial

    def text(self, *, accumulated: bool = False) -> Generator[str, None, None]:
        """The text alone, piece by piece, or each time all of it so far.

        Dropping or closing this generator stops the run.
        """
        return iterate(self._stream.text(accumulated=accumulated), self.cancel)

    def show(self) -> Response[Out]:
        """Show the run while it goes, and return its response.

        It looks and raises as `AgentStream.show` does. After an interrupt `response`
        has what came.
        """
        from cogent.display import find_screen, show

        screen = find_screen()
        try:
            return wait_for(lambda: show(self._stream, screen))
        finally:
            screen.settle()

    def __repr__(self) -> str:
        return repr(self._stream).replace("AgentStream", "SyncStream", 1)

    def __iter__(self) -> Generator[StreamChunk, None, None]:
        return iterate(self._stream, self.cancel)

    def __next__(self) -> StreamChunk:
        try:
            return wait_for(self._stream.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the run and wait until it has stopped; it may be called twice."""
        wait_for(self._stream.aclose)

    def cancel(self) -> None:
        """Stop the run from any thread or task, without waiting.

        The iteration then just ends, and no final chunk comes.
        """
        self._stream.cancel()


def iterate(
    values: AsyncIterator[T], stop: Callable[[], None]
) -> Generator[T, None, None]:
    """What an iterator of the background loop gives; leaving this stops it."""
    try:
        while True:
            try:
                value = wait_for(values.__anext__)
            except StopAsyncIteration:
                return
            yield value
    finally:
        stop()
