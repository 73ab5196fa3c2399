"""Copies of what is handed out: changing them changes no run, and no history."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from cogent.json_values import copy_json
from cogent.messages import Message, Response, ToolCall, ToolResult, TurnSummary
from cogent.sources import copy_source

# A history has thousands of these, and dataclasses.replace takes three times as long.
_values_of_call = attrgetter(*ToolCall.__slots__)
_values_of_message = attrgetter(*Message.__slots__)


def copy_call(call: ToolCall) -> ToolCall:
    """The call with arguments and a result of its own."""
    copied = ToolCall(*_values_of_call(call))
    copied.arguments = copy_json(call.arguments)
    if call.result is not None:
        copied.result = copy_result(call.result)
    return copied


def copy_result(result: ToolResult) -> ToolResult:
    """The result with a list of parts of its own."""
    return replace(result, parts=list(result.parts))


def copy_message(message: Message) -> Message:
    """The message with calls and items of its own."""
    copied = Message(*_values_of_message(message))
    copied.tool_calls = list(map(copy_call, message.tool_calls))
    copied.items = copy_json(message.items) if message.items else []
    copied.parts = list(message.parts)  # which cannot be changed themselves
    return copied


def copy_turn(turn: TurnSummary) -> TurnSummary:
    """The summary with a usage and details of its own."""
    copied = replace(turn, usage=replace(turn.usage))
    copied.provider_details = copy_json(turn.provider_details)
    return copied


def copy_response(response: Response) -> Response:
    """The response with messages, calls, turns and metadata of its own."""
    return replace(
        response,
        metadata=copy_json(response.metadata),
        messages=list(map(copy_message, response.messages)),
        tool_calls=list(map(copy_call, response.tool_calls)),
        turns=list(map(copy_turn, response.turns)),
        pending=list(map(copy_call, response.pending)),
        sources=list(map(copy_source, response.sources)),
        files=list(response.files),  # which cannot be changed themselves
    )
