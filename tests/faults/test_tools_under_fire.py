"""Tools that hang, fail in odd ways, return odd things, block, call back, and refuse to stop: the run stays sound."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Wire, sdk_wire
from pydantic import BaseModel, field_serializer
from support.loopback import Loopback, Reply
from support.scene import read, streamed_answer
from support.tool_runs import CHAT, LONG, SHORT, ask, failure, one, results, run, sent

from cogent import (
    Agent,
    AgentStream,
    MaxStepsExceeded,
    ModelError,
    Response,
    Timeout,
    ToolError,
    ToolResult,
    tool,
)

wire = sdk_wire

PROMPT = 30.0  # seconds after which something hangs that should happen at once
JSON = "application/json"
OBJECTS = (
    "gemini",
    "ollama",
)  # whose streamed calls have arguments as an object; elsewhere they are its text


def turn(
    wire: Wire, arguments: str, streaming: bool = True, **options: Any
) -> list[Reply]:
    """A turn that calls `take` with these arguments, and the turn that ends the run."""
    call = ("c1", "take", arguments)
    if streaming:
        answers = wire.send.tool_calls(call, **options), wire.send.text("Done")
    else:
        answers = (
            wire.send.plain_tool_calls(call, **options),
            wire.send.plain_text("Done"),
        )
    return [
        Reply(answer, content_type=wire.mime if streaming else JSON)
        for answer in answers
    ]


# Tools that hang


@dataclass
class Hanging:
    """Work that hangs until the test is over, in as many threads as call it."""

    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def hang(self) -> None:
        self.threads.append(threading.current_thread())
        self.begun.set()
        self.released.wait(LONG)
        raise RuntimeError("nobody is there to hear this")

    @property
    def hung(self) -> int:
        """How many threads hang now."""
        return sum(thread.is_alive() for thread in self.threads)

    def release(self) -> None:
        """Let the threads end, and wait until they have."""
        self.released.set()
        for thread in self.threads:
            thread.join(PROMPT)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    work = Hanging()
    yield work
    work.release()


def test_a_sync_tool_that_hangs_keeps_no_loop_from_ending(
    server: Loopback, hanging: Hanging
) -> None:
    """After its time-out the run goes on, and asyncio.run ends while the thread still hangs."""
    result = asyncio.run(one(server, tool(timeout=SHORT)(hanging.hang)))
    assert hanging.hung == 1
    assert (
        result.is_error
        and result.content == f"The tool 'hang' did not end within {SHORT} seconds."
    )
    assert SHORT <= result.duration < LONG / 2


async def test_a_sync_tool_that_hangs_does_not_hold_up_stopping(
    server: Loopback, hanging: Hanging
) -> None:
    """A run is stopped at once though the thread of its tool cannot be."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "hang", "{}"))))
    async with CHAT.agent(server, tools=[hanging.hang]) as agent:
        stream = agent.run_stream("Go")
        task = asyncio.create_task(consume(stream))
        await asyncio.to_thread(hanging.begun.wait, PROMPT)
        await stream.aclose()
        await task
        response = stream.response
    assert hanging.hung == 1 and response.tool_calls[0].result is None


@pytest.mark.parametrize("after", ["in the run", "after the run", "after the loop"])
def test_a_tool_that_ends_too_late_is_not_heard(
    server: Loopback, hanging: Hanging, caplog: pytest.LogCaptureFixture, after: str
) -> None:
    """What a sync tool raises after its time-out, in a running loop or a closed one, is no warning and no log."""
    ask(server, ("c1", "hang", "{}"))

    async def main() -> None:
        async with CHAT.agent(
            server, tools=[tool(timeout=SHORT)(hanging.hang)]
        ) as agent:
            async for chunk in agent.run_stream("Go"):
                if chunk.tool_result is not None and after == "in the run":
                    await asyncio.to_thread(hanging.release)
        if after == "after the run":
            await asyncio.to_thread(hanging.release)

    asyncio.run(main())
    hanging.release()
    assert [
        record.getMessage() for record in caplog.records if record.name == "asyncio"
    ] == []


