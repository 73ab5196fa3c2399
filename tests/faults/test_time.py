"""Time: only content ends a wait, each limit ends what it is for, and nothing is left over when it does."""

import asyncio
import gc
import json
import math
import socket
import time
import warnings
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.own_clients import make_client
from support.pace import pace
from support.scene import Outcome
from support.timed_runs import (
    Scene,
    Stage,
    ask,
    begun,
    check,
    consume,
    encode_text,
    end_of,
    ends,
    in_loop,
    paced,
    play,
    prompt,
    warm_up,
)
from support.waiting import left, no_task_is_left, until
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    ollama_chat,
    openai_responses,
)
from support.wire.common import Json, encode, event

from cogent import (
    Agent,
    ConfigurationError,
    Model,
    ModelTimeout,
    ServerError,
    Timeout,
    tool,
)
from cogent.stream import AgentStream

# Where something must happen within a limit, the test is one of `pace.attempts` and its times are multiplied by `pace`.
SHORT = 0.15  # seconds of a limit that is to be reached
FIRST = 0.2  # the same where a request should have arrived before
TOTAL = 0.35  # the same where an answer must have begun before
PROMPT = 30.0  # seconds after which what takes milliseconds hangs
FOREVER = 600.0  # seconds that no test waits for
JSON = "application/json"
LIMITS = ("connect", "first", "stall", "total", "tool", "idle")


# Runs whose waits pass at the same time


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A server for several runs at the same time."""
    with Stage() as running:
        yield running


@pytest.fixture
def wire(wire: Wire) -> Wire:
    """Each provider in turn, its SDK warmed up: the first request builds types for longer than the limits here."""
    warm_up(wire.name)
    return wire


@contextmanager
def complaints() -> Iterator[list[str]]:
    """The RuntimeWarnings that come meanwhile; as errors they would end in the loop, where nobody sees them."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield told
    told += [
        str(warning.message) for warning in caught if warning.category is RuntimeWarning
    ]


# What a wire sends


def delta(wire: Wire, text: str) -> bytes:
    """The event that brings this text."""
    return next(one for one in wire.send.text(text) if encode_text(text) in one)


def chat_line(**message: Any) -> bytes:
    return (
        encode(
            {
                "model": "gpt-test",
                "message": {"role": "assistant", **message},
                "done": False,
            }
        )
        + b"\n"
    )


def choice(**delta: Any) -> bytes:
    return event(
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
    )


# What keeps a connection alive and is no content, for each format.
NOISE: dict[Any, dict[str, bytes]] = {
    openai_responses: {
        "comments": b": ping\n\n",
        "keepalives": event(
            {"type": "keepalive", "sequence_number": 9}, name="keepalive"
        ),
        "progress": event(
            {"type": "response.in_progress", "response": {"status": "in_progress"}}
        ),
    },
    chat_completions: {
        "comments": b": PROCESSING\n\n",
        "no delta": choice(),
        "null content": choice(role="assistant", content=None),
        "no choices": event({"object": "chat.completion.chunk", "choices": []}),
    },
    anthropic_messages: {
        "comments": b": ping\n\n",
        "pings": event({"type": "ping"}, name="ping"),
    },
    gemini_generate: {
        "no parts": event(
            {"candidates": [{"index": 0, "content": {"role": "model", "parts": []}}]}
        ),
        "no content": event({"candidates": [{"index": 0}]}),
        "no candidates": event(
            {"usageMetadata": {"promptTokenCount": 11}, "modelVersion": "gpt-test"}
        ),
    },
    ollama_chat: {
        "no content": chat_line(),
        "empty thinking": chat_line(content="", thinking=""),
    },
}


def silences(wire: Wire, *said: str) -> dict[str, Scene]:
    """Answers that say this and then nothing, or nothing but what is no content."""
    start = begun(wire, *said)
    noise = {
        **NOISE[wire.format],
        "empty deltas": delta(wire, "xyz").replace(b"xyz", b""),
    }
    scenes = {
        name: Scene([Reply([start, one], forever=True)]) for name, one in noise.items()
    }
    return {"silence": Scene([Reply(start, end="stall")]), **scenes}


