"""Copies of what is handed out, so that changing them changes neither the run nor what
it remembers.
"""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter

from cogent.json_values import copy_json
from cogent.messages import Message, Response, ToolCall, ToolResult, TurnSummary

# A history has thousands of these; dataclasses.replace takes three times as long.
_of_call = attrgetter(*[field.name for field in fields(ToolCall)])
_of_message = attrgetter(*[field.name for field in fields(Message)])


def copy_call(call: ToolCall) -> ToolCall:
    """The call with arguments and a result of its own."""
    copied = ToolCall(*_of_call(call))
    copied.arguments = copy_json(call.arguments)
    copied.result = None if call.result is None else copy_result(call.result)
    return copied


def copy_result(result: ToolResult) -> ToolResult:
    """The result with a list of parts of its own."""
    return replace(result, parts=list(result.parts))


def copy_message(message: Message) -> Message:
    """The message with calls and items of its own."""
    copied = Message(*_of_message(message))
    copied.tool_calls = [copy_call(call) for call in message.tool_calls]
    copied.items = copy_json(message.items) if message.items else []
    copied.parts = list(message.parts)  # which cannot be changed themselves
    return copied


def copy_turn(turn: TurnSummary) -> TurnSummary:
    """The summary with a usage of its own."""
    return replace(turn, usage=replace(turn.usage))


def copy_response(response: Response) -> Response:
    """The response with messages, calls, turns and metadata of its own."""
    return replace(
        response,
        metadata=copy_json(response.metadata),
        messages=[copy_message(message) for message in response.messages],
        tool_calls=[copy_call(call) for call in response.tool_calls],
        turns=[copy_turn(turn) for turn in response.turns],
        pending=[copy_call(call) for call in response.pending],
    )
