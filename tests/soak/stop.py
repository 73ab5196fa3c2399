"""The stop matrix: however and whenever a run is stopped, the model's server sees it at once and nothing is left.

    .venv/bin/python tests/soak/stop.py [--rounds N] [--only "part of provider, way, moment"]

stops a run on every provider in every way at every moment, and prints how long it took until the server saw that and
what the server still sent. The exit status is 1 if anything was wrong or late.

A cell is one run over real sockets. Server, web server and agent share a process, and so the interpreter's lock: the
figures are what a busy process sees.
"""

import argparse
import asyncio
import gc
import logging
import os
import socket
import sys
import threading
import time
import warnings
import weakref
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvicorn
from conftest import WIRES, Wire
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from support.loopback import Loopback, Recorded, Reply

from cogent import Response, StreamChunk
from cogent.stream import AgentStream

AT_ONCE = 0.05  # seconds in which a server on this machine sees a stop
PATIENCE = 30.0  # seconds after which a stop counts as one that nobody sees, on a machine however busy
FOREVER = 600.0  # seconds that nothing here waits for
# What the system takes from a server for a client that does not read; a client that reads gets it in a moment.
IN_FLIGHT = 12 * 1024 * 1024
MOST_SHOWN = 50  # cells that went wrong

TEXT = "Once upon"

Answer = Callable[[Wire], Reply]


# Moments


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a run: how its server comes to it, and the chunk that the consumer has just been given."""

    reply: Answer
    chunk: Callable[[StreamChunk], bool]
    calls: tuple[str, ...] = ()
    """The tools that the model asked for."""
    ran: int = 0
    """How many of these have ended."""
    busy: bool = False
    """Whether the consumer still has that chunk in hand when somebody else stops the run."""

    @property
    def is_open(self) -> bool:
        """Whether the model's answer is not yet complete, so that the stop cuts its connection."""
        return not self.calls


def begun(wire: Wire) -> tuple[bytes, bytes]:
    """The beginning of an answer up to its first text, and the event which that came in."""
    events = wire.send.text(TEXT, " a time")
    place = next(place for place, event in enumerate(events) if TEXT.encode() in event)
    return b"".join(events[: place + 1]), events[place]


