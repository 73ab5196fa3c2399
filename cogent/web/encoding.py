"""A run as the text of a response body, in one of the protocols.

A protocol is an `Encoder`: what it writes first, for each chunk, and when the run
fails. The final chunk's text is the last of a run that ended well.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol
from uuid import uuid4

from cogent.chunks import StreamChunk
from cogent.errors import CogentError
from cogent.json_values import Json, dump_json
from cogent.stream import AgentStream
from cogent.web.failure import WAS_STOPPED, Failure, describe_error

Texts = AsyncGenerator[str, None]


class Encoder(Protocol):
    """A protocol's words for one run."""

    def begin(self) -> str:
        """What is sent before anything of the run."""
        ...

    def encode(self, chunk: StreamChunk) -> str:
        """A chunk as events; empty if the protocol has none for it."""
        ...

    def fail(self, failure: Failure) -> str:
        """The last events of a run that failed."""
        ...


class TypedEvents:
    """Base of encoders whose events have no name, and a `type` in their JSON."""

    def __init__(self) -> None:
        self._events: list[Json] = []

    def _add(self, type: str, **fields: object) -> None:
        self._events.append({"type": type, **fields})

    def _take(self) -> str:
        """The events that were added, as text."""
        texts = [dump_json(event) for event in self._events]
        self._events.clear()
        return "".join(f"data: {text}\n\n" for text in texts)


class PartialOutput:
    """The value of a typed answer so far, for pages that asked to see it."""

    def __init__(self, stream: AgentStream[Any], is_wanted: bool) -> None:
        self._stream = stream
        self._is_wanted = is_wanted
        self._sent: object = None

    def take_change(self) -> object:
        """The value, if it is another than the last one; else None."""
        if not self._is_wanted:
            return None
        value = self._stream.partial
        if value is None or value == self._sent:
            return None
        self._sent = value
        return value


def new_run_id() -> str:
    """An id that no other run has."""
    return uuid4().hex


async def encode_run(stream: AgentStream[Any], encoder: Encoder) -> Texts:
    """All texts of the body, each one or more whole events.

    The last one says how the run ended. Closing the generator stops the run. An
    exception that is none of cogent's is raised when the body has ended, for the log of
    the server.
    """
    async with stream:
        beginning = encoder.begin()
        if beginning:
            yield beginning
        failure = WAS_STOPPED
        unknown: Exception | None = None
        try:
            async for chunk in stream:
                text = encoder.encode(chunk)
                if text:
                    yield text
                if chunk.is_final:
                    return
        except Exception as error:  # noqa: BLE001  # whatever it is, the page is told
            failure = describe_error(error)
            if not isinstance(error, CogentError):
                unknown = error
        yield encoder.fail(failure)
        if unknown is not None:
            raise unknown
