"""Calls that wait for an answer from outside the run, and what a caller answers.

A call is pending as long as no message holds its result. The next run gets `results`
(what the call gave) and `approvals` (whether what the provider itself wants to run may
run), each by the id of its call. Nothing unanswered is ever sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TypeVar

from cogent.errors import ConfigurationError
from cogent.messages import Message, ToolCall
from cogent.run.history import pair_results, result_message
from cogent.tools.results import ToolOutput, to_output
from cogent.validation import shown

APPROVAL_REQUEST = "mcp_approval_request"
APPROVED = "Approved."
NOT_APPROVED = "Not approved."

T = TypeVar("T")

Approvals = Mapping[str, bool | str]
Results = Mapping[str, object]


def answer_calls(
    messages: Sequence[Message], approvals: Approvals | None, results: Results | None
) -> list[Message]:
    """The messages that answer pending calls, in the order of the calls.

    Raises ConfigurationError for an answer to no pending call, and for a call that
    stays without one.
    """
    approvals = _checked(approvals, "approvals")
    results = _checked(results, "results")
    waiting = _unanswered(messages)
    _check_ids(waiting, approvals, results)
    answers = []
    open_calls = []
    for id, (message, call) in waiting.items():
        if id in approvals:
            answers.append(_decision(message, call, approvals[id]))
        elif id in results:
            answers.append(_result(message, call, results[id]))
        elif call.type != "function":
            open_calls.append(call)
    if open_calls:
        raise ConfigurationError(
            f"the history asks for something: {_how_to_answer(open_calls)}"
        )
    return answers


def _check_ids(
    waiting: Mapping[str, object], approvals: Approvals, results: Results
) -> None:
    """Raise ConfigurationError for an answer too many.

    That is one to no call that waits, or a second one to the same call.
    """
    for id in [*approvals, *results]:
        if id not in waiting:
            raise ConfigurationError(
                f"no call {shown(id)} waits for an answer; {_names(waiting)}"
            )
        if id in approvals and id in results:
            raise ConfigurationError(
                f"the call {id!r} is answered twice: in approvals and in results"
            )


def _unanswered(messages: Sequence[Message]) -> dict[str, tuple[Message, ToolCall]]:
    """The calls without a result by their ids, each with the message that holds it."""
    _, waiting = pair_results(messages)
    unanswered = {}
    for (place, _), call in waiting.items():
        unanswered[call.id] = (messages[place], call)
    return unanswered


def _how_to_answer(calls: Sequence[ToolCall]) -> str:
    names = ", ".join(f"{call.id!r} ({call.name})" for call in calls)
    approvals = [call.id for call in calls if call.type == APPROVAL_REQUEST]
    results = [call.id for call in calls if call.type != APPROVAL_REQUEST]
    examples = []
    if approvals:
        examples.append(f"approvals={{{approvals[0]!r}: True}} or False or a reason")
    if results:
        examples.append(f"results={{{results[0]!r}: ...}}")
    return (
        f"{names} must be answered before the model can go on. "
        f"Give {' and '.join(examples)} for each of them, "
        "or leave the message that holds them out of the history"
    )


def _names(waiting: Mapping[str, object]) -> str:
    if not waiting:
        return "none of the history does"
    return f"those that wait are {', '.join(map(repr, waiting))}"


def _checked(given: Mapping[str, T] | None, name: str) -> Mapping[str, T]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{name} is a dict from the id of a call to its answer; got {shown(given)}"
        )
    return given


def _decision(message: Message, call: ToolCall, approved: object) -> Message:
    if not isinstance(approved, bool | str):
        raise ConfigurationError(
            f"approvals[{call.id!r}] is True, False or the reason for a no; "
            f"got {shown(approved)}"
        )
    if approved is not True:
        return _message(message, call, approved or NOT_APPROVED, is_error=True)
    if call.type != APPROVAL_REQUEST:
        raise ConfigurationError(
            f"{call.id!r} is a {call.type}, which runs where you are: "
            f"give what it gave in results={{{call.id!r}: ...}}"
        )
    return _message(message, call, APPROVED)


def _result(message: Message, call: ToolCall, value: object) -> Message:
    if isinstance(value, Mapping) and "type" in value:  # the provider's own output item
        item = deepcopy(dict(value))
        output = _output(call, item.get("output", item))
        answer = _message(message, call, output.text)
        answer.items = [item]
        return answer
    if call.type == APPROVAL_REQUEST:
        raise ConfigurationError(
            f"{call.id!r} asks whether {call.name!r} may run: "
            f"approvals={{{call.id!r}: True}}, or False, or a reason"
        )
    output = _output(call, value)
    answer = _message(message, call, output.text)
    answer.parts = output.parts
    return answer


def _output(call: ToolCall, value: object) -> ToolOutput:
    try:
        return to_output(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"results[{call.id!r}] cannot be sent: {error}"
        ) from error


def _message(
    message: Message, call: ToolCall, content: str, is_error: bool = False
) -> Message:
    """The answer to a call, for the server that made the call."""
    answer = result_message(call, content, is_error)
    answer.provider = message.provider
    answer.address = message.address
    return answer