def flood(wire: Wire) -> Reply:
    """Text without end, as fast as the connection takes it."""
    start, event = begun(wire)
    return Reply(
        [start, event * (0x10000 // len(event))],
        content_type=wire.mime,
        forever=True,
        pause=1e-9,
    )


def steady(wire: Wire) -> Reply:
    """Text without end, a little at a time: a flood would only show what a web server buffers."""
    return Reply(begun(wire), content_type=wire.mime, forever=True)


def silence(wire: Wire) -> Reply:
    return Reply(begun(wire)[0], content_type=wire.mime, end="stall")


def no_head(wire: Wire) -> Reply:
    return Reply(content_type=wire.mime, delay=FOREVER)


def asking_for(*names: str) -> Answer:
    calls = [(f"call_{place}", name, "{}") for place, name in enumerate(names)]
    return lambda wire: Reply(
        wire.send.tool_calls(*calls, text=TEXT, pieces=1), content_type=wire.mime
    )


def with_text(chunk: StreamChunk) -> bool:
    return chunk.content != ""


def with_calls(chunk: StreamChunk) -> bool:
    return chunk.finish_reason == "tool_calls"


def with_result(chunk: StreamChunk) -> bool:
    return chunk.tool_result is not None


def never(chunk: StreamChunk) -> bool:
    return False


def tools(
    *names: str, chunk: Callable[[StreamChunk], bool] = with_result, **more: Any
) -> Moment:
    return Moment(asking_for(*names), chunk, names, **more)


HEAD, BUSY = "no head", "busy"
MOMENTS = {
    HEAD: Moment(no_head, never),
    "text": Moment(flood, with_text),
    "silence": Moment(silence, with_text),
    BUSY: Moment(flood, with_text, busy=True),
    "tool calls": tools("quick", chunk=with_calls, busy=True),
    "tool result": tools("quick", ran=1, busy=True),
    "async tool": tools("quick", "hang", ran=1),
    "sync tool": tools("quick", "block", ran=1),
}


# One run


class BodyError(Exception):
    """What goes wrong in the body of a loop."""


class Scene:
    """One run that is stopped: its agent and tools, what its consumer saw, and when the stop came."""

    def __init__(self, stage: "Stage", wire: Wire, moment: Moment) -> None:
        self.stage, self.moment = stage, moment
        self.tasks, self.files = asyncio.all_tasks(), open_files()
        self.agent = wire.agent(
            stage.server, tools=[getattr(self, name) for name in moment.calls]
        )
        self.reached, self.go_on, self.started = (
            asyncio.Event(),
            asyncio.Event(),
            asyncio.Event(),
        )
        self.release = threading.Event()
        self.seen: list[StreamChunk] = []
        self.response: Response | None = None
        self.stream: AgentStream | None = None
        """The stream, where it outlives the stop."""
        self.task: asyncio.Task[None] | None = None
        self.stopped = 0.0
        self.sent = 0
        """Bytes of the answer that the server had sent when the stop came."""
        self.cancelled: float | None = None
        """When the tool that waits for ever was cancelled."""

    @property
    def request(self) -> Recorded:
        return self.stage.server.requests[0]

    @property
    def hangs(self) -> bool:
        """Whether a tool waits that can be cancelled."""
        return "hang" in self.moment.calls

    def run(self) -> AgentStream:
        stream = self.agent.run_stream("Go")
        self.known = weakref.ref(stream)
        return stream

    def is_over(self) -> bool:
        """Whether the run has ended: its stream is gone, or its duration does not grow any more."""
        stream = self.known()
        return (
            stream is None
            or stream.response.metadata["duration"]
            == stream.response.metadata["duration"]
        )

    def stop(self) -> None:
        """Now the stop comes."""
        self.sent = self.request.sent
        self.stopped = time.monotonic()

    async def read(
        self,
        stream: AgentStream,
        at_the_moment: Callable[[AgentStream], Awaitable[bool]],
    ) -> None:
        """A consumer's loop, which is left at the moment if this says so."""
        try:
            async for chunk in stream:
                self.seen.append(chunk)
                if self.moment.chunk(chunk) and await at_the_moment(stream):
                    break
        finally:
            self.response = stream.response

    async def leave(self, _: AgentStream) -> bool:
        """What the loop does at the moment when its own `break` is the stop."""
        self.stop()
        return True

    async def wait(self, _: AgentStream) -> bool:
        """What the loop does at the moment when somebody else stops it: tell, and go on or be busy for a while."""
        self.reached.set()
        if self.moment.busy:
            await self.go_on.wait()
        return False

    async def tidy(self) -> None:
        """End what a stop that failed has left, so that the next scene begins with nothing."""
        left = asyncio.all_tasks() - self.tasks
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.agent.aclose()
        await until(lambda: open_files() == self.files)

    # Tools

    async def quick(self) -> str:
        """Answer as soon as all tools of the turn run."""
        if len(self.moment.calls) > 1:
            await self.started.wait()
        return "done"

    async def hang(self) -> str:
        """Never answer."""
        self.started.set()
        try:
            await asyncio.sleep(FOREVER)
        finally:
            self.cancelled = time.monotonic()
        return "never"

    def block(self) -> str:
        """Never answer, in a thread."""
        self.stage.loop.call_soon_threadsafe(self.started.set)
        self.release.wait(FOREVER)
        return "never"


# Ways to stop it. The consumer's own:


async def drop(scene: Scene) -> None:
    await scene.read(scene.run(), scene.leave)


async def drop_without_gc(scene: Scene) -> None:
    gc.disable()
    await drop(scene)


async def leave_a_block(scene: Scene) -> None:
    gc.disable()
    async with scene.run() as scene.stream:
        await scene.read(scene.stream, scene.leave)


async def close(scene: Scene) -> None:
    async def leave(stream: AgentStream) -> bool:
        scene.stop()
        await stream.aclose()
        return False

    scene.stream = scene.run()
    await scene.read(scene.stream, leave)


async def cancel_inside(scene: Scene) -> None:
    async def leave(stream: AgentStream) -> bool:
        scene.stop()
        stream.cancel()
        return False

    scene.stream = scene.run()
    await scene.read(scene.stream, leave)


async def fail(scene: Scene) -> None:
    async def leave(_: AgentStream) -> bool:
        scene.stop()
        raise BodyError

    with suppress(BodyError):
        await scene.read(scene.run(), leave)


# And from outside:


async def cancel_task(scene: Scene) -> None:
    """The stream is the task's alone, and the task is kept, as a register of tasks does."""
    scene.task = asyncio.create_task(scene.read(scene.run(), scene.wait))
    await scene.reached.wait()
    scene.stop()
    scene.task.cancel()
    await asyncio.wait([scene.task])
    assert scene.task.cancelled(), "the task is not cancelled"


async def time_out(scene: Scene) -> None:
    async def consume() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                await scene.read(scene.run(), scene.wait)

    limits: list[asyncio.Timeout] = []
    task = asyncio.create_task(consume())
    await scene.reached.wait()
    scene.stop()
    limits[0].reschedule(0)
    await task
    assert limits[0].expired(), "the time-out did not expire"


async def from_outside(
    scene: Scene, stop: Callable[[AgentStream], Awaitable[None]]
) -> None:
    scene.stream = scene.run()
    task = asyncio.create_task(scene.read(scene.stream, scene.wait))
    await scene.reached.wait()
    await stop(scene.stream)
    if scene.moment.busy:
        assert await until(scene.is_over), "the run goes on while its consumer is busy"
    scene.go_on.set()
    await task


async def close_from_a_task(scene: Scene) -> None:
    async def stop(stream: AgentStream) -> None:
        scene.stop()
        await stream.aclose()

    await from_outside(scene, stop)


async def close_twice(scene: Scene) -> None:
    async def stop(stream: AgentStream) -> None:
        scene.stop()
        await asyncio.gather(stream.aclose(), stream.aclose())

    await from_outside(scene, stop)


async def cancel(scene: Scene) -> None:
    async def stop(stream: AgentStream) -> None:
        scene.stop()
        stream.cancel()

    await from_outside(scene, stop)


async def cancel_in_a_thread(scene: Scene) -> None:
    loop = asyncio.get_running_loop()

    async def stop(stream: AgentStream) -> None:
        def cancel() -> None:
            loop.set_debug(
                True
            )  # in which it refuses what another thread must not do, but is slow
            scene.stop()
            try:
                stream.cancel()
            finally:
                loop.set_debug(False)

        thread = threading.Thread(target=cancel)
        thread.start()
        await until(lambda: not thread.is_alive())

    loop.slow_callback_duration = FOREVER
    await from_outside(scene, stop)


async def visit(scene: Scene, path: str) -> None:
    """A web client that leaves in the middle of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.stage.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await scene.reached.wait()
    if scene.moment.chunk is not never:
        await reader.readuntil(TEXT.encode())
    scene.stop()
    writer.close()
    await writer.wait_closed()


async def leave_a_response(scene: Scene) -> None:
    await visit(scene, "/text")


async def leave_events(scene: Scene) -> None:
    await visit(scene, "/events")


@dataclass(frozen=True, slots=True)
class Way:
    """A way to stop a run."""

    act: Callable[[Scene], Awaitable[None]]
    inside: bool = False
    """Whether it is the consumer's own, who must have a chunk in hand for it."""
    awaited: bool = False
    """Whether it ends only when all is stopped."""
    web: bool = False
    """Whether the consumer is the endpoint of a web server."""


WAYS = {
    "break and drop": Way(drop, inside=True),
    "break, gc off": Way(drop_without_gc, inside=True),
    "break in a block": Way(leave_a_block, inside=True, awaited=True),
    "exception": Way(fail, inside=True),
    "aclose()": Way(close, inside=True, awaited=True),
    "cancel()": Way(cancel_inside, inside=True),
    "aclose(), task": Way(close_from_a_task, awaited=True),
    "two aclose(), tasks": Way(close_twice, awaited=True),
    "cancel(), task": Way(cancel),
    "cancel(), thread": Way(cancel_in_a_thread),
    "task.cancel()": Way(cancel_task),
    "asyncio.timeout()": Way(time_out),
    "StreamingResponse": Way(leave_a_response, web=True),
    "EventSource": Way(leave_events, web=True),
}
PAIRS = [
    (way, moment)
    for way in WAYS
    for moment in MOMENTS
    if not WAYS[way].inside or moment not in (HEAD, BUSY)
]


# What is looked up afterwards


@dataclass(slots=True)
class Outcome:
    """What a stop did: when the server had seen it, what it sent until then, and all that is wrong."""

    wire: str
    way: str
    moment: str
    seconds: float = float("inf")
    """From the stop until the server saw it, and until the tool was cancelled."""
    bytes: int = 0
    """What the server sent after the stop."""
    faults: list[str] = field(default_factory=list)

    @property
    def cell(self) -> str:
        return f"{self.wire}, {self.way}, {self.moment}"

    def expect(self, condition: object, fault: str) -> None:
        if not condition:
            self.faults.append(fault)


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))


