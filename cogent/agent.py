"""The agent: what the user configures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from cogent.json_values import Json
from cogent.many import ManyRuns, Messages, SyncManyRuns, check_many
from cogent.messages import Response
from cogent.model import Model, make_models
from cogent.observe import Observer, check_observers
from cogent.output import make_output_type
from cogent.run.approval import Approve, Tools
from cogent.run.background import wait_for
from cogent.run.begin import begin_run, check_agent, check_tool_choice
from cogent.run.inputs import History, UserMessage
from cogent.run.override import Override, plan_here
from cogent.run.pending import Approvals, Results
from cogent.run.plan import Job, Plan, make_candidates
from cogent.run.typed import Wanted
from cogent.run.watch import Observers
from cogent.stream import AgentStream
from cogent.sync import SyncStream
from cogent.timeout import Timeout, make_timeout
from cogent.tools.given import AnyTool, tools_by_name
from cogent.type_variables import OtherType, Out
from cogent.validation import check_whole

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
    failed: `provider`, `model`, `error`, `message` and more of each, as plain JSON.

    It is configuration, and read-only: share it between tasks, threads, loops, processes.

    `stream=True` makes `run()` use the streaming transport too; otherwise it makes one
    plain request for each turn. `max_steps` limits the turns of the model. `timeout` is
    a `Timeout`, or a number of seconds for the whole run. `tool_choice` is "auto",
    "required" (some tool), "none", or the name of the tool to call; it holds for the
    first turn, and not where a run goes on from pending calls. `approve(call, context)`,
    sync or async, is asked before each call of a tool with `approval=True` and returns
    True, False or a reason, which the model reads; without it such a call ends the run
    and waits in `response.pending`.

    With an `output_type` (a pydantic model, a dataclass, a list, ...) `response.output`
    is the answer as a value of that type. A model whose answer does not fit reads why
    and may answer again, up to `output_retries` times; then OutputError is raised.

    `observers` are called at each step of a run: see `cogent.observe.Observer`. Making
    an agent imports the provider's SDK. Raises ConfigurationError.

    >>> agent = Agent("writer", ScriptedModel("The Nile."), instructions="Be brief.")
    >>> print(agent.run_sync("Name a river."))
    The Nile.
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
        check_agent(name, instructions, stream, approve)
        check_whole(max_steps, "max_steps", at_least=1)
        self.name: Final = name
        self.models: Final = make_models(model)
        self.model: Final = self.models[0]
        self.instructions: Final = instructions
        self.tools: Final = MappingProxyType(tools_by_name(tools))
        self.stream: Final = stream
        self.max_steps: Final = max_steps
        self.timeout: Final = make_timeout(timeout)
        check_tool_choice(tool_choice, self.tools, self.models)
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
        any object, a dict say; it is handed to tools and never to the model. `history`
        is an earlier `response.messages`, of any provider. `results` and `approvals`
        answer its pending calls (`response.pending`), each by the call's id: with what
        the call gave, a JSON value or the provider's own output item; or, for a tool
        that needs an approval and for what the provider wants to run itself, with True,
        False or the reason for a no. An approved tool runs first of all. The message
        may be left out when the history has something to answer. `tool_choice` and
        `output_type` replace the agent's. Raises ConfigurationError for an unusable
        message or history, and for a pending call without an answer; what goes wrong
        later is raised out of the iteration, a file that cannot be read too.
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

    def run_many(
        self: Agent[R],
        messages: Messages,
        *,
        concurrency: int = 32,
        progress: bool = False,
        context: object = None,
        history: History | None = None,
        tool_choice: str | None = None,
        output_type: type[R] | OtherType | None = None,
    ) -> ManyRuns[R]:
        """Run each of many messages: `async for index, result in agent.run_many(...)`.

        The results come in the order in which the runs end; `result` is the Response,
        or the CogentError, of the message at `index`. At most `concurrency` runs are
        under way at once, and `messages` may be endless: a list, a generator, or an
        async iterable; a sync one is read in the event loop, which waits for it. The
        other arguments go to every run. `progress=True` shows a bar on stderr, by tqdm
        or rich where one is installed. Leaving the loop stops all runs. Raises
        ConfigurationError, and, when what has begun has ended, what the iterable
        raised.
        """
        check_many(messages, concurrency, progress)
        run = partial(self._run_one, context, history, tool_choice, output_type)
        return ManyRuns(run, messages, concurrency, self.name if progress else None)

    def run_many_sync(
        self: Agent[R],
        messages: Iterable[UserMessage],
        *,
        concurrency: int = 32,
        progress: bool = False,
        context: object = None,
        history: History | None = None,
        tool_choice: str | None = None,
        output_type: type[R] | OtherType | None = None,
    ) -> SyncManyRuns[R]:
        """`run_many` for callers without asyncio: `for index, result in ...`.

        The messages are read in the caller's thread. An interrupt (Ctrl-C) stops all
        runs and is raised on.
        """
        check_many(messages, concurrency, progress, is_sync=True)
        run = partial(self._run_one, context, history, tool_choice, output_type)
        return SyncManyRuns(run, messages, concurrency, self.name if progress else None)

    async def _run_one(
        self,
        context: object,
        history: History | None,
        tool_choice: str | None,
        output_type: object,
        message: UserMessage,
    ) -> Response[Any]:
        """The response to one of many messages."""
        return await self._complete(
            self._begin(message, context, history, None, None, tool_choice, output_type)
        )

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
        tool with the name of another, or of the output type.
        """
        every = MappingProxyType(tools_by_name([*self.tools.values(), *tools]))
        agent = type(self).__new__(type(self))
        agent.__dict__.update(self.__dict__, tools=every)
        wanted = agent._want(self.output_type)
        plan = replace(self._plan_here(), tools=Tools(every, self.approve))
        agent.__dict__["_plan"] = replace(plan, wanted=wanted)
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
        candidates = make_candidates(make_models(model), self.timeout)
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
            self.tool_choice,
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
        return begin_run(
            plan, message, context, history, approvals, results, tool_choice, wanted
        )
