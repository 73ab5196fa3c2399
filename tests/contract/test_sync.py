"""`run_sync` and `stream_sync`: what `run` and `run_stream` do, for callers without asyncio."""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from conftest import Wire, each_sdk
from support.loopback import Loopback, Reply
from support.scene import refusal, whole
from support.tool_runs import CHAT, ask
from support.waiting import PROMPT_SECONDS

from cogent import (
    Agent,
    AgentStream,
    CogentError,
    ConfigurationError,
    OutputError,
    Response,
    SyncStream,
)

user: ContextVar[str] = ContextVar("user", default="nobody")


def endless(wire: Wire) -> Reply:
    """An answer that begins with "Hel" and never ends."""
    events = wire.send.text("Hel", "lo")
    first = next(place for place, event in enumerate(events) if b"Hel" in event)
    return Reply(events[: first + 1], end="stall", content_type=wire.mime)


def untimed(response: Response) -> dict[str, Any]:
    """The response without what each run has of its own."""
    own = ("duration", "time_to_first_token", "request_ids")
    data = response.to_dict()
    return data | {
        "metadata": {k: v for k, v in data["metadata"].items() if k not in own}
    }


async def test_a_sync_run_gives_what_an_async_one_gives(
    server: Loopback, wire: Wire
) -> None:
    """The response is the same, also where an event loop runs in the thread that waits."""
    server.reply(*[whole(wire, "Hel", "lo", streaming=False)] * 2)
    async with wire.agent(server) as agent:
        expected = await agent.run("Hi")
        assert untimed(agent.run_sync("Hi")) == untimed(expected)
    assert server.requests[0].json == server.requests[1].json


async def test_a_sync_stream_gives_the_same_chunks(
    server: Loopback, wire: Wire
) -> None:
    """All chunks come in a plain loop, and the response is complete after it."""
    server.reply(*[whole(wire, "Hel", "lo")] * 2)
    async with wire.agent(server) as agent:
        expected = [chunk async for chunk in agent.run_stream("Hi")]
        stream = agent.stream_sync("Hi")
        chunks = list(stream)
    assert chunks[:-1] == expected[:-1]
    assert chunks[-1].is_final and stream.response.content == "Hello"
    assert list(stream) == [] and next(stream, None) is None


def stop_by_break(stream: SyncStream) -> None:
    for _ in stream:
        break


def stop_by_error(stream: SyncStream) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in stream:
            _ = 1 / 0


def stop_by_block(stream: SyncStream) -> None:
    with stream:
        next(stream)


def stop_by_close(stream: SyncStream) -> None:
    next(stream)
    stream.close()
    stream.close()


def stop_by_cancel_of_another_thread(stream: SyncStream) -> None:
    for _ in stream:
        threading.Timer(0.05, stream.cancel).start()


def stop_by_leaving_the_text(stream: SyncStream) -> None:
    for _ in stream.text():
        break


STOPS = [
    stop_by_break,
    stop_by_error,
    stop_by_block,
    stop_by_close,
    stop_by_cancel_of_another_thread,
    stop_by_leaving_the_text,
]


@each_sdk
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.__name__)
def test_leaving_a_sync_stream_closes_the_connection(
    server: Loopback, wire: Wire, stop: Callable[[SyncStream], None]
) -> None:
    """The server sees at once that the stream was left, which has what came, and reading on just ends."""
    server.reply(endless(wire))
    stream = wire.agent(server).stream_sync("Go on and on")
    stop(stream)
    assert server.requests[0].wait_disconnected(PROMPT_SECONDS)
    assert stream.response.content == "Hel"
    assert list(stream) == []


def test_a_sync_stream_that_is_dropped_is_closed(server: Loopback) -> None:
    """A stream that was read by hand and that nobody holds any more is closed."""
    server.reply(endless(CHAT))
    assert next(CHAT.agent(server).stream_sync("Go")).content == "Hel"
    assert server.requests[0].wait_disconnected(PROMPT_SECONDS)


@each_sdk
def test_an_agent_that_only_a_circle_holds_closes_its_connections(
    server: Loopback, wire: Wire
) -> None:
    """The garbage collector finds an agent whose connection is closed by its loop, without a warning."""
    server.reply(refusal(wire, 429))
    agent = wire.agent(server)
    with pytest.raises(CogentError):
        agent.run_sync("Hi")
    circle: list[object] = [agent]
    circle.append(circle)
    del agent, circle
    gc.collect()
    assert server.requests[0].wait_disconnected(PROMPT_SECONDS)


