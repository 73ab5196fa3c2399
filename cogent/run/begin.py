"""The beginning of a run: what it is given, checked and put together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from cogent.errors import ConfigurationError
from cogent.messages import Message
from cogent.model import Model
from cogent.run.closing import StreamCloser
from cogent.run.conversation import Run
from cogent.run.inputs import (
    History,
    UserMessage,
    check_sendable,
    read_history,
    read_message,
)
from cogent.run.pending import Approvals, Results, answer_calls
from cogent.run.plan import Job, Plan
from cogent.run.typed import Wanted
from cogent.run.watch import Watch
from cogent.validation import shown


def check_agent(
    name: object, instructions: object, stream: object, approve: object
) -> None:
    """Check what an agent is made of, as far as it is simple.

    Raises ConfigurationError.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"an agent's name is a string that is not empty; got {shown(name)}"
        )
    if instructions is not None:
        check_sendable(instructions, "instructions")
    if not isinstance(stream, bool):
        raise ConfigurationError(f"stream is True or False; got {shown(stream)}")
    if approve is not None and not callable(approve):
        raise ConfigurationError(
            f"approve is a function of a call and the context; got {shown(approve)}"
        )


def begin_run(
    plan: Plan,
    message: UserMessage | None,
    context: object,
    history: History | None,
    approvals: Approvals | None,
    results: Results | None,
    tool_choice: str | None,
    wanted: Wanted | None,
) -> Job:
    """A run of this plan. Raises ConfigurationError."""
    models = [candidate.model for candidate in plan.candidates]
    check_tool_choice(tool_choice, plan.tools.by_name, models)
    messages = read_history(history)
    answers = answer_calls(messages, approvals, results, plan.tools)
    messages += answers.messages
    place = len(messages)
    if message is not None:
        messages.append(read_message(message))
    elif not answers.to_run and not _asks_something(messages):
        raise ConfigurationError(
            "the message must be a string; "
            "it may be left out only when the history has something to answer"
        )
    run = Run(models[0].provider, models[0].name, messages)
    if answers.to_run:
        run.begin_with(answers.to_run, place)
    return Job(
        plan,
        run,
        StreamCloser(plan.timeout),
        Watch(plan.observers),
        {} if context is None else context,
        frozenset(answers.approved),
        _first_choice(plan, tool_choice, answers.goes_on),
        wanted,
    )


def _first_choice(plan: Plan, given: str | None, goes_on: bool) -> str | None:
    """What the model has to call in the first turn; None if it is free."""
    choice = plan.tool_choice if given is None and not goes_on else given
    models = [candidate.model for candidate in plan.candidates]
    if choice == "auto" or not _has_tools(plan.tools.by_name, models):
        return None
    return choice


def check_tool_choice(
    choice: object, tools: Collection[str], models: Iterable[Model]
) -> None:
    """Raise ConfigurationError for a choice that no request can make."""
    if choice in (None, "auto", "none"):
        return
    if choice == "required" and not _has_tools(tools, models):
        raise ConfigurationError('tool_choice="required" needs a tool; there is none')
    if choice not in ("required", *tools):
        names = ", ".join(map(repr, tools)) or "none"
        raise ConfigurationError(
            'tool_choice is "auto", "required", "none" or the name of a tool '
            f"(there are: {names}); got {shown(choice)}"
        )


def _has_tools(tools: Collection[str], models: Iterable[Model]) -> bool:
    """Whether a request has tools: the agent's, or the provider's own."""
    return bool(tools) or any(model.extra.get("tools") for model in models)


def _asks_something(messages: Sequence[Message]) -> bool:
    """Whether a history can be sent without a new message."""
    return bool(messages) and messages[-1].role in ("user", "tool")