async def test_fifty_hanging_tools_leave_room_for_others(
    server: Loopback, hanging: Hanging
) -> None:
    """Another agent, whose server's name has to be looked up, works while fifty threads hang."""
    ask(server, *((f"c{place}", "hang", "{}") for place in range(50)))
    server.reply(Reply(CHAT.send.text("Still here")))
    address = server.url.replace("127.0.0.1", "localhost") + CHAT.suffix
    await streamed_answer(CHAT.agent(server, tools=[tool(timeout=SHORT)(hanging.hang)]))
    async with asyncio.timeout(PROMPT):
        text = (
            await streamed_answer(CHAT.agent(server, model={"base_url": address}))
        ).content

    assert text == "Still here"
    assert hanging.hung == 50


PROGRAM = """
import asyncio, sys, threading
from cogent import Agent, Model, tool

@tool(timeout=0.1)
def hang() -> None:
    threading.Event().wait()

async def main() -> None:
    model = Model("openai-chat:m", api_key="key", base_url=sys.argv[1])
    async with Agent("a", model, tools=[hang], stream=True) as agent:
        print(await agent.run("Go"))

asyncio.run(main())
"""


def test_a_tool_that_hangs_for_ever_does_not_keep_a_program_from_ending(
    server: Loopback,
) -> None:
    """An interpreter ends by itself, and quietly, though a thread of it will never end."""
    ask(server, ("c1", "hang", "{}"))
    program = [sys.executable, "-c", PROGRAM, server.url + CHAT.suffix]
    done = subprocess.run(program, capture_output=True, text=True, timeout=LONG)
    assert (done.stdout, done.stderr, done.returncode) == ("Done\n", "", 0)


async def test_a_sync_tool_that_computes_leaves_the_loop_responsive(
    server: Loopback,
) -> None:
    """While a sync tool keeps its thread busy, the loop goes on ticking."""
    ask(server, ("c1", "compute", "{}"))
    ticks: list[float] = []

    def compute() -> str:
        begun, end = len(ticks), time.monotonic() + PROMPT
        while len(ticks) < begun + 5:
            if time.monotonic() > end:
                return "the loop stood still"
        return "it ticked"

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    ticker = asyncio.create_task(tick())
    response = await streamed_answer(CHAT.agent(server, tools=[compute]))
    ticker.cancel()

    result = response.tool_calls[0].result
    assert result is not None and result.content == "it ticked"


# What tools raise


class MuteError(Exception):
    """One that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def annotated() -> None:
    error = ValueError("short")
    error.add_note("a note for developers")
    raise error


def chained() -> None:
    try:
        raise KeyError("the inner one")
    except KeyError as error:
        raise LookupError("the outer one") from error


def chained_by_accident() -> None:
    try:
        raise KeyError("the inner one")
    except KeyError:
        raise LookupError("the outer one")  # noqa: B904  # what is tested


def endless() -> None:
    endless()


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


FAILURES: dict[str, tuple[Callable[[], object], str]] = {
    "plain": (raising(ValueError("a reason")), "ValueError: a reason"),
    "without a message": (raising(ValueError()), "ValueError"),
    "a class of its own": (
        raising(type("OwnError", (ValueError,), {})("why")),
        "OwnError: why",
    ),
    "with a note": (annotated, "ValueError: short"),
    "chained": (chained, "LookupError: the outer one"),
    "chained by accident": (chained_by_accident, "LookupError: the outer one"),
    "a group": (
        raising(ExceptionGroup("several", [ValueError("one")])),
        "ExceptionGroup: several (1 sub-exception)",
    ),
    "a syntax error": (
        lambda: compile("1 +", "/srv/rules.py", "exec"),
        "SyntaxError: invalid syntax (rules.py, line 1)",
    ),
    "StopAsyncIteration": (
        raising(StopAsyncIteration("over")),
        "StopAsyncIteration: over",
    ),
    "out of memory": (raising(MemoryError()), "MemoryError"),
    "an assertion": (raising(AssertionError("never")), "AssertionError: never"),
    "half a character": (
        raising(OSError("no such file: caf\udce9")),
        "OSError: no such file: caf?",
    ),
}
HOW = pytest.mark.parametrize("how", ["thread", "loop", "async"])


def made(function: Callable[[], object], how: str, **options: Any) -> Any:
    """The function as a tool named `fail` that runs in a thread, in the loop, or as a coroutine."""

    async def fail() -> object:
        return function()

    if how == "async":
        return tool(name="fail", **options)(fail)
    return tool(name="fail", run_in_thread=how == "thread", **options)(function)


@pytest.mark.parametrize("kind", FAILURES)
async def test_an_exception_is_told_by_class_and_message(
    server: Loopback, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The model reads the class and the message of the outermost exception, the log its traceback; the run goes on."""
    function, told = FAILURES[kind]
    result = await one(server, made(function, "thread"))
    assert "Traceback" in caplog.text
    assert caplog.text.encode()  # what no file takes is replaced
    assert result.is_error and result.content == f"The tool 'fail' failed: {told}."