@each_sdk
@pytest.mark.parametrize("how", ["run", "stream"])
def test_errors_are_raised_where_the_caller_waits(
    server: Loopback, wire: Wire, how: str
) -> None:
    """The same errors come as from an async run, and a stream that is read on raises its error again."""
    server.reply(refusal(wire, 429, message="Slow down."))
    agent = wire.agent(server)
    stream = agent.stream_sync("Hi")
    for _ in range(2 if how == "stream" else 1):
        with pytest.raises(CogentError, match="Slow down") as caught:
            _ = list(stream) if how == "stream" else agent.run_sync("Hi")
        assert caught.value.partial is not None
    assert len(server.requests) == 1


def test_a_wrong_message_is_an_error_where_it_was_written() -> None:
    """What cannot be sent is a ConfigurationError of the call, before anything is read."""
    agent = Agent("a", "openai:m")
    with pytest.raises(ConfigurationError, match="must be a string"):
        agent.stream_sync(17)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="must be a string"):
        agent.run_sync(17)  # type: ignore[arg-type]


# What a run sees of its caller


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_tools_see_the_context_variables_of_the_caller(
    server: Loopback, kind: str
) -> None:
    """A tool sees what the caller's thread has set, also in the middle of a stream."""

    def sync_tool() -> str:
        """Say who asks."""
        return user.get()

    async def async_tool() -> str:
        """Say who asks."""
        return user.get()

    function = sync_tool if kind == "sync" else async_tool
    ask(server, ("c1", function.__name__, "{}"))
    token = user.set("Ada")
    try:
        chunks = list(CHAT.agent(server, tools=[function]).stream_sync("Go"))
    finally:
        user.reset(token)
    (result,) = [chunk.tool_result for chunk in chunks if chunk.tool_result]
    assert result.content == "Ada"


def test_many_threads_share_one_loop(server: Loopback) -> None:
    """Threads that run at once get each their own answer, from one event loop."""
    loops: set[int] = set()

    async def look() -> str:
        """Look where this runs."""
        loops.add(threading.get_ident())
        return "seen"

    agent = CHAT.agent(server, tools=[look])
    # Each thread asks again only when it has its answer, so any reply is for anybody.
    call, text = CHAT.send.tool_calls(("c1", "look", "{}")), CHAT.send.text("Done")
    server.next_reply = lambda request: Reply(  # type: ignore[method-assign]
        text if b"tool_call_id" in request.body else call
    )

    def read(number: int) -> str:
        stream = agent.stream_sync(f"Question {number}")
        text = "".join(stream.text())
        assert stream.response.messages[0].content == f"Question {number}"
        return text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(24))) == ["Done"] * 24
    assert len(loops) == 1 and loops != {threading.get_ident()}


def test_a_stream_has_one_reading_thread_at_a_time(server: Loopback) -> None:
    """A second thread that reads while another waits is told so, and harms nothing."""
    gate = threading.Semaphore(0)
    events = CHAT.send.text("Hel", "lo")
    server.reply(Reply(events, gate=gate))
    stream = CHAT.agent(server).stream_sync("Hi")
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(lambda: "".join(stream.text()))
        while not server.requests or not server.requests[0].sent:
            pass
        with pytest.raises(ConfigurationError, match="one reader at a time"):
            while True:  # the first thread may not wait yet
                next(stream)
        gate.release(len(events))
        assert text.result(PROMPT_SECONDS) == "Hello"


# Inside the background loop


def test_a_sync_call_in_the_background_loop_is_an_error(server: Loopback) -> None:
    """An async tool that calls `run_sync` would wait for itself: the model is told why it failed."""
    inner = CHAT.agent(server)
    stream = inner.stream_sync("Hi")
    said: list[str] = []

    async def ask_again() -> None:
        """Ask another agent."""
        for call in (lambda: inner.run_sync("Hi"), lambda: next(stream)):
            with pytest.raises(ConfigurationError, match=r"await agent\.run") as caught:
                call()
            said.append(str(caught.value))

    ask(server, ("c1", "ask_again", "{}"))
    agent = CHAT.agent(server, tools=[ask_again], stream=True)
    assert agent.run_sync("Go").content == "Done"
    assert len(said) == 2 and len(server.requests) == 2


