"""Answers of a type: how the model is asked for one, and what becomes of its answer.

A provider says how it is asked (`output_way`), as its mode for JSON schemas may not go
together with tools or with streams.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cogent.errors import OutputError
from cogent.messages import FinishReason
from cogent.output import OutputSchema, OutputType, UnfitOutputError
from cogent.providers import OutputWay, Provider, Request
from cogent.run.conversation import Run
from cogent.tools import Tool

if TYPE_CHECKING:
    from cogent.run.plan import Job

INSTRUCTIONS: Mapping[OutputWay, str] = {
    "mode and instructions": "Your answer is JSON that fits this JSON schema: {schema}",
    "instructions": (
        "Your final answer is JSON alone, without any other text, and fits this JSON "
        "schema: {schema}"
    ),
    "tool": "Give your final answer by calling the tool {name!r}.",
    "optional tool": "Give your final answer by calling the tool {name!r}.",
}
CUT_SHORT: Mapping[FinishReason, str] = {
    "length": "the answer was cut off at the limit of tokens",
    "content_filter": "the answer was refused, or stopped by a filter",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The type that a run's answer is to be of.

    `retries` is how often the model may answer again whose answer does not fit.
    """

    type: OutputType
    retries: int


@dataclass(frozen=True, slots=True)
class TypedRequest:
    """A request for an answer of a type.

    `tool` is the name of the tool whose arguments are the answer, where one is used.
    """

    request: Request
    tool: str | None = None


def ask_for_output(
    request: Request, wanted: Wanted | None, provider: Provider, is_streamed: bool
) -> TypedRequest:
    """The request with what the answer has to be."""
    if wanted is None:
        return TypedRequest(request)
    schema = wanted.type.schema
    request = replace(request, output=schema)
    way = _way_of(provider, request, is_streamed)
    request = _with_instructions(request, way, schema)
    if way in ("mode", "mode and instructions"):
        return TypedRequest(request)
    request = replace(request, output=None)
    if way == "instructions":
        return TypedRequest(request)
    return TypedRequest(_with_tool(request, way, schema), schema.name)


def _way_of(provider: Provider, request: Request, is_streamed: bool) -> OutputWay:
    """How the provider is asked; the default is the instructions."""
    choose = getattr(provider, "output_way", None)
    if choose is None:
        return "instructions"
    way: OutputWay = choose(request, is_streamed)
    return way


def _with_instructions(
    request: Request, way: OutputWay, schema: OutputSchema
) -> Request:
    text = INSTRUCTIONS.get(way)
    if text is None:
        return request
    shown = json.dumps(schema.schema, ensure_ascii=False)
    added = text.format(name=schema.name, schema=shown)
    given = request.instructions
    return replace(request, instructions=f"{given}\n\n{added}" if given else added)


def _with_tool(request: Request, way: OutputWay, schema: OutputSchema) -> Request:
    """The request with the tool whose arguments are the answer."""
    tool = Tool.from_schema(schema.name, "Gives the final answer.", schema.schema, None)
    asked = replace(request, tools=(*request.tools, tool))
    if way == "optional tool":
        return asked
    return replace(asked, tool_choice=_choice(request, schema))


def _choice(request: Request, schema: OutputSchema) -> str:
    """Some tool has to be called, as the answer is one too."""
    if not request.tools or request.tool_choice == "none":
        return schema.name
    return request.tool_choice or "required"


def check_output(job: Job, reason: FinishReason) -> list[str]:
    """Read the output of a run that is to end now, and enter it into the run.

    Returns what is wrong with it, if the model is to answer again.
    Raises OutputError if it is not.
    """
    wanted, run = job.wanted, job.run
    if wanted is None or reason == "tool_calls":
        return []
    if reason in CUT_SHORT:
        raise _error([CUT_SHORT[reason]])
    try:
        run.output = wanted.type.read(run.output_text())
        return []
    except UnfitOutputError as error:
        problems = error.problems
        if run.retried_outputs >= wanted.retries:
            raise _error(problems) from error.__cause__
    run.retry_output(problems)
    job.watch.retried(_error(problems), 0.0)
    return problems


def _error(problems: list[str]) -> OutputError:
    said = "; ".join(problems)
    return OutputError(f"the answer is not of the output_type: {said}", problems)


class PartialOutput:
    """The value of a run's answer so far, worked out when asked for."""

    def __init__(self, run: Run, wanted: Wanted | None) -> None:
        self._run = run
        self._wanted = wanted
        self._read_at: tuple[int, int] | None = None  # turns, and characters
        self._value: Any = None

    def value(self) -> Any:
        """Plain JSON values; the same ones until more has come."""
        if self._wanted is None:
            return None
        text = self._run.output_text()
        now = (len(self._run.turns), len(text))
        if now != self._read_at:
            self._read_at = now
            self._value = self._wanted.type.read_partial(text)
        return self._value