@HOW
async def test_an_exception_is_told_wherever_it_was_raised(
    server: Loopback, how: str
) -> None:
    """In a thread, in the loop and in a coroutine an exception is told in the same words."""
    assert (
        await one(server, made(annotated, how))
    ).content == "The tool 'fail' failed: ValueError: short."


async def test_an_exception_that_cannot_be_printed_is_told_by_its_class(
    server: Loopback,
) -> None:
    """An exception whose `__str__` raises fails the call and not the run."""
    result = await one(server, made(raising(MuteError()), "thread"))
    assert result.is_error and result.content.startswith(
        "The tool 'fail' failed: MuteError"
    )


@HOW
@pytest.mark.parametrize(
    "function",
    [lambda: next(iter(())), endless],
    ids=["StopIteration", "RecursionError"],
)
async def test_what_python_treats_specially_is_an_error_result(
    server: Loopback, function: Callable[[], object], how: str
) -> None:
    """A bare `next()` that finds nothing, and a recursion without end, fail that call and do not hang the run."""
    result = await one(server, made(function, how), timeout=Timeout(total=LONG))
    assert result.is_error and (
        "StopIteration" in result.content or "RecursionError" in result.content
    )


PATHS = {
    "a file": (
        lambda: Path("/no/such/folder/plan.txt").read_text(),
        "'plan.txt'",
        "No such file or directory",
    ),
    "two files": (
        raising(OSError(2, "No", "/home/me/a.txt", None, "/home/me/b.txt")),
        "'a.txt' -> 'b.txt'",
        "",
    ),
    "in the text": (
        raising(ValueError("cannot read /srv/data/rates.csv: empty")),
        "cannot read rates.csv: empty",
        "",
    ),
    "on Windows": (
        raising(ValueError(r"cannot read C:\Users\me\rates.csv")),
        "cannot read rates.csv",
        "",
    ),
    "an address": (
        raising(ValueError("see https://host.org/a/b")),
        "see https://host.org/a/b",
        "",
    ),
    "no path": (
        raising(ValueError("either/or, 1/2, a / b")),
        "either/or, 1/2, a / b",
        "",
    ),
}


@pytest.mark.parametrize("kind", PATHS)
async def test_absolute_paths_are_told_by_their_last_part(
    server: Loopback, kind: str
) -> None:
    """The model learns which file it was and not where things lie on this machine; what is no path stays as it is."""
    function, shown, more = PATHS[kind]
    content = (await one(server, made(function, "thread"))).content
    assert shown in content and more in content
    assert not any(folder in content for folder in ("/no/", "/home", "/srv", "Users"))


async def test_a_long_error_is_cut(server: Loopback) -> None:
    """An exception with a text of a megabyte costs the model only its beginning."""
    assert (
        "ValueError: x/x/x"
        in (
            await one(server, made(raising(ValueError("x/" * 500_000)), "thread"))
        ).content
    )
    assert len(sent(server)[0][1]) < 1000


@HOW
async def test_a_tool_that_exits_has_failed(server: Loopback, how: str) -> None:
    """A `sys.exit()` in a tool, as of a command line's parser, is told to the model and ends no program."""
    result = await one(server, made(raising(SystemExit("usage: plan FILE")), how))
    assert result.is_error and "SystemExit: usage: plan FILE" in result.content


