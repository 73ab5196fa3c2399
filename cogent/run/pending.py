"""Calls that wait for an answer from outside the run, and what a caller answers.

A call is pending as long as no message holds its result. The next run gets `results`
(what the call gave) and `approvals` (whether a tool, or what the provider itself wants
to run, may run), each by the id of its call. Nothing unanswered is ever sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar, cast

from cogent.errors import ConfigurationError
from cogent.messages import Message, ToolCall
from cogent.run.approval import NOT_APPROVED, Tools, refusal
from cogent.run.history import pair_results, result_message
from cogent.tools.results import ToolOutput, to_output, to_text
from cogent.validation import shown

APPROVAL_REQUEST = "mcp_approval_request"
APPROVED = "Approved."

T = TypeVar("T")

Approvals = Mapping[str, bool | str]
Results = Mapping[str, object]


@dataclass(slots=True)
class Answers:
    """What a run begins with.

    `messages` answer calls, `to_run` are the calls whose tools have to run now, and
    `approved` the ids of those that nobody needs to approve of any more.
    """

    messages: list[Message] = field(default_factory=list)
    to_run: list[ToolCall] = field(default_factory=list)
    approved: set[str] = field(default_factory=set)

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on from pending calls."""
        return bool(self.messages or self.to_run)


def answer_calls(
    messages: Sequence[Message],
    approvals: Approvals | None,
    results: Results | None,
    tools: Tools,
) -> Answers:
    """The answers to pending calls, in the order of the calls.

    Raises ConfigurationError for an answer to no pending call, and for a call that
    stays without one.
    """
    approvals = _checked(approvals, "approvals")
    results = _checked(results, "results")
    waiting = _unanswered(messages, {*approvals, *results})
    _check_ids(waiting, approvals, results)
    answers = Answers()
    open_calls = []
    for id, (message, call) in waiting.items():
        if id in results:
            answers.messages.append(_result(message, call, results[id]))
        elif id in approvals:
            _decide(answers, message, call, approvals[id], tools)
        elif _must_be_answered(call, tools):
            open_calls.append(call)
        elif _asks_again(call, tools):
            answers.to_run.append(call)
    if open_calls:
        raise ConfigurationError(
            f"the history asks for something: {_how_to_answer(open_calls, tools)}"
        )
    return answers


def _must_be_answered(call: ToolCall, tools: Tools) -> bool:
    """Whether only the caller can answer this call.

    A call of an ordinary tool without a result is left from a run that was broken off.
    """
    if call.type != "function":
        return True
    tool = tools.by_name.get(call.name)
    return tool is not None and tools.needs_answer(tool)


def _asks_again(call: ToolCall, tools: Tools) -> bool:
    """Whether the agent's own callback can approve of a call that waited."""
    tool = tools.by_name.get(call.name)
    return tool is not None and tool.approval


def _decide(
    answers: Answers, message: Message, call: ToolCall, approved: object, tools: Tools
) -> None:
    """Enter what the caller said of a call: the tool runs, or the model reads why not."""
    if not isinstance(approved, bool | str):
        raise ConfigurationError(
            f"approvals[{call.id!r}] is True, False or the reason for a no; "
            f"got {shown(approved)}"
        )
    if call.type != "function":
        answers.messages.append(_decision(message, call, approved))
        return
    refused = refusal(approved)
    if refused is not None:
        answers.messages.append(_message(message, call, refused, is_error=True))
        return
    tool = tools.by_name.get(call.name)
    if tool is None or tool.runs_elsewhere:
        reason = "has no such tool" if tool is None else "has no function for it"
        raise ConfigurationError(
            f"{call.id!r} calls {call.name!r}, and the agent {reason}: "
            f"give what it gave in results={{{call.id!r}: ...}}"
        )
    answers.to_run.append(call)
    answers.approved.add(call.id)


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


def _unanswered(
    messages: Sequence[Message], answered: Collection[str]
) -> dict[str, tuple[Message, ToolCall]]:
    """The calls without a result by their ids, each with the message that holds it.

    Raises ConfigurationError where an id that is answered waits twice.
    """
    _, waiting = pair_results(messages)
    unanswered: dict[str, tuple[Message, ToolCall]] = {}
    for (place, _), call in waiting.items():
        if call.id in unanswered and call.id in answered:
            raise ConfigurationError(
                f"two calls of the history with the id {call.id!r} wait for an answer: "
                "it is not clear which one is answered"
            )
        unanswered[call.id] = (messages[place], call)
    return unanswered


def _how_to_answer(calls: Sequence[ToolCall], tools: Tools) -> str:
    names = ", ".join(f"{call.id!r} ({call.name})" for call in calls)
    approvals = [call.id for call in calls if wants_approval(call, tools)]
    results = [call.id for call in calls if not wants_approval(call, tools)]
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


def wants_approval(call: ToolCall, tools: Tools) -> bool:
    """Whether a pending call waits for an approval, and not for its result."""
    if call.type != "function":
        return call.type == APPROVAL_REQUEST
    tool = tools.by_name.get(call.name)
    return tool is not None and not tool.runs_elsewhere


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


def _decision(message: Message, call: ToolCall, approved: bool | str) -> Message:
    """The answer to what the provider itself wants to run."""
    if approved is not True:
        reason = to_text(approved) if approved else NOT_APPROVED
        return _message(message, call, reason, is_error=True)
    if call.type != APPROVAL_REQUEST:
        raise ConfigurationError(
            f"{call.id!r} is a {call.type}, which runs where you are: "
            f"give what it gave in results={{{call.id!r}: ...}}"
        )
    return _message(message, call, APPROVED)


def _result(message: Message, call: ToolCall, value: object) -> Message:
    if _is_output_item(call, value):
        item = deepcopy(dict(cast("Mapping[str, object]", value)))
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


def _is_output_item(call: ToolCall, value: object) -> bool:
    """Whether a result is the provider's own output item, which goes out as it is.

    What a function gave may have a type of its own.
    """
    if not isinstance(value, Mapping) or "type" not in value:
        return False
    return call.type != "function" or value["type"] == "function_call_output"


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
