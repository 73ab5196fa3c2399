"""One agent in many event loops: one after the other, in threads, in processes, and on other kinds of loop."""

import asyncio
import copy
import gc
import logging
import multiprocessing
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import WIRES, Wire, sdk_wire
from support.loopback import Loopback, Recorded, Reply
from support.own_clients import own_client

from cogent import Agent, CogentError, Model, ModelError, tool

wire = sdk_wire

PROMPT = 30.0  # seconds after which something hangs; a server sees in milliseconds that its client has left
JSON = "application/json"

every_kind = pytest.mark.parametrize("kind", ["asyncio", "debug", "uvloop"])


@tool
def look(query: str) -> str:
    """Search for something."""
    return f"Found {query}"


class Echo(Loopback):
    """A model that says what stands in brackets in its prompt, after it has looked if it was asked to look."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire

    def next_reply(self, request: Recorded) -> Reply:
        send, streaming = (
            self.wire.send,
            ":stream" in request.path or request.json.get("stream", False),
        )
        if b"Look" in request.body and b"Found" not in request.body:
            make, said = (
                (send.tool_calls if streaming else send.plain_tool_calls),
                [("c1", "look", '{"query": "it"}')],
            )
        else:
            make, said = (
                (send.text if streaming else send.plain_text),
                [*mark_of(request)],
            )
        return Reply(make(*said), content_type=self.wire.mime if streaming else JSON)

    def users(self) -> dict[int, set[str]]:
        """For each connection the first letters of the marks that came over it."""
        users: dict[int, set[str]] = {}
        for request in self.requests:
            users.setdefault(request.connection, set()).add(mark_of(request)[0])
        return users


@pytest.fixture
def echo(wire: Wire) -> Iterator[Echo]:
    """A model that answers every question."""
    with Echo(wire) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def little_garbage() -> Iterator[None]:
    """What is there before, the SDKs above all, is left out of each collection, which would take long otherwise."""
    for wire in WIRES:
        Agent("a", f"{wire.provider}:m")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No loop complains in its log, as none does in a warning, which would be an error."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    told = [
        record.getMessage()
        for record in records
        if record.name == "asyncio" and record.levelno >= logging.WARNING
    ]
    # The debug mode tells of each callback that was slow, and on a busy machine many are.
    assert [words for words in told if not words.startswith("Executing")] == []


def mark_of(request: Recorded) -> str:
    """What stands in brackets in the prompt."""
    return re.findall(rb"<(\w+)>", request.body)[-1].decode()


def left(server: Loopback) -> bool:
    """Whether all connections are closed, or are closed soon."""
    give_up = time.monotonic() + PROMPT
    while server.open_connections and time.monotonic() < give_up:
        time.sleep(0.005)
    return server.open_connections == 0


def runner(kind: str) -> asyncio.Runner:
    """A runner with a new loop of this kind."""
    if kind == "uvloop":
        return asyncio.Runner(loop_factory=pytest.importorskip("uvloop").new_event_loop)
    return asyncio.Runner(debug=kind == "debug")


async def say(agent: Agent, words: str, streaming: bool = True) -> str:
    """What an agent says to a prompt."""
    if not streaming:
        return (await agent.run(words)).content
    return "".join([chunk.content async for chunk in agent.run_stream(words)])


async def busy(agent: Agent, mark: str) -> list[str]:
    """What an agent says in streams and plain runs, with and without a tool, one by one and then all at once."""
    asked = [
        (f"{verb} <{mark}{verb}>", streaming)
        for streaming in (True, False)
        for verb in ("Say", "Look")
    ]
    one_by_one = [await say(agent, *question) for question in asked[1:3]]
    return one_by_one + await asyncio.gather(
        *[say(agent, *question) for question in asked]
    )


def all_of(mark: str) -> list[str]:
    """What `busy` hears if all goes well."""
    return [f"{mark}Look", f"{mark}Say"] + [f"{mark}Say", f"{mark}Look"] * 2


async def and_close(agent: Agent, mark: str) -> list[str]:
    """The same, and close the agent."""
    said = await busy(agent, mark)
    await agent.aclose()
    return said


def in_a_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Run this in a loop of another thread, while this thread waits."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


# One after the other


@every_kind
def test_one_loop_after_the_other(echo: Echo, wire: Wire, kind: str) -> None:
    """An agent works in each new loop over connections of that loop, all closed when it ends, closed by us or not."""
    agent = wire.agent(echo, tools=[look])
    for mark, use in {"A": busy, "B": and_close}.items():
        with runner(kind) as loop:
            assert loop.run(use(agent, mark)) == all_of(mark)
        assert left(echo), f"the loop {mark} left a connection open"
    assert all(len(marks) == 1 for marks in echo.users().values())


def held_streams(wire: Wire) -> Reply:
    """An answer that falls silent after its first words."""
    return Reply(
        wire.send.text("Hello", " again")[:-2], end="stall", content_type=wire.mime
    )


@every_kind
def test_a_loop_may_end_in_the_middle_of_a_stream(
    server: Loopback, wire: Wire, kind: str
) -> None:
    """A stream that a task reads when its loop ends is closed with it, and keeps what it has."""
    server.reply(held_streams(wire))
    stream = wire.agent(server).run_stream("Go")
    tasks = []

    async def read(begun: asyncio.Event) -> None:
        async for chunk in stream:
            if chunk.content:
                begun.set()

    async def run() -> None:
        begun = asyncio.Event()
        tasks.append(asyncio.create_task(read(begun)))
        await begun.wait()

    with runner(kind) as loop:
        loop.run(run())
    assert server.requests[0].wait_disconnected(PROMPT)
    assert (
        stream.response.content.startswith("Hello")
        and stream.response.finish_reason is None
    )
    assert left(server)


def test_a_stream_is_made_outside_a_loop_and_read_in_one(
    echo: Echo, wire: Wire
) -> None:
    """An agent and a stream can be made where no loop runs; they open nothing before the first chunk is asked for."""
    agent = wire.agent(echo)
    stream, unread = agent.run_stream("Say <A>"), agent.run_stream("Say <B>")

    async def opens_nothing() -> None:
        async with wire.agent(echo) as other:
            other.run_stream("Say <C>")
            await asyncio.sleep(0.02)

    async def read() -> str:
        return "".join([chunk.content async for chunk in stream])

    asyncio.run(opens_nothing())
    assert (echo.open_connections, echo.requests) == (0, [])
    assert asyncio.run(read()) == "A"
    del unread
    assert len(echo.requests) == 1 and left(echo)


# One client for each loop


def refusal(wire: Wire, status: int, **headers: str) -> Reply:
    """An answer with an error status."""
    return Reply(wire.send.error_body("No.", None, "some_error"), status, JSON, headers)


def test_the_next_request_opens_no_connection(server: Loopback, wire: Wire) -> None:
    """After a stream, a tool's turn, a plain run, a retry or an error status the same connection is used again."""
    send, call = wire.send, ("c1", "look", '{"query": "it"}')
    streamed, whole = (
        Reply(send.text("Hi"), content_type=wire.mime),
        Reply(send.plain_text("Hi"), content_type=JSON),
    )
    asked = (
        Reply(send.tool_calls(call), content_type=wire.mime),
        Reply(send.plain_tool_calls(call), content_type=JSON),
    )
    again = refusal(wire, 503, **{"retry-after-ms": "1"})
    # Nobody waits for an hour, so that this is not asked again.
    page = Reply("<html>Bad gateway</html>", 502, "text/html", {"retry-after": "3600"})
    firsts: dict[str, tuple[list[Reply], bool]] = {
        "a stream": ([streamed], True),
        "a tool's turn": ([asked[0], streamed], True),
        "a plain run": ([whole], False),
        "a tool's turn in a plain run": ([asked[1], whole], False),
        "a retry": ([again, streamed], True),
        "a retry of a plain run": ([again, whole], False),
        "a status instead of a stream": ([refusal(wire, 400)], True),
        "a status instead of an answer": ([refusal(wire, 401)], False),
        "a page instead of a stream": ([page], True),
        "a page instead of an answer": ([page], False),
    }
    used: dict[str, set[int]] = {}

    async def run() -> None:
        async with wire.agent(server, tools=[look], model={"max_retries": 1}) as agent:
            for name, (replies, streaming) in firsts.items():
                begun = len(server.requests)
                server.reply(*replies, streamed)
                try:
                    assert await say(agent, "Go", streaming) == "Hi"
                except ModelError:
                    assert replies[0].status >= 400
                assert await say(agent, "Go") == "Hi"
                used[name] = {request.connection for request in server.requests[begun:]}

    asyncio.run(run())
    assert used == {key: {1} for key in firsts}


