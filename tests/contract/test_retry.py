"""Asking again: what is asked again, how often and after what wait, and what never happens twice."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
from conftest import WIRES, Wire, sdk_wire
from support.loopback import Loopback, Recorded, Reply
from support.own_clients import own_client
from support.scene import Outcome, outcome_of, play, refusal, whole

from cogent import (
    Agent,
    ConnectionFailed,
    Model,
    Overloaded,
    RateLimited,
    RunContext,
    ServerError,
    StreamInterrupted,
    Timeout,
    tool,
)
from cogent.run.retry import (
    FIRST_WAIT_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    MAX_WAIT_SECONDS,
    wait_before,
)

wire = sdk_wire

JSON = "application/json"
SOON = {"retry-after-ms": "10"}
LONG = {
    "retry-after": "50"
}  # less than what nobody waits for, more than a test may take
ENDS: list[Any] = ["clean", "close", "reset"]
PROMPT = 40.0  # seconds that are less than LONG

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])
every_end = pytest.mark.parametrize("end", ENDS)


@tool
def ping(context: RunContext) -> str:
    """Answer."""
    context["pings"] = context.get("pings", 0) + 1
    return "pong"


CALL = ("c1", "ping", "{}")


async def ask(
    server: Loopback,
    wire: Wire,
    *replies: Reply,
    streaming: bool = True,
    max_retries: int = 2,
    **settings: Any,
) -> Outcome:
    """What comes of a run against these replies."""
    model = {"max_retries": max_retries}
    return await play(
        server,
        wire,
        *replies,
        streaming=streaming,
        tools=[ping],
        model=model,
        **settings,
    )


def call(wire: Wire, streaming: bool) -> Reply:
    """An answer that asks for the tool."""
    if not streaming:
        return Reply(wire.send.plain_tool_calls(CALL), content_type=JSON)
    return Reply(wire.send.tool_calls(CALL), content_type=wire.mime)


def opening(wire: Wire) -> bytes:
    """What a stream begins with, before anything of it can be seen."""
    first: bytes = wire.send.text("")[0]
    return first


# Errors inside a 200, in each form in which a provider is known to send them

FORMS = [
    pytest.param(wire, form, id=f"{wire.name}-{form}")
    for wire in WIRES
    for form in ("error_event", "plain_error_event", "nested_error_event")
    if hasattr(wire.send, form)
]
every_form = pytest.mark.parametrize(("wire", "form"), FORMS)

# The provider's words for a failure of its own and for too much to do: the code, the type, the message.
SERVER = ("server_error", "INTERNAL", "It broke.")
OVERLOADED = {
    "anthropic": ("overloaded_error", "overloaded_error", "Overloaded"),
    "gemini": (None, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "ollama": (None, "", "the server is overloaded"),
}
OVERLOADED_OPENAI = (
    "server_is_overloaded",
    "service_unavailable_error",
    "Our servers are currently overloaded.",
)
KINDS = {"server": ServerError, "overloaded": Overloaded}
every_failure = pytest.mark.parametrize("kind", KINDS)


def failing(wire: Wire, form: str, kind: str, after: Sequence[str] = ()) -> list[bytes]:
    """The events of an answer that fails inside a 200."""
    code, type, message = (
        SERVER if kind == "server" else OVERLOADED.get(wire.provider, OVERLOADED_OPENAI)
    )
    events: list[bytes] = getattr(wire.send, form)(message, code, type, after)
    return events


# Trials: runs that have to wait, all at once


@dataclass(slots=True)
class Trial:
    """A run against replies of its own, and what came of it."""

    replies: Sequence[Reply]
    streaming: bool = True
    max_retries: int = 1
    requests: list[Recorded] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    lasted: float = 0

    @property
    def waits(self) -> list[float]:
        """Seconds between two attempts, as the server saw them."""
        return [
            later.arrived - earlier.arrived
            for earlier, later in pairwise(self.requests)
        ]


class Judge(Loopback):
    """A server that gives each trial its own replies, told by the number in its prompt."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        super().__init__()
        self.trials = trials

    def next_reply(self, request: Recorded) -> Reply:
        [number] = re.findall(rb"Trial (\d+)\.", request.body)
        trial = self.trials[int(number)]
        trial.requests.append(request)
        place = len(trial.requests) - 1
        return (
            trial.replies[place]
            if place < len(trial.replies)
            else super().next_reply(request)
        )


