"""Observers: which of their methods are called when, however a run ends."""

import asyncio
import contextlib
import logging
import pickle
from collections import Counter
from contextvars import ContextVar
from typing import Any, Literal

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import JSON, refusal, whole
from support.tool_runs import CHAT, ask
from support.waiting import until

from cogent import (
    Agent,
    AuthenticationError,
    ConfigurationError,
    Model,
    ModelTimeout,
    OutputError,
    Response,
    StreamInterrupted,
    Timeout,
    ToolError,
    TurnSummary,
    tool,
)
from cogent.observe import EVENTS, ObservedRun, Observer

INSIDE: ContextVar[str] = ContextVar("INSIDE", default="nothing")
ADD = ("c1", "add", '{"a": 1, "b": 2}')


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class Recorder:
    """Keeps each call of its methods."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.runs: list[ObservedRun] = []

    def __getattr__(self, event: str) -> Any:
        if event not in EVENTS:
            raise AttributeError(event)

        def keep(run: ObservedRun, *details: Any) -> None:
            if run not in self.runs:
                self.runs.append(run)
            self.calls.append((event, run, *details))

        return keep

    @property
    def events(self) -> list[str]:
        """The names of the events."""
        return [event for event, *_ in self.calls]

    def details(self, event: str) -> list[Any]:
        """What a method was given beside the run, of its first call."""
        return next(details for name, _, *details in self.calls if name == event)

    def check_pairs(self) -> None:
        """Whatever was started was ended once, the run last."""
        counts = Counter(self.events)
        for what in ("run", "turn", "tool"):
            assert counts[f"{what}_started"] == counts[f"{what}_ended"], self.events
        assert counts["run_ended"] == 1
        assert self.events[-1] == "run_ended"

    def end(self) -> tuple[Response, BaseException | None]:
        """What `run_ended` was given; all pairs are checked."""
        self.check_pairs()
        response, error = self.details("run_ended")
        return response, error


async def read_all(agent: Agent, **given: Any) -> Response:
    """Read a stream to its end."""
    async with agent:
        stream = agent.run_stream("Go", **given)
        async for _ in stream:
            pass
        return stream.response


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "plain"])
async def test_each_step_of_a_run_is_observed(
    server: Loopback, wire: Wire, streamed: bool
) -> None:
    """A failed attempt, a call of a tool and the answer are told in their order, on every provider."""
    build = wire.send.tool_calls if streamed else wire.send.plain_tool_calls
    mime = wire.mime if streamed else JSON
    server.reply(
        refusal(wire, 503, {"retry-after": "0"}),
        Reply(build(ADD), content_type=mime),
        whole(wire, "Th", "ree", streaming=streamed),
    )
    seen = Recorder()
    agent = wire.agent(server, tools=[add], observers=[seen], model={"max_retries": 1})
    if streamed:
        response = await read_all(agent, context={"user": 7})
    else:
        async with agent:
            response = await agent.run("Go", context={"user": 7})
    chunk = ["first_chunk"] if streamed else []
    assert seen.events == [
        "run_started",
        "turn_started",
        "retried",
        *chunk,
        "turn_ended",
        "tool_started",
        "tool_ended",
        "turn_started",
        *chunk,
        "turn_ended",
        "run_ended",
    ]
    ended, error = seen.end()
    assert (ended.content, error) == ("Three", None)
    assert ended == response
    [run] = seen.runs
    assert (run.agent, run.model, run.context) == ("tester", agent.model, {"user": 7})
    assert (run.turn, run.streamed, len(run.id)) == (2, streamed, 32)
    assert server.url in (run.address or "")
    [turn] = seen.details("turn_ended")
    assert (turn.finish_reason, turn.usage.output_tokens) == ("tool_calls", 7)
    error, wait = seen.details("retried")
    assert (error.status, wait) == (503, 0.0)
    [call] = seen.details("tool_ended")
    assert (call.name, call.result.content) == ("add", "3")


async def test_falling_back_is_observed_within_a_turn(server: Loopback) -> None:
    """The model that failed was asked as often as it may; the run then names the next one."""
    seen = Recorder()
    server.reply(
        refusal(CHAT, 503, {"retry-after": "0"}), refusal(CHAT, 401), whole(CHAT, "Hi")
    )
    first, second = (
        Model(f"openai-chat:{name}", base_url=server.url, api_key="key", max_retries=1)
        for name in ("first", "second")
    )
    asked: list[str] = []

    class Names:
        def turn_started(self, run: ObservedRun) -> None:
            asked.append(run.model.name)

        def fell_back(self, run: ObservedRun, error: object) -> None:
            asked.append(run.model.name)

    await read_all(Agent("tester", [first, second], observers=[seen, Names()]))
    seen.end()
    assert seen.events == [
        "run_started",
        "turn_started",
        "retried",
        "fell_back",
        "first_chunk",
        "turn_ended",
        "run_ended",
    ]
    assert asked == ["first", "second"]
    [error] = seen.details("fell_back")
    assert isinstance(error, AuthenticationError)
    assert error.model == "first"


async def test_an_observer_has_the_methods_that_it_wants(server: Loopback) -> None:
    """One method is enough, in a class derived from Observer and in any other."""
    turns: list[TurnSummary] = []
    responses: list[Response] = []

    class Derived(Observer):
        def turn_ended(self, run: ObservedRun, turn: TurnSummary) -> None:
            turns.append(turn)

    class Other:
        def run_ended(self, run: Any, response: Response, error: object) -> None:
            responses.append(response)

    server.reply(whole(CHAT, "Hi"))
    agent = CHAT.agent(server, observers=[Derived(), Other()])
    await read_all(agent)
    assert [turn.content for turn in turns] == ["Hi"]
    assert [response.content for response in responses] == ["Hi"]


# Only tools of MCP servers report progress.
@pytest.mark.parametrize("event", [e for e in EVENTS if e != "tool_progress"])
async def test_one_method_alone_is_called(
    server: Loopback, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever it is, with a run that tells what it should, also of the error that ends it."""
    told: list[ObservedRun] = []
    errors: list[BaseException | None] = []

    def method(_: object, run: ObservedRun, *details: object) -> None:
        told.append(run)
        errors.append(run.error)

    observer = type("One", (), {event: method})()
    server.reply(
        refusal(CHAT, 503, {"retry-after": "0"}),
        refusal(CHAT, 401),
        Reply(CHAT.send.tool_calls(ADD)),
        refusal(CHAT, 401),
    )
    first, second = (
        Model(f"openai-chat:{name}", base_url=server.url, api_key="key", max_retries=1)
        for name in ("first", "second")
    )
    agent = Agent("tester", [first, second], tools=[add], observers=[observer])
    with pytest.raises(AuthenticationError) as caught:
        await read_all(agent)
    assert {run.agent for run in told} == {"tester"}
    assert not any(record.exc_info for record in caplog.records)
    is_end = event in ("turn_ended", "run_ended")
    assert errors[-1] is (caught.value if is_end else None)