def tool_turn(wire: Wire, *names: str, text: str = "") -> Reply:
    """An answer that calls these tools, in one piece."""
    calls = [(f"c{place}", name, "{}") for place, name in enumerate(names)]
    return Reply(b"".join(wire.send.tool_calls(*calls, text=text)))


def plain(body: bytes, **how: Any) -> Reply:
    return Reply(body, content_type=JSON, **how)


# The first content


@tool
async def look(where: str = "") -> str:
    """Look."""
    return "Seen."


@pace.attempts
def test_silence_is_no_first_content(stage: Stage, wire: Wire) -> None:
    """`first` is reached though the connection stands and comments, pings and empty deltas keep coming."""
    scenes = {"deafness": Scene([Reply(delay=FOREVER)]), **silences(wire)}
    scenes["silence after tools"] = Scene([tool_turn(wire, "look"), Reply(end="stall")])
    seen = play(stage, wire, scenes, timeout=Timeout(first=pace(FIRST)), tools=[look])
    assert ends(seen) == dict.fromkeys(scenes, ("first", ""))
    assert all(f"{pace(FIRST):g} seconds" in str(run.error) for run in seen.values())


@pace.attempts
def test_half_a_plain_answer_is_no_first_content(stage: Stage, wire: Wire) -> None:
    """Without streaming `first` is the limit of each request, whatever arrives of its answer before the whole."""
    body, calls = (
        wire.send.plain_text("Hello"),
        wire.send.plain_tool_calls(("c1", "look", "{}")),
    )
    scenes = {
        "deafness": Scene([plain(b"", delay=FOREVER)], streaming=False),
        "blanks": Scene([plain(b" ", forever=True)], streaming=False),
        "half": Scene(
            [plain(body, truncate=len(body) // 2, end="stall")], streaming=False
        ),
        "silence after tools": Scene(
            [plain(calls), plain(b"", delay=FOREVER)], streaming=False
        ),
    }
    seen = play(stage, wire, scenes, timeout=Timeout(first=pace(FIRST)), tools=[look])
    assert ends(seen) == dict.fromkeys(scenes, ("first", ""))


@pace.attempts
def test_each_request_has_a_first_limit_of_its_own(stage: Stage, wire: Wire) -> None:
    """An attempt that failed and the wait after it do not count for the next attempt, which has `first` anew."""
    limit, late, wait = (
        pace(0.4),
        pace(0.05),
        pace(0.4),
    )  # an attempt and the wait after it take longer than the limit
    body = wire.send.error_body("Come back.", None, "overloaded_error")
    busy = Reply(body, 503, JSON, {"retry-after-ms": f"{wait * 1000:g}"}, delay=late)
    scenes = {
        "an answer": Scene(
            [busy, Reply(b"".join(wire.send.text("Hello")), delay=late)]
        ),
        "silence": Scene(
            [Reply(body, 503, JSON, {"retry-after-ms": "1"}), Reply(end="stall")]
        ),
    }
    seen = play(
        stage, wire, scenes, timeout=Timeout(first=limit), model={"max_retries": 1}
    )
    assert ends(seen) == {"an answer": (None, "Hello"), "silence": ("first", "")}
    assert [len(stage.asked[name]) for name in scenes] == [2, 2]


# Content after content


@pace.attempts
def test_silence_is_a_stall(stage: Stage, wire: Wire) -> None:
    """`stall` is reached though comments, pings and empty deltas keep coming, and only after a first content."""
    scenes = silences(wire, "Hel", "lo")
    scenes["a slow consumer"] = Scene(
        [Reply(begun(wire, "Hello"), end="stall")], pause=pace(1.5 * SHORT)
    )
    scenes["a late answer to tools"] = Scene(
        [
            tool_turn(wire, "look", text="Hel"),
            Reply(begun(wire, "lo"), delay=pace(1.5 * SHORT), end="stall"),
        ]
    )
    seen = play(stage, wire, scenes, timeout=Timeout(stall=pace(SHORT)), tools=[look])
    assert ends(seen) == dict.fromkeys(scenes, ("stall", "Hello"))
    assert all(f"{pace(SHORT):g} seconds" in str(run.error) for run in seen.values())


@pace.attempts
def test_only_waiting_for_the_model_counts(stage: Stage, wire: Wire) -> None:
    """Content that keeps coming trips no limit, and the clock stands still while the consumer or a tool is busy."""
    limit, longer, step = pace(0.35), pace(0.45), pace(0.06)

    @tool
    async def rest() -> str:
        """Rest."""
        await asyncio.sleep(longer)
        return "done"

    @tool
    def doze() -> str:
        """Rest in a thread."""
        time.sleep(longer)
        return "done"

    letters, arguments = "abcdefgh", '{"where": "anywhere at all"}'
    written = [arguments[at : at + 4] for at in range(0, len(arguments), 4)]
    calling = wire.send.tool_calls(("c1", "look", arguments), pieces=len(written))
    said = Reply(b"".join(wire.send.text("Hello")))
    scenes = {
        "text": Scene(
            [Reply(paced(wire.send.text(*letters, "Hello"), *letters), pause=step)]
        ),
        "reasoning": Scene(
            [
                Reply(
                    paced(wire.send.reasoning(letters, "Hello", pieces=8), *letters),
                    pause=step,
                )
            ]
        ),
        "arguments": Scene([Reply(paced(calling, *written), pause=step), said]),
        "a slow consumer": Scene([said], pause=longer),
        "slow tools": Scene([tool_turn(wire, "rest", "doze"), said]),
    }
    seen = play(
        stage,
        wire,
        scenes,
        timeout=Timeout(first=limit, stall=limit),
        tools=[look, rest, doze],
    )
    assert ends(seen) == {
        **dict.fromkeys(scenes, (None, "Hello")),
        "text": (None, f"{letters}Hello"),
    }


# Reasoning that is not shown

HIDDEN: dict[Any, list[Json]] = {
    openai_responses: [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "web_search_call", "id": "ws_1", "status": "in_progress"},
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "name": "look",
            "arguments": "",
            "server_label": "eyes",
        },
    ],
    anthropic_messages: [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "redacted_thinking", "data": "secret"},
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "web_search",
            "input": {},
        },
    ],
}
hiding = pytest.mark.parametrize(
    "wire", [wire for wire in WIRES if wire.send in HIDDEN], ids=lambda wire: wire.name
)


