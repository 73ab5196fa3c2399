"""`run_many` and `run_many_sync`: many runs at once, and their results as they come."""

import asyncio
import itertools
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback, Recorded, Reply
from support.scene import refusal
from support.tool_runs import CHAT
from support.waiting import PROMPT_SECONDS, until

from cogent import (
    Agent,
    ConfigurationError,
    Image,
    RateLimited,
    Response,
)


class Echo(Loopback):
    """A model that answers with the number in its question; some questions it refuses, and some take for ever."""

    def __init__(self, wire: Wire = CHAT) -> None:
        super().__init__()
        self.wire = wire
        self.most = 0
        self.refused: set[int] = set()
        self.silent: set[int] = set()
        self.gates: dict[int, threading.Semaphore] = {}  # of answers that wait

    def next_reply(self, request: Recorded) -> Reply:
        number = int(request.body.partition(b"number ")[2].split(b'"')[0])
        self.most = max(self.most, self.open_connections)
        if number in self.refused:
            return refusal(self.wire, 429, message="Slow down.")
        delay = 600 if number in self.silent else 0
        body = self.wire.send.plain_text(str(number))
        return Reply(
            [body[:1], body[1:]],
            content_type="application/json",
            delay=delay,
            gate=self.gates.get(number),
        )


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A model that answers every question."""
    with Echo() as running:
        yield running


@pytest.fixture
async def agent(echo: Echo) -> AsyncIterator[Agent]:
    """An agent of that model."""
    async with CHAT.agent(echo) as made:
        yield made


def questions(count: int | None = None) -> Iterator[str]:
    """So many questions, or no end of them."""
    numbers = itertools.count() if count is None else range(count)
    return (f"number {number}" for number in numbers)


def said(results: list[tuple[int, Any]]) -> dict[int, str]:
    return {index: str(result) for index, result in results}


async def results_of(
    agent: Agent, messages: Any, *, sync: bool, **given: Any
) -> list[Any]:
    """What all runs gave, in the order in which they ended."""
    if sync:
        return await asyncio.to_thread(
            lambda: list(agent.run_many_sync(messages, **given))
        )
    return [pair async for pair in agent.run_many(messages, **given)]


both = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@both
async def test_every_message_gets_its_answer(
    agent: Agent, echo: Echo, sync: bool
) -> None:
    """Each result comes with the place of its message, and no more runs at once than were asked for."""
    results = await results_of(agent, list(questions(40)), sync=sync, concurrency=4)
    assert said(results) == {number: str(number) for number in range(40)}
    assert all(isinstance(result, Response) for _, result in results)
    assert echo.most <= 4


@both
async def test_results_come_as_the_runs_end(
    agent: Agent, echo: Echo, sync: bool
) -> None:
    """A slow run holds up nobody: its result is the last one."""
    echo.gates[0] = threading.Semaphore(0)
    read: list[int] = []

    def keep(index: int) -> None:
        read.append(index)
        if len(read) == 7:
            echo.gates[0].release()

    def read_sync() -> None:
        for index, _ in agent.run_many_sync(questions(8), concurrency=2):
            keep(index)

    if sync:
        await asyncio.to_thread(read_sync)
    else:
        async for index, _ in agent.run_many(questions(8), concurrency=2):
            keep(index)
    assert sorted(read[:-1]) == [1, 2, 3, 4, 5, 6, 7]
    assert read[-1] == 0


@both
async def test_an_error_is_the_result_of_its_message(
    agent: Agent, echo: Echo, sync: bool
) -> None:
    """What a provider refuses, and a message that cannot be sent, end no other run."""
    echo.refused.add(1)
    messages = ["number 0", "number 1", 17, "number 3"]
    results = dict(await results_of(agent, messages, sync=sync))
    assert isinstance(results[1], RateLimited)
    assert isinstance(results[2], ConfigurationError)
    assert (str(results[0]), str(results[3])) == ("0", "3")


async def test_messages_may_come_from_an_async_iterable(
    agent: Agent, echo: Echo
) -> None:
    """An async generator is read as the runs take its messages."""

    async def ask() -> AsyncIterator[str]:
        for question in questions(5):
            await asyncio.sleep(0)
            yield question

    results = await results_of(agent, ask(), sync=False, concurrency=2)
    assert said(results) == {number: str(number) for number in range(5)}


@both
async def test_endless_messages_are_read_as_they_are_needed(
    agent: Agent, echo: Echo, sync: bool
) -> None:
    """Of an endless iterable no more is read than the runs and a reader that takes its time need."""
    taken = 0

    def count() -> Iterator[str]:
        nonlocal taken
        for question in questions():
            taken += 1
            yield question

    def read_sync() -> None:
        runs = agent.run_many_sync(count(), concurrency=3)
        for number, _ in enumerate(runs):
            if number == 9:
                break

    if sync:
        await asyncio.to_thread(read_sync)
    else:
        read = 0
        async for _ in agent.run_many(count(), concurrency=3):
            read += 1
            await asyncio.sleep(0.02)
            if read == 10:
                break
    assert 10 <= taken <= 10 + 2 * 3 + 1


@both
async def test_leaving_stops_all_runs(agent: Agent, echo: Echo, sync: bool) -> None:
    """Leaving the loop closes the connections of all runs that are under way, also where the runs have a name."""
    echo.silent.update(range(1, 99))
    if sync:

        def leave() -> object:
            runs = agent.run_many_sync(questions(), concurrency=4)
            for index, _ in runs:
                assert index == 0
                break
            return runs

        runs: object = await asyncio.to_thread(leave)
    else:
        runs = agent.run_many(questions(), concurrency=4)
        async for index, _ in runs:
            assert index == 0
            break
    await until(lambda: echo.requests)
    for request in echo.requests[1:]:
        assert await asyncio.to_thread(request.wait_disconnected, PROMPT_SECONDS)
    del runs


async def test_cancelling_stops_all_runs(agent: Agent, echo: Echo) -> None:
    """A task that is cancelled while it waits for results takes all its runs with it, and leaves no task."""
    echo.silent.update(range(99))

    async def read() -> None:
        async for _ in agent.run_many(questions(), concurrency=4):
            pass

    reading = asyncio.create_task(read())
    await until(lambda: len(echo.requests) == 4)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    for request in echo.requests:
        assert await asyncio.to_thread(request.wait_disconnected, PROMPT_SECONDS)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@both
async def test_what_had_ended_is_kept(agent: Agent, echo: Echo, sync: bool) -> None:
    """After a loop was left, another one over the same runs gives what had ended unread, and begins nothing."""
    if sync:

        def read() -> list[int]:
            runs = agent.run_many_sync(questions(3), concurrency=3)
            with pytest.raises(KeyboardInterrupt):
                for _ in runs:
                    while len(runs._runs._ended) < 2:
                        pass
                    raise KeyboardInterrupt
            return [index for index, _ in runs] + [index for index, _ in runs]

        assert len(await asyncio.to_thread(read)) == 2
        return
    runs = agent.run_many(questions(3), concurrency=3)
    async for _ in runs:
        await until(lambda: len(runs._ended) == 2)
        break
    assert len([index async for index, _ in runs]) == 2
    assert [index async for index, _ in runs] == []
    assert len(echo.requests) == 3


def test_a_further_loop_reads_no_messages(agent: Agent, echo: Echo) -> None:
    """Those that the first loop did not read are left for other runs."""
    messages = questions()
    runs = agent.run_many_sync(messages, concurrency=2)
    for _ in runs:
        break
    following = next(messages)
    for _ in runs:
        pass
    assert int(next(messages).split()[1]) == int(following.split()[1]) + 1


@both
async def test_messages_that_fail_end_the_runs(
    agent: Agent, echo: Echo, sync: bool
) -> None:
    """What the iterable raises comes after the results of the runs that had begun."""

    def ask() -> Iterator[str]:
        yield from questions(3)
        raise OSError("the disk is full")

    read: list[int] = []

    def read_sync() -> None:
        for index, _ in agent.run_many_sync(ask()):
            read.append(index)

    async def read_async() -> None:
        async for index, _ in agent.run_many(ask()):
            read.append(index)

    with pytest.raises(OSError, match="disk is full"):
        await (asyncio.to_thread(read_sync) if sync else read_async())
    assert sorted(read) == [0, 1, 2]


@both
async def test_messages_that_fail_at_once_end_the_runs(
    agent: Agent, echo: Echo, sync: bool
) -> None:
    """It is raised also where all has ended before the first result is asked for."""
    messages = (f"number {1 // number}" for number in [0])
    with pytest.raises(ZeroDivisionError):
        await results_of(agent, messages, sync=sync, concurrency=1)


async def test_the_arguments_go_to_every_run(agent: Agent, echo: Echo) -> None:
    """`output_type`, `history` and the like hold for each message."""
    runs = agent.run_many(
        questions(3), output_type=int, history=[{"role": "user", "content": "Before."}]
    )
    results = {
        index: result.output
        async for index, result in runs
        if isinstance(result, Response)
    }
    assert results == {0: 0, 1: 1, 2: 2}
    assert all(b"Before." in request.body for request in echo.requests)


@pytest.mark.parametrize("bar", ["tqdm", "rich", "neither"])
async def test_progress_is_shown_on_stderr(
    agent: Agent,
    echo: Echo,
    bar: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bar by tqdm, else by rich, else a line says how many runs have ended and failed, and stdout stays clean."""
    if bar != "neither":
        pytest.importorskip(bar)
    for hidden in {"tqdm": (), "rich": ("tqdm",), "neither": ("tqdm", "rich")}[bar]:
        for name in (hidden, f"{hidden}.auto", f"{hidden}.progress"):
            monkeypatch.setitem(sys.modules, name, None)
    echo.refused.add(2)
    await results_of(agent, list(questions(5)), sync=False, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "tester" in shown.err and "5" in shown.err and "failed" in shown.err


@pytest.mark.parametrize(
    ("messages", "given", "words"),
    [
        ("one question", {}, "a list of one"),
        (Image("https://example.com/a.png"), {}, "a list of one"),
        (17, {}, "iterable of messages"),
        ({"a": "b"}, {}, "give its values"),
        (["Hi"], {"concurrency": 0}, "concurrency"),
        (["Hi"], {"progress": "yes"}, "progress is True or False"),
    ],
)
def test_what_many_runs_cannot_take(
    agent: Agent, echo: Echo, messages: Any, given: dict[str, Any], words: str
) -> None:
    """A wrong argument is an error of the call, which says what to give."""
    for call in (agent.run_many, agent.run_many_sync):
        with pytest.raises(ConfigurationError, match=words):
            call(messages, **given)


def test_a_plain_loop_reads_no_async_iterable(agent: Agent, echo: Echo) -> None:
    """`run_many_sync` says which function takes an async iterable."""

    async def ask() -> AsyncIterator[str]:
        yield "number 1"

    with pytest.raises(ConfigurationError, match="is for run_many"):
        agent.run_many_sync(ask())  # type: ignore[arg-type]


def test_messages_are_read_in_the_callers_thread(agent: Agent, echo: Echo) -> None:
    """What the messages come from may belong to the thread of the caller, as a database's cursor does."""
    database = sqlite3.connect(":memory:")
    database.executescript(
        "create table asked (question); insert into asked values ('number 1'), ('number 2')"
    )
    rows = (row[0] for row in database.execute("select question from asked"))
    results = said(list(agent.run_many_sync(rows)))
    database.close()
    assert results == {0: "1", 1: "2"}