def begin(server: Loopback, end: Literal["stall", "close"] = "stall") -> None:
    """The server sends "One" of an answer, and then nothing."""
    events = CHAT.send.text("One", "Two")
    place = next(place for place, event in enumerate(events) if b"One" in event)
    server.reply(Reply(events[: place + 1], end=end))


@pytest.mark.parametrize("how", ["break", "cancel", "aclose"])
async def test_a_run_that_is_left_ends_without_an_error(
    server: Loopback, how: str
) -> None:
    """Leaving the loop, `cancel` and `aclose` end the turn and the run, with what came."""
    seen = Recorder()
    begin(server)
    async with CHAT.agent(server, observers=[seen]) as agent:
        stream = agent.run_stream("Go")
        async for chunk in stream:
            if chunk.content and how == "break":
                break
            if chunk.content and how == "cancel":
                stream.cancel()
            if chunk.content and how == "aclose":
                await stream.aclose()
        await stream.aclose()
        response, error = seen.end()
    assert error is None
    assert response.finish_reason is None
    assert response.content == "One"
    [turn] = seen.details("turn_ended")
    assert (turn.content, turn.finish_reason) == ("One", None)


@pytest.mark.parametrize("where", ["waiting", "holding a chunk"])
async def test_a_run_whose_task_is_cancelled_ends_with_a_cancelled_error(
    server: Loopback, where: str
) -> None:
    """It does so also where the task is cancelled while it has a chunk in its hands."""
    seen = Recorder()
    begin(server)
    async with CHAT.agent(server, observers=[seen]) as agent:
        began = asyncio.Event()

        async def consume() -> None:
            async for _ in agent.run_stream("Go"):
                began.set()
                if where != "waiting":
                    await asyncio.sleep(60)

        task = asyncio.create_task(consume())
        await began.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await until(lambda: "run_ended" in seen.events)
    response, error = seen.end()
    assert isinstance(error, asyncio.CancelledError)
    assert response.content == "One"


