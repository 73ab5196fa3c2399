"""What a provider's decoder gives for the events of an answer, one small value for each
thing that an event says.

What the user is to see is a `StreamChunk`. All else is an `Update`, which says something
about the turn and never reaches the user as such. `Turn` takes in both.

A chunk holds one thing: text, reasoning, a piece of a call, a `source`, a `file`, or the
`tool_result` of a tool that the provider ran (`provider_executed`, on the call and on the
result). Positions in a source count from the beginning of this answer's text, or are
`HERE`. A result names its call by the id that the provider gave; without an id it is that
of the last such call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.messages import ToolCall

HERE = -1
"""A position in a source: the end of the text so far."""


@dataclass(slots=True)
class ModelName:
    """The model that answers, by the server's name for it."""

    name: str


@dataclass(slots=True)
class RequestId:
    """The provider's id of the request; empty where it gave none."""

    id: str


@dataclass(slots=True)
class TokenCounts:
    """The counts that were given; later ones replace earlier ones, but a zero does not.

    The names are those of `Usage`, and `input_tokens_uncached`: the input without what
    the cache served or took in, from a provider that counts so.
    """

    counts: Mapping[str, int]


@dataclass(slots=True)
class FinishWord:
    """The finish reason, as the provider writes it."""

    word: str


@dataclass(slots=True)
class Refusal:
    """The model, or a filter, refused to answer."""


@dataclass(slots=True)
class Working:
    """The model began work that gives no content for a while.

    The next content may take as long as the first one.
    """


@dataclass(slots=True)
class Item:
    """A piece of the answer that goes back unchanged with the next request.

    Items are ordered by `position`, and a later one at a position replaces the earlier;
    without a position they are kept as they come. `of_last_call` says that it belongs
    to the call that the last chunk was a piece of: it gets that call's place in the
    turn as its `"call"`.
    """

    item: Json
    position: int | None = None
    of_last_call: bool = False


@dataclass(slots=True)
class WholeCall:
    """A tool call with all its arguments, which replace what its pieces added up to."""

    call: ToolCallDelta


@dataclass(slots=True)
class ProviderDetails:
    """What the provider tells of its answer and cogent has no field for.

    It becomes `metadata["provider_details"]`: a list under a name grows with each one,
    anything else replaces what came before. A `cost` is what this answer costs.
    """

    details: Json


@dataclass(slots=True)
class Commentary:
    """The last so many characters of the text are a remark to the user, on what the model
    is about to do. They are text like any other, but no part of a typed answer.
    """

    characters: int


@dataclass(slots=True)
class PendingCall:
    """A call that is no function: the caller of the run has to answer it."""

    call: ToolCall


Update = (
    ModelName
    | RequestId
    | TokenCounts
    | FinishWord
    | Refusal
    | Working
    | Item
    | WholeCall
    | ProviderDetails
    | Commentary
    | PendingCall
)
Output = StreamChunk | Update
Outputs = Iterable[Output]