@pytest.mark.parametrize("how", ["loop", "async"])
def test_an_interruption_of_the_program_ends_it(server: Loopback, how: str) -> None:
    """KeyboardInterrupt in the loop's thread leaves asyncio.run, whatever was running; the model is asked no more."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "fail", "{}"))))
    with pytest.raises(KeyboardInterrupt, match="the end"):
        asyncio.run(
            read(
                CHAT.agent(
                    server, tools=[made(raising(KeyboardInterrupt("the end")), how)]
                )
            )
        )
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit])
async def test_what_means_nothing_in_a_thread_has_failed(
    server: Loopback, kind: type[BaseException]
) -> None:
    """An interruption that a thread raised itself is no interruption of the program, but told to the model."""
    result = await one(server, made(raising(kind("odd")), "thread"))
    assert result.is_error and f"{kind.__name__}: odd" in result.content


class AbortError(BaseException):
    """One that is not meant to be caught on its way."""


@HOW
async def test_a_base_exception_of_the_users_own_reaches_the_user(
    server: Loopback, how: str
) -> None:
    """What is derived from BaseException in order not to be caught is not caught here either."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "fail", "{}"))))
    with pytest.raises(AbortError, match="enough"):
        await read(CHAT.agent(server, tools=[made(raising(AbortError("enough")), how)]))
    assert len(server.requests) == 1


ENDINGS = [
    (asyncio.CancelledError, "thread"),
    (asyncio.CancelledError, "loop"),
    (asyncio.CancelledError, "async"),
]
ENDINGS += [(GeneratorExit, "loop"), (GeneratorExit, "async")]