async def test_the_error_of_a_run_is_told(server: Loopback) -> None:
    """It is the one that is raised, and known already as the turn ends."""
    seen = Recorder()
    known: list[object] = []

    class Early:
        def turn_ended(self, run: ObservedRun, turn: object) -> None:
            known.append(run.error)

    server.reply(refusal(CHAT, 401))
    agent = CHAT.agent(server, observers=[seen, Early()])
    with pytest.raises(AuthenticationError) as caught:
        await read_all(agent)
    _, error = seen.end()
    assert error is caught.value
    assert known == [error]
    [turn] = seen.details("turn_ended")
    assert turn.usage.total_tokens == 0  # it never reached the model
    assert seen.runs[0].error is None  # an error that was kept would keep its frames


async def test_a_time_out_while_nobody_reads_is_the_error_of_the_run(
    server: Loopback,
) -> None:
    """A stream that is held too long ends by its limit, which is what reading on raises."""
    seen = Recorder()
    begin(server)
    timeout = Timeout(total=2)
    async with CHAT.agent(server, observers=[seen], timeout=timeout) as agent:
        stream = agent.run_stream("Go")
        await anext(stream)
        await until(lambda: "run_ended" in seen.events)
        _, error = seen.end()
        assert isinstance(error, ModelTimeout)
        assert error.kind == "total"
        with pytest.raises(ModelTimeout):
            await anext(stream)


async def test_a_cut_answer_is_the_error_of_the_run(server: Loopback) -> None:
    """The turn ends with what came of it."""
    seen = Recorder()
    begin(server, "close")
    with pytest.raises(StreamInterrupted):
        await read_all(CHAT.agent(server, observers=[seen]))
    response, error = seen.end()
    assert isinstance(error, StreamInterrupted)
    assert response.content == "One"


async def test_an_answer_of_the_wrong_type_is_a_retry_between_two_turns(
    server: Loopback,
) -> None:
    """The second try that fails is the error of the run."""
    seen = Recorder()
    server.reply(whole(CHAT, "one"), whole(CHAT, "two"))
    with pytest.raises(OutputError):
        await read_all(CHAT.agent(server, output_type=int, observers=[seen]))
    assert [event for event in seen.events if event != "first_chunk"] == [
        "run_started",
        "turn_started",
        "turn_ended",
        "retried",
        "turn_started",
        "turn_ended",
        "run_ended",
    ]
    problem, wait = seen.details("retried")
    assert isinstance(problem, OutputError)
    assert wait == 0.0
    _, error = seen.end()
    assert isinstance(error, OutputError)
    assert seen.runs[0].typed