def hidden(wire: Wire, item: Json) -> tuple[bytes, bytes]:
    """The events that open and close an item without content, after a first one."""
    if wire.send is anthropic_messages:
        kinds, place, name = (
            ("content_block_start", "content_block_stop"),
            "index",
            "content_block",
        )
    else:
        kinds, place, name = (
            ("response.output_item.added", "response.output_item.done"),
            "output_index",
            "item",
        )
    opened, closed = (
        event({"type": kind, place: 1, name: item}, name=kind) for kind in kinds
    )
    return opened, closed


def at_place(wire: Wire, events: Iterable[bytes], place: int) -> list[bytes]:
    """The events of an answer whose only item is the first, as those of an item further on."""
    name = "index" if wire.send is anthropic_messages else "output_index"
    return [
        one.replace(f'"{name}":0'.encode(), f'"{name}":{place}'.encode())
        for one in events
    ]


@hiding
@pace.attempts
def test_hidden_work_has_the_limit_of_a_first_content(stage: Stage, wire: Wire) -> None:
    """From the start of unseen work to the next content `first` holds, and `stall` before and after that."""
    warm_up(wire.name)
    ending = 2 if wire.send is anthropic_messages else 1  # events after the last item
    before, after = (
        b"".join(wire.send.text("Hel")[:-ending]),
        at_place(wire, wire.send.text("lo")[2:], 2),
    )
    scenes = {
        "nothing hidden": Scene(
            [Reply([before, b"".join(after)], pause=pace(3 * SHORT))]
        )
    }
    expected: dict[str, Any] = {"nothing hidden": ("stall", "Hel")}
    for item in HIDDEN[wire.send]:
        kind = item["type"]
        opened, closed = hidden(wire, item)
        start, go_on = before + opened, closed + paced(after, "lo")[0]
        scenes |= {
            f"{kind}, an end": Scene(
                [Reply([start, closed + b"".join(after)], pause=pace(2 * SHORT))]
            ),
            f"{kind}, silence": Scene([Reply(start, end="stall")]),
            f"{kind}, a stall": Scene(
                [Reply([start, go_on], pause=pace(2 * SHORT), end="stall")]
            ),
        }
        expected |= {
            f"{kind}, an end": (None, "Hello"),
            f"{kind}, silence": ("first", "Hel"),
            f"{kind}, a stall": ("stall", "Hello"),
        }
    if wire.send is openai_responses:
        events = wire.send.reasoning("First.\n\nThen.", "Hello")
        place = next(
            place for place, one in enumerate(events, 1) if b"summary_part.done" in one
        )
        parts = [b"".join(events[:place]), b"".join(events[place:])]
        scenes["between two parts of a summary"] = Scene(
            [Reply(parts, pause=pace(2 * SHORT))]
        )
        expected["between two parts of a summary"] = (None, "Hello")
    seen = play(
        stage, wire, scenes, timeout=Timeout(first=pace(4 * SHORT), stall=pace(SHORT))
    )
    assert ends(seen) == expected