@pytest.mark.parametrize(("kind", "how"), ENDINGS)
async def test_what_python_ends_coroutines_with_does_not_end_the_caller(
    server: Loopback, kind: type[BaseException], how: str
) -> None:
    """A tool's own CancelledError or GeneratorExit is neither told to the model nor passed on, but is a ToolError."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "fail", "{}"))))
    async with CHAT.agent(server, tools=[made(raising(kind()), how)]) as agent:
        error = await failure(agent.run_stream("Go"), ToolError)
        await asyncio.sleep(0)  # would raise if the task had been cancelled
    assert isinstance(error.__cause__, kind) and len(server.requests) == 1
    assert error.partial is not None and error.partial.tool_calls[0].result is None


async def test_a_tool_that_cancels_its_own_task_does_not_cancel_the_caller(
    server: Loopback,
) -> None:
    """That too is a ToolError, whether the tool waits for its end or returns before it."""

    def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def main(agent: Agent) -> None:
        async with agent:
            await failure(agent.run_stream("Go"), ToolError)
            await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None and task.cancelling() == 0

    async def wait() -> None:
        cancel()
        await asyncio.sleep(LONG)

    for function in (
        tool(name="fail")(wait),
        made(cancel, "async"),
        made(cancel, "loop"),
    ):
        server.reply(Reply(CHAT.send.tool_calls(("c1", "fail", "{}"))))
        await main(CHAT.agent(server, tools=[function]))


# What tools return


class Place(BaseModel):
    city: str


class BrokenModel(BaseModel):
    city: str

    @field_serializer("city")
    def fail(self, value: str) -> str:
        raise RuntimeError("cannot be written")


@dataclass
class Point:
    x: int
    at: Place


class Array:
    """Like a numpy array, an object without a JSON form."""

    def __array__(self) -> None: ...

    def __repr__(self) -> str:
        return "array([1, 2])"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def circle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(100_000):
        items = [items]
    return items


async def later() -> dict[str, int]:
    return {"later": 1}


VALUES: dict[str, tuple[Callable[[], object], str]] = {
    "a model": (lambda: Place(city="Bern"), '{"city":"Bern"}'),
    "a dataclass": (
        lambda: Point(1, Place(city="Bern")),
        '{"x":1,"at":{"city":"Bern"}}',
    ),
    "a time": (lambda: datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
    "a decimal": (lambda: Decimal("1.10"), '"1.10"'),
    "a set": (lambda: {7}, "[7]"),
    "bytes": (lambda: b"a\xff", '"Yf8="'),
    "an array": (lambda: Array(), '"array([1, 2])"'),
    "no number": (lambda: [float("nan"), float("inf")], "[null,null]"),
    "a coroutine": (later, '{"later":1}'),
    "odd keys": (lambda: {1: "a", None: "b"}, '{"1":"a","None":"b"}'),
    "nothing": (lambda: None, "null"),
}


@pytest.mark.parametrize("kind", VALUES)
async def test_a_value_is_told_as_json(server: Loopback, kind: str) -> None:
    """What is no string reaches the model as JSON, or as the repr of what has no JSON form."""
    function, told = VALUES[kind]
    result = await one(server, made(function, "thread"))
    assert (result.content, result.is_error) == (told, False)


BROKEN = {
    "a circle": circle,
    "too deep": deep,
    "a broken model": lambda: BrokenModel(city="Bern"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_value_that_cannot_be_told_is_an_error_result(
    server: Loopback, kind: str
) -> None:
    """What has no end, or fails to be written, fails that call and not the run."""
    result = await one(server, made(BROKEN[kind], "thread"))
    assert (
        result.is_error
        and result.content.startswith("The tool 'fail' failed: ")
        and len(result.content) < 1000
    )


async def test_an_object_that_cannot_be_printed_is_still_an_answer(
    server: Loopback,
) -> None:
    """An object whose repr raises gives the model the name of its class."""
    assert (
        "Unprintable"
        in (await one(server, made(lambda: Unprintable(), "thread"))).content
    )


async def test_a_forgotten_await_is_made_up_for_or_told(server: Loopback) -> None:
    """An async tool that returns a coroutine does not give the model its repr."""

    async def fail() -> object:
        return later()

    result = await one(server, fail)
    assert result.is_error or result.content == '{"later":1}'


async def test_a_generator_is_not_read_in_the_loop(server: Loopback) -> None:
    """What a sync tool returns to be read step by step is read in its thread or refused: the loop must not wait."""
    main = threading.main_thread()
    result = await one(
        server,
        made(lambda: (threading.current_thread() is main for _ in range(2)), "thread"),
    )
    assert result.is_error or result.content == "[false,false]"


async def test_a_long_result_reaches_the_model_whole(
    server: Loopback, wire: Wire
) -> None:
    """Ten megabytes of text are sent as they are, on every provider."""
    text = "0123456789" * 1_000_000

    def take() -> str:
        return text

    server.reply(*turn(wire, "{}"))
    response = await streamed_answer(wire.agent(server, tools=[take]))
    assert response.content == "Done" and text.encode() in server.requests[1].body


async def test_odd_characters_in_a_result_can_be_sent(
    server: Loopback, wire: Wire
) -> None:
    """NUL, separators and characters beyond the basic plane arrive as they are, half a pair as a replacement."""

    def take() -> str:
        return "a\0b\u2028\U0001f600 \ud83d"

    server.reply(*turn(wire, "{}"))
    response = await streamed_answer(wire.agent(server, tools=[take]))
    assert response.content == "Done"
    told = json.dumps(server.requests[1].json, ensure_ascii=False)
    assert any(
        f"a\\u0000b\u2028\U0001f600 {replacement}" in told for replacement in "?\ufffd"
    )


# What tools are given


async def given(
    server: Loopback, wire: Wire, *turns: list[Reply], streaming: bool = True
) -> list[tuple[Any, ToolResult]]:
    """What the tool `take` was given in the runs of an agent (None if it was not called), and each call's result."""
    seen: list[Any] = []

    @tool
    def take(value: Any) -> str:
        seen.append(value)
        return "taken"

    told = []
    async with wire.agent(server, tools=[take], stream=streaming) as agent:
        for place, replies in enumerate(turns):
            server.reply(*replies)
            response = await agent.run("Go")
            assert response.content == "Done" and len(seen) in (place, place + 1)
            seen[place:] = seen[place:] or [None]
            (call,) = response.tool_calls
            assert call.result is not None and (
                call.result.is_error or call.arguments == {"value": seen[-1]}
            )
            # Nothing that is kept or sent holds half a character, and what is sent is JSON as others know it.
            asked = json.loads(server.requests[-1].body, parse_constant=pytest.fail)
            for kept in ([m.to_dict() for m in response.messages], asked):
                json.dumps(kept, ensure_ascii=False).encode()
            told.append((seen[-1], call.result))
    return told