async def test_the_end_is_told_before_the_last_chunk(server: Loopback) -> None:
    """Whoever stops at the final chunk and keeps the stream has not left the run open."""
    seen = Recorder()
    server.reply(whole(CHAT, "Hi"))
    async with CHAT.agent(server, observers=[seen]) as agent:
        stream = agent.run_stream("Go")
        while not (await anext(stream)).is_final:
            pass
        response, error = seen.end()
        assert (response.content, error) == ("Hi", None)
        await stream.aclose()
    seen.check_pairs()


# Tools


async def test_a_tool_sees_what_an_observer_made_current_for_it(
    server: Loopback,
) -> None:
    """Both in the event loop and in a thread; the loop that reads sees nothing of it."""

    @tool
    async def in_loop() -> str:
        """Look."""
        return INSIDE.get()

    @tool
    def in_thread() -> str:
        """Look."""
        return INSIDE.get()

    class Marks:
        def tool_started(self, run: ObservedRun, call: Any) -> None:
            run.state[self, call.id] = INSIDE.set(call.name)

        def tool_ended(self, run: ObservedRun, call: Any) -> None:
            assert INSIDE.get() == call.name
            INSIDE.reset(run.state.pop((self, call.id)))

    ask(server, ("c1", "in_loop", "{}"), ("c2", "in_thread", "{}"))
    agent = CHAT.agent(server, tools=[in_loop, in_thread], observers=[Marks()])
    async with agent:
        stream = agent.run_stream("Go")
        async for _ in stream:
            assert INSIDE.get() == "nothing"
    calls = stream.response.tool_calls
    assert [call.result and call.result.content for call in calls] == [
        "in_loop",
        "in_thread",
    ]


class Failures:
    """Keeps the exceptions of tools."""

    def __init__(self) -> None:
        self.seen: dict[str, BaseException | None] = {}
        self.results: dict[str, Any] = {}

    def tool_ended(self, run: ObservedRun, call: Any) -> None:
        self.seen[call.name] = run.tool_error(call)
        self.results[call.name] = call.result


async def test_the_exception_of_a_tool_is_at_hand(server: Loopback) -> None:
    """Also of arguments that do not fit; a tool that is not there has none."""

    @tool
    def broken() -> None:
        """Break."""
        raise KeyError("lost")

    failures = Failures()
    seen = Recorder()
    ask(
        server,
        ("c1", "broken", "{}"),
        ("c2", "add", '{"a": "x"}'),
        ("c3", "missing", "{}"),
    )
    observers = [failures, seen]
    await read_all(CHAT.agent(server, tools=[broken, add], observers=observers))
    seen.check_pairs()
    kinds = {name: type(error).__name__ for name, error in failures.seen.items()}
    assert kinds == {
        "broken": "KeyError",
        "add": "ArgumentsError",
        "missing": "NoneType",
    }
    assert all(result.is_error for result in failures.results.values())


async def test_a_tool_that_ends_the_run_has_no_result(server: Loopback) -> None:
    """What it raised is at hand, and the run ends with the ToolError."""

    @tool(on_error="raise")
    def broken() -> None:
        """Break."""
        raise KeyError("lost")

    failures = Failures()
    seen = Recorder()
    ask(server, ("c1", "broken", "{}"))
    with pytest.raises(ToolError):
        await read_all(CHAT.agent(server, tools=[broken], observers=[failures, seen]))
    _, error = seen.end()
    assert isinstance(error, ToolError)
    assert isinstance(failures.seen["broken"], ToolError)
    assert failures.results["broken"] is None


async def test_tools_that_are_cancelled_end_before_their_run(server: Loopback) -> None:
    """Leaving the run while two tools work ends both, without a result."""
    started = asyncio.Event()

    @tool
    async def forever(name: str) -> None:
        """Wait."""
        if name == "b":
            started.set()
        await asyncio.sleep(60)

    failures = Failures()
    seen = Recorder()
    ask(server, ("c1", "forever", '{"name": "a"}'), ("c2", "forever", '{"name": "b"}'))
    agent = CHAT.agent(server, tools=[forever], observers=[failures, seen])
    async with agent:
        stream = agent.run_stream("Go")

        async def stop() -> None:
            await started.wait()
            stream.cancel()

        stopping = asyncio.create_task(stop())
        async for _ in stream:
            pass
        await stopping
    seen.end()
    assert seen.events.count("tool_ended") == 2
    assert isinstance(failures.seen["forever"], asyncio.CancelledError)
    assert failures.results["forever"] is None