# The whole run, and a consumer that does not come back


@dataclass(slots=True)
class Endless:
    """A tool that never ends by itself, and how often it was cancelled."""

    cancelled: int = 0

    async def wait(self) -> str:
        """Wait for ever."""
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "never"


@pace.attempts
def test_the_whole_may_take_too_long(stage: Stage, wire: Wire) -> None:
    """`total`, or a plain number, ends a run in whatever it is: waiting, hearing the model or running tools."""
    endless = Endless()
    start, more = begun(wire, "Hel"), delta(wire, "lo")
    scenes = {
        "deafness": Scene([Reply(delay=FOREVER)]),
        "a plain answer": Scene([plain(b"", delay=FOREVER)], streaming=False),
        "silence": Scene([Reply(start, end="stall")]),
        "text": Scene([Reply([start, more], forever=True)]),
        "tools": Scene([tool_turn(wire, "wait", text="Wait.")], answered=True),
    }
    seen = play(stage, wire, scenes, timeout=pace(TOTAL), tools=[endless.wait])
    assert {name: run.error.kind for name, run in seen.items()} == dict.fromkeys(
        scenes, "total"
    )
    assert seen["text"].text.startswith("Hello") and seen["silence"].text == "Hel"


async def asked_again(wire: Wire, stream: AgentStream) -> tuple[str, Any]:
    """Which limit a stream names that was held for too long, and its partial, after all that it held was let go."""
    with pytest.raises(ModelTimeout) as caught:
        await anext(stream)
    check(Outcome(error=caught.value, response=stream.response), wire)
    return caught.value.kind, caught.value.partial


@pace.attempts
def test_a_held_stream_is_closed_by_its_limit(server: Loopback, wire: Wire) -> None:
    """A stream that nobody asks for more is closed in time, with one warning if it is idle, and asking raises why."""
    server.watched_by(pace.watch)
    server.reply(*[Reply(begun(wire, "Hel", "lo"), end="stall")] * 2)

    async def run() -> list[tuple[str, Any]]:
        limits = (Timeout(idle=pace(SHORT)), Timeout(total=pace(TOTAL)))
        streams = [
            wire.agent(server, timeout=timeout).run_stream("Go") for timeout in limits
        ]
        assert [(await anext(stream)).content for stream in streams] == ["Hel", "Hel"]
        assert [await left(request) for request in server.requests] == [True, True], (
            "the server was not told"
        )
        await no_task_is_left()
        return [await asked_again(wire, stream) for stream in streams]

    with complaints() as told:
        asked = in_loop(run())
    assert [(kind, partial.content) for kind, partial in asked] == [
        ("idle", "Hel"),
        ("total", "Hel"),
    ]
    assert len(told) == 1


