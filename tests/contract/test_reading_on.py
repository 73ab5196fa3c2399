"""Reading a stream: what leaves a loop, what reading on gives then, and who may read."""

import asyncio
import contextlib
import gc
import sys
import traceback
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from conftest import WIRES, Wire, sdk_wire
from support.loopback import Loopback, Reply

from cogent import (
    Agent,
    CogentError,
    ConfigurationError,
    ModelError,
    ModelTimeout,
    StreamChunk,
    StreamInterrupted,
    Timeout,
    ToolError,
    tool,
)
from cogent.stream import AgentStream

wire = sdk_wire
PATIENCE = 30.0  # seconds that a test waits for what comes in a moment


@pytest.fixture
def one() -> Wire:
    """The provider of tests in which it makes no difference."""
    return WIRES[1]


@pytest.fixture
def held(server: Loopback, wire: Wire) -> AgentStream:
    """A stream that falls silent after "Hello" and " again"."""
    return hold(server, wire)


def hold(server: Loopback, wire: Wire, **settings: Any) -> AgentStream:
    """A stream that falls silent after "Hello" and " again"."""
    events = wire.send.text("Hello", " again", " and more")
    place = next(place for place, event in enumerate(events) if b"and more" in event)
    server.reply(Reply(events[:place], end="stall", content_type=wire.mime))
    return wire.agent(server, **settings).run_stream("Go")


def whole(server: Loopback, wire: Wire, *deltas: str) -> AgentStream:
    """A stream of these deltas."""
    server.reply(Reply(wire.send.text(*deltas), content_type=wire.mime))
    return wire.agent(server).run_stream("Go")


async def left(server: Loopback) -> bool:
    """Whether the server sees that its client has left."""
    return await asyncio.to_thread(server.requests[-1].wait_disconnected, PATIENCE)


async def contents(stream: Any) -> list[str]:
    return [chunk.content async for chunk in stream]


# Leaving a loop


class BodyError(Exception):
    pass


async def by_break(stream: AgentStream) -> None:
    async for _ in stream:
        break


async def by_return(stream: AgentStream) -> StreamChunk:
    async for chunk in stream:
        return chunk
    raise AssertionError


async def by_exception(stream: AgentStream) -> None:
    with contextlib.suppress(BodyError):
        async for _ in stream:
            raise BodyError


async def by_kept_exception(stream: AgentStream) -> None:
    """As in a notebook, which keeps the last error and with it the frames of its cell."""
    try:
        async for _ in stream:
            raise BodyError
    except BodyError as error:
        sys.last_value = error


