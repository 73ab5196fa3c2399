"""The truth matrix: whatever goes wrong with an answer, on every wire, at every place, is told as it was.

    .venv/bin/python tests/soak/truth.py

runs every cell and prints, for each wire and fault, how many were told right. The exit status is 1 if any was not.

A cell is one answer that goes wrong at one place: the only one of its run, or the second after a tool has run. What
is to be expected is read here from the events that were sent, by the documented formats (their addresses are in
support/wire), never from cogent.
"""

import asyncio
import gc
import json
import re
import sys
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, cycle, product
from pathlib import Path
from time import perf_counter
from typing import Any, Self
from zlib import crc32

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import WIRES, Wire
from support.loopback import Loopback, Recorded, Reply
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    mistral_chat,
    ollama_chat,
    openai_responses,
)

from cogent import (
    Agent,
    Message,
    ModelError,
    ModelTimeout,
    Overloaded,
    RateLimited,
    Response,
    RunContext,
    ServerError,
    StreamChunk,
    StreamInterrupted,
    Timeout,
    tool,
)

Json = dict[str, Any]
Events = list[bytes]

ASKED_AGAIN = 3  # of so many cells, one is gone on with
AT_ONCE, WAITING_AT_ONCE = (
    16,
    64,
)  # cells that share the loop, and such as do nothing but wait
LONGEST = 60.0  # seconds after which a cell counts as hanging
PROMPT = 30.0  # seconds after which something hangs; a server sees in milliseconds that its client has left
# Seconds without content. A cell that goes wrong is tried again with the longer limits, because a busy machine may be
# too slow for the shorter ones.
STALLS = (0.3, 3.0, 15.0)


@tool
async def search(query: str, context: RunContext) -> str:
    """Search."""
    context["ran"].append(query)
    return f"Found {query}."


@tool
async def look(context: RunContext) -> str:
    """Look around."""
    context["ran"].append("look")
    return "Found look."


# What is sent

TEXT = ("Grüße, 日本\u2028", "😀!")
CALL = ("call_1", "search", '{"query":"Köln"}')
OTHER = ("call_2", "search", '{"query":"Ulm"}')
BARE = ("call_1", "look", "{}")
SHAPES: dict[str, Callable[[Any], Events]] = {
    "text": lambda send: send.text(*TEXT),
    "call": lambda send: send.tool_calls(CALL, pieces=2),
    "call without arguments": lambda send: send.tool_calls(BARE),
    "text then calls": lambda send: send.tool_calls(
        CALL, OTHER, text="So: «ü».", interleaved=True, pieces=2
    ),
    "reasoning then text": lambda send: send.reasoning(
        "Hm…\n\nSo?", "Grüße.", pieces=2
    ),
}
SECOND_SHAPES = ("text", "text then calls")
FIRST = "First. "
FIRST_CALL = ("call_0", "search", '{"query":"Oslo"}')
WHOLE_CALLS = (gemini_generate, ollama_chat)  # formats in which arguments are an object


def shapes(send: Any) -> dict[str, Events]:
    """The events of a whole answer of each shape."""
    built = {name: build(send) for name, build in SHAPES.items()}
    return built | (
        {"call in pieces": gemini_pieces(3)} if send is gemini_generate else {}
    )