def spoilt(
    wire: Wire, mark: str, replacement: str, streaming: bool = True
) -> list[Reply]:
    """A turn whose argument `value` has bytes in it, for the mark, that no builder of ours makes."""
    call, *rest = turn(wire, f'{{"value": {mark}}}', streaming, pieces=1)
    body = b"".join(call.pieces())
    assert mark.strip('"').encode() in body
    return [
        replace(
            call, body=body.replace(mark.strip('"').encode(), replacement.encode())
        ),
        *rest,
    ]


HALF, PAIR = "\\ud83d", "\\ud83d\\ude00"


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
async def test_odd_characters_in_arguments(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """NUL and whole pairs reach the tool as they are, half a pair as U+FFFD, and the call can be sent back."""
    inner = HALF, PAIR, "\\u0000"
    objects = wire.provider in OBJECTS or (
        wire.provider == "anthropic" and not streaming
    )
    outer = [text if objects else text.replace("\\", "\\\\") for text in inner]
    turns = [spoilt(wire, '"@@"', text, streaming) for text in (*inner[:2], *outer)]
    values = [
        value for value, _ in await given(server, wire, *turns, streaming=streaming)
    ]
    assert values == ["\ufffd", "\U0001f600", "\ufffd", "\U0001f600", "\0"]


async def test_a_long_argument_reaches_the_tool_whole(
    server: Loopback, wire: Wire
) -> None:
    """A megabyte of arguments, in a few pieces, is given to the tool and sent back with its result."""
    text = "0123456789" * 100_000
    ((value, _),) = await given(server, wire, turn(wire, json.dumps({"value": text})))
    assert value == text and text.encode() in server.requests[1].body


async def test_deeply_nested_arguments_reach_the_tool(
    server: Loopback, wire: Wire
) -> None:
    """A hundred lists in one another are arguments like any others, and can be sent back."""
    nested = "[" * 100 + "]" * 100
    ((value, _),) = await given(server, wire, turn(wire, f'{{"value": {nested}}}'))
    assert json.dumps(value) == nested and nested in json.dumps(
        server.requests[1].json
    ).replace('"', "")


async def test_arguments_at_the_limit_of_python_are_told(
    server: Loopback, wire: Wire
) -> None:
    """Seven hundred lists in one another are given to the tool, told to be too many, or an error of ours."""
    nested = "[" * 700 + "]" * 700
    with suppress(ModelError):
        ((value, result),) = await given(
            server, wire, turn(wire, f'{{"value": {nested}}}')
        )
        assert result.is_error or json.dumps(value) == nested


async def test_numbers_that_json_does_not_have(server: Loopback, wire: Wire) -> None:
    """What only Python reads as a number is given to the tool or told to the model, and the run goes on."""
    turns = [spoilt(wire, "12345", number) for number in ("NaN", "-Infinity", "1e999")]
    assert len(await given(server, wire, *turns)) == 3


async def test_a_number_that_is_too_long_is_told(server: Loopback) -> None:
    """A number of more digits than Python reads is an error result."""
    ((_, result),) = await given(server, CHAT, spoilt(CHAT, "12345", "9" * 5000))
    assert result.is_error and "digits" in result.content


async def test_of_a_key_that_comes_twice_the_last_counts(server: Loopback) -> None:
    """Duplicate keys are read as JSON readers do."""
    ((value, _),) = await given(server, CHAT, turn(CHAT, '{"value": 1, "value": 2}'))
    assert value == 2


async def test_a_tool_that_changes_its_arguments_does_not_rewrite_the_conversation(
    server: Loopback,
) -> None:
    """The next request repeats the call with the arguments that the model gave, also what lies deeper in them."""

    def take(items: Any) -> int:
        items[0].clear()
        items.pop()
        return len(items)

    assert (await one(server, take, '{"items": [{"a": 1}, 2]}')).content == "1"
    (call,) = server.requests[1].json["messages"][1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"items": [{"a": 1}, 2]}


def double(value: int) -> int:
    return 2 * value


def wrong_and(server: Loopback, wrong: int, *last: Reply, **options: Any) -> Any:
    """A stream whose model gives wrong arguments in so many turns before these replies."""
    server.reply(
        *(
            Reply(CHAT.send.tool_calls((f"c{n}", "double", '{"value": "x"}')))
            for n in range(wrong)
        ),
        *last,
    )
    return CHAT.agent(server, tools=[double], **options).run_stream("Go")


async def test_a_model_that_never_learns_runs_out_of_steps(server: Loopback) -> None:
    """Ten turns of wrong arguments are ten results that say what is wrong, and then MaxStepsExceeded with them all."""
    error = await failure(wrong_and(server, 10), MaxStepsExceeded)
    told = [
        call.result.content
        for call in error.partial.tool_calls
        if call.result and call.result.is_error
    ]
    assert len(told) == len(server.requests) == 10 and all(
        "value: Input should be a valid integer" in t for t in told
    )
    assert [text for _, text in sent(server, request=9)] == told[:9]


async def test_a_model_that_learns_at_last_goes_on(server: Loopback) -> None:
    """After ten turns of wrong arguments a right one is a result like any other."""
    right = Reply(CHAT.send.tool_calls(("c10", "double", '{"value": 21}')))
    async with wrong_and(
        server, 10, right, Reply(CHAT.send.text("42")), max_steps=12
    ) as stream:
        async for _ in stream:
            pass
    response = stream.response
    assert response.content == "42" and sent(server, request=11)[-1] == ("c10", "42")


# Many at once, and one in another


@pytest.mark.parametrize("how", ["thread", "async"])
async def test_a_hundred_calls_of_a_turn_run_at_the_same_time(
    server: Loopback, how: str
) -> None:
    """A hundred calls that wait for each other all end, and the next request has their results in call order."""
    ask(
        server,
        *((f"c{place}", "meet", json.dumps({"place": place})) for place in range(100)),
    )
    threads, tasks = threading.Barrier(100), asyncio.Barrier(100)

    def meet_in_threads(place: int) -> int:
        threads.wait(PROMPT)
        return place

    async def meet_in_tasks(place: int) -> int:
        await tasks.wait()
        return place

    meet = tool(name="meet", timeout=LONG)(
        meet_in_threads if how == "thread" else meet_in_tasks
    )
    _, response = await run(server, meet)
    assert response.content == "Done" and sent(server) == [
        (f"c{place}", str(place)) for place in range(100)
    ]


@pytest.mark.parametrize("how", ["async", "sync", "by turns"])
async def test_a_tool_may_run_another_agent(server: Loopback, how: str) -> None:
    """Agents three deep, in the loop that is there or each in a loop of its own, give their text to the one above."""

    def agent(depth: int) -> Agent:
        return CHAT.agent(
            server, tools=[delegate(depth - 1)] if depth else [], stream=depth % 2 == 0
        )

    def delegate(depth: int) -> Any:
        inner = agent(depth)

        async def run_inside() -> str:
            return f"{depth}: {await inner.run(f'Level {depth}')}"

        def run_apart() -> str:
            return asyncio.run(run_inside())

        sync = how == "sync" or (how == "by turns" and depth % 2 == 0)
        return tool(name="delegate")(run_apart if sync else run_inside)

    for depth in (3, 2, 1):
        server.reply(
            said(
                depth,
                CHAT.send.tool_calls,
                CHAT.send.plain_tool_calls,
                ("c1", "delegate", "{}"),
            )
        )
    for depth in (0, 1, 2, 3):
        server.reply(said(depth, CHAT.send.text, CHAT.send.plain_text, f"from {depth}"))
    response = await answer_plain(agent(3))
    (call,) = response.tool_calls
    assert (
        response.content == "from 3"
        and call.result is not None
        and call.result.content == "2: from 2"
    )
    asked = [request.json["messages"][0]["content"] for request in server.requests]
    assert asked == ["Go", "Level 2", "Level 1", "Level 0", "Level 1", "Level 2", "Go"]
    results_sent = [text for request in (4, 5, 6) for _, text in sent(server, request)]
    assert results_sent == [f"{depth}: from {depth}" for depth in range(3)]


def said(
    depth: int, stream: Callable[..., Any], plain: Callable[..., Any], what: Any
) -> Reply:
    """What the agent of this depth is answered: it streams at every other depth."""
    return (
        Reply(stream(what)) if depth % 2 == 0 else Reply(plain(what), content_type=JSON)
    )


async def answer_plain(agent: Agent) -> Response:
    async with agent:
        return await agent.run("Go")


async def test_a_task_that_a_tool_leaves_behind_is_its_own(server: Loopback) -> None:
    """A task that a tool started and did not wait for goes on after the run, which does not wait for it."""
    may_end = asyncio.Event()
    left: list[asyncio.Task[str]] = []

    async def go_on() -> str:
        await may_end.wait()
        return "ended by itself"

    async def start() -> str:
        left.append(asyncio.create_task(go_on()))
        return "started"

    ask(server, ("c1", "start", "{}"))
    response = await streamed_answer(CHAT.agent(server, tools=[start]))
    assert response.content == "Done" and not left[0].done()
    may_end.set()

    assert await left[0] == "ended by itself"


async def test_a_task_group_that_fails_inside_a_tool_is_an_error_result(
    server: Loopback,
) -> None:
    """A tool whose own tasks fail is told like any other that fails, and none of its tasks is left."""
    ended: list[str] = []

    async def spread() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleep())
            group.create_task(fail())

    async def sleep() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.append("asleep")

    async def fail() -> None:
        raise ValueError("one of them")

    result = await one(server, spread)
    assert (
        result.is_error and "ExceptionGroup" in result.content and ended == ["asleep"]
    )