async def until(condition: Callable[[], object]) -> bool:
    """Wait until the condition holds; False if it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.001)
    return True


async def settle() -> None:
    """Let a stream that was dropped be closed, and with it a dozen generators of its SDK, each by a task of its own."""
    for _ in range(50):
        await asyncio.sleep(0)


def check_response(scene: Scene, outcome: Outcome) -> None:
    """The response holds what the consumer saw, and no more."""
    moment, response = scene.moment, scene.response
    if response is None:
        outcome.faults.append("there is no response")
        return
    calls = [(name, place < moment.ran) for place, name in enumerate(moment.calls)]
    told = [
        (call["name"], call["executed"]) for call in response.metadata["tool_calls"]
    ]
    roles = [
        "user",
        *["assistant"] * (moment.chunk is not never),
        *["tool"] * len(moment.calls),
    ]
    tokens = response.metadata["tokens"]
    outcome.expect(
        response.content == "".join(chunk.content for chunk in scene.seen),
        "the response has another text",
    )
    outcome.expect(
        response.content.startswith(TEXT) or moment.chunk is never,
        "the response has not the text so far",
    )
    outcome.expect(
        response.finish_reason is None,
        f"it says that the run ended: {response.finish_reason}",
    )
    outcome.expect(told == calls, f"it lists these calls: {told}")
    outcome.expect(
        [message.role for message in response.messages] == roles,
        "its messages are no conversation",
    )
    failed = [
        message.is_error for message in response.messages if message.role == "tool"
    ]
    outcome.expect(
        failed == [not executed for _, executed in calls],
        f"the results of its calls are errors: {failed}",
    )
    if moment.calls:
        outcome.expect(
            tokens["total_tokens"] == 18 and "estimated" not in tokens,
            f"the turn's tokens are {tokens}",
        )
    elif moment.chunk is not never:
        outcome.expect(
            tokens.get("estimated") is True and tokens["output_tokens"] > 0,
            f"its tokens are {tokens}",
        )


async def stop_again(scene: Scene, stream: AgentStream, outcome: Outcome) -> None:
    """Stopping a stream twice is stopping it once."""
    stream.cancel()
    await stream.aclose()
    stream.cancel()
    rest = [chunk async for chunk in stream]
    outcome.expect(not rest, f"after the stop it still gives {len(rest)} chunks")
    before, now = scene.response, stream.response
    outcome.expect(
        before and before.messages == now.messages, "a second stop changes the response"
    )
    outcome.expect(
        before and before.metadata["tokens"] == now.metadata["tokens"],
        "a second stop changes the tokens",
    )


def check_at_once(scene: Scene, outcome: Outcome) -> None:
    """What was awaited is done by now, and not only begun: the loop stands still here."""
    if scene.moment.is_open:
        left = asyncio.all_tasks() - scene.tasks
        outcome.expect(not left, f"tasks run on when the stop has been awaited: {left}")
        seen = scene.request.wait_disconnected(PATIENCE)
        outcome.expect(seen, "the connection is open when the stop has been awaited")
    elif scene.hangs:
        outcome.expect(
            scene.cancelled, "the tool runs on when the stop has been awaited"
        )


async def check(scene: Scene, outcome: Outcome) -> None:
    """What holds after every stop."""
    await settle()
    gone = await until(lambda: asyncio.all_tasks() <= scene.tasks)
    outcome.expect(gone, f"tasks run on: {asyncio.all_tasks() - scene.tasks}")
    outcome.expect(scene.is_over(), "the run is not over")
    check_response(scene, outcome)
    if scene.moment.is_open:
        outcome.expect(
            await until(lambda: scene.request.disconnected),
            "the server did not see the stop",
        )
    if scene.stream is not None:
        await stop_again(scene, scene.stream, outcome)
    await scene.agent.aclose()
    outcome.expect(
        await until(lambda: scene.request.disconnected),
        "the agent's connection is still open",
    )
    outcome.expect(
        await until(lambda: open_files() == scene.files),
        f"{open_files() - scene.files} sockets are left",
    )
    outcome.expect(len(scene.stage.server.requests) == 1, "the model was asked again")
    outcome.bytes = scene.request.sent - scene.sent
    most = IN_FLIGHT if scene.moment.reply is flood else 0
    outcome.expect(outcome.bytes <= most, f"the server sent {outcome.bytes} bytes more")
    ends = [scene.request.disconnected, *([scene.cancelled] if scene.hangs else [])]
    outcome.expect(None not in ends, "the tool was not cancelled")
    outcome.seconds = max(
        float("inf") if end is None else end - scene.stopped for end in ends
    )
    outcome.expect(
        outcome.seconds <= PATIENCE, f"it took {outcome.seconds:.3f} seconds"
    )


@contextmanager
def complaints(loop: asyncio.AbstractEventLoop) -> Iterator[list[str]]:
    """All that is complained of meanwhile: warnings, what a loop or a log tells, and errors that nobody could catch."""
    told: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")

    def hear(what: Any) -> None:
        told.append(f"{what.exc_value!r} in {getattr(what, 'object', what)!r}")

    ear, hooks = Ear(logging.WARNING), (sys.unraisablehook, threading.excepthook)
    logging.root.addHandler(ear)
    sys.unraisablehook = threading.excepthook = hear
    loop.set_exception_handler(
        lambda _, what: told.append(f"{what['message']}: {what.get('exception')!r}")
    )
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield told
            gc.collect()
        told += [
            f"{warning.category.__name__}: {warning.message}" for warning in caught
        ]
    finally:
        logging.root.removeHandler(ear)
        sys.unraisablehook, threading.excepthook = hooks
        loop.set_exception_handler(None)


# Where it happens


class Server(Loopback):
    """A model's server with one answer for the first request, and none for any that should not come."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = Reply()
        self.asked: Callable[[], object] = int

    def begin(self, answer: Reply) -> None:
        """Forget what was, and give this answer next."""
        self.requests.clear()
        self.answer = answer

    def next_reply(self, request: Recorded) -> Reply:
        self.asked()
        return (
            self.answer if request is self.requests[0] else super().next_reply(request)
        )