@pace.attempts
def test_a_held_stream_cancels_its_tools(server: Loopback, wire: Wire) -> None:
    """Tools that run while nobody asks for more are cancelled in time, and the partial has the results so far."""
    server.watched_by(pace.watch)
    server.reply(tool_turn(wire, "look", "wait", text="Wait."))
    endless = Endless()

    async def run() -> tuple[str, Any]:
        async with wire.agent(
            server, tools=[look, endless.wait], timeout=Timeout(idle=pace(SHORT))
        ) as agent:
            stream = agent.run_stream("Go")
            await to_a_result(stream)
            await until(lambda: endless.cancelled == 1)
            await no_task_is_left()
            return await asked_again(wire, stream)

    with complaints() as told:
        kind, partial = in_loop(run())
    assert (kind, len(told)) == ("idle", 1)
    assert [call["executed"] for call in partial.metadata["tool_calls"]] == [
        True,
        False,
    ]
    assert [message.role for message in partial.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
    ]


async def to_a_result(stream: AgentStream) -> None:
    """Read by hand: leaving a loop would stop the run."""
    while not (await anext(stream)).tool_result:
        pass


@pace.attempts
def test_a_consumer_that_comes_back_in_time_sees_everything(
    stage: Stage, wire: Wire
) -> None:
    """`idle` counts from one chunk to the next request for one: not a slow server, nor many short pauses, nor tools."""
    letters, limit = "abcd", pace(0.3)

    @tool
    async def rest() -> str:
        """Rest."""
        await asyncio.sleep(1.5 * limit)
        return "done"

    said = Reply(b"".join(wire.send.text(*letters)))
    scenes = {
        "a slow consumer": Scene([said], pause=limit / 2.5),
        "a slow server": Scene(
            [Reply(paced(wire.send.text(*letters), "c"), pause=1.5 * limit)]
        ),
        "a slow tool": Scene([tool_turn(wire, "rest"), said]),
    }
    with complaints() as told:
        seen = play(stage, wire, scenes, timeout=Timeout(idle=limit), tools=[rest])
    assert ends(seen) == dict.fromkeys(scenes, (None, letters))
    assert told == []


async def to_the_end(stream: AgentStream) -> None:
    async for chunk in stream:
        if chunk.is_final:
            break


async def to_the_error(stream: AgentStream) -> None:
    with pytest.raises(ServerError):
        await anext(stream)


async def to_a_cancel(stream: AgentStream) -> None:
    await anext(stream)
    stream.cancel()


async def to_a_close(stream: AgentStream) -> None:
    await anext(stream)
    await stream.aclose()


async def not_at_all(stream: AgentStream) -> None:
    pass


@pace.attempts
def test_a_stream_that_is_over_is_not_idle(stage: Stage, wire: Wire) -> None:
    """After its end, whichever it was, and before its beginning a stream may be held for as long as one likes."""
    said, failed = (
        Reply(wire.send.text("Hello")),
        Reply(wire.send.error_body("No.", None, "api_error"), 500, JSON),
    )
    ways = (to_the_end, to_the_error, to_a_cancel, to_a_close, not_at_all)
    stage.waiting = {
        way.__name__: [failed if way is to_the_error else said] for way in ways
    }

    stage.watched_by(pace.watch)

    async def run() -> dict[str, str]:
        async with wire.agent(stage, timeout=Timeout(idle=pace(SHORT / 2))) as agent:
            streams = {way: agent.run_stream(prompt(way.__name__)) for way in ways}
            await asyncio.gather(*[way(stream) for way, stream in streams.items()])
            await asyncio.sleep(pace(SHORT))
            with pytest.raises(ServerError):  # the same once more
                await anext(streams.pop(to_the_error))
            return {
                way.__name__: "".join([chunk.content async for chunk in stream])
                for way, stream in streams.items()
            }

    with complaints() as told:
        assert in_loop(run()) == {
            "to_the_end": "",
            "to_a_cancel": "",
            "to_a_close": "",
            "not_at_all": "Hello",
        }
    assert told == []