def limited(send: Any, finish: Any) -> Iterator[tuple[str, Events]]:
    """Answers that end with this reason, at several places of their text and of their arguments."""
    told: Json = {"finish": finish, "pieces": 2}
    for usage in ((11, 7), None):
        yield f"text, usage {usage}", send.text(*TEXT, usage=usage, **told)
        yield (
            f"text then call, usage {usage}",
            send.tool_calls(CALL, text="So: «ü».", usage=usage, **told),
        )
    yield "half a text", send.text(*TEXT[:1], **told)
    yield "call without arguments", send.tool_calls(BARE, **told)
    yield "reasoning", send.reasoning("Hm…", "", **told)
    yield "reasoning then text", send.reasoning("Hm…", "Grü", **told)
    size = len(CALL[2])
    for cut in (size,) if send in WHOLE_CALLS else (0, 3, size // 2, size - 1, size):
        call = (*CALL[:2], CALL[2][:cut])
        yield f"call cut at {cut} of {size}", send.tool_calls(call, **told)
        yield (
            f"text then calls, cut at {cut} of {size}",
            send.tool_calls(OTHER, call, text="So.", **told),
        )
    if send is gemini_generate:
        yield from (
            (f"call in {count} of 3 pieces", gemini_pieces(count, finish))
            for count in range(4)
        )
    if finish == "content_filter":
        yield "refusal", send.refusal("Das möchte ich nicht.")
        if send is gemini_generate:
            yield "prompt blocked", [b"data: " + send.blocked() + b"\r\n\r\n"]


def gemini_pieces(count: int, finish: Any = "stop") -> Events:
    """Gemini's events of a call whose arguments come in so many of 3 pieces, as Vertex sends them when asked to."""
    said = [
        {"jsonPath": "$.query", "stringValue": piece, "willContinue": True}
        for piece in ("Kö", "ln")
    ]
    calls: list[Json] = [
        {"partialArgs": [piece], "willContinue": True} for piece in said
    ]
    calls = [
        {"id": "call_1", "name": "search", "willContinue": True},
        *[*calls, {}][:count],
    ]
    marks = [f"<{place}>" for place in range(len(calls))]
    *events, end = gemini_generate.text(*marks, finish=finish)
    swapped = []
    for event, mark, call in zip(events, marks, calls, strict=True):
        spoken = json.dumps({"text": mark}, separators=(",", ":")).encode()
        assert spoken in event
        swapped.append(
            event.replace(spoken, json.dumps({"functionCall": call}).encode())
        )
    return [*swapped, end]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a provider reports inside an answer, and its class."""

    message: str
    code: str | None
    type: str
    kind: type[ModelError]
    form: str = "error_event"

    def event(self, send: Any, place: int) -> bytes:
        """What reports it as the event at this place."""
        event: bytes = getattr(send, self.form)(self.message, self.code, self.type)[-1]
        return re.sub(rb'("sequence_number":)\d+', rb"\g<1>%d" % place, event)


BUSY = "The model is overloaded. Please try again later."
OPENAI_FAILURES = (
    Failure("It broke.", "server_error", "server_error", ServerError),
    Failure(BUSY, "server_is_overloaded", "service_unavailable_error", Overloaded),
    Failure("Too fast.", "rate_limit_exceeded", "requests", RateLimited),
)
FORMS = ("error_event", "plain_error_event", "nested_error_event")
FAILURES: dict[Any, Sequence[Failure]] = {
    openai_responses: [
        Failure(f.message, f.code, f.type, f.kind, form)
        for form in FORMS
        for f in OPENAI_FAILURES
    ],
    chat_completions: [
        *OPENAI_FAILURES,
        Failure(BUSY, None, "overloaded_error", Overloaded),
    ],
    anthropic_messages: [
        Failure("It broke.", None, "api_error", ServerError),
        Failure("Overloaded", None, "overloaded_error", Overloaded),
        Failure("Too fast.", None, "rate_limit_error", RateLimited),
    ],
    gemini_generate: [
        Failure("It broke.", None, "INTERNAL", ServerError),
        Failure(BUSY, None, "UNAVAILABLE", Overloaded),
        Failure("Too fast.", None, "RESOURCE_EXHAUSTED", RateLimited),
    ],
    ollama_chat: [
        Failure("unexpected EOF", None, "", ServerError),
        Failure(BUSY, None, "", Overloaded),
    ],
}


# What that says


@dataclass(slots=True)
class Told:
    """What events say: `finish` is why the answer ended, `over` whether the format has nothing more to come."""

    text: str = ""
    reasoning: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict)
    """By their place: the id, the name, and as much of the arguments as came."""
    refused: bool = False
    finish: str | None = None
    over: bool = False
    usage: tuple[int, int] | None = None
    """The tokens that were read and written."""
    hidden: bool = False
    """Whether work that shows nothing was announced."""

    @property
    def reason(self) -> str | None:
        """The finish reason that a user is told."""
        if self.finish == "stop":
            return (
                "content_filter"
                if self.refused
                else "tool_calls"
                if self.calls
                else "stop"
            )
        return self.finish

    @property
    def anything(self) -> bool:
        """Whether there is anything to be seen."""
        return bool(self.text or self.reasoning or self.calls)


def counts(usage: Json | None, read: str, written: str) -> tuple[int, int] | None:
    """The tokens under these names, if there are any; Gemini leaves out a 0."""
    return (usage[read], usage.get(written, 0)) if usage and read in usage else None


def read_responses(told: Told, event: Json) -> None:
    """The last event is `response.completed` or `response.incomplete`."""
    place = event.get("output_index")
    match event["type"]:
        case "response.output_text.delta":
            told.text += event["delta"]
        case "response.refusal.delta":
            told.text += event["delta"]
            told.refused = True
        case "response.reasoning_summary_text.delta":
            told.reasoning += event["delta"]
        case "response.output_item.added":
            item = event["item"]
            if item["type"] == "function_call":
                told.calls[place] = [item["call_id"], item["name"], ""]
            told.hidden |= item["type"] == "reasoning"
        case "response.function_call_arguments.delta":
            told.calls[place][2] += event["delta"]
        case "response.completed" | "response.incomplete":
            response = event["response"]
            reason = (response["incomplete_details"] or {}).get("reason", "stop")
            told.finish = {"max_output_tokens": "length"}.get(reason, reason)
            told.over, told.usage = (
                True,
                counts(response["usage"], "input_tokens", "output_tokens"),
            )


def read_chat(told: Told, event: Json) -> None:
    """The choice has a `finish_reason`; usage may follow it, then `[DONE]`."""
    for choice in event["choices"]:
        delta = choice["delta"]
        told.text += (delta.get("content") or "") + (delta.get("refusal") or "")
        told.refused |= bool(delta.get("refusal"))
        told.reasoning += delta.get("reasoning_content") or ""
        for piece in delta.get("tool_calls", ()):
            call = told.calls.setdefault(
                piece["index"], [piece.get("id"), piece["function"].get("name"), ""]
            )
            call[2] += piece["function"]["arguments"]
        told.finish = {"tool_calls": "stop"}.get(
            choice["finish_reason"], choice["finish_reason"]
        )
    told.usage = counts(event.get("usage"), "prompt_tokens", "completion_tokens")


def read_mistral(told: Told, event: Json) -> None:
    """The same, but for reasoning, which is a part of a content list."""
    for choice in event["choices"]:
        content = choice["delta"]["content"]
        if isinstance(content, list):
            texts = [piece["text"] for part in content for piece in part["thinking"]]
            told.reasoning += "".join(texts)
            choice["delta"]["content"] = ""
    read_chat(told, event)


ANTHROPIC_ENDS = {
    "end_turn": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "refusal": "content_filter",
}


def read_anthropic(told: Told, event: Json) -> None:
    """`message_delta` has the `stop_reason`, and `message_stop` follows."""
    place = event.get("index", -1)
    match event["type"]:
        case "content_block_start":
            block = event["content_block"]
            if block["type"] == "tool_use":
                told.calls[place] = [block["id"], block["name"], ""]
            told.hidden |= block["type"] == "thinking"
        case "content_block_delta":
            delta = event["delta"]
            told.text += delta.get("text", "")
            told.reasoning += delta.get("thinking", "")
            if "partial_json" in delta:
                told.calls[place][2] += delta["partial_json"]
        case "content_block_stop" if place in told.calls:
            told.calls[place][2] = (
                told.calls[place][2] or "{}"
            )  # the input is what the block began with
        case "message_delta":
            told.finish = ANTHROPIC_ENDS[event["delta"]["stop_reason"]]
            told.usage = counts(event.get("usage"), "input_tokens", "output_tokens")
        case "message_stop":
            told.over = True


GEMINI_ENDS = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}


def read_gemini(told: Told, event: Json) -> None:
    """A candidate has a `finishReason`, or the prompt was blocked; only the end of the body is the end."""
    for candidate in event.get("candidates", ()):
        for part in candidate["content"]["parts"]:
            if "functionCall" in part:
                read_gemini_call(told, part["functionCall"])
            elif part.get("thought"):
                told.reasoning += part["text"]
            else:
                told.text += part["text"]
        told.finish = GEMINI_ENDS.get(candidate.get("finishReason"))
    if "promptFeedback" in event:
        told.finish = "content_filter"
    told.usage = counts(
        event.get("usageMetadata"), "promptTokenCount", "candidatesTokenCount"
    )


def read_gemini_call(told: Told, call: Json) -> None:
    """A call comes whole, or in pieces of which the last says nothing of another."""
    if "name" in call:
        told.calls[len(told.calls)] = [
            call["id"],
            call["name"],
            json.dumps(call["args"]) if "args" in call else "",
        ]
        return
    last = told.calls[len(told.calls) - 1]
    last[2] += "".join(piece["stringValue"] for piece in call.get("partialArgs", ()))
    if "willContinue" not in call:
        last[2] = json.dumps({"query": last[2]})


def read_ollama(told: Told, event: Json) -> None:
    """The last line is `done`."""
    message = event["message"]
    told.text += message["content"]
    told.reasoning += message.get("thinking", "")
    for call in message.get("tool_calls", ()):
        function = call["function"]
        told.calls[len(told.calls)] = [
            call["id"],
            function["name"],
            json.dumps(function["arguments"]),
        ]
    if event["done"]:
        told.finish, told.over = event["done_reason"], True
        told.usage = counts(event, "prompt_eval_count", "eval_count")


READERS: dict[Any, Callable[[Told, Json], None]] = {
    openai_responses: read_responses,
    chat_completions: read_chat,
    mistral_chat: read_mistral,
    anthropic_messages: read_anthropic,
    gemini_generate: read_gemini,
    ollama_chat: read_ollama,
}
DONE = b"data: [DONE]"


def read(send: Any, events: Sequence[bytes]) -> Told:
    """What whole events say."""
    told = Told()
    for event in events:
        if event.strip() == DONE:
            told.over = True
        else:
            READERS[send](
                told,
                json.loads(
                    event.partition(b"data: ")[2] if send is not ollama_chat else event
                ),
            )
    return told


def delivered(events: Events, size: int, end: str) -> tuple[Events, bool]:
    """The whole events among so many bytes, and whether that is all there is among them.

    An event is whole with its line ends. Where the body has ended as it should, the last one needs none: its data are
    whole with their last brace, and `[DONE]` is all that its line can hold.
    """
    bounds = list(accumulate(map(len, events), initial=0))
    count = sum(bound <= size for bound in bounds) - 1
    rest = b"".join(events)[bounds[count] : size].rstrip()
    if end == "clean" and rest and rest == events[count].rstrip():
        return events[: count + 1], True
    return events[:count], not rest


# What is expected


@dataclass(frozen=True, slots=True)
class Cell:
    """One reply that goes wrong, and what it has said; `error` is None where it counts as whole."""

    name: str
    reply: Reply
    told: Told
    error: type[ModelError] | None
    message: str = ""
    second: bool = False
    """Whether the reply is the second of its run."""

    @property
    def goes_on(self) -> bool:
        """Whether its tools are to be run, and the model asked again."""
        return self.error is None and self.told.reason == "tool_calls"


def cells(wire: Wire, fault: str) -> list[Cell]:
    """All cells of a fault: as the only turn, then as the second."""
    make = MAKERS[fault]
    made = [
        *make(wire, False),
        *(replace(cell, name=f"{cell.name}, second turn") for cell in make(wire, True)),
    ]
    assert len({cell.name for cell in made}) == len(made)
    return made


def broken_off(end: Any) -> Callable[[Wire, bool], Iterator[Cell]]:
    """Each shape, cut after each event and inside each, by a body that ends so."""

    def make(wire: Wire, second: bool) -> Iterator[Cell]:
        for shape, events in shapes(wire.send).items():
            if second and shape not in SECOND_SHAPES:
                continue
            for place, size in chain(
                boundaries(events), () if second or end == "reset" else insides(events)
            ):
                whole, exactly = delivered(events, size, end)
                told = read(wire.send, whole)
                complete = told.over or (
                    end == "clean" and exactly and told.finish is not None
                )
                reply = Reply(events, truncate=size, end=end, content_type=wire.mime)
                error = None if complete else StreamInterrupted
                yield Cell(f"{shape}, {place}", reply, told, error, second=second)

    return make


def boundaries(events: Events) -> Iterator[tuple[str, int]]:
    """The sizes of so many whole events."""
    for count, size in enumerate(accumulate(map(len, events), initial=0)):
        yield f"after {count} of {len(events)} events", size


def insides(events: Events) -> Iterator[tuple[str, int]]:
    """A size that ends inside each event, in turn in a character, before its last brace, before its end and early."""
    for place, (event, before) in enumerate(
        zip(events, accumulate(map(len, events), initial=0), strict=False)
    ):
        body = len(event.rstrip())
        odd = next((at + 1 for at, byte in enumerate(event) if byte >= 0xC0), body // 2)
        into = (odd, body - 1, body, 1)[place % 4]
        yield f"{into} bytes into event {place + 1} of {len(events)}", before + into


def failing(wire: Wire, second: bool) -> Iterator[Cell]:
    """Each shape with an error after each event before its end: the errors in turn, and what comes after them too."""
    turns: Any = zip(
        cycle(FAILURES[wire.format]),
        cycle(("clean", "close", "clean", "stall", "clean")),
        strict=False,
    )
    for shape, events in shapes(wire.send).items():
        for count in range(len(events) if not second or shape in SECOND_SHAPES else 0):
            told = read(wire.send, events[:count])
            if told.finish is not None:
                break
            failure, end = next(turns)
            body = [*events[:count], failure.event(wire.send, count)]
            name = f"{shape}, {failure.type or failure.message!r} by {failure.form} after {count} events, then {end}"
            reply = Reply(body, end=end, content_type=wire.mime)
            yield Cell(name, reply, told, failure.kind, failure.message, second)


def stalled(wire: Wire, second: bool) -> Iterator[Cell]:
    """Each shape, going silent after each event."""
    for shape, events in shapes(wire.send).items():
        for count, (place, size) in enumerate(
            boundaries(events) if not second or shape in SECOND_SHAPES else ()
        ):
            told = read(wire.send, events[:count])
            reply = Reply(events, truncate=size, end="stall", content_type=wire.mime)
            error = None if told.over else ModelTimeout
            yield Cell(f"{shape}, {place}", reply, told, error, second=second)


def ending(finish: str) -> Callable[[Wire, bool], Iterator[Cell]]:
    """Answers that end with this reason, whole and without what follows the reason."""

    def make(wire: Wire, second: bool) -> Iterator[Cell]:
        for shape, events in limited(wire.send, finish):
            for count in range(1, len(events) + 1):
                told = read(wire.send, events[:count])
                if told.finish is not None and (count == len(events) or not second):
                    reply = Reply(events[:count], content_type=wire.mime)
                    yield Cell(
                        f"{shape}, {count} of {len(events)} events",
                        reply,
                        told,
                        None,
                        second=second,
                    )

    return make


MAKERS: dict[str, Callable[[Wire, bool], Iterator[Cell]]] = {
    "dropped": broken_off("close"),
    "reset": broken_off("reset"),
    "ended": broken_off("clean"),
    "error": failing,
    "stalled": stalled,
    "length": ending("length"),
    "content_filter": ending("content_filter"),
}
FAULTS = tuple(MAKERS)


# What happens


class Booth(Loopback):
    """A server that knows by its number which question it is asked, so that many can be asked at once."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: dict[bytes, deque[Reply]] = {}
        self.asked: dict[bytes, list[Recorded]] = defaultdict(list)

    def next_reply(self, request: Recorded) -> Reply:
        """The next answer to the question of this number."""
        found = re.search(rb"Question \d+\.", request.body)
        question = found[0] if found else b""
        self.asked[question].append(request)
        queue = self.queues.get(question)
        return queue.popleft() if queue else super().next_reply(request)


@dataclass(slots=True)
class Outcome:
    """What a user saw of a run."""

    response: Response
    chunks: list[StreamChunk]
    error: Exception | None
    ran: list[str]

    @property
    def text(self) -> str:
        """The text of all chunks."""
        return "".join(chunk.content for chunk in self.chunks)


async def ask(agent: Agent, question: str, history: Sequence[Message] = ()) -> Outcome:
    """Run the agent to whatever end."""
    chunks: list[StreamChunk] = []
    ran: list[str] = []
    error = None
    stream = agent.run_stream(question, context={"ran": ran}, history=history)
    try:
        async with asyncio.timeout(LONGEST):
            async for chunk in stream:
                chunks.append(chunk)
    except Exception as raised:  # noqa: BLE001  # whatever it is, it is compared with what was expected
        error = raised
    return Outcome(stream.response, chunks, error, ran)


class Bed:
    """A wire with a server and an event loop for all of its cells."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.server = Booth()
        self.runner = asyncio.Runner()
        self.number = 0
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.runner.__enter__()
        self.runner.get_loop().set_exception_handler(
            lambda _, told: self.complaints.append(f"the loop: {told}")
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.close()
        self.server.close()

    def verdicts(self, fault: str) -> dict[str, list[str]]:
        """What is wrong with each cell of the fault, and with what is left after them."""
        self.complaints.clear()
        gc.disable()  # a connection has to be closed without its help
        try:
            return self.runner.run(self._verdicts(fault))
        finally:
            gc.enable()

    async def _verdicts(self, fault: str) -> dict[str, list[str]]:
        todo, found = cells(self.wire, fault), {}
        for limit, retries in product(
            STALLS if fault == "stalled" else (None,), (0, 2)
        ):
            timeout, model = Timeout(first=limit, stall=limit), {"max_retries": retries}
            # What was seen of an answer forbids to ask for it again, however often that is allowed.
            these = [
                cell
                for cell in todo
                if cell.told.anything is (retries > 0) and found.get(cell.name) != []
            ]
            async with self.wire.agent(
                self.server, tools=[search, look], timeout=timeout, model=model
            ) as agent:
                found |= await self._play_all(agent, these)
        return found | {"what is left": await self._left()}

    async def _play_all(
        self, agent: Agent, todo: Sequence[Cell]
    ) -> dict[str, list[str]]:
        gate = asyncio.Semaphore(
            AT_ONCE if agent.timeout.stall is None else WAITING_AT_ONCE
        )

        async def play(cell: Cell) -> list[str]:
            async with gate:
                return await self._play(agent, cell)

        found = await asyncio.gather(*map(play, todo))
        return {cell.name: wrong for cell, wrong in zip(todo, found, strict=True)}

    async def _play(self, agent: Agent, cell: Cell) -> list[str]:
        """Ask a cell's question, and after some the same agent once more with what was left; returns what is wrong."""
        self.number += 1
        question, send = f"Question {self.number}.", self.wire.send
        answers = [send.tool_calls(FIRST_CALL, text=FIRST)] * cell.second + [
            send.text("Done.")
        ] * cell.goes_on
        replies = [
            Reply(events, content_type=self.wire.mime)
            for events in [*answers, send.text("Fine.")]
        ]
        replies.insert(cell.second, cell.reply)
        self.server.queues[question.encode()] = deque(replies)
        asked = self.server.asked[question.encode()]
        outcome = await ask(agent, question)
        wrong = [
            *wrong_end(cell, outcome),
            *wrong_content(cell, outcome),
            *wrong_calls(self.wire, cell, outcome),
        ]
        wrong += [
            *wrong_tokens(cell, outcome),
            *wrong_history(outcome.response.messages),
        ]
        if len(asked) != 1 + cell.second + cell.goes_on:
            return [*wrong, f"{len(asked)} requests"]
        if cell.reply.end == "stall" and not await asyncio.to_thread(
            asked[cell.second].wait_disconnected, PROMPT
        ):
            wrong.append("the connection is still open")
        if crc32(cell.name.encode()) % ASKED_AGAIN == 0:
            again = await ask(agent, "Once more.", outcome.response.messages)
            if (again.error, again.text, again.ran) != (None, "Fine.", []):
                wrong.append(
                    f"asked again: {again.error!r}, {again.text!r}, {again.ran} ran"
                )
            elif calls_and_results(asked[-1].json) != (
                len(outcome.ran),
                len(outcome.ran),
            ):
                wrong.append(
                    f"asked again: sent were {calls_and_results(asked[-1].json)} calls and results"
                )
        return wrong

    async def _left(self) -> list[str]:
        """The tasks and connections that do not end by themselves."""
        started, left = perf_counter(), self._open()
        while left and perf_counter() - started < PROMPT:
            await asyncio.sleep(0.01)
            left = self._open()
        return [*left, *self.complaints]

    def _open(self) -> list[str]:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        return [*map(repr, tasks), *["a connection"] * self.server.open_connections]


# What is wrong with it


def wrong_end(cell: Cell, outcome: Outcome) -> Iterator[str]:
    """The error is the right one, or one final chunk has the right reason."""
    finals = [chunk.finish_reason for chunk in outcome.chunks if chunk.is_final]
    if cell.error is None:
        expected = "stop" if cell.goes_on else cell.told.reason
        if outcome.error is not None:
            yield f"whole, but raised {outcome.error!r}"
        elif (
            finals != [expected]
            or not outcome.chunks[-1].is_final
            or outcome.response.finish_reason != expected
        ):
            yield f"ended with {finals} and {outcome.response.finish_reason} instead of {expected}"
        return
    if finals or outcome.response.finish_reason is not None:
        yield f"not whole, but ended with {finals} and {outcome.response.finish_reason}"
    if not isinstance(outcome.error, ModelError):
        yield f"raised {outcome.error!r}"
        return
    if type(outcome.error) is not cell.error:
        yield f"raised {outcome.error!r} instead of {cell.error.__name__}"
    if cell.message not in str(outcome.error) or not outcome.error.retryable:
        yield f"told {outcome.error}, retryable {outcome.error.retryable}"
    if outcome.error.partial is None or timeless(outcome.error.partial) != timeless(
        outcome.response
    ):
        yield f"the partial is {outcome.error.partial!r} and the response {outcome.response!r}"
    if isinstance(outcome.error, ModelTimeout):
        limits = (
            ("stall", "first")
            if cell.told.hidden
            else ("stall",)
            if cell.told.anything
            else ("first",)
        )
        if outcome.error.kind not in limits:
            yield f"the limit is {outcome.error.kind}"


def timeless(response: Response) -> Response:
    """The response without the duration, which goes on until the run has been cleared away."""
    return replace(response, metadata={**response.metadata, "duration": None})


def wrong_content(cell: Cell, outcome: Outcome) -> Iterator[str]:
    """The chunks and the response have exactly what came."""
    text = FIRST * cell.second + cell.told.text + "Done." * cell.goes_on
    reasoning = "".join(chunk.reasoning for chunk in outcome.chunks)
    if (outcome.text, reasoning) != (text, cell.told.reasoning):
        yield f"the text is {outcome.text!r} instead of {text!r}, the reasoning {reasoning!r}"
    if outcome.response.content != outcome.text:
        yield f"the chunks say {outcome.text!r}, the response {outcome.response.content!r}"
    said = "".join(
        message.content
        for message in outcome.response.messages
        if message.role == "assistant"
    )
    if said != outcome.text:
        yield f"the history says {said!r}, the chunks {outcome.text!r}"
    if any(chunk.delta != chunk.content for chunk in outcome.chunks):
        yield "a delta differs from its content"


def wrong_calls(wire: Wire, cell: Cell, outcome: Outcome) -> Iterator[str]:
    """Exactly the right tools ran, once, and each call is listed with whether it did."""
    asked_for = sum(chunk.finish_reason == "tool_calls" for chunk in outcome.chunks)
    results = [
        chunk.tool_result.content for chunk in outcome.chunks if chunk.tool_result
    ]
    calls = (
        [[*FIRST_CALL], *cell.told.calls.values()]
        if cell.second
        else [*cell.told.calls.values()]
    )
    runs = len(calls) if cell.goes_on else int(cell.second)
    queries = [json.loads(call[2]).get("query", "look") for call in calls[:runs]]
    if (
        sorted(outcome.ran) != sorted(queries)
        or asked_for != cell.second + cell.goes_on
    ):
        yield f"{outcome.ran} ran instead of {queries}, after {asked_for} turns with calls"
    if sorted(results) != sorted(f"Found {query}." for query in queries):
        yield f"the results are {results}"
    listed = outcome.response.metadata["tool_calls"]
    if [call["executed"] for call in listed] != [
        place < runs for place in range(len(calls))
    ]:
        yield f"listed are {listed} instead of {calls}"
        return
    for place, (call, (id, name, arguments)) in enumerate(
        zip(listed, calls, strict=True)
    ):
        told = call["name"] == name and (wire.bare or call["id"] == id)
        if not told or not same_arguments(wire, call["arguments"], arguments):
            yield f"listed is {call} instead of {id} {name} {arguments}"
        if place < runs and (call.get("is_error"), call.get("result")) != (
            False,
            f"Found {queries[place]}.",
        ):
            yield f"the result of {call} is wrong"
    if len(listed) != len(outcome.response.tool_calls):
        yield f"the metadata lists {listed}, the response {outcome.response.tool_calls}"


def same_arguments(wire: Wire, listed: Any, text: str) -> bool:
    """Arguments are an object if all of it came, else the text as far as it did."""
    try:
        return bool(listed == json.loads(text))
    except ValueError:
        return listed == text or (
            wire.send is gemini_generate and isinstance(listed, str)
        )


def wrong_tokens(cell: Cell, outcome: Outcome) -> Iterator[str]:
    """The usage is the sum of what was told, and what was not told is estimated and says so."""
    tokens = dict(outcome.response.metadata["tokens"])
    estimated = tokens.pop("estimated", False)
    if len(tokens) != 6 or any(
        not isinstance(count, int) or count < 0 for count in tokens.values()
    ):
        yield f"the tokens are {tokens}"
    read, written = tokens["input_tokens"], tokens["output_tokens"]
    if tokens["total_tokens"] != read + written:
        yield f"the total is not the sum: {tokens}"
    if outcome.text and not (read and written):
        yield f"text for nothing: {tokens}"
    others = cell.second + cell.goes_on
    if others and (read < 11 * others or written < 7 * others):
        yield f"another turn is not counted: {tokens}"
    told = cell.told.usage if cell.told.finish is not None else None
    if told and (
        estimated or (read, written) != (told[0] + 11 * others, told[1] + 7 * others)
    ):
        yield f"told were {told}, and (11, 7) by {others} other turns; the tokens are {tokens}, estimated {estimated}"
    if not told and not estimated:
        yield f"nothing says that the tokens are estimated: {tokens}"


def wrong_history(messages: Sequence[Message]) -> Iterator[str]:
    """Every call is followed by its result, and nothing else has one."""
    open_calls: list[str | None] = []
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                yield f"a result of no call: {message}"
            else:
                open_calls.remove(message.tool_call_id)
        elif open_calls:
            break
        open_calls += [call.id for call in message.tool_calls]
    if open_calls:
        yield f"no results of {open_calls} in {messages}"


def calls_and_results(request: Json) -> tuple[int, int]:
    """How many calls and how many results of calls a request has, in whichever format."""
    calls = results = 0
    for part in objects(request):
        calls += (
            part.get("type") in ("function_call", "tool_use") or "functionCall" in part
        )
        calls += len(part.get("tool_calls", ()))
        results += (
            part.get("type") in ("function_call_output", "tool_result")
            or "functionResponse" in part
        )
        results += part.get("role") == "tool"
    return calls, results


def objects(value: Any) -> Iterator[Json]:
    """All objects in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from objects(inner)


# The table


def main() -> int:
    """Run all cells and print the table; returns how many cells are wrong."""
    warnings.simplefilter("error")
    total, wrong = 0, []
    started = perf_counter()
    print(f"{'':12}" + "".join(f"{fault:>16}" for fault in FAULTS))
    for wire in WIRES:
        print(f"{wire.name:12}", end="", flush=True)
        with Bed(wire) as bed:
            for fault in FAULTS:
                verdicts = bed.verdicts(fault)
                bad = {name: found for name, found in verdicts.items() if found}
                total += len(verdicts)
                wrong += [
                    f"{wire.name}, {fault}, {name}: {'; '.join(found[:2])}"
                    for name, found in bad.items()
                ]
                print(
                    f"{f'{len(verdicts) - len(bad)}/{len(verdicts)}':>16}",
                    end="",
                    flush=True,
                )
        print()
    print(*wrong, sep="\n")
    print(f"{total} cells, {len(wrong)} wrong, {perf_counter() - started:.1f} seconds")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main() > 0)