def test_runs_at_the_same_time_share_a_client(echo: Echo, wire: Wire) -> None:
    """Runs at the same time do not disturb each other, and what they opened serves the next ones too."""

    async def run() -> list[list[str]]:
        async with wire.agent(echo) as agent:
            return [
                await asyncio.gather(*[say(agent, f"Say <{n}>") for n in range(5)])
                for _ in range(3)
            ]

    assert asyncio.run(run()) == [["0", "1", "2", "3", "4"]] * 3
    assert len(echo.users()) <= 5


@pytest.mark.parametrize("how", ["aclose", "block"])
def test_closing_closes_at_once_and_is_not_the_end(
    echo: Echo, wire: Wire, how: str
) -> None:
    """When an agent's `aclose()` or block ends its connections are closed, and a later run opens a new client."""
    agent = wire.agent(echo)

    async def use() -> None:
        if how == "block":
            async with agent:
                await say(agent, "Say <A>")
        else:
            await say(agent, "Say <A>")
            await agent.aclose()
            await agent.aclose()

    async def run() -> list[bool]:
        closed = []
        for _ in range(2):
            await use()
            # Blocks the loop on purpose: the connection is closed by now, not only when the loop gets to it.
            closed.append(echo.requests[-1].wait_disconnected(PROMPT))
        return closed

    assert asyncio.run(run()) == [True, True]
    assert [request.connection for request in echo.requests] == [1, 2]


