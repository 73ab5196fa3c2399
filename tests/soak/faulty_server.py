"""A server in a process of its own whose every answer, and every fault, follows from the words of the prompt.

A prompt is an `Order`: a kind of plan, a number and a setting. Client and server work out the same plan from it, so
that the client knows what it has to see and which fault was meant. The tools' results in a request tell which turn it
asks for. A request with the method GET is answered with how many connections were made, how many are open, and
how many of those wait for the rest of an answer that hangs.
"""

import asyncio
import json
import re
import resource
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Literal, Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.loopback import Loopback, Recorded, Reply
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    ollama_chat,
    openai_responses,
)
from support.wire.common import Call

FORMATS = {
    "/responses": openai_responses,
    "/chat/completions": chat_completions,
    "/v1/messages": anthropic_messages,
    ":streamGenerateContent": gemini_generate,
    "/api/chat": ollama_chat,
}
RESULT = "Result of"  # begins what a tool returns, and is in no planned text
HOUR = 3600.0
BACKLOG = 4096  # connections that may wait to be accepted; one too many would wait a second to be asked for again
# What is hard about text: several bytes a character, quotes, what ends a line somewhere, what looks like the format.
HARD = [
    "é",
    "日本",
    "🙂",
    "👩‍👩‍👧",
    '"',
    "\\",
    "\n",
    "\r\n",
    "\u2028",
    "\x85",
    "\x00",
    "data: ",
    "[DONE]",
    "{}",
    "\n\n",
    "</s>",
]
POINTS = ("head", "text", "calls", "tool", "second")
FAULTS = ("cut", "error", "status", "stall")
STATUSES = (500, 429, 529)
ERRORS = ("server_error", "overloaded_error", "rate_limit_exceeded")
Kind = Literal["storm", "soak", "many"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a prompt asks for; `setting` is the share of faults in percent (soak) or a pause in ms (many)."""

    kind: Kind
    number: int
    setting: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {self.setting}"

    @classmethod
    def found_in(cls, body: bytes) -> Self:
        """The order in a request's body, whatever its format."""
        found = re.search(rb"(storm|soak|many) (\d+) (\d+)", body)
        assert found is not None, body
        return cls(found[1].decode(), int(found[2]), int(found[3]))  # type: ignore[arg-type]  # one of the three


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model."""

    deltas: tuple[str, ...]
    calls: tuple[Call, ...] = ()

    def events(self, send: Any) -> list[bytes]:
        """The answer in a format."""
        if not self.calls:
            return send.text(*self.deltas)
        return send.tool_calls(
            *self.calls, text="".join(self.deltas), pieces=max(1, len(self.deltas))
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run: its turns, and where it is left (storm) or what goes wrong in which of its turns (soak)."""

    turns: tuple[Turn, ...]
    point: str = ""
    fault: str = ""
    broken: int = 0
    failures: int = 1
    """How many requests for the broken turn fail before one is answered well."""

    @property
    def text(self) -> str:
        """All text of the run."""
        return "".join(delta for turn in self.turns for delta in turn.deltas)

    @property
    def arguments(self) -> list[tuple[str, Any]]:
        """What each call of the run is of, and with which arguments."""
        return [
            (name, json.loads(arguments))
            for turn in self.turns
            for _, name, arguments in turn.calls
        ]

    def asked(self, body: bytes) -> int:
        """Which turn a request asks for: one more than those whose calls it has all answers to."""
        answers = body.count(RESULT.encode())
        return [0, *accumulate(len(turn.calls) for turn in self.turns)].index(answers)


def planned(order: Order) -> Plan:
    """The plan of an order: the same on both sides."""
    return PLANS[order.kind](order, Random(str(order)))


def _storm(order: Order, random: Random) -> Plan:
    point = POINTS[
        order.number // 8 % len(POINTS)
    ]  # eight wires have each point in turn
    text = Turn(tuple(f"{order.number}-{place} " for place in range(20)))
    if point in ("head", "text"):
        return Plan((text,), point)
    seconds = 0 if point == "second" else HOUR
    names = random.choice([("wait",), ("block",), ("wait", "block")])
    calls = [(f"call_{name}", name, json.dumps({"seconds": seconds})) for name in names]
    return Plan((Turn(("Let me ", "see. "), tuple(calls)), text), point)


def _soak(order: Order, random: Random) -> Plan:
    turns = [
        Turn(
            _text(random, 0, 5),
            tuple(_call(random, turn, place) for place in range(random.randint(1, 3))),
        )
        for turn in range(random.choices((0, 1, 2), (6, 3, 1))[0])
    ]
    turns.append(Turn(_text(random, 1, 40)))
    fault = random.choice(FAULTS) if random.random() * 100 < order.setting else ""
    failures = random.randint(1, 2) if fault == "status" else 1
    return Plan(
        tuple(turns),
        fault=fault,
        broken=random.randrange(len(turns)),
        failures=failures,
    )


def _many(order: Order, random: Random) -> Plan:
    return Plan((Turn(tuple(f"{order.number}-{place} " for place in range(20))),))


PLANS = {"storm": _storm, "soak": _soak, "many": _many}


def _text(random: Random, least: int, most: int) -> tuple[str, ...]:
    return tuple(_word(random) for _ in range(random.randint(least, most)))


def _word(random: Random) -> str:
    letters = random.choices("abcdefghij      ", k=random.choice((1, 5, 20, 200)))
    return "".join([*letters, *random.choices(HARD, k=random.randint(0, 3))])


def _call(random: Random, turn: int, place: int) -> Call:
    arguments = {"text": _word(random), "count": random.randrange(10**9)}
    name = random.choice(("echo", "echo_in_thread"))
    return (
        f"call_{turn}_{place}",
        name,
        json.dumps(arguments, ensure_ascii=random.random() < 0.5),
    )


class Faulty(Loopback):
    """The server: it knows of a request how often it came before, and whether its client still waits."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts: Counter[tuple[Order, int]] = Counter()
        self.hanging: list[Recorded] = []

    def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        listener.listen(
            BACKLOG
        )  # which may be called again, and was with the small default
        super()._accept(listener, group)

    def next_reply(self, request: Recorded) -> Reply:
        """What the plan says."""
        self.requests.clear()  # nobody asks for them here
        if request.method == "GET":
            self.hanging = [
                hanging for hanging in self.hanging if hanging.disconnected is None
            ]
            state = {
                "made": request.connection - 1,
                "open": self.open_connections - 1,
                "hanging": len(self.hanging),
            }
            return Reply(json.dumps(state), content_type="application/json")
        order = Order.found_in(request.body)
        plan = planned(order)
        turn = plan.asked(request.body)
        path = request.path.partition("?")[0]
        send = next(send for end, send in FORMATS.items() if path.endswith(end))
        self.attempts[order, turn] += 1
        random = Random(f"{order} {turn}")
        if order.kind == "storm":
            reply = _until(plan, turn, send, random)
            self.hanging += [request] if reply.delay or reply.end == "stall" else []
            return reply
        if order.kind == "many":
            return _slow(plan, send, order.setting / 1000)
        fails = (
            plan.fault
            and turn == plan.broken
            and self.attempts[order, turn] <= plan.failures
        )
        return (
            _broken(plan, turn, send, random)
            if fails
            else _whole(plan.turns[turn].events(send), random)
        )


def _until(plan: Plan, turn: int, send: Any, random: Random) -> Reply:
    """An answer that comes as far as to the point where the client leaves, and then no further."""
    if plan.point == "head":
        return Reply(delay=HOUR)
    this = plan.turns[turn]
    events = this.events(send)
    if this.calls:
        return Reply(events)
    last = _place(events, this.deltas[random.randint(3, 19)])
    return Reply(
        events[: last + 1], pause=random.choice((0, 0.001, 0.005)), end="stall"
    )


def _slow(plan: Plan, send: Any, pause: float) -> Reply:
    """A first piece up to the first delta, so that the client's time to it is not ours, and one for each further."""
    [turn] = plan.turns
    events = turn.events(send)
    first, last = _place(events, turn.deltas[0]), _place(events, turn.deltas[-1])
    return Reply(
        [
            b"".join(events[: first + 1]),
            *events[first + 1 : last],
            b"".join(events[last:]),
        ],
        pause=pause,
    )


def _place(events: list[bytes], delta: str) -> int:
    return next(place for place, event in enumerate(events) if delta.encode() in event)


def _whole(events: list[bytes], random: Random, **options: Any) -> Reply:
    """The events in pieces of any size, which may end in the middle of a character."""
    size = sum(map(len, events))
    cuts = sorted(
        random.sample(range(1, size), min(size - 1, random.choice((0, 3, 30))))
    )
    split = random.choice((None, cuts, cuts, random.randint(20, 400)))
    # With few pieces a pause makes each arrive by itself.
    pause = random.choice((0, 0.002)) if split is cuts and len(cuts) < 10 else 0
    return Reply(
        events,
        split=split,
        pause=pause,
        framing=random.choice(("chunked", "length")),
        **options,
    )


def _broken(plan: Plan, turn: int, send: Any, random: Random) -> Reply:
    this = plan.turns[turn]
    error = random.choice(ERRORS)
    match plan.fault:
        case "error":
            said = this.deltas[: random.randint(0, len(this.deltas))]
            return _whole(
                send.error_event("A planned fault.", error, error, after=said), random
            )
        case "status":
            status = random.choice(STATUSES)
            headers = random.choice(
                ({}, {"retry-after-ms": "20"}, {"retry-after": "0"})
            )
            return Reply(
                send.error_body("A planned fault.", None, error),
                status,
                "application/json",
                headers,
            )
    events = this.events(send)
    ends = ("stall",) if plan.fault == "stall" else ("clean", "close", "reset")
    # At any byte, or between two events, where only what is missing tells that it is a cut.
    cut = random.choice(
        (
            random.randrange(sum(map(len, events))),
            random.choice([0, *accumulate(map(len, events[:-1]))]),
        )
    )
    return _whole(events, random, truncate=cut, end=random.choice(ends))


@contextmanager
def started() -> Iterator[str]:
    """The address of a server that runs as long as the context, and as many files as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, __file__], text=True, **pipes) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


if __name__ == "__main__":
    with Faulty() as server:
        print(server.url, flush=True)
        sys.stdin.read()  # until whoever started the server closes the pipe, or dies