ASKED = {
    "seconds": {"retry-after": "1"},
    "a part of a second": {"retry-after": "0.7"},
    "milliseconds": {"retry-after-ms": "700"},
    "both": {"retry-after-ms": "700", "retry-after": "50"},
}


def trials_of(wire: Wire, date: str) -> dict[tuple[Any, ...], Trial]:
    """All that is tried on a provider."""
    trials: dict[tuple[Any, ...], Trial] = {}
    first = opening(wire)
    for streaming in (True, False):
        good = whole(wire, "Hel", "lo", streaming=streaming)
        trials["our own", streaming] = Trial(
            [*[refusal(wire, 500)] * 3, good], streaming, max_retries=3
        )
        for name, headers in {**ASKED, "a date": {"retry-after": date}}.items():
            trials[name, streaming] = Trial(
                [refusal(wire, 429, headers), good], streaming
            )
        body = wire.send.error_body(SERVER[2], SERVER[0], SERVER[1])
        trials["an error as a whole answer", streaming] = Trial(
            [Reply(body, 200, JSON), good], streaming
        )
        trials["a page", streaming] = Trial(
            [Reply("<html>Bad gateway</html>", 502, "text/html"), good], streaming
        )
        for end in ENDS:
            cut = Reply(
                b"x" * 10,
                truncate=0,
                end=end,
                content_type=wire.mime if streaming else JSON,
            )
            trials["no body", end, streaming] = Trial([cut, good], streaming)
    good = whole(wire, "Hel", "lo", streaming=True)
    for end in ENDS:
        cut = Reply(
            [first, opening(wire)], truncate=len(first), end=end, content_type=wire.mime
        )
        trials["a cut", end] = Trial([cut, good])
    for form in [param.values[1] for param in FORMS if param.values[0] is wire]:
        for kind in KINDS:
            events = failing(wire, form, kind)
            trials[form, kind, "at once"] = Trial(
                [Reply(events, content_type=wire.mime), good]
            )
            trials[form, kind, "opened"] = Trial(
                [Reply([first, *events], content_type=wire.mime), good]
            )
    return trials


async def hold(trial: Trial, agent: Agent, number: int) -> None:
    """Try it."""
    started = time.monotonic()
    trial.outcome = await outcome_of(
        agent, f"Trial {number}.", streaming=trial.streaming
    )
    trial.lasted = time.monotonic() - started


@dataclass(slots=True)
class Trials:
    """All trials of all providers, and the date that some of them were asked to wait for."""

    date: datetime
    held: dict[tuple[Any, ...], Trial]
    refused: dict[str, Trial]

    def __getitem__(self, key: tuple[Any, ...]) -> Trial:
        return self.held[key]


@pytest.fixture(scope="module")
def trials() -> Trials:
    """What came of the trials, which are held at the same time because most of their time is waiting."""
    date = datetime.fromtimestamp(int(time.time()) + 4, UTC)
    made = {
        wire.name: trials_of(wire, format_datetime(date, usegmt=True)) for wire in WIRES
    }
    held = {
        (name, *case): trial
        for name, cases in made.items()
        for case, trial in cases.items()
    }
    refused = {wire.name: Trial([]) for wire in WIRES}

    async def run(judge: Judge) -> None:
        jobs = []
        agents: dict[tuple[str, int], Agent] = {}
        for number, ((name, *_), trial) in enumerate(held.items()):
            [wire] = [wire for wire in WIRES if wire.name == name]
            options = {"max_retries": trial.max_retries}
            agent = agents.setdefault(
                (name, trial.max_retries),
                wire.agent(judge, model=options, timeout=Timeout(connect=PROMPT)),
            )
            jobs.append(hold(trial, agent, number))
        for wire in WIRES:
            nobody = wire.agent(
                judge, model={"base_url": closed_port() + wire.suffix, "max_retries": 1}
            )
            jobs.append(hold(refused[wire.name], nobody, 0))
        await asyncio.gather(*jobs)
        for agent in (
            agents.values()
        ):  # the end of the event loop leaves no time to close hundreds of connections
            await agent.aclose()

    with Judge(list(held.values())) as judge:
        asyncio.run(run(judge))
    return Trials(date, held, refused)


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "http://{}:{}".format(*listener.getsockname())


def fine(trial: Trial) -> bool:
    """Whether the second attempt was the last, and all that was seen is its answer."""
    assert (trial.outcome.error, trial.outcome.text, len(trial.requests)) == (
        None,
        "Hello",
        2,
    )
    first, second = trial.requests
    return first.body == second.body