# Tools that are stopped


class Stopped:
    """A tool that never ends by itself, and how it takes being cancelled."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.begun = asyncio.Event()
        self.cleaned = False

    async def work(self) -> str:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not self.refuses:
                raise
        finally:
            await asyncio.sleep(5 * SHORT)
            self.cleaned = True
        return "all the same"


async def by_aclose(agent: Agent, work: Stopped) -> None:
    stream = agent.run_stream("Go")
    task = asyncio.create_task(consume(stream))
    await work.begun.wait()
    await stream.aclose()
    assert work.cleaned and await task == ["tool_calls"]
    result = stream.response.tool_calls[0].result
    assert (
        result.content == "all the same" if work.refuses and result else result is None
    )


async def by_cancel(agent: Agent, work: Stopped) -> None:
    stream = agent.run_stream("Go")
    task = asyncio.create_task(consume(stream))
    await work.begun.wait()
    stream.cancel()
    assert await task == ["tool_calls"] and work.cleaned


async def by_cancelling_the_task(agent: Agent, work: Stopped) -> None:
    task = asyncio.create_task(agent.run("Go"))
    await work.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cleaned


async def consume(stream: AgentStream) -> list[str]:
    """The finish reasons of a run, in their order."""
    return [chunk.finish_reason async for chunk in stream if chunk.finish_reason]


@pytest.mark.parametrize(
    "stop",
    [by_aclose, by_cancel, by_cancelling_the_task],
    ids=lambda stop: stop.__name__,
)
@pytest.mark.parametrize("refuses", [False, True], ids=["cleans up", "refuses"])
async def test_a_tool_that_is_stopped_is_waited_for(
    server: Loopback, stop: Callable[..., Any], refuses: bool
) -> None:
    """Its `finally` runs to its end before the stop is over; nothing that it returns then is asked on with."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "work", "{}"))))
    work = Stopped(refuses)
    async with (
        CHAT.agent(server, tools=[work.work], stream=True) as agent,
        asyncio.timeout(LONG),
    ):
        await stop(agent, work)
    await asyncio.sleep(SHORT)  # for what the SDK's generators do at their end
    assert len(asyncio.all_tasks()) == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize("refuses", [False, True], ids=["cleans up", "refuses"])
async def test_a_tool_that_is_too_slow_may_clean_up(
    server: Loopback, refuses: bool
) -> None:
    """Its `finally` runs to its end before the model is told; one that returns a value all the same is heard."""

    ask(server, ("c1", "work", "{}"))
    work = Stopped(refuses)
    chunks, _ = await read(CHAT.agent(server, tools=[tool(timeout=SHORT)(work.work)]))
    assert work.cleaned
    result = results(chunks)[0]
    late = "The tool 'work' did not end within 0.05 seconds."
    assert result.content in ((late, "all the same") if refuses else (late,))