def test_a_stream_whose_agent_is_closed_does_not_hang(
    server: Loopback, wire: Wire
) -> None:
    """Closing an agent in the middle of a stream ends that stream with an error of our family, and no other harm."""
    server.reply(
        held_streams(wire), Reply(wire.send.text("Hi"), content_type=wire.mime)
    )
    agent = wire.agent(server)

    async def read(begun: asyncio.Event) -> None:
        async for chunk in agent.run_stream("Go"):
            if chunk.content:
                begun.set()

    async def run() -> str:
        begun = asyncio.Event()
        task = asyncio.create_task(read(begun))
        await begun.wait()
        await agent.aclose()
        with pytest.raises(CogentError):
            await asyncio.wait_for(task, PROMPT)
        return await say(agent, "Go")

    assert asyncio.run(run()) == "Hi"
    assert left(server)


def test_a_run_whose_agent_is_closed_goes_on_with_a_new_client(
    server: Loopback, wire: Wire
) -> None:
    """An agent that is closed while a run's tool is at work opens a new client for that run's next question."""
    server.reply(
        Reply(wire.send.tool_calls(("c1", "close", "{}")), content_type=wire.mime)
    )
    server.reply(Reply(wire.send.text("Hi"), content_type=wire.mime))

    @tool
    async def close() -> str:
        """Close the agent."""
        await agent.aclose()
        return "closed"

    agent = wire.agent(server, tools=[close])
    assert asyncio.run(say(agent, "Go")) == "Hi"
    assert [request.connection for request in server.requests] == [1, 2]
    assert left(server)


def test_an_agent_that_is_dropped_closes_its_connections(
    echo: Echo, wire: Wire
) -> None:
    """Nobody has to close an agent: when the last name for it goes its connections are closed, in the running loop."""

    async def run() -> bool:
        agent = wire.agent(echo)
        assert await say(agent, "Say <A>") == "A"
        del agent
        return await asyncio.to_thread(echo.requests[0].wait_disconnected, PROMPT)

    gc.disable()
    try:
        assert asyncio.run(run())
    finally:
        gc.enable()


@every_kind
def test_an_agent_that_is_dropped_as_its_loop_ends_closes_all_connections(
    echo: Echo, wire: Wire, kind: str
) -> None:
    """An agent of the main coroutine alone needs no closing either, though it had many connections at once."""

    async def run() -> list[str]:
        agent = wire.agent(echo, tools=[look])
        return await busy(agent, "A")

    with runner(kind) as loop:
        assert loop.run(run()) == all_of("A")
    assert left(echo)