class Web(uvicorn.Server):
    """A web server that leaves the signals alone."""

    def capture_signals(self) -> Any:
        return nullcontext()


class Stage:
    """An event loop, a model's server and a web server, for one scene after the other."""

    def __init__(self) -> None:
        self.exits = ExitStack()
        self.scene: Scene | None = None
        self.warm: set[str] = set()

    def __enter__(self) -> Self:
        # Nothing here needs a certificate, and reading them all takes most of the time that a client takes to be made.
        self.exits.enter_context(
            patch.dict(os.environ, {"SSL_CERT_DIR": str(Path(__file__).parent)})
        )
        os.environ.pop("SSL_CERT_FILE", None)
        self.server = self.exits.enter_context(Server())
        self.runner = self.exits.enter_context(asyncio.Runner())
        self.loop = self.runner.get_loop()
        listener = self.exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = listener.getsockname()[1]
        routes = [Route("/text", self.serve_text), Route("/events", self.serve_events)]
        self.web = Web(
            uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off")
        )
        self.runner.run(self._open(listener))
        return self

    def __exit__(self, *_: object) -> None:
        gc.unfreeze()
        self.runner.run(self._close())
        self.exits.close()

    async def _open(self, listener: socket.socket) -> None:
        self.serving = asyncio.create_task(self.web.serve([listener]))
        await until(lambda: self.web.started)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            b"GET /events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        await reader.read()  # the first answer of this kind starts a task that watches for the end of the server
        writer.close()
        await writer.wait_closed()

    async def _close(self) -> None:
        self.web.should_exit = True
        await self.serving

    async def chunks(self) -> AsyncIterator[str]:
        """An endpoint's answer."""
        scene = self.scene
        if scene is None:
            return
        stream = scene.run()
        try:
            async for chunk in stream:
                scene.seen.append(chunk)
                yield chunk.content
                if scene.moment.chunk(chunk):
                    await scene.wait(stream)
        finally:
            scene.response = stream.response

    async def serve_text(self, _: Request) -> StreamingResponse:
        return StreamingResponse(self.chunks())

    async def serve_events(self, _: Request) -> EventSourceResponse:
        return EventSourceResponse(self.chunks())

    def play(self, wire: Wire, way: str, moment: str) -> Outcome:
        """Stop a run in this way at this moment."""
        if wire.name not in self.warm:
            self.warm.add(wire.name)
            for warming in WAYS:  # SDKs and web servers make much with the first request that they then keep
                self.runner.run(self._play(wire, warming, "async tool"))
            gc.collect()
            gc.freeze()  # or what the SDKs keep would make each collection slow
        return self.runner.run(self._play(wire, way, moment))

    async def _play(self, wire: Wire, way: str, moment: str) -> Outcome:
        outcome = Outcome(wire.name, way, moment)
        tasks = asyncio.all_tasks()
        with complaints(self.loop) as told:
            await self._stop(wire, outcome)
            await settle()
            gc.collect()  # for the warnings of what was left open
            await settle()
            await until(lambda: asyncio.all_tasks() <= tasks)
        outcome.faults += [
            f"{text} ({times} times)" for text, times in Counter(told).items()
        ]
        return outcome

    async def _stop(self, wire: Wire, outcome: Outcome) -> None:
        way = WAYS[outcome.way]
        self.scene = scene = Scene(self, wire, MOMENTS[outcome.moment])
        reply = (
            steady if way.web and scene.moment.reply is flood else scene.moment.reply
        )
        self.server.begin(reply(wire))
        if outcome.moment == HEAD:
            self.server.asked = lambda: self.loop.call_soon_threadsafe(
                scene.reached.set
            )
        try:
            async with asyncio.timeout(FOREVER / 10):
                await way.act(scene)
                if way.awaited:
                    check_at_once(scene, outcome)
                await check(scene, outcome)
        except Exception as error:  # noqa: BLE001  # whatever it is, the other cells come next
            outcome.faults.append(f"{type(error).__name__}: {error}")
        finally:
            gc.enable()
            scene.release.set()
            self.scene, self.server.asked = None, int
            await scene.tidy()


