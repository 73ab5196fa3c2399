"""What a script is made of: the answers of a model, and the pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeGuard

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content import File, Image
from cogent.errors import CogentError, ConfigurationError, ModelError
from cogent.messages import FinishReason, ToolCall, ToolResult, Usage
from cogent.output import plain_json
from cogent.run.outputs import FinishWord, Output, PendingCall, TokenCounts
from cogent.sources import Source
from cogent.validation import is_number, shown


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the model's reasoning.

    >>> agent = Agent("writer", ScriptedModel([Reasoning("It is long."), "The Nile."]))
    >>> [chunk.reasoning for chunk in agent.stream_sync("A river?") if chunk.reasoning]
    ['It is long.']
    """

    text: str


@dataclass(frozen=True, slots=True)
class Delay:
    """So many seconds in which nothing comes.

    >>> agent = Agent("writer", ScriptedModel(["The ", Delay(0.01), "Nile."]))
    >>> list(agent.stream_sync("Name a river.").text())
    ['The ', 'Nile.']
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks here, before the answer is complete.

    >>> stream = Agent("writer", ScriptedModel(["The ", Cut()])).stream_sync("A river?")
    >>> with pytest.raises(StreamInterrupted):
    ...     print(*stream.text())
    >>> stream.response.content
    'The '
    """


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer ends with this finish reason, "length" say, and not with "stop".

    >>> agent = Agent("writer", ScriptedModel(["The Ni", Finish("length")]))
    >>> agent.run_sync("Name a river.").finish_reason
    'length'
    """

    reason: FinishReason


Part = (
    str
    | Reasoning
    | ToolCall
    | ToolResult
    | Source
    | Image
    | File
    | Usage
    | Finish
    | Delay
    | Cut
    | Exception
)
PARTS = (
    str,
    Reasoning,
    ToolCall,
    ToolResult,
    Source,
    Image,
    File,
    Usage,
    Finish,
    Delay,
    Cut,
    Exception,
)
# The others come from a run: of a tool, of an answer that is not of the output_type.
RAISED_BY_MODELS = (ModelError, ConfigurationError)
WHAT_IT_IS = (
    "an answer is a text, a ToolCall, an error, a value of a type, or a list of texts, "
    "ToolCalls, Reasoning, Delay, Cut, Finish, Source, Image, File, Usage and errors"
)
Step = Output | Delay | Cut | Exception


def read_answer(given: object, number: int) -> list[Part]:
    """The pieces of one answer of a script.

    A value of a type, which is a dict, a dataclass or a pydantic model, is its JSON.
    Raises ConfigurationError.
    """
    parts: list[Any]
    if isinstance(given, list | tuple):
        parts = list(given)
    elif not isinstance(given, PARTS) and _is_value(given):
        parts = [json.dumps(plain_json(given), ensure_ascii=False)]
    else:
        parts = [given]
    for part in parts:
        _check_part(part, number)
    return parts


def _is_value(given: object) -> TypeGuard[Any]:
    """Whether this is a value that an `output_type` may have."""
    if isinstance(given, type):
        return False
    is_model = hasattr(given, "model_dump")
    return is_model or is_dataclass(given) or isinstance(given, Mapping)


def _check_part(part: object, number: int) -> None:
    _check_error(part, number)
    if not isinstance(part, PARTS):
        raise ConfigurationError(
            f"answer {number} of the script has {shown(part)}: {WHAT_IT_IS}"
        )
    if isinstance(part, Delay) and not (is_number(part.seconds) and part.seconds >= 0):
        raise ConfigurationError(
            f"a Delay is a number of seconds; got {shown(part.seconds)}"
        )


def _check_error(part: object, number: int) -> None:
    if isinstance(part, type) and issubclass(part, Exception):
        raise ConfigurationError(
            f"answer {number} of the script is the class {part.__name__}: "
            f'give an error, {part.__name__}("...")'
        )
    if isinstance(part, CogentError) and not isinstance(part, RAISED_BY_MODELS):
        raise ConfigurationError(
            f"answer {number} of the script is the error {type(part).__name__}, which no "
            'model raises: give a ModelError, or one of its kinds like ServerError("...")'
        )


def steps_of(parts: Sequence[Part]) -> list[Step]:
    """What a provider's stream gives for an answer, its end included."""
    steps: list[Step] = []
    finish = FinishWord("stop")
    calls = 0
    for part in parts:
        if isinstance(part, Finish):
            finish = FinishWord(part.reason)
            continue
        steps.append(_step(part, calls))
        calls += isinstance(part, ToolCall)
        if isinstance(part, Cut | Exception):
            return steps
    return [*steps, finish]


def _step(part: Part, place: int) -> Step:
    """One piece; `place` counts the calls before it."""
    match part:
        case Delay() | Cut() | Exception():
            return part
        case ToolCall():
            return _call(part, place)
        case Usage():
            return TokenCounts(_counts(part))
    return _chunk(part)


def _chunk(
    part: str | Reasoning | ToolResult | Source | Image | File | object,
) -> Output:
    match part:
        case Reasoning():
            return StreamChunk(reasoning=part.text)
        case ToolResult():
            return StreamChunk(tool_result=part)
        case Source():
            return StreamChunk(source=part)
        case Image() | File():
            return StreamChunk(file=part)
    return StreamChunk(str(part))


def _call(call: ToolCall, place: int) -> Output:
    if call.type != "function":
        return PendingCall(call)
    arguments = call.arguments
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    delta = ToolCallDelta(place, call.id, call.name, arguments)
    delta.provider_executed = call.provider_executed
    return StreamChunk(tool_call=delta)


def _counts(usage: Usage) -> dict[str, int]:
    counts = usage.to_dict()
    counts.pop("total_tokens")
    counts.pop("estimated", None)
    return counts
