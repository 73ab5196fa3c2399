"""A model that plays a script, through the same loop as any other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from cogent.errors import ModelError, PlaybackError
from cogent.json_values import Json
from cogent.messages import Message
from cogent.model import Model
from cogent.providers import Answer, Client, Events, OutputWay, Request
from cogent.run.copies import copy_message
from cogent.run.finish import FinishWords
from cogent.run.outputs import FinishWord, Output
from cogent.testing.script import Cut, Delay, Part, Step, read_answer, steps_of
from cogent.timeout import Timeout
from cogent.transport.event_stream import SdkReader

MAX_SHOWN_CHARS = 100  # of a message that an error shows


class ScriptedModel(Model):
    """A model whose answers are written down: for tests, without a server or a key.

    Each argument is one answer: a text; a list of texts (one chunk each),
    `Reasoning(...)`, `ToolCall`s, `Source`s, images and files, `Usage(...)`,
    `Delay(seconds)`, `Finish(reason)` and `Cut()`; a value of the `output_type`; or an
    error, which may also be the last of a list. A call's arguments may be a string
    that is no JSON. `requests` holds what the model was asked.

    What has no answer in the script is a PlaybackError. An error that may be tried
    again is raised at once, unless `max_retries` says otherwise; the next answer is then
    that of the next try. `id` is the name that metadata shows. Raises
    ConfigurationError.

    >>> model = ScriptedModel([ToolCall("c1", "divide", {"a": 6, "b": 3})], "It is 2.")
    >>> print(Agent("adder", model, tools=[divide]).run_sync("6 / 3?"))
    It is 2.
    >>> model.requests[1].messages[-1].content
    '2.0'
    """

    def __init__(
        self,
        *script: object,
        id: str = "scripted:model",
        max_retries: int = 0,
        strict_end: bool = True,
    ) -> None:
        player = _Player(
            [read_answer(answer, number) for number, answer in enumerate(script, 1)]
        )
        super().__init__(
            id, max_retries=max_retries, strict_end=strict_end, provider=player
        )

    @property
    def requests(self) -> list[Request]:
        """What the model was asked so far: `messages`, `instructions`, `tools`, ..."""
        return self._player.requests

    @property
    def unplayed(self) -> int:
        """How many answers of the script were not asked for yet."""
        return len(self._player.script)

    @property
    def _player(self) -> _Player:
        return cast(_Player, self.own_provider)

    def __repr__(self) -> str:
        return f"ScriptedModel({self.id!r}, {self.unplayed} answers left)"


class _Decoder:
    """The events of an answer are what a decoder gives."""

    def __init__(self) -> None:
        self.is_complete: bool = False

    def decode(self, event: Output) -> Iterable[Output]:
        self.is_complete = isinstance(event, FinishWord)
        return (event,)

    def close(self) -> Iterable[Output]:
        return ()


class _Player:
    """The provider of one ScriptedModel."""

    FINISH_WORDS: FinishWords = MappingProxyType(
        {"stop": "stop", "length": "length", "content_filter": "content_filter"}
    )
    SDK_READER: SdkReader | None = None
    ERROR_CODES: Mapping[str, type[ModelError]] = MappingProxyType({})

    def __init__(self, script: list[list[Part]]) -> None:
        self.script = deque(script)
        self.requests: list[Request] = []
        self._length = len(script)

    def make_client(self, model: Model, timeout: Timeout) -> Client:
        """Nothing is opened."""
        return Client(self, "scripted")

    def output_way(self, request: Request, is_streamed: bool) -> OutputWay:
        """The answer is written down in the form that was asked for."""
        return "mode"

    def encode_request(self, request: Request) -> Json:
        """Keep what is asked as it is now: the conversation goes on."""
        messages = list(map(copy_message, request.messages))
        self.requests.append(replace(request, messages=messages))
        return {}

    async def open_stream(
        self, player: Any, request: Request, arguments: Json
    ) -> Events:
        """The next answer of the script.

        An error that stands alone is that of the request itself.
        """
        steps = self._next()
        first = steps[0]
        if isinstance(first, Exception):
            raise first
        events = _play(steps)
        return Events(events, events.aclose)

    async def ask(self, player: Any, request: Request, arguments: Json) -> Answer:
        """The next answer, all of it."""
        return [step async for step in _play(self._next())]

    def make_decoder(self) -> _Decoder:
        """A new one for each answer."""
        return _Decoder()

    def decode_response(self, body: Any) -> Iterable[Output]:
        """Nothing comes here: `ask` gives a list of events."""
        return ()

    def _next(self) -> list[Step]:
        if self.script:
            return steps_of(self.script.popleft())
        count = len(self.requests)
        raise PlaybackError(
            f"the script has no answer for request {count}: it has {self._length}. "
            f"The request ends with {_described(self.requests[-1].messages)}"
        )


def _described(messages: Any) -> str:
    """The last message of a conversation."""
    if not messages:
        return "no message"
    last: Message = messages[-1]
    return f"the {last.role} message {last.content[:MAX_SHOWN_CHARS]!r}"


async def _play(steps: list[Step]) -> AsyncGenerator[Output, None]:
    for step in steps:
        match step:
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Cut():
                return
            case Exception():
                raise step
            case _:
                yield step