@pace.attempts
def test_a_run_that_has_ended_is_not_too_long(server: Loopback) -> None:
    """A consumer that is busy with the last chunk when `total` is over sees the end of the iteration."""
    wire = WIRES[0]
    server.watched_by(pace.watch)
    server.reply(Reply(wire.send.text("Hello")))

    async def run() -> Outcome:
        async with wire.agent(server, timeout=pace(0.4)) as agent:
            stream = agent.run_stream("Go")
            await to_the_end(stream)
            await asyncio.sleep(pace(0.45))
            return await consume(stream)

    assert end_of(in_loop(run())) == (None, "")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector stands still."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("busy", ["model", "tools"])
def test_a_dropped_stream_is_closed_at_once(
    server: Loopback, wire: Wire, busy: str
) -> None:
    """No limit's clock holds a stream: dropping it closes the connection or cancels the tools without a collector."""
    endless = Endless()
    server.reply(
        Reply(begun(wire, "Hel"), end="stall")
        if busy == "model"
        else tool_turn(wire, "look", "wait")
    )

    async def run() -> None:
        async with wire.agent(
            server,
            tools=[look, endless.wait],
            timeout=Timeout(**dict.fromkeys(LIMITS, FOREVER)),
        ) as agent:
            stream = agent.run_stream("Go")
            await (to_a_result(stream) if busy == "tools" else anext(stream))
            known = weakref.ref(stream)
            del stream
            assert known() is None
            if busy == "model":
                assert await left(server.requests[0]), "the server was not told"
            else:
                await until(lambda: endless.cancelled == 1)
            await no_task_is_left()

    with complaints() as told:
        in_loop(run())
    assert told == []


# Connecting


@dataclass(slots=True)
class Deaf:
    """A server that never says anything: its system takes connections, up to the length of its queue."""

    listener: socket.socket
    scheme: str

    @property
    def url(self) -> str:
        return "{}://{}:{}".format(self.scheme, *self.listener.getsockname())

    def left(self) -> bool:
        """Whether the client of the next connection closes it, or has done so."""
        self.listener.settimeout(PROMPT)
        connection, _ = self.listener.accept()
        connection.settimeout(PROMPT / 5)
        with connection, suppress(TimeoutError):
            while connection.recv(65536):
                pass
            return True
        return False


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    """A server that takes connections and never begins with TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Deaf(listener, "https")


@pytest.fixture
def full() -> Iterator[Deaf]:
    """A server whose queue is full, so that a further connection hangs."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        ExitStack() as clients,
    ):
        for _ in range(4):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield Deaf(listener, "http")


def connect(wire: Wire, server: Deaf, timeout: Timeout, **model: Any) -> dict[str, Any]:
    """How a streamed and a plain run end that no server answers, and whether they close the connections taken."""

    async def run() -> dict[str, Any]:
        async with (
            wire.agent(server, model=model, timeout=timeout) as agent,
            asyncio.timeout(2 * PROMPT),
        ):
            runs = await asyncio.gather(
                consume(agent.run_stream("Go")), ask(agent.run("Go"))
            )
            await no_task_is_left()
            taken = runs if server.scheme == "https" else []
            closed = await asyncio.gather(
                *[asyncio.to_thread(server.left) for _ in taken]
            )
        for seen in runs:
            check(seen, wire)
        return {
            **ends(dict(zip(("stream", "plain"), runs, strict=True))),
            "closed": closed,
        }

    ended = in_loop(run())
    if not all(ended["closed"]):
        with complaints():  # what leaks is told once, by the test that finds it
            gc.collect()
    return ended