def test_a_sync_tool_may_run_an_agent(server: Loopback) -> None:
    """A sync tool has a thread of its own, so an agent inside it works."""
    inner = CHAT.agent(server)

    def ask_again() -> str:
        """Ask another agent."""
        return "".join(inner.stream_sync("Hi").text())

    call, done = CHAT.send.tool_calls(("c1", "ask_again", "{}")), CHAT.send.text("Done")
    server.reply(*map(Reply, (call, CHAT.send.text("Inner"), done)))
    agent = CHAT.agent(server, tools=[ask_again], stream=True)
    response = agent.run_sync("Go")
    assert response.content == "Done"
    assert response.tool_calls[0].result.content == "Inner"  # type: ignore[union-attr]


def test_an_interrupt_inside_a_tool_reaches_the_caller(server: Loopback) -> None:
    """What would end an event loop is raised where the caller waits, and the loop goes on."""

    async def give_up() -> None:
        """Give up."""
        raise KeyboardInterrupt

    ask(server, ("c1", "give_up", "{}"))
    agent = CHAT.agent(server, tools=[give_up], stream=True)
    with pytest.raises(KeyboardInterrupt):
        agent.run_sync("Go")
    assert agent.run_sync("Go").content == "Done"


# Text alone


@pytest.fixture
def texts(server: Loopback, wire: Wire) -> Iterator[tuple[AgentStream, SyncStream]]:
    """An async and a sync stream that say "Hello, you"."""
    server.reply(*[whole(wire, "Hel", "lo", ", you")] * 2)
    agent = wire.agent(server)
    yield agent.run_stream("Hi"), agent.stream_sync("Hi")


async def test_text_is_the_content_alone(
    texts: tuple[AgentStream, SyncStream], wire: Wire
) -> None:
    """`text()` gives each piece of text, and nothing empty, to loops of both kinds."""
    stream, sync = texts
    assert [text async for text in stream.text()] == ["Hel", "lo", ", you"]
    assert list(sync.text()) == ["Hel", "lo", ", you"]
    assert stream.response.content == sync.response.content == "Hello, you"


async def test_accumulated_text_is_all_so_far(
    texts: tuple[AgentStream, SyncStream],
) -> None:
    """`text(accumulated=True)` gives the whole text so far each time, for front ends that replace."""
    stream, sync = texts
    expected = ["Hel", "Hello", "Hello, you"]
    assert [text async for text in stream.text(accumulated=True)] == expected
    assert list(sync.text(accumulated=True)) == expected


def test_accumulated_text_begins_anew_with_the_answer(server: Loopback) -> None:
    """Where a typed answer did not fit and the model answers again, the old text is gone."""
    server.reply(*[whole(CHAT, text) for text in ('"no"', "17")])
    stream = CHAT.agent(server, output_type=int).stream_sync("How many?")
    texts = list(stream.text(accumulated=True))
    assert texts[0] == '"no"' and texts[-1] == stream.response.content
    assert stream.response.output == 17


async def test_leaving_the_text_stops_the_run(server: Loopback, wire: Wire) -> None:
    """Closing the generator of texts closes the connection, also while the stream is held."""
    server.reply(endless(wire))
    stream = wire.agent(server).run_stream("Hi")
    texts = stream.text()
    assert await anext(texts) == "Hel"
    await texts.aclose()
    assert [chunk async for chunk in stream] == []
    assert server.requests[0].wait_disconnected(PROMPT_SECONDS)


def test_typed_answers_are_typed(server: Loopback) -> None:
    """`output_type` works as in async runs: the output, its partial value, and an answer that does not fit."""
    server.reply(*[whole(CHAT, *said) for said in (("[1,", " 2]"), ("no",))])
    agent = CHAT.agent(server, output_type=list[int], output_retries=0)
    stream = agent.stream_sync("Count")
    partials = [stream.partial for chunk in stream if chunk.content]
    assert partials == [{"value": [1]}, {"value": [1, 2]}] or partials == [[1], [1, 2]]
    assert stream.response.output == [1, 2]
    with pytest.raises(OutputError):
        list(agent.stream_sync("Count"))