async def test_pending_calls_are_not_started(server: Loopback) -> None:
    """A call that waits for an approval is observed where it runs, in the next run; one
    that is refused is not.
    """

    @tool(approval=True)
    def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    seen = Recorder()
    calls = [("c1", "pay", '{"amount": 1}'), ("c2", "pay", '{"amount": 2}')]
    ask(server, *calls)
    async with CHAT.agent(server, tools=[pay], observers=[seen]) as agent:
        response = await agent.run("Go", history=None)
        assert seen.end()[0].pending == response.pending
        assert "tool_started" not in seen.events
        seen.calls.clear()
        answers: dict[str, bool | str] = {"c1": True, "c2": "too much"}
        await agent.run(history=response.messages, approvals=answers)
    seen.end()
    assert seen.events.count("tool_started") == 1
    assert seen.details("tool_ended")[0].id == "c1"


# Several


async def test_two_streams_that_take_turns_are_told_apart(server: Loopback) -> None:
    """Each run has an object of its own, with the state of the observers."""
    seen = Recorder()
    server.reply(whole(CHAT, "One", "two"), whole(CHAT, "Three", "four"))
    async with CHAT.agent(server, observers=[seen]) as agent:
        first, second = agent.run_stream("a"), agent.run_stream("b")
        async for _ in first:
            with contextlib.suppress(StopAsyncIteration):
                await anext(second)
        async for _ in second:
            pass
    one, two = seen.runs
    assert one.id != two.id
    assert one.state is not two.state
    for run in (one, two):
        events = [event for event, whose, *_ in seen.calls if whose is run]
        assert events == [
            "run_started",
            "turn_started",
            "first_chunk",
            "turn_ended",
            "run_ended",
        ]


async def test_an_observer_that_raises_breaks_nothing(
    server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """Its first exception in a run is logged with the traceback; the others still hear all."""

    class Broken:
        def __getattr__(self, event: str) -> Any:
            if event not in EVENTS:
                raise AttributeError(event)

            def fail(*_: object) -> None:
                raise StopIteration("from an observer")

            return fail

    seen = Recorder()
    ask(server, ADD)
    agent = CHAT.agent(server, tools=[add], observers=[Broken(), seen])
    with caplog.at_level(logging.WARNING, "cogent"):
        response = await read_all(agent)
    assert response.content == "Done"
    seen.end()
    [record] = caplog.records
    assert "run_started" in record.message
    assert record.exc_info


@pytest.mark.parametrize(
    ("observers", "words"),
    [
        (Recorder(), "a list of observers"),
        ("log", "a list of observers"),
        ([Recorder], "an object, not a class"),
        ([object()], "one of the methods run_started"),
    ],
)
def test_what_is_no_observer_is_refused(observers: Any, words: str) -> None:
    """The error says what an observer is."""
    with pytest.raises(ConfigurationError, match=words):
        Agent("a", "gpt-5.4", observers=observers)


def test_async_methods_are_refused() -> None:
    """They would never be awaited."""

    class Async:
        async def run_started(self, run: object) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Async\.run_started is async"):
        Agent("a", "gpt-5.4", observers=[Async()])  # type: ignore[list-item]


class Module(Observer):
    """Of a module, as a pickle wants it."""


def test_observers_go_with_the_agent_into_a_pickle() -> None:
    """They are part of its configuration."""
    agent = pickle.loads(pickle.dumps(Agent("a", "gpt-5.4", observers=[Module()])))
    assert [type(observer) for observer in agent.observers] == [Module]
