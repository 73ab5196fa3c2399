"""What the builders of all formats share: the content of an answer, and events as bytes."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Literal, Protocol, TypedDict, TypeVar, Unpack
from zlib import crc32

T = TypeVar("T")

Json = dict[str, Any]
Call = tuple[str, str, str]
"""The id, the function's name and its arguments as a JSON string, which need not be valid."""
Finish = Literal["stop", "length", "content_filter", "tool_calls"]


class Options(TypedDict, total=False):
    """The keywords that every builder of an answer takes, with the defaults of `Answer`."""

    model: str
    usage: tuple[int, int] | None
    cached: int
    reasoning_tokens: int
    finish: Finish
    pieces: int
    interleaved: bool
    encrypted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model says in one answer, in no provider's format."""

    reasoning: str = ""
    """Blank lines separate its summary parts, where a format has such."""
    text: str = ""
    deltas: Sequence[str] = ()
    """The text in the deltas to stream it in, instead of `text`."""
    refusal: str = ""
    calls: Sequence[Call] = ()
    model: str = "gpt-test"
    usage: tuple[int, int] | None = (11, 7)
    """Input and output tokens; None leaves the usage out."""
    cached: int = 0
    reasoning_tokens: int = 0
    finish: Finish | None = None
    """By default `tool_calls` after calls, else `stop`."""
    pieces: int = 3
    """How many deltas each of the texts and the arguments of a call stream in."""
    interleaved: bool = False
    """Whether the deltas of parallel calls alternate."""
    encrypted: str | None = "gAAAAABencrypted-reasoning"

    @property
    def spoken(self) -> Sequence[str]:
        """The text in deltas."""
        return self.deltas or cut(self.text, self.pieces)

    @property
    def key(self) -> str:
        """A text for ids that is the same for equal answers and differs between others."""
        return f"{crc32(repr(self).encode()):08x}"


Stream = Callable[[Answer], list[bytes]]
Plain = Callable[[Answer], bytes]


class Refuse(Protocol):
    """How a format says that the model refuses in its own words."""

    def __call__(self, text: str, **options: Unpack[Options]) -> Answer: ...


def as_refusal(text: str, **options: Unpack[Options]) -> Answer:
    """A refusal, of a format that has such."""
    return Answer(refusal=text, **options)


def as_filtered(text: str, **options: Unpack[Options]) -> Answer:
    """A text that ends as a content filter, of a format without refusals."""
    return Answer(text=text, **{**options, "finish": "content_filter"})


class Builders:
    """What builds the answers of one format, streamed and plain, from how it writes one answer."""

    def __init__(self, stream: Stream, plain: Plain, refuse: Refuse) -> None:
        self._stream = stream
        self._plain = plain
        self._refuse = refuse

    def text(self, *deltas: str, **options: Unpack[Options]) -> list[bytes]:
        """The events of an answer that streams in these deltas."""
        return self._stream(Answer(deltas=deltas, **options))

    def plain_text(self, *deltas: str, **options: Unpack[Options]) -> bytes:
        """The body of the same answer without streaming."""
        return self._plain(Answer(deltas=deltas, **options))

    def tool_calls(
        self,
        *calls: Call,
        text: str = "",
        reasoning: str = "",
        **options: Unpack[Options],
    ) -> list[bytes]:
        """The events of an answer that calls tools, after reasoning and text if there are any."""
        answer = Answer(calls=calls, text=text, reasoning=reasoning, **options)
        return self._stream(answer)

    def plain_tool_calls(
        self,
        *calls: Call,
        text: str = "",
        reasoning: str = "",
        **options: Unpack[Options],
    ) -> bytes:
        """The body of the same answer without streaming."""
        answer = Answer(calls=calls, text=text, reasoning=reasoning, **options)
        return self._plain(answer)

    def reasoning(
        self, text: str, answer: str, **options: Unpack[Options]
    ) -> list[bytes]:
        """The events of an answer after reasoning."""
        return self._stream(Answer(reasoning=text, text=answer, **options))

    def plain_reasoning(
        self, text: str, answer: str, **options: Unpack[Options]
    ) -> bytes:
        """The body of the same answer without streaming."""
        return self._plain(Answer(reasoning=text, text=answer, **options))

    def refusal(self, text: str, **options: Unpack[Options]) -> list[bytes]:
        """The events of an answer in which the model, or a filter, refuses."""
        return self._stream(self._refuse(text, **options))

    def plain_refusal(self, text: str, **options: Unpack[Options]) -> bytes:
        """The body of the same answer without streaming."""
        return self._plain(self._refuse(text, **options))


def cut(text: str, pieces: int = 3) -> tuple[str, ...]:
    """The text in at most so many pieces of about the same size; none for an empty text."""
    size = -(-len(text) // pieces)
    return tuple(text[start : start + size] for start in range(0, len(text), size or 1))


def in_turn(streams: Iterable[Iterable[T]], interleaved: bool) -> Iterator[T]:
    """The elements of the streams, one stream after another or one element of each in turn."""
    rounds = zip_longest(*streams) if interleaved else streams
    return (element for element in chain.from_iterable(rounds) if element is not None)


def encode(data: Json) -> bytes:
    """The data as JSON."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def event(data: Json, name: str = "") -> bytes:
    """The data as one server-sent event."""
    line = f"event: {name}\n".encode() if name else b""
    return line + b"data: " + encode(data) + b"\n\n"


def error(message: str, code: str | None, type: str) -> Json:
    """The error object of an HTTP error's body and of an event that reports one."""
    return {"message": message, "type": type, "param": None, "code": code}