def test_two_agents_never_share(echo: Echo, wire: Wire) -> None:
    """Agents of one model, copies too, have clients of their own: closing one leaves the others as they are."""
    first = wire.agent(echo)
    agents = [first, Agent("b", first.model), copy.copy(first), copy.deepcopy(first)]

    async def run() -> None:
        for agent, mark in zip(agents, "ABCD", strict=True):
            assert await say(agent, f"Say <{mark}>") == mark
        await first.aclose()
        for agent, mark in zip(agents, "ABCD", strict=True):
            assert await say(agent, f"Say <{mark}>") == mark

    asyncio.run(run())
    assert [request.connection for request in echo.requests] == [1, 2, 3, 4, 5, 2, 3, 4]
    assert left(echo)


def test_a_client_of_the_users_is_never_closed(echo: Echo, wire: Wire) -> None:
    """A client that the user brought outlives the agents that use it, closed or not, with its connection."""

    async def run() -> None:
        async with own_client(wire, echo.url) as client:
            for streaming in (True, False):
                async with Agent(
                    "a", Model(f"{wire.provider}:gpt-test", client=client)
                ) as agent:
                    assert await say(agent, "Say <A>", streaming) == "A"
                    await agent.aclose()
                    assert await say(agent, "Say <A>", streaming) == "A"
            assert {request.connection for request in echo.requests} == {
                1
            } and echo.open_connections == 1

    asyncio.run(run())
    assert left(echo)


# Threads


def test_threads_at_the_same_time(echo: Echo, wire: Wire) -> None:
    """Threads that use one agent at once, each in loops of its own, get their answers and share no connection."""
    agent = wire.agent(echo, tools=[look])
    start = threading.Barrier(4)

    def use(mark: str) -> list[str]:
        start.wait()
        return asyncio.run(busy(agent, mark))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, "ABCD")) == [all_of(mark) for mark in "ABCD"]
    assert all(len(marks) == 1 for marks in echo.users().values())
    assert left(echo)


class Meeting(asyncio.SelectorEventLoop):
    """A loop that lets something else happen, once, before it tells another thread whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.home = threading.get_ident()
        self.meanwhile: list[Callable[[], object]] = []

    def is_closed(self) -> bool:
        if threading.get_ident() != self.home and self.meanwhile:
            self.meanwhile.pop()()
        return super().is_closed()


def test_threads_that_begin_at_the_same_moment(echo: Echo, wire: Wire) -> None:
    """A loop that gets its client while another loop is getting one keeps that client, with its connection."""
    agent, meeting = wire.agent(echo), Meeting()
    with background() as call, asyncio.Runner(loop_factory=lambda: meeting) as loop:
        assert loop.run(say(agent, "Say <A>")) == "A"
        meeting.meanwhile.append(lambda: call(say(agent, "Say <B>")))
        assert in_a_thread(say(agent, "Say <C>")) == "C"
        assert call(say(agent, "Say <B>")) == "B"
        call(agent.aclose())
    assert not meeting.meanwhile, "the agent looks its loops over"
    assert list(echo.users().values()) == [{"A"}, {"B"}, {"C"}]
    assert left(echo)


def test_a_stream_outlives_the_loop_of_another_thread(
    server: Loopback, wire: Wire
) -> None:
    """A stream in one thread goes on when another thread's loop, which used the same agent, ends."""
    events = wire.send.text(*["word "] * 10)
    server.reply(Reply(events, pause=0.02, content_type=wire.mime))
    server.reply(*[Reply(wire.send.text("Hi"), content_type=wire.mime)] * 2)
    agent = wire.agent(server)

    async def run() -> str:
        said = []
        async for chunk in agent.run_stream("Go"):
            said.append(chunk.content)
            if len(said) == 1:
                assert await asyncio.to_thread(asyncio.run, say(agent, "Go")) == "Hi"
        assert await say(agent, "Go") == "Hi"
        return "".join(said)

    assert asyncio.run(run()) == "word " * 10
    assert [request.connection for request in server.requests] == [1, 2, 1]


def test_closing_from_another_thread(echo: Echo, wire: Wire) -> None:
    """An agent closed in one thread's loop closes its connections of another's, which goes on with new ones."""
    agent = wire.agent(echo, tools=[look])

    async def run() -> list[str]:
        said = [await say(agent, "Say <A>")]
        await asyncio.to_thread(asyncio.run, and_close(agent, "B"))
        assert await asyncio.to_thread(echo.requests[0].wait_disconnected, PROMPT)
        return [*said, await say(agent, "Say <A>")]

    assert asyncio.run(run()) == ["A", "A"]
    assert left(echo)


