"""The agent: what the user configures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.messages import Message, Response
from cogent.model import Model
from cogent.observe import Observer, check_observers
from cogent.output import make_output_type
from cogent.run.approval import Approve, Tools
from cogent.run.background import wait_for
from cogent.run.closing import StreamCloser
from cogent.run.conversation import Run
from cogent.run.inputs import (
    History,
    UserMessage,
    check_sendable,
    read_history,
    read_message,
)
from cogent.run.override import Override, plan_here
from cogent.run.pending import Approvals, Results, answer_calls
from cogent.run.plan import Job, Plan, make_candidates
from cogent.run.typed import Wanted
from cogent.run.watch import Observers, Watch
from cogent.stream import AgentStream
from cogent.sync import SyncStream
from cogent.timeout import Timeout
from cogent.tools.given import AnyTool, tools_by_name
from cogent.type_variables import OtherType, Out
from cogent.validation import check_whole, is_number, shown

R = TypeVar("R")

CONFIGURATION = (
    "name",
    "model",
    "models",
    "instructions",
    "tools",
    "stream",
    "max_steps",
    "timeout",
    "tool_choice",
    "approve",
    "output_type",
    "output_retries",
    "observers",
    "_plan",
)


class Agent(Generic[Out]):
    """A model with instructions and tools.

    `model` may be a list: the next one is asked when one fails, after its retries, as
    long as nobody saw a part of the answer. `metadata["attempts"]` tells of those that
    failed.

    It is configuration only: share it between tasks, threads, loops and processes. Its
    attributes are read-only: what is to differ is another agent.

    `stream=True` makes `run()` use the streaming transport too; otherwise it makes one
    plain request for each turn. `max_steps` limits the turns of the model. `timeout` is
    a `Timeout`, or a number of seconds for the whole run. `tool_choice` is "auto",
    "required" (some tool), "none", or the name of the tool to call; it holds for the
    first turn, and not where a run goes on from pending calls. `approve(call, context)`,
    sync or async, is asked before each call of a tool with `approval=True` and returns
    True, False or a reason, which the model reads; without it such a call ends the run
    and waits in `response.pending`.

    With an `output_type` (a pydantic model, a dataclass, a TypedDict, a list, a Literal,
    ...) `response.output` is the answer as a value of that type. A model whose answer
    does not fit reads why and may answer again, up to `output_retries` times; then
    OutputError is raised.

    `observers` are called at each step of a run: see `cogent.observe.Observer`.

    Building an agent imports the provider's SDK. Raises ConfigurationError.
    """

    def __init__(
        self,
        name: str,
        model: str | Model | Sequence[str | Model],
        *,
        instructions: str | None = None,
        tools: Iterable[AnyTool | Callable[..., object]] = (),
        stream: bool = False,
        max_steps: int = 10,
        timeout: float | Timeout | None = None,
        tool_choice: str | None = None,
        approve: Approve | None = None,
        output_type: type[Out] | OtherType | None = None,
        output_retries: int = 1,
        observers: Iterable[Observer] = (),
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(
                f"an agent's name is a string that is not empty; got {shown(name)}"
            )
        if instructions is not None:
            check_sendable(instructions, "instructions")
        if not isinstance(stream, bool):
            raise ConfigurationError(f"stream is True or False; got {shown(stream)}")
        check_whole(max_steps, "max_steps", at_least=1)
        self.name: Final = name
        self.models: Final = _make_models(model)
        self.model: Final = self.models[0]
        self.instructions: Final = instructions
        self.tools: Final = MappingProxyType(tools_by_name(tools))
        self.stream: Final = stream
        self.max_steps: Final = max_steps
        self.timeout: Final = _make_timeout(timeout)
        self._check_tool_choice(tool_choice, self.models)
        if approve is not None and not callable(approve):
            raise ConfigurationError(
                f"approve is a function of a call and the context; got {shown(approve)}"
            )
        self.tool_choice: Final = tool_choice
        self.approve: Final = approve
        check_whole(output_retries, "output_retries", at_least=0)
        self.output_type: Final = output_type
        self.output_retries: Final = output_retries
        self.observers: Final = check_observers(observers)
        self._plan: Plan = self._make_plan()

    def run_stream(
        self: Agent[R],
        message: UserMessage | None = None,
        *,
        context: object = None,
        history: History | None = None,
        approvals: Approvals | None = None,
        results: Results | None = None,
        tool_choice: str | None = None,
        output_type: type[R] | OtherType | None = None,
    ) -> AgentStream[R]:
        """Start a run whose chunks come as the model writes them.

        `message` is a string, or a list of strings, Images and Files in the order in
        which the model is to see them. Files are read when the run begins. `context` is
        any object, a dict say; it is handed to tools and never to the model. `history` is an earlier
        `response.messages`, of any provider. `results` and `approvals` answer its
        pending calls (`response.pending`), each by the call's id: with what the call
        gave, a JSON value or the provider's own output item; or, for a tool that needs
        an approval and for what the provider wants to run itself, with True, False or
        the reason for a no. An approved tool runs first of all. The message may be left
        out when the history has something to answer. `tool_choice` and `output_type`
        replace the agent's. Raises ConfigurationError for an unusable message or
        history, and for a pending call without an answer; what goes wrong later is
        raised out of the iteration, a file that cannot be read too.
        """
        job = self._begin(
            message, context, history, approvals, results, tool_choice, output_type
        )
        return AgentStream(job)

    async def run(
        self: Agent[R],
        message: UserMessage | None = None,
        *,
        context: object = None,
        history: History | None = None,
        approvals: Approvals | None = None,
        results: Results | None = None,
        tool_choice: str | None = None,
        output_type: type[R] | OtherType | None = None,
    ) -> Response[R]:
        """Run to the end and return the response.

        Takes and raises what `run_stream` does. Nobody sees the pieces of an answer
        here, so an answer that is cut after it has begun is asked for again too, up to
        `max_retries` times, as long as no tool has run for it. What the cut attempt is
        known to have cost counts in `response.metadata["tokens"]`.
        """
        job = self._begin(
            message, context, history, approvals, results, tool_choice, output_type
        )
        return await self._complete(job)

    def stream_sync(
        self: Agent[R],
        message: UserMessage | None = None,
        *,
        context: object = None,
        history: History | None = None,
        approvals: Approvals | None = None,
        results: Results | None = None,
        tool_choice: str | None = None,
        output_type: type[R] | OtherType | None = None,
    ) -> SyncStream[R]:
        """Start a run whose chunks come in a plain `for` loop.

        Takes and raises what `run_stream` does. It works in any thread, also where an
        event loop runs, which then waits. Tools see the caller's context variables.
        """
        job = self._begin(
            message, context, history, approvals, results, tool_choice, output_type
        )
        return SyncStream(AgentStream(job))

    def run_sync(
        self: Agent[R],
        message: UserMessage | None = None,
        *,
        context: object = None,
        history: History | None = None,
        approvals: Approvals | None = None,
        results: Results | None = None,
        tool_choice: str | None = None,
        output_type: type[R] | OtherType | None = None,
    ) -> Response[R]:
        """Run to the end and return the response; `run` for callers without asyncio.

        It works in any thread, also where an event loop runs, which then waits. Tools
        see the caller's context variables. An interrupt (Ctrl-C) stops the run and is
        raised on; a sync tool that still runs then runs on in its own thread, and
        nobody waits for it. In an async tool or callback it would wait for itself, and
        raises ConfigurationError.
        """
        job = self._begin(
            message, context, history, approvals, results, tool_choice, output_type
        )
        return wait_for(partial(self._complete, job))

    async def _complete(self, job: Job) -> Response[Any]:
        """The response of a run of which nobody sees the chunks."""
        job = replace(job, streaming=self.stream, shown=False)
        stream: AgentStream[Any] = AgentStream(job)
        async with stream:
            async for _ in stream:
                pass
        return job.run.hand_over()

    def with_tools(self, tools: Iterable[AnyTool | Callable[..., object]]) -> Self:
        """An agent like this one with further tools, which shares its connections.

        It is for tools that come with a request. Raises ConfigurationError, also for a
        tool with the name of another.
        """
        every = MappingProxyType(tools_by_name([*self.tools.values(), *tools]))
        plan = replace(self._plan_here(), tools=Tools(every, self.approve))
        agent = type(self).__new__(type(self))
        agent.__dict__.update(self.__dict__, tools=every, _plan=plan)
        return agent

    async def aclose(self) -> None:
        """Close the connections that the agent keeps for later runs.

        The next run opens new ones.
        """
        for plan in (self._plan, self._plan_here()):
            for candidate in plan.candidates:
                await candidate.clients.aclose()

    def override(self, *, model: str | Model | Sequence[str | Model]) -> Override:
        """A context manager inside which runs that begin are answered by other models.

        It holds for the current task (or thread) and those that it starts, and may be
        nested; all else of the agent stays, its attributes too. For tests, say:
        `with agent.override(model=ScriptedModel("Hello.")): ...`
        Raises ConfigurationError.
        """
        candidates = make_candidates(_make_models(model), self.timeout)
        return Override(self, replace(self._plan, candidates=candidates))

    def _plan_here(self) -> Plan:
        return plan_here(self) or self._plan

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        models = self.model if len(self.models) == 1 else list(self.models)
        return f"Agent({self.name!r}, {models!r}, tools={list(self.tools)})"

    def __setattr__(self, name: str, value: object) -> None:
        self._check_writable(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._check_writable(name)
        super().__delattr__(name)

    def _check_writable(self, name: str) -> None:
        """Once the agent is made its attributes are read-only.

        A subclass may set others than those that the runs use.
        """
        is_made = "_plan" in self.__dict__
        if is_made and (name in CONFIGURATION or type(self) is Agent):
            raise AttributeError(
                "an agent's attributes are read-only: "
                f"make a new Agent to give it another {name!r}"
            )

    def __getstate__(self) -> Json:
        state = self.__dict__.copy()
        state.pop("_plan", None)
        state["tools"] = dict(self.tools)  # a read-only view cannot be pickled
        return state

    def __setstate__(self, state: Json) -> None:
        self.__dict__.update(state, tools=MappingProxyType(state["tools"]))
        self._plan = self._make_plan()

    def _make_plan(self) -> Plan:
        return Plan(
            make_candidates(self.models, self.timeout),
            self.instructions,
            Tools(self.tools, self.approve),
            self.max_steps,
            self.timeout,
            self._want(self.output_type),
            self.name,
            Observers(self.observers),
        )

    def _want(self, output_type: object) -> Wanted | None:
        """What an answer has to be. Raises ConfigurationError."""
        if output_type is None:
            return None
        return Wanted(make_output_type(output_type, self.tools), self.output_retries)

    def _begin(
        self,
        message: UserMessage | None,
        context: object,
        history: History | None,
        approvals: Approvals | None,
        results: Results | None,
        tool_choice: str | None,
        output_type: object,
    ) -> Job:
        plan = self._plan_here()
        wanted = self._want(output_type) or plan.wanted
        models = [candidate.model for candidate in plan.candidates]
        self._check_tool_choice(tool_choice, models)
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
        if tool_choice is None and not answers.goes_on:
            tool_choice = self.tool_choice
        return Job(
            plan,
            run,
            StreamCloser(plan.timeout),
            Watch(plan.observers),
            {} if context is None else context,
            frozenset(answers.approved),
            tool_choice if tool_choice != "auto" and self._has_tools(models) else None,
            wanted,
        )

    def _has_tools(self, models: Iterable[Model]) -> bool:
        """Whether a request has tools: the agent's, or the provider's own."""
        return bool(self.tools) or any(model.extra.get("tools") for model in models)

    def _check_tool_choice(self, choice: object, models: Iterable[Model]) -> None:
        """Raise ConfigurationError for a choice that no request can make."""
        if choice in (None, "auto", "none"):
            return
        if choice == "required" and not self._has_tools(models):
            raise ConfigurationError(
                'tool_choice="required" needs a tool; there is none'
            )
        if choice not in ("required", *self.tools):
            names = ", ".join(map(repr, self.tools)) or "none"
            raise ConfigurationError(
                'tool_choice is "auto", "required", "none" or the name of a tool '
                f"(there are: {names}); got {shown(choice)}"
            )


def _asks_something(messages: Sequence[Message]) -> bool:
    """Whether a history can be sent without a new message."""
    return bool(messages) and messages[-1].role in ("user", "tool")


# Other arguments


def _make_models(given: str | Model | Sequence[str | Model]) -> tuple[Model, ...]:
    """The models in the order in which they are asked."""
    if not isinstance(given, list | tuple):
        return (_make_model(given),)
    if not given:
        raise ConfigurationError("the list of models is empty")
    return tuple(map(_make_model, given))


def _make_model(given: object) -> Model:
    if isinstance(given, Model):
        return given
    return Model(given)  # type: ignore[arg-type]  # it says what is wrong with another type


def _make_timeout(given: object) -> Timeout:
    if isinstance(given, Timeout):
        return given
    if given is None:
        return Timeout()
    if isinstance(given, int | float) and is_number(given):
        return Timeout(total=given)
    raise ConfigurationError(
        "timeout is a number of seconds for the whole run (the total time-out), "
        f"or a Timeout; got {shown(given)}"
    )
