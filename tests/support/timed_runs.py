"""Runs whose waits pass at the same time, and how each of them ended."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any, TypeVar

from conftest import WIRES, Wire

from cogent import (
    ModelError,
    ModelTimeout,
)
from cogent.stream import AgentStream
from support.loopback import Loopback, Recorded, Reply
from support.pace import pace
from support.scene import JSON, Outcome
from support.waiting import PROMPT_SECONDS, left, no_task_is_left

T = TypeVar("T")


@dataclass(slots=True)
class Scene:
    """One of several runs of a test: what the server says, and how it is listened to."""

    replies: Sequence[Reply]
    streaming: bool = True
    pause: float = 0
    """Seconds that the consumer takes over each piece of text."""
    answered: bool = False
    """Whether the last answer came whole, so that its connection is kept for later runs."""


class Stage(Loopback):
    """A server that answers by the prompt, so that each run gets the replies that are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, list[Reply]] = {}
        self.asked: dict[str, list[Recorded]] = defaultdict(list)

    def forget(self) -> None:
        super().forget()
        self.asked.clear()

    def next_reply(self, request: Recorded) -> Reply:
        name = next(
            (
                name
                for name in self.waiting
                if encode_text(prompt(name)) in request.body
            ),
            "",
        )
        self.asked[name].append(request)
        return (
            self.waiting[name].pop(0)
            if self.waiting.get(name)
            else super().next_reply(request)
        )


@cache
def warm_up(name: str) -> None:
    wire = next(wire for wire in WIRES if wire.name == name)
    with Stage() as stage:
        said, whole = (
            Reply(wire.send.text("Hello")),
            Reply(wire.send.plain_text("Hello"), content_type=JSON),
        )
        play(
            stage,
            wire,
            {"stream": Scene([said]), "plain": Scene([whole], streaming=False)},
        )


def in_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own, which must find nothing to complain about."""
    faults: list[Any] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(
            lambda _, context: faults.append(context)
        )
        pace.watch(runner.get_loop())
        result = runner.run(main)
    assert faults == []
    return result


def play(
    stage: Stage, wire: Wire, scenes: Mapping[str, Scene], **settings: Any
) -> dict[str, Outcome]:
    """Run all scenes at once and check how each ended.

    A run that failed has the text so far on its error and closed its connection, and no task is left.
    """
    stage.waiting = {name: list(scene.replies) for name, scene in scenes.items()}
    stage.watched_by(pace.watch)

    async def run() -> dict[str, Outcome]:
        async with (
            wire.agent(stage, **settings) as agent,
            asyncio.timeout(2 * PROMPT_SECONDS),
        ):
            runs = [
                consume(agent.run_stream(prompt(name)), scene.pause)
                if scene.streaming
                else ask(agent.run(prompt(name)))
                for name, scene in scenes.items()
            ]
            seen = dict(zip(scenes, await asyncio.gather(*runs), strict=True))
            await no_task_is_left()
            for name, run in seen.items():
                if run.error is not None:
                    check(run, wire)
                    for request in (
                        () if scenes[name].answered else stage.asked[name][-1:]
                    ):
                        assert await left(request), f"{name}: the server was not told"
            assert any(stage.asked.values())
            return seen

    return in_loop(run())


def prompt(name: str) -> str:
    return f"Go: {name}."  # no word that a request has of itself


async def consume(stream: AgentStream, pause: float = 0) -> Outcome:
    seen = Outcome(stream=stream)
    try:
        async for chunk in stream:
            seen.chunks.append(chunk)
            if pause and chunk.content:
                await asyncio.sleep(pause)
    except ModelError as error:
        seen.error = error
    return seen


async def ask(running: Coroutine[Any, Any, Any]) -> Outcome:
    try:
        return Outcome(response=await running)
    except ModelError as error:
        return Outcome(error=error)


def check(run: Outcome, wire: Wire) -> None:
    """A limit's error tells whose it is, may be retried, and holds what came before it and no more."""
    error = run.error
    assert isinstance(error, ModelTimeout), error
    assert (error.provider, error.model, error.retryable) == (
        wire.provider,
        "gpt-test",
        True,
    )
    assert (error.partial.content, error.partial.finish_reason) == (run.text, None)


def end_of(outcome: Outcome) -> tuple[Any, str]:
    """Which limit ended a run, with the text before that; None for one that ended well."""
    return getattr(outcome.error, "kind", outcome.error), outcome.text


def ends(outcomes: Mapping[str, Outcome]) -> dict[str, tuple[Any, str]]:
    """How each run ended."""
    return {name: end_of(outcome) for name, outcome in outcomes.items()}


def encode_text(text: str) -> bytes:
    return json.dumps(text).encode()


def paced(events: Iterable[bytes], *said: str) -> list[bytes]:
    """The events in pieces, so that a pause comes between contents only: each ends with the next of what is said."""
    pieces, waiting = [b""], list(said)
    for one in events:
        pieces[-1] += one
        if waiting and encode_text(waiting[0]) in one:
            del waiting[0]
            pieces.append(b"")
    return [piece for piece in pieces if piece]


def begun(wire: Wire, *said: str) -> bytes:
    """An answer up to and with these deltas, in one piece; with none, up to the first delta."""
    if not said:
        return b"".join(takewhile(lambda one: b'"x"' not in one, wire.send.text("x")))
    return b"".join(paced(wire.send.text(*said), *said)[: len(said)])