# The program


def play_all(rounds: int, only: str) -> Iterator[Outcome]:
    """Play all cells with this in their names, so many times."""
    with Stage() as stage:
        for _ in range(rounds):
            for wire in WIRES:
                for way, moment in PAIRS:
                    if only in Outcome(wire.name, way, moment).cell:
                        yield stage.play(wire, way, moment)


def table(
    title: str,
    outcomes: Iterable[Outcome],
    rows: str,
    show: Callable[[list[Outcome]], str],
) -> None:
    """Print what `show` makes of the outcomes that share a provider and what `rows` names."""
    groups: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        groups[getattr(outcome, rows)][outcome.wire].append(outcome)
    print(f"\n{title}\n{'':20}", *[f"{wire.name:>12}" for wire in WIRES])
    for row, cells in groups.items():
        print(
            f"{row:20}",
            *[
                f"{show(cells[wire.name]) if wire.name in cells else '':>12}"
                for wire in WIRES
            ],
        )


def times(outcomes: list[Outcome]) -> str:
    taken = [outcome.seconds * 1000 for outcome in outcomes]
    return f"{median(taken):.1f} {max(taken):5.1f}"


def amount(outcomes: list[Outcome]) -> str:
    sent = [outcome.bytes / 1000 for outcome in outcomes]
    return f"{median(sent):.0f} {max(sent):5.0f}"


