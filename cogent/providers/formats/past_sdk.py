"""Plain text past an SDK that makes models of each event.

Events are looked at on their way to the SDK. What holds text and nothing else that
counts is kept here, and the SDK is given a placeholder for all such events that follow
each other, so that all events keep their order. Whatever is not as plain as that is the
SDK's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol, Self


class Format(Protocol):
    """How a provider's plain text is told; a module will do.

    `PLACEHOLDER` is an event without text.
    """

    PLACEHOLDER: bytes

    def split_events(self, data: bytes, /) -> list[bytes] | None:
        """The events that these bytes are, each as the SDK is to have it; None where
        they cannot be told apart.
        """
        ...

    def read_plain_text(self, event: bytes, /) -> Any:
        """What the decoder is given for an event of plain text; None if it is another."""
        ...


class PastSdk:
    """The events of a stream: those that the SDK made, and the texts that it was not
    given.

    `shorten` is for the bytes before the SDK reads them. It relies on the SDK reading
    on only when it has given all events of what it read.
    """

    def __init__(self, events: AsyncIterator[Any], format: Format) -> None:
        self._events = events
        self._format = format
        self._is_plain = True  # what comes are events that can be told apart
        # For each event that the SDK was given since: what it stands for, if anything.
        self._given: deque[list[Any] | None] = deque()
        self._texts: deque[Any] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._texts:
            event = await anext(self._events)
            texts = self._given.popleft() if self._given else None
            if texts is None:
                return event
            self._texts.extend(texts)
        return self._texts.popleft()

    def shorten(self, data: bytes) -> bytes:
        """Whole events, with one placeholder for all texts that follow each other."""
        events = self._format.split_events(data) if self._is_plain else None
        if events is None:
            self._is_plain = False
            return data
        shortened = []
        run: list[Any] = []
        for event in events:
            text = self._format.read_plain_text(event)
            if text is None:
                run = []
                self._given.append(None)
                shortened.append(event)
                continue
            if not run:
                self._given.append(run)
                shortened.append(self._format.PLACEHOLDER)
            run.append(text)
        return b"".join(shortened)