async def by_comprehension(stream: AgentStream) -> None:
    with contextlib.suppress(ZeroDivisionError):
        [1 // 0 async for _ in stream]


async def by_wrapper(stream: AgentStream) -> None:
    """A generator that is closed closes the loop in it."""

    async def wrapper() -> AsyncIterator[str]:
        async for chunk in stream:
            yield chunk.content

    async with contextlib.aclosing(wrapper()) as words:
        async for _ in words:
            break


async def by_closed_iterator(stream: AgentStream) -> None:
    async with contextlib.aclosing(aiter(stream)) as iterator:  # type: ignore[type-var]
        await anext(iterator)


async def by_dropped_iterator(stream: AgentStream) -> None:
    iterator = aiter(stream)
    await anext(iterator)
    assert (await anext(iterator)).content
    del iterator


WAYS = [
    by_break,
    by_return,
    by_exception,
    by_kept_exception,
    by_comprehension,
    by_wrapper,
    by_closed_iterator,
    by_dropped_iterator,
]


@pytest.mark.parametrize("leave", WAYS, ids=lambda leave: leave.__name__)
async def test_leaving_a_loop_stops_a_stream_with_a_name(
    server: Loopback,
    wire: Wire,
    held: AgentStream,
    leave: Callable[[AgentStream], Awaitable[Any]],
) -> None:
    """Although the stream is still held the server sees it, a second loop just ends, and the response has what came."""
    gc.disable()
    try:
        await leave(held)
        assert await left(server)
    finally:
        gc.enable()
    assert await contents(held) == []
    assert await contents(held) == []
    assert await anext(held, None) is None
    assert (
        held.response.content.startswith("Hello")
        and held.response.finish_reason is None
    )
    sys.last_value = None


async def test_leaving_a_loop_cancels_its_tools(server: Loopback, wire: Wire) -> None:
    """A tool that still runs when the loop is left is cancelled, also where the stream has a name."""
    ended = asyncio.Event()

    @tool
    async def hang() -> str:
        """Never answer."""
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return ""

    @tool
    async def quick() -> str:
        """Answer."""
        return "done"

    server.reply(
        Reply(
            wire.send.tool_calls(("c1", "hang", "{}"), ("c2", "quick", "{}")),
            content_type=wire.mime,
        )
    )
    stream = wire.agent(server, tools=[hang, quick]).run_stream("Go")
    async for chunk in stream:
        if chunk.tool_result:
            break
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert [call["executed"] for call in stream.response.metadata["tool_calls"]] == [
        False,
        True,
    ]


async def test_one_by_one_does_not_stop(server: Loopback, wire: Wire) -> None:
    """`anext(stream)` leaves the run open in between, also from many tasks one after the other, until it has ended."""
    stream = whole(server, wire, "a", "b", "c")
    seen = []
    with contextlib.suppress(StopAsyncIteration):
        while True:
            seen.append((await asyncio.create_task(aiter_next(stream))).content)
            gc.collect()

    assert seen == ["a", "b", "c", ""]
    assert stream.response.content == "abc"


async def aiter_next(stream: AgentStream) -> StreamChunk:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise
    finally:
        await asyncio.sleep(0)


async def test_a_loop_goes_on_after_chunks_that_were_read_by_hand(
    server: Loopback, one: Wire
) -> None:
    """The first chunk by `anext`, the others in a loop."""
    stream = whole(server, one, "a", "b", "c")

    assert [(await anext(stream)).content, *await contents(stream)] == [
        "a",
        "b",
        "c",
        "",
    ]


@pytest.mark.parametrize("begun", [False, True])
async def test_an_iterator_that_gave_no_chunk_stops_nothing(
    server: Loopback, one: Wire, begun: bool
) -> None:
    """Asking for an iterator and dropping it is no loop, before the first chunk and between two."""
    stream = whole(server, one, "a", "b")
    first = [(await anext(stream)).content] if begun else []
    aiter(stream)
    gc.collect()

    assert (first + await contents(stream)) == ["a", "b", ""]


async def test_an_iterator_keeps_its_stream(server: Loopback, one: Wire) -> None:
    """The iterator of a stream without a name reads it to the end; asking it for an iterator gives itself."""
    iterator = aiter(whole(server, one, "a", "b"))
    gc.collect()
    assert aiter(iterator) is iterator

    assert [(await anext(iterator)).content, *await contents(iterator)] == [
        "a",
        "b",
        "",
    ]


async def test_a_stream_that_ended_is_freed_at_once(
    server: Loopback, wire: Wire
) -> None:
    """However a stream ends, no circle of references keeps it until a garbage collection."""

    async def to_the_end(stream: AgentStream) -> None:
        async for _ in stream:
            pass

    async def to_an_error(stream: AgentStream) -> None:
        for _ in range(2):
            with contextlib.suppress(ModelError):
                await to_the_end(stream)

    gc.disable()
    try:
        for how in (to_the_end, by_break, by_exception, to_an_error):
            events = wire.send.text("Hello", " again")
            cut = len(b"".join(events)) // 2 if how is to_an_error else None
            server.reply(Reply(b"".join(events), truncate=cut, content_type=wire.mime))
            agent = wire.agent(server)
            stream = agent.run_stream("Go")
            known = weakref.ref(stream)
            await how(stream)
            closing = stream._closer.closing
            assert closing is not None
            await asyncio.wait([closing])
            del stream, closing
            assert known() is None, how.__name__
            await agent.aclose()
    finally:
        gc.enable()


# After an error


async def error_of(awaitable: Awaitable[Any]) -> CogentError:
    try:
        await awaitable
    except CogentError as error:
        return error
    raise AssertionError("it did not fail")


def is_again(error: CogentError, former: CogentError) -> bool:
    """Whether this is the former error, or equal to it."""
    details = {**former.__dict__, "partial": None}
    same = (
        type(error) is type(former)
        and str(error) == str(former)
        and error.__cause__ is former.__cause__
    )
    return (
        same
        and {**error.__dict__, "partial": None} == details
        and error.partial.content == former.partial.content
    )


def failing(server: Loopback, wire: Wire, how: str) -> AgentStream:
    """A stream that fails in this way."""

    @tool(on_error="raise")
    def broken() -> str:
        """Fail."""
        raise BodyError("broken")

    body = b"".join(wire.send.text("Hello", " again"))
    call = Reply(wire.send.tool_calls(("c1", "broken", "{}")), content_type=wire.mime)
    if how == "cut":
        server.reply(Reply(body, truncate=len(body) // 2, content_type=wire.mime))
    elif how == "status":
        server.reply(
            Reply(
                wire.send.error_body("No.", None, "some_error"), 400, "application/json"
            )
        )
    elif how in ("tool", "steps"):
        server.reply(call)
    elif how == "stall":
        return hold(server, wire, timeout=Timeout(stall=0.05))
    tools = [broken] if how == "tool" else []
    return wire.agent(server, tools=tools, max_steps=1).run_stream("Go")


@pytest.mark.parametrize("how", ["cut", "status", "tool", "steps", "stall"])
def test_after_an_error_reading_on_raises_it_again(
    server: Loopback, wire: Wire, how: str
) -> None:
    """However often and in whatever way it is read on, and after closing it too: never a clean end."""
    stream = failing(server, wire, how)

    async def main() -> None:
        first = await error_of(contents(stream))
        assert first.partial is not None
        for _ in range(2):
            assert is_again(await error_of(contents(stream)), first)
            assert is_again(await error_of(anext(stream)), first)
        await stream.aclose()
        stream.cancel()
        assert is_again(await error_of(contents(stream)), first)

    asyncio.run(main())
    assert len(server.requests) == 1

    async def elsewhere() -> None:
        assert isinstance(
            await error_of(anext(stream)), ModelError | ToolError | CogentError
        )

    asyncio.run(elsewhere())


async def test_the_error_of_a_stream_that_was_held_too_long_comes_again(
    server: Loopback, one: Wire
) -> None:
    """The idle limit is told to whoever reads on, each time."""
    stream = hold(server, one, timeout=Timeout(idle=0.05))
    await anext(stream)
    with pytest.warns(RuntimeWarning, match="nobody read on"):
        assert await left(server)
        errors = [await error_of(anext(stream)) for _ in range(2)]
    assert [error.kind for error in errors if isinstance(error, ModelTimeout)] == [
        "idle",
        "idle",
    ]


# After a cancellation from outside


async def by_wait_for(stream: AgentStream) -> None:
    """A loop that does something else now and then, as one that sends heartbeats."""
    await anext(stream)
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(anext(stream), 0.1)


async def by_timeout(stream: AgentStream) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            async for _ in stream:
                limit.reschedule(asyncio.get_running_loop().time() + 0.1)


async def by_timeout_in_the_body(stream: AgentStream) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            async for _ in stream:
                limit.reschedule(0)
                await asyncio.sleep(3600)


async def by_scope(stream: AgentStream) -> None:
    with anyio.CancelScope() as scope:
        async for _ in stream:
            scope.deadline = anyio.current_time() + 0.1


async def by_scope_in_the_body(stream: AgentStream) -> None:
    with anyio.CancelScope() as scope:
        async for _ in stream:
            scope.cancel()
            await anyio.sleep(3600)


async def by_task(stream: AgentStream) -> None:
    got = asyncio.Event()

    async def read() -> None:
        async for chunk in stream:
            if chunk.content:
                got.set()

    task = asyncio.create_task(read())
    await got.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def by_task_in_the_body(stream: AgentStream) -> None:
    got = asyncio.Event()

    async def read() -> None:
        await anext(stream)
        got.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(read())
    await got.wait()
    task.cancel()
    await asyncio.wait([task])


CANCELLATIONS = [
    by_wait_for,
    by_timeout,
    by_timeout_in_the_body,
    by_scope,
    by_scope_in_the_body,
    by_task,
    by_task_in_the_body,
]


@pytest.mark.parametrize("cancel", CANCELLATIONS, ids=lambda cancel: cancel.__name__)
async def test_after_a_cancellation_reading_on_is_no_end(
    server: Loopback,
    wire: Wire,
    held: AgentStream,
    cancel: Callable[[AgentStream], Awaitable[None]],
) -> None:
    """Half an answer does not look whole: StreamInterrupted with the partial, in whatever way it is read on."""
    await cancel(held)
    for _ in range(2):
        for read in (
            contents,
            anext,
            lambda stream: asyncio.wait_for(anext(stream), PATIENCE),
        ):
            error = await error_of(read(held))
            assert isinstance(error, StreamInterrupted)
            assert error.provider == wire.provider
            assert (
                error.partial.content.startswith("Hello")
                and error.partial.finish_reason is None
            )
    assert await left(server)


def test_a_stream_that_its_event_loop_left_behind_is_no_end(
    server: Loopback, one: Wire
) -> None:
    """Reading on in a new event loop after the old one ended in the middle raises StreamInterrupted."""
    stream = hold(server, one)

    async def begin() -> None:
        await anext(stream)

    asyncio.run(begin())
    assert isinstance(asyncio.run(error_of(anext(stream))), StreamInterrupted)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("stop", ["aclose", "cancel"])
def test_what_was_stopped_on_purpose_just_ends(
    server: Loopback, wire: Wire, stop: str, when: str
) -> None:
    """After `aclose()` or `cancel()`, before the first chunk or later, reading on ends, in another event loop too."""
    stream = (
        hold(server, wire) if when == "after" else wire.agent(server).run_stream("Go")
    )

    async def main() -> None:
        if when == "after":
            await anext(stream)
        if stop == "aclose":
            await stream.aclose()
        else:
            stream.cancel()
        assert await contents(stream) == []
        assert await anext(stream, None) is None

    asyncio.run(main())
    assert asyncio.run(contents(stream)) == []


async def test_a_cancellation_after_the_end_changes_nothing(
    server: Loopback, one: Wire
) -> None:
    """A stream whose final chunk came is complete, whatever becomes of the task that read it."""
    stream = whole(server, one, "a")
    ended = asyncio.Event()

    async def read() -> None:
        async for chunk in stream:
            if chunk.is_final:
                ended.set()
                await asyncio.sleep(3600)

    task = asyncio.create_task(read())
    await ended.wait()
    task.cancel()
    await asyncio.wait([task])

    assert await contents(stream) == []


# Who may read


@pytest.mark.parametrize(
    "get", [lambda stream: stream, aiter], ids=["stream", "iterator"]
)
@pytest.mark.parametrize("begun", [False, True], ids=["first", "later"])
async def test_a_second_reader_is_refused_and_disturbs_nobody(
    server: Loopback, wire: Wire, get: Callable[[AgentStream], Any], begun: bool
) -> None:
    """Of readers at the same time one gets the chunk, the others a ConfigurationError, and then all chunks come."""
    server.reply(
        Reply(wire.send.text("a", "b", "c"), pause=0.02, content_type=wire.mime)
    )
    stream = wire.agent(server).run_stream("Go")
    seen = [(await anext(stream)).content] if begun else []
    readers = [get(stream) for _ in range(3)]
    results = await asyncio.gather(*map(anext, readers), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ConfigurationError)]
    given = [result.content for result in results if isinstance(result, StreamChunk)]
    assert len(refused) + len(given) == 3
    assert refused
    assert all("one reader" in str(error) for error in refused)
    del readers[1:], results, refused

    assert (seen + given + await contents(readers[0])) == ["a", "b", "c", ""]


async def test_a_second_loop_at_the_same_time_is_refused(
    server: Loopback, wire: Wire
) -> None:
    """A loop that is refused is left, which does not stop the first."""
    stream = hold(server, wire)
    begun = (await anext(stream)).content
    first = asyncio.create_task(contents(stream))
    await asyncio.sleep(0.05)
    for _ in range(2):
        assert isinstance(await error_of(contents(stream)), ConfigurationError)
    await asyncio.sleep(0.05)
    assert not first.done() and server.requests[0].disconnected is None
    stream.cancel()
    assert "Hello again".startswith(begun + "".join(await first))


def other_loop(work: Callable[[], Awaitable[Any]]) -> Any:
    """What this gives in an event loop of another thread."""
    results: list[Any] = []

    def run() -> None:
        async def main() -> Any:
            return await work()

        try:
            results.append(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001  # handed over to the thread that waits
            results.append(error)

    import threading

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("waiting", [False, True], ids=["at rest", "waiting"])
async def test_another_event_loop_is_refused_and_the_owner_undisturbed(
    server: Loopback, wire: Wire, waiting: bool
) -> None:
    """Reading and closing a stream elsewhere than where it was begun is a ConfigurationError, and nothing else."""
    stream = hold(server, wire)

    async def use_it() -> None:
        async with stream:
            await contents(stream)

    seen = [(await anext(stream)).content]
    if waiting:
        first = asyncio.create_task(contents(stream))
        await asyncio.sleep(0.05)
    for attempt in (
        lambda: anext(stream),
        lambda: contents(stream),
        lambda: stream.aclose(),
        use_it,
    ):
        error = await asyncio.to_thread(other_loop, attempt)
        assert isinstance(error, ConfigurationError), error
        assert "another event loop" in str(error)
    await asyncio.sleep(0.05)
    assert server.requests[0].disconnected is None
    if waiting:
        assert not first.done()
        stream.cancel()
        seen += await first
    else:
        seen.append((await anext(stream)).content)
    assert "".join(seen) == "Hello again"


def test_the_awaitable_begins_the_run(server: Loopback, wire: Wire) -> None:
    """`loop.run_until_complete(stream.__anext__())` works where no loop runs when it is called."""
    stream = whole(server, wire, "a", "b")
    seen: list[str] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        with contextlib.suppress(StopAsyncIteration):
            while True:
                seen.append(loop.run_until_complete(stream.__anext__()).content)
    assert seen == ["a", "b", ""]


def drive(awaitable: Any) -> None:
    """Run this as an event loop does that is none of asyncio's."""
    awaitable.send(None)


def test_without_asyncio_the_error_says_what_is_needed(
    server: Loopback, wire: Wire
) -> None:
    """A stream and a run under another kind of event loop name asyncio, ask nothing, and can be closed."""
    agent = wire.agent(server)
    stream = agent.run_stream("Go")

    async def in_a_loop() -> None:
        async for _ in agent.run_stream("Go"):
            pass

    async def in_a_block() -> None:
        async with agent, agent.run_stream("Go") as inner:
            await anext(inner)

    for attempt in (stream.__anext__(), agent.run("Go"), in_a_loop(), in_a_block()):
        with pytest.raises(ConfigurationError, match="asyncio"):
            drive(attempt)
    for close in (stream.aclose(), agent.aclose()):
        with pytest.raises(StopIteration):
            drive(close)
    assert server.requests == []


def test_the_refusals_are_told_without_a_context(one: Wire, server: Loopback) -> None:
    """What a user reads is one error, not a chain of them."""
    with pytest.raises(ConfigurationError) as caught:
        drive(one.agent(server).run_stream("Go").__anext__())
    assert "During handling" not in "".join(traceback.format_exception(caught.value))


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """What is left over would tell of itself here; once, as a collection takes longer than most tests."""
    yield
    gc.collect()


async def test_an_agent_that_is_run_needs_no_name(server: Loopback, one: Wire) -> None:
    """`run()` reads its own stream to the end."""
    server.reply(Reply(one.send.plain_text("Hi"), content_type="application/json"))
    agent: Agent = one.agent(server)
    assert (await agent.run("Go")).content == "Hi"