# What is asked again


@both_ways
async def test_a_failure_is_asked_again(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """Failures that may pass are asked again with the same words, and the user sees one whole answer."""
    statuses = (500, 502, 503, 504, 529, 429, 408)
    failures = [refusal(wire, status, SOON) for status in statuses]
    outcome = await ask(
        server,
        wire,
        *failures,
        whole(wire, "Hel", "lo", streaming=streaming),
        streaming=streaming,
        max_retries=len(failures),
    )
    assert (outcome.error, outcome.text, len(server.requests)) == (
        None,
        "Hello",
        len(failures) + 1,
    )
    assert len({request.body for request in server.requests}) == 1
    assert outcome.response is not None
    assert [turn.content for turn in outcome.response.turns] == ["Hello"]
    assert outcome.response.metadata["steps"] == 1


@both_ways
@pytest.mark.parametrize("limit", [0, 3])
async def test_no_more_than_max_retries(
    server: Loopback, wire: Wire, streaming: bool, limit: int
) -> None:
    """A failure that stays is asked again `max_retries` times, and the last one is raised."""
    failures = [
        *[refusal(wire, 503, SOON)] * limit,
        refusal(wire, 500, SOON),
        whole(wire, "Hel", "lo", streaming=streaming),
    ]
    outcome = await ask(server, wire, *failures, streaming=streaming, max_retries=limit)
    assert (type(outcome.error), outcome.error.retryable) == (ServerError, True)
    assert len(server.requests) == limit + 1


@both_ways
async def test_a_client_of_the_users_adds_no_attempts(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A client of the user's that repeats requests by itself does not do so here: `max_retries` is the number."""
    server.reply(*[refusal(wire, 503, SOON)] * 9)
    async with own_client(wire, server.url, retries=2) as client:
        model = Model(f"{wire.provider}:gpt-test", client=client, max_retries=1)
        outcome = await outcome_of(Agent("tester", model), streaming=streaming)

    assert type(outcome.error) is Overloaded
    assert len(server.requests) == 2


def test_twice_unless_told_otherwise() -> None:
    """A model that says nothing about it is asked again twice."""
    assert Model("openai:m").max_retries == 2


@both_ways
async def test_what_cannot_pass_is_not_asked_again(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A request that is refused for good is sent once, whatever the provider says of waiting."""
    statuses = (400, 401, 403, 404, 413, 422)
    server.reply(*[refusal(wire, status, SOON) for status in statuses])
    async with wire.agent(server, model={"max_retries": 2}) as agent:
        outcomes = [await outcome_of(agent, streaming=streaming) for _ in statuses]

    errors = [outcome.error for outcome in outcomes]
    assert [(error.status, error.retryable) for error in errors] == [
        (status, False) for status in statuses
    ]
    assert len(server.requests) == len(statuses)


@both_ways
async def test_a_quota_that_is_used_up(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A 429 that only money can change is not asked again, where the provider has a word that says so."""
    failures = [refusal(wire, 429, SOON, code="insufficient_quota")] * 3
    outcome = await ask(server, wire, *failures, streaming=streaming)
    assert type(outcome.error) is RateLimited
    assert (outcome.error.retryable, len(server.requests)) == (
        (True, 3) if wire.bare else (False, 1)
    )


@both_ways
def test_an_error_as_a_whole_answer_is_asked_again(
    trials: Trials, wire: Wire, streaming: bool
) -> None:
    """An error object with a 200, in the place of a stream or of an answer, is asked again."""
    assert fine(trials[wire.name, "an error as a whole answer", streaming])


@both_ways
def test_a_page_of_a_proxy_is_asked_again(
    trials: Trials, wire: Wire, streaming: bool
) -> None:
    """A page with an error status that may pass is asked again."""
    assert fine(trials[wire.name, "a page", streaming])


@every_form
@every_failure
@pytest.mark.parametrize("place", ["at once", "opened"])
def test_an_error_in_the_stream_is_asked_again(
    trials: Trials, wire: Wire, form: str, kind: str, place: str
) -> None:
    """An error inside the stream is asked again as long as nobody has seen anything of the answer."""
    trial = trials[wire.name, form, kind, place]
    assert fine(trial)
    assert trial.outcome.response is not None
    assert [turn.content for turn in trial.outcome.response.turns] == ["Hello"]
    assert [chunk.content for chunk in trial.outcome.chunks] == ["Hel", "lo", ""]


@every_end
def test_a_cut_is_asked_again_before_any_output(
    trials: Trials, wire: Wire, end: str
) -> None:
    """A stream that is cut before its first text is asked again."""
    assert fine(trials[wire.name, "a cut", end])


@both_ways
@every_end
def test_an_answer_without_a_body_is_asked_again(
    trials: Trials, wire: Wire, streaming: bool, end: str
) -> None:
    """An answer of which nothing came but its head is asked again."""
    assert fine(trials[wire.name, "no body", end, streaming])


def test_a_refused_connection_is_tried_again(trials: Trials, wire: Wire) -> None:
    """A connection that is refused is tried again after a wait of our own."""
    trial = trials.refused[wire.name]
    assert type(trial.outcome.error) is ConnectionFailed
    assert trial.lasted >= 0.75 * FIRST_WAIT_SECONDS


# What is not asked again, because somebody has seen it


@every_form
@every_failure
async def test_an_error_after_text_is_raised(
    server: Loopback, wire: Wire, form: str, kind: str
) -> None:
    """An error inside the stream that comes after text is raised, and says that asking again may help."""
    reply = Reply(failing(wire, form, kind, ["Hel", "lo"]), content_type=wire.mime)
    outcome = await ask(server, wire, reply, whole(wire, "Hel", "lo", streaming=True))
    assert (type(outcome.error), outcome.error.retryable) == (KINDS[kind], True)
    assert [chunk.content for chunk in outcome.chunks] == [
        "Hel",
        "lo",
    ] and outcome.text == "Hello"
    assert len(server.requests) == 1


# Tools


@both_ways
async def test_tools_that_ran_are_not_run_again(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """When the question after a tool fails only that question is asked again, in the same words."""
    failures = [refusal(wire, status, SOON) for status in (500, 429)]
    outcome = await ask(
        server,
        wire,
        call(wire, streaming),
        *failures,
        whole(wire, "Hel", "lo", streaming=streaming),
        streaming=streaming,
    )
    assert (outcome.error, outcome.text, outcome.context) == (
        None,
        "Hello",
        {"pings": 1},
    )
    first, *others = [request.body for request in server.requests]
    assert (
        len(others) == 3
        and len({*others}) == 1
        and first not in others
        and b"pong" in others[0]
    )


@both_ways
async def test_tools_are_not_run_again_for_a_failure_that_stays(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """When the question after a tool keeps failing its error is raised, with the tool's only result in the partial."""
    failures = [refusal(wire, 503, SOON)] * 3
    outcome = await ask(
        server, wire, call(wire, streaming), *failures, streaming=streaming
    )
    assert (type(outcome.error), outcome.context, len(server.requests)) == (
        Overloaded,
        {"pings": 1},
        4,
    )
    results = [
        made.result.content for made in outcome.error.partial.tool_calls if made.result
    ]
    assert results == ["pong"]
    assert [message.role for message in outcome.error.partial.messages] == [
        "user",
        "assistant",
        "tool",
    ]


@both_ways
async def test_each_question_has_its_own_retries(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """The attempts of an earlier question do not use up those of a later one."""
    failure, good = (
        refusal(wire, 500, SOON),
        whole(wire, "Hel", "lo", streaming=streaming),
    )
    outcome = await ask(
        server,
        wire,
        failure,
        call(wire, streaming),
        failure,
        good,
        streaming=streaming,
        max_retries=1,
    )
    assert (outcome.error, len(server.requests), outcome.context) == (
        None,
        4,
        {"pings": 1},
    )


# How long to wait

OWN = (0.5, 1.0, 2.0)


def test_our_own_wait_doubles_up_to_a_limit() -> None:
    """Without a word of the provider's the wait doubles, less up to a quarter at random, to eight seconds at most."""
    for attempt_number in range(10):
        whole = min(FIRST_WAIT_SECONDS * 2**attempt_number, MAX_WAIT_SECONDS)
        waits = {wait_before(attempt_number, ServerError("x")) for _ in range(50)}
        assert len(waits) > 10 and all(
            wait is not None and 0.75 * whole <= wait <= whole for wait in waits
        )
    assert (FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS) == (0.5, 8.0)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(0.0, 0.0), (7.5, 7.5), (60.0, 60.0), (60.1, None), (3600.0, None)],
)
def test_what_the_provider_asks_for_is_the_wait(
    asked: float, wait: float | None
) -> None:
    """The provider's own wait is taken as it is, and one of more than a minute is left to the caller."""
    assert wait_before(5, RateLimited("x", retry_after=asked)) == wait
    assert wait_before(0, RateLimited("x", retry_after=asked, retryable=False)) is None
    assert MAX_RETRY_AFTER_SECONDS == 60


@both_ways
def test_the_waits_grow_between_attempts(
    trials: Trials, wire: Wire, streaming: bool
) -> None:
    """Attempts come after half a second, one second and two, less a quarter, and no sooner."""
    trial = trials[wire.name, "our own", streaming]
    assert (trial.outcome.error, trial.outcome.text) == (None, "Hello")
    assert len(trial.waits) == 3
    assert all(
        wait >= 0.75 * whole for wait, whole in zip(trial.waits, OWN, strict=True)
    )


def test_two_runs_do_not_wait_alike(trials: Trials) -> None:
    """Runs that failed together come back at different times."""
    own = [
        trials[wire.name, "our own", streaming].waits
        for wire in WIRES
        for streaming in (True, False)
    ]
    last = [waits[-1] for waits in own]
    assert max(last) - min(last) > 0.05


@both_ways
@pytest.mark.parametrize("how", ASKED)
def test_the_wait_that_was_asked_for_is_kept(
    trials: Trials, wire: Wire, streaming: bool, how: str
) -> None:
    """The next attempt comes no sooner than the provider asked, in seconds or milliseconds."""
    trial = trials[wire.name, how, streaming]
    assert fine(trial)
    assert trial.waits[0] >= (1 if how == "seconds" else 0.7)


@both_ways
def test_a_date_is_waited_for(trials: Trials, wire: Wire, streaming: bool) -> None:
    """The next attempt comes no sooner than the date that the provider named."""
    trial = trials[wire.name, "a date", streaming]
    assert fine(trial)
    came = time.time() - time.monotonic() + trial.requests[1].arrived
    assert (
        came >= trials.date.timestamp() - 0.05
    )  # the two clocks are read one after the other


@both_ways
async def test_geminis_own_wait_is_kept(server: Loopback, streaming: bool) -> None:
    """Gemini tells the wait in the details of its error rather than in a header."""
    [wire] = [wire for wire in WIRES if wire.provider == "gemini"]
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.7s"}
    body = {
        "error": {
            "code": 429,
            "message": "Slow down.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [info],
        }
    }
    outcome = await ask(
        server,
        wire,
        Reply(json.dumps(body), 429, JSON),
        whole(wire, "Hel", "lo", streaming=streaming),
        streaming=streaming,
    )
    first, second = server.requests
    assert (outcome.error, outcome.text) == (None, "Hello")
    assert second.arrived - first.arrived >= 0.7


@both_ways
async def test_a_short_wait_is_kept_too(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A provider that asks for less than our own wait is asked again as soon as it said."""
    failures = [refusal(wire, 429, SOON)] * 9
    outcome = await ask(
        server,
        wire,
        *failures,
        whole(wire, "Hel", "lo", streaming=streaming),
        streaming=streaming,
        max_retries=9,
    )
    assert (outcome.error, len(server.requests)) == (None, 10)
    lasted = server.requests[-1].arrived - server.requests[0].arrived
    own = [
        0.75 * min(FIRST_WAIT_SECONDS * 2**attempt_number, MAX_WAIT_SECONDS)
        for attempt_number in range(9)
    ]
    assert lasted < sum(own)  # more than half a minute


@both_ways
async def test_a_wait_that_is_too_long_is_left_to_the_caller(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A provider that asks for an hour is not waited for: the error says how long it would be."""
    failure = refusal(wire, 429, {"retry-after": "3600"})
    outcome = await ask(
        server,
        wire,
        failure,
        whole(wire, "Hel", "lo", streaming=streaming),
        streaming=streaming,
    )
    assert (
        type(outcome.error),
        outcome.error.retry_after,
        outcome.error.retryable,
    ) == (RateLimited, 3600.0, True)
    assert len(server.requests) == 1


# Stopping while it waits


async def waiting(server: Loopback) -> None:
    """Return when the first refusal has arrived, so that the run waits for its next attempt."""
    while not (server.requests and server.requests[0].sent):  # noqa: ASYNC110  # the server is in another thread
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "how", ["task", "task of a plain run", "cancel", "cancel from a thread", "aclose"]
)
async def test_a_run_that_is_stopped_waits_no_longer(
    server: Loopback, wire: Wire, how: str
) -> None:
    """A run that is stopped while it waits for its next attempt ends at once, and makes none."""
    server.reply(refusal(wire, 429, LONG))
    async with wire.agent(server, model={"max_retries": 2}) as agent:
        stream = agent.run_stream("Hi")

        async def read() -> list[str]:
            return [chunk.content async for chunk in stream]

        task = asyncio.create_task(agent.run("Hi") if "plain" in how else read())
        await waiting(server)
        started = time.monotonic()
        if how.startswith("task"):
            task.cancel()
        elif how == "aclose":
            await stream.aclose()
        else:
            await asyncio.to_thread(
                stream.cancel
            ) if "thread" in how else stream.cancel()
        [end] = await asyncio.gather(task, return_exceptions=True)
        assert (
            isinstance(end, asyncio.CancelledError)
            if how.startswith("task")
            else end == []
        )
        waited = time.monotonic() - started

    assert waited < PROMPT
    assert len(server.requests) == 1


async def test_a_wait_beyond_the_total_is_not_begun(
    server: Loopback, wire: Wire
) -> None:
    """A run that may last no longer than the provider asks to wait ends with its error at once, streaming or not."""
    server.reply(*[refusal(wire, 429, LONG)] * 2)
    agent = wire.agent(server, model={"max_retries": 2}, timeout=Timeout(total=45))

    started = time.monotonic()
    async with agent:
        outcomes = await asyncio.gather(
            outcome_of(agent), outcome_of(agent, streaming=False)
        )
    for outcome in outcomes:
        assert (type(outcome.error), outcome.error.retry_after) == (RateLimited, 50.0)
    assert time.monotonic() - started < PROMPT
    assert len(server.requests) == 2


# A streamed `run()`


def cut_answer(wire: Wire) -> Reply:
    """An answer that breaks off after its text."""
    events = wire.send.text("Hel", "lo")
    count = next(n for n, event in enumerate(events, 1) if b'"lo"' in event)
    return Reply(events[:count], end="close", content_type=wire.mime)


async def run_streamed(
    server: Loopback, wire: Wire, *replies: Reply, max_retries: int = 2
) -> Outcome:
    """What comes of `run()` with the streaming transport."""
    return await ask(
        server, wire, *replies, streaming=False, max_retries=max_retries, stream=True
    )


async def test_a_streamed_run_that_was_cut_is_asked_again(
    server: Loopback, wire: Wire
) -> None:
    """Nobody saw the pieces of a `run()`, so its cut answer is asked for again, and only the whole one counts."""
    outcome = await run_streamed(
        server, wire, cut_answer(wire), whole(wire, "Hel", "lo", streaming=True)
    )
    assert (outcome.error, outcome.text) == (None, "Hello")
    assert outcome.response is not None
    assert [message.content for message in outcome.response.messages] == ["Go", "Hello"]
    assert len(server.requests) == 2


async def test_a_streamed_run_is_cut_too_often(server: Loopback, wire: Wire) -> None:
    """After the last attempt the error has the text of that."""
    outcome = await run_streamed(server, wire, *[cut_answer(wire)] * 2, max_retries=1)
    assert type(outcome.error) is StreamInterrupted
    assert outcome.text == "Hello"
    assert len(server.requests) == 2


async def test_a_streamed_run_is_cut_after_its_tools(
    server: Loopback, wire: Wire
) -> None:
    """Tools that ran for an earlier turn do not run again when the next turn is."""
    replies = (
        call(wire, True),
        cut_answer(wire),
        whole(wire, "Hel", "lo", streaming=True),
    )
    outcome = await run_streamed(server, wire, *replies)
    assert (outcome.error, outcome.text, outcome.context) == (
        None,
        "Hello",
        {"pings": 1},
    )
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "wire",
    [wire for wire in WIRES if wire.provider == "anthropic"],
    ids=lambda wire: wire.name,
)
async def test_what_a_cut_attempt_cost_is_counted(server: Loopback, wire: Wire) -> None:
    """The tokens that a cut attempt is known to have read are in the total, which is an estimate then."""
    outcome = await run_streamed(
        server, wire, cut_answer(wire), whole(wire, "Hel", "lo", streaming=True)
    )
    assert outcome.response is not None
    tokens = outcome.response.metadata["tokens"]
    assert tokens["input_tokens"] == 22
    assert tokens["output_tokens"] > 7
    assert tokens["estimated"]