@pytest.mark.parametrize("again", [False, True], ids=["that ends", "that goes on"])
def test_closing_while_the_other_loop_rests(
    echo: Echo, wire: Wire, again: bool
) -> None:
    """An agent may be closed in one loop while another of its loops does not run, whatever becomes of that one."""
    agent = wire.agent(echo)
    with asyncio.Runner() as loop:
        assert loop.run(say(agent, "Say <A>")) == "A"
        asyncio.run(agent.aclose())
        if again:
            assert loop.run(say(agent, "Say <A>")) == "A"
    asyncio.run(agent.aclose())
    assert left(echo)


@pytest.mark.parametrize("steps", range(5))
def test_closing_while_the_other_loop_ends(echo: Echo, wire: Wire, steps: int) -> None:
    """An agent closed in one thread at whatever moment the loop of another one ends harms neither."""
    agent = wire.agent(echo)

    def close_after(steps: int) -> None:
        if steps:
            asyncio.get_running_loop().call_soon(close_after, steps - 1)
        else:
            in_a_thread(agent.aclose())

    async def run() -> None:
        assert await say(agent, "Say <A>") == "A"
        close_after(steps)

    asyncio.run(run())
    assert left(echo)


# A loop that lives in the background, as that of a notebook does


@contextmanager
def background() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """A function that runs a coroutine in a loop of another thread, which lives on between two calls."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)
    asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_loop_in_the_background(server: Loopback, wire: Wire) -> None:
    """Where one loop lives on, a stream may be read chunk by chunk from many calls, and the client stays the same."""
    server.reply(*[Reply(wire.send.text("Hel", "lo"), content_type=wire.mime)] * 2)
    server.reply(
        held_streams(wire), Reply(wire.send.plain_text("Hi"), content_type=JSON)
    )
    agent = wire.agent(server)

    async def next_of(stream: Any) -> str | None:
        chunk = await anext(stream, None)
        return None if chunk is None else chunk.content

    with background() as call:
        for _ in range(2):
            stream = agent.run_stream("Go")
            assert list(iter(lambda stream=stream: call(next_of(stream)), None)) == [
                "Hel",
                "lo",
                "",
            ]
        assert [request.connection for request in server.requests] == [1, 1]
        stopped = agent.run_stream("Go")
        assert call(next_of(stopped)) == "Hello"
        stopped.cancel()
        assert call(next_of(stopped)) is None
        assert server.requests[2].wait_disconnected(PROMPT)
        assert call(agent.run("Go")).content == "Hi"
        call(agent.aclose())
        assert left(server)


# Processes


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """A pool of one process, which knows each provider's key from its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for wire in WIRES:
            patch.setenv(wire.variable, f"from-{wire.variable}")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            yield pool


def elsewhere(agent: Agent, mark: str) -> tuple[list[str], list[str]]:
    """What an agent said in another process, and what was complained of there."""
    complaints: list[str] = []
    sys.unraisablehook = lambda raised: complaints.append(repr(raised.exc_value))
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("asyncio").handlers = [handler]
    warnings.simplefilter("error")
    said = asyncio.run(busy(agent, mark))
    gc.collect()
    return said, complaints


@pytest.mark.slow
def test_a_process_pool(echo: Echo, wire: Wire, processes: ProcessPoolExecutor) -> None:
    """An agent goes to another process also while its connection here is open, and finds its key there itself."""
    agent = wire.agent(echo, tools=[look])

    async def run() -> tuple[list[str], list[str]]:
        assert await say(agent, "Say <A>") == "A"
        told = await asyncio.get_running_loop().run_in_executor(
            processes, elsewhere, agent, "B"
        )
        assert await say(agent, "Say <A>") == "A"
        return told

    assert asyncio.run(run()) == (all_of("B"), [])
    for request in echo.requests:
        assert (f"from-{wire.variable}" in str(request.headers)) == (
            mark_of(request) != "A"
        )
    assert all(len(marks) == 1 for marks in echo.users().values())
    assert left(echo)