def report(outcomes: list[Outcome], rounds: int) -> bool:
    """Print the tables, and what was wrong; returns whether nothing was."""
    table(
        "Milliseconds until the server saw the stop: median, maximum",
        outcomes,
        "way",
        times,
    )
    table("The same by moment", outcomes, "moment", times)
    endless = [
        outcome for outcome in outcomes if MOMENTS[outcome.moment].reply is flood
    ]
    table(
        "Kilobytes that a server without end sent after the stop: median, maximum",
        endless,
        "way",
        amount,
    )
    wrong, late = (
        [one for one in outcomes if one.faults],
        [one for one in outcomes if one.seconds > AT_ONCE],
    )
    for one in (wrong + [one for one in late if not one.faults])[:MOST_SHOWN]:
        print(
            f"\n{one.cell}: {one.seconds * 1000:.0f} ms",
            *one.faults,
            sep="\n    ",
            end="",
        )
    cells, all_of = len({one.cell for one in outcomes}), "not all" if late else "all"
    print(
        f"\n{cells} cells, {rounds} rounds: {all_of} within {AT_ONCE * 1000:.0f} ms",
        end="",
    )
    print(f" ({len(late)} stops late, {len(wrong)} wrong)" if late or wrong else "")
    return not (wrong or late)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="a part of 'provider, way, moment'")
    arguments = parser.parse_args()
    sys.exit(
        not report(list(play_all(arguments.rounds, arguments.only)), arguments.rounds)
    )