def test_a_handshake_is_a_part_of_connecting(deaf: Deaf, wire: Wire) -> None:
    """A server that takes the connection but not the handshake is given up after `connect`, on both transports."""
    seen = connect(wire, deaf, Timeout(connect=SHORT))
    assert seen == {
        "stream": ("connect", ""),
        "plain": ("connect", ""),
        "closed": [True, True],
    }


def test_a_server_without_room_is_given_up(full: Deaf, wire: Wire) -> None:
    """A connection that is never made is given up after `connect`, on both transports."""
    seen = connect(wire, full, Timeout(connect=SHORT / 3))
    assert seen == {"stream": ("connect", ""), "plain": ("connect", ""), "closed": []}


def test_connecting_is_tried_again(deaf: Deaf) -> None:
    """A connection that was not made in time is asked for again, as often as `max_retries` says."""
    model = Model("openai:gpt-test", base_url=deaf.url, api_key="key", max_retries=1)

    async def run() -> Outcome:
        async with Agent("tester", model, timeout=Timeout(connect=SHORT)) as agent:
            return await consume(agent.run_stream("Go"))

    assert end_of(in_loop(run())) == ("connect", "")
    assert [deaf.left() for _ in range(2)] == [True, True]


def test_the_users_own_client_keeps_its_limit(full: Deaf, wire: Wire) -> None:
    """`connect` is for clients that the agent makes; one of the user's own connects for as long as it likes."""
    seen = connect(
        wire,
        full,
        Timeout(connect=SHORT / 3, first=SHORT),
        client=make_client(wire, full.url),
    )
    assert seen == {"stream": ("first", ""), "plain": ("first", ""), "closed": []}


# Tools, and the limits themselves


def test_a_tool_may_take_too_long(server: Loopback, wire: Wire) -> None:
    """`tool` ends the call and not the run: the model is told, and answers."""
    server.reply(tool_turn(wire, "wait"), Reply(wire.send.text("Then not.")))
    endless = Endless()

    async def run() -> Outcome:
        async with wire.agent(
            server, tools=[endless.wait], timeout=Timeout(tool=SHORT / 3)
        ) as agent:
            return await consume(agent.run_stream("Go"))

    assert end_of(in_loop(run())) == (None, "Then not.")
    assert endless.cancelled == 1
    assert f"did not end within {SHORT / 3:g} seconds" in json.dumps(
        server.requests[1].json
    )


def test_none_is_no_limit(server: Loopback, wire: Wire) -> None:
    """A run without any limit goes on where its consumer left it."""
    server.reply(Reply(wire.send.text("Hel", "lo")))

    async def run() -> str:
        async with wire.agent(
            server, timeout=Timeout(**dict.fromkeys(LIMITS))
        ) as agent:
            stream = agent.run_stream("Go")
            text = (await anext(stream)).content
            await asyncio.sleep(SHORT / 3)
            return text + (await consume(stream)).text

    with complaints() as told:
        assert in_loop(run()) == "Hello"
    assert told == []


def test_what_is_limited_unless_one_says_otherwise() -> None:
    """By default a connection is given ten seconds and a held stream ten minutes, and nothing else is limited."""
    assert Timeout() == Timeout(
        connect=10, first=None, stall=None, total=None, tool=None, idle=600
    )
    assert Agent("tester", "openai:gpt-test").timeout == Timeout()


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("limit", [0, -1, -0.5, "3", True, [], math.nan], ids=repr)
def test_a_limit_that_makes_no_sense_is_refused(name: str, limit: Any) -> None:
    """A limit is a number of seconds above zero, or None; the error names the one that is wrong."""
    with pytest.raises(ConfigurationError, match=name):
        Timeout(**{name: limit})
