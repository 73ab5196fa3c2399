"""Calls that wait for an answer from outside the run: which they are, and how a caller answers them.

A call is pending as long as no message holds its result. The next run gets `results` (what the call gave) and
`approvals` (whether what the provider itself wants to run may run), each by the id of its call. Nothing unanswered is
ever sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from cogent.errors import ConfigurationError
from cogent.messages import Message, ToolCall
from cogent.run.history import pair_results
from cogent.tools.results import to_text
from cogent.validation import shown

APPROVAL_REQUEST = "mcp_approval_request"
APPROVED, NOT_APPROVED = "Approved.", "Not approved."

Approvals = Mapping[str, bool | str]
Results = Mapping[str, Any]


def answer_calls(messages: Sequence[Message], approvals: Approvals | None, results: Results | None) -> list[Message]:
    """The messages that answer pending calls of the conversation, in the order of the calls.

    Raises ConfigurationError for an answer to no pending call, and for a call that stays without one.
    """
    approvals = _checked(approvals, "approvals")
    results = _checked(results, "results")
    waiting = {call.id: (message, call) for message, call in _unanswered(messages)}
    for id in [*approvals, *results]:
        if id not in waiting:
            raise ConfigurationError(f"no call {shown(id)} waits for an answer; {_names(waiting)}")
        if id in approvals and id in results:
            raise ConfigurationError(f"the call {id!r} is answered twice: in approvals and in results")
    answers: list[Message] = []
    for id, (message, call) in waiting.items():
        if id in approvals:
            answers.append(_decision(message, call, approvals[id]))
        elif id in results:
            answers.append(_result(message, call, results[id]))
    left = {id: waiting[id] for id in waiting if id not in approvals and id not in results}
    open_calls = [call for _, call in left.values() if call.type != "function"]
    if open_calls:
        raise ConfigurationError(f"the history asks for something: {_how_to_answer(open_calls)}")
    return answers


def _unanswered(messages: Sequence[Message]) -> list[tuple[Message, ToolCall]]:
    """The calls without a result, each with the message that holds it."""
    answered = pair_results(messages)
    return [
        (message, call)
        for place, message in enumerate(messages)
        for number, call in enumerate(message.tool_calls)
        if (place, number) not in answered
    ]


def _how_to_answer(calls: Sequence[ToolCall]) -> str:
    named = ", ".join(f"{call.id!r} ({call.name})" for call in calls)
    approvals = [call.id for call in calls if call.type == APPROVAL_REQUEST]
    results = [call.id for call in calls if call.type != APPROVAL_REQUEST]
    how = [
        *[f"approvals={{{id!r}: True}} or False or a reason" for id in approvals[:1]],
        *[f"results={{{id!r}: ...}}" for id in results[:1]],
    ]
    return (
        f"{named} must be answered before the model can go on. Give {' and '.join(how)} for each of them, "
        "or leave the message that holds them out of the history"
    )


def _names(waiting: Mapping[str, object]) -> str:
    return f"those that wait are {', '.join(map(repr, waiting))}" if waiting else "none of the history does"


def _checked(given: Any, name: str) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{name} is a dict from the id of a call to its answer; got {shown(given)}")
    return given


def _decision(message: Message, call: ToolCall, approved: object) -> Message:
    if not isinstance(approved, bool | str):
        raise ConfigurationError(f"approvals[{call.id!r}] is True, False or the reason for a no; got {shown(approved)}")
    if approved is True and call.type != APPROVAL_REQUEST:
        raise ConfigurationError(
            f"{call.id!r} is a {call.type}, which runs where you are: give what it gave in results={{{call.id!r}: ...}}"
        )
    if approved is True:
        return _message(message, call, APPROVED)
    return _message(message, call, approved or NOT_APPROVED, is_error=True)


def _result(message: Message, call: ToolCall, value: Any) -> Message:
    if isinstance(value, Mapping) and "type" in value:  # the provider's own output item
        item = deepcopy(dict(value))
        return _message(message, call, _text(call, item.get("output", item)), items=[item])
    if call.type == APPROVAL_REQUEST:
        raise ConfigurationError(
            f"{call.id!r} asks whether {call.name!r} may run: approvals={{{call.id!r}: True}}, or False, or a reason"
        )
    return _message(message, call, _text(call, value))


def _text(call: ToolCall, value: object) -> str:
    try:
        return to_text(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"results[{call.id!r}] cannot be sent: {error}") from error


def _message(message: Message, call: ToolCall, content: str, **more: Any) -> Message:
    answer = Message("tool", content, tool_call_id=call.id, name=call.name, **more)
    answer.provider, answer.address = message.provider, message.address
    return answer
