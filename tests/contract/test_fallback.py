"""More than one model: who is asked next, after which failures, with which history, and what the caller is told."""

import asyncio
import json
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from conftest import WIRES, Wire, each_sdk
from pydantic import BaseModel
from support.loopback import Loopback, Reply
from support.scene import JSON, Outcome, as_reply, outcome_of, read, refusal, whole
from support.waiting import until

from cogent import (
    Agent,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    Image,
    Model,
    ModelTimeout,
    OutputError,
    RateLimited,
    Response,
    RunContext,
    ServerError,
    StreamInterrupted,
    Timeout,
    tool,
)

BY_NAME = {wire.name: wire for wire in WIRES}
RESPONSES = BY_NAME["openai"]
CHAT = BY_NAME["openai-chat"]
ANTHROPIC = BY_NAME["anthropic"]
OLLAMA = BY_NAME["ollama"]
SOON = {"retry-after-ms": "10"}
SHORT = 0.3  # seconds of a limit that is to be reached
ENOUGH = 2.0  # seconds of one that is to be reached after something else has happened

both_ways = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])


@tool
def ping(context: RunContext) -> str:
    """Answer."""
    context["pings"] = context.get("pings", 0) + 1
    return "pong"


CALL = ("c1", "ping", "{}")


def agent_of(
    server: Loopback, *wires: Wire, model: dict[str, Any] | None = None, **settings: Any
) -> Agent:
    """An agent of one model of each wire; all of them are answered by one server, in order."""
    models = [wire.model(server, **(model or {})) for wire in wires]
    return Agent("tester", models, **settings)


async def ask(
    server: Loopback,
    *steps: tuple[Wire, Reply],
    streaming: bool = True,
    **settings: Any,
) -> Outcome:
    """What comes of a run whose models get these replies, each wire one model."""
    server.reply(*[reply for _, reply in steps])
    wires = dict.fromkeys(wire.name for wire, _ in steps)
    agent = agent_of(server, *[BY_NAME[name] for name in wires], **settings)
    async with agent:
        return await outcome_of(agent, streaming=streaming)


def attempts(response: Response[Any] | None) -> list[dict[str, Any]]:
    """Those of a response, which are plain JSON."""
    assert response is not None
    told: list[dict[str, Any]] = response.metadata["attempts"]
    assert json.loads(json.dumps(told)) == told
    return told


def failures(response: Response[Any] | None) -> list[tuple[str, str]]:
    """Who failed, and by which error."""
    return [(told["provider"], told["error"]) for told in attempts(response)]


@both_ways
@each_sdk
async def test_the_next_model_answers_when_one_fails(
    wire: Wire, streaming: bool, server: Loopback
) -> None:
    """A model is asked again as often as it may be, then the next one answers, and the metadata tells of both."""
    other = CHAT if wire is ANTHROPIC else ANTHROPIC
    failed = refusal(wire, 503, SOON, message="Down.")
    server.reply(failed, failed, whole(other, "Hello", " there", streaming=streaming))
    async with agent_of(server, wire, other, model={"max_retries": 1}) as agent:
        outcome = await outcome_of(agent, streaming=streaming)
    assert outcome.error is None and outcome.text == "Hello there"
    assert outcome.response is not None
    metadata = outcome.response.metadata
    assert (metadata["provider"], metadata["model"]) == (other.provider, "gpt-test")
    assert [turn.provider for turn in outcome.response.turns] == [other.provider]
    (told,) = attempts(outcome.response)
    assert "Down." in told["message"]
    assert (told["provider"], told["model"], told["step"]) == (
        wire.provider,
        "gpt-test",
        1,
    )
    assert (told["requests"], told["status"]) == (2, 503)
    assert len(server.requests) == 3


async def test_without_a_failure_nothing_is_told(server: Loopback) -> None:
    """An agent of more than one model always has the list of those that failed; one of a single model never."""
    outcome = await ask(server, (CHAT, whole(CHAT, "Hi")), model={}, max_steps=1)
    assert outcome.response is not None
    assert "attempts" not in outcome.response.metadata
    server.reply(whole(CHAT, "Hi"))
    _, response = await read(agent_of(server, CHAT, ANTHROPIC))
    assert attempts(response) == []


FAILURES: list[tuple[str, Callable[[], Reply]]] = [
    ("AuthenticationError", lambda: refusal(CHAT, 401)),
    ("PermissionDenied", lambda: refusal(CHAT, 403)),
    ("ModelNotFound", lambda: refusal(CHAT, 404)),
    ("BadRequest", lambda: refusal(CHAT, 400)),
    ("ContextTooLong", lambda: refusal(CHAT, 400, code="context_length_exceeded")),
    ("RateLimited", lambda: refusal(CHAT, 429)),
    ("ServerError", lambda: refusal(CHAT, 500)),
    ("ConnectionFailed", lambda: Reply(b"", raw=b"", end="close")),
    ("ServerError", lambda: Reply(b"<html>", content_type="text/html")),
    ("StreamInterrupted", lambda: as_reply(CHAT, CHAT.send.text("Hi")[:1])),
]


@pytest.mark.parametrize(("kind", "reply"), FAILURES, ids=lambda value: str(value)[:20])
async def test_every_error_of_a_model_moves_on(
    kind: str, reply: Callable[[], Reply], server: Loopback
) -> None:
    """Whatever went wrong, a refusal of the request too, another server may do better."""
    outcome = await ask(server, (CHAT, reply()), (ANTHROPIC, whole(ANTHROPIC, "Hi")))
    assert outcome.text == "Hi"
    assert failures(outcome.response) == [("openai-chat", kind)]


# What somebody saw


@pytest.mark.parametrize("seen", ["text", "reasoning", "call"])
async def test_what_was_seen_is_never_followed_by_another_answer(
    seen: str, server: Loopback
) -> None:
    """After the first visible piece, be it text, reasoning or a call, a cut is raised and nobody else is asked."""
    bodies = {
        "text": ANTHROPIC.send.text("Hello", " there"),
        "reasoning": ANTHROPIC.send.reasoning("Let me think", answer="Hi"),
        "call": ANTHROPIC.send.tool_calls(CALL),
    }
    body = bodies[seen]
    cut = Reply(body[:-3], content_type=ANTHROPIC.mime, end="close")
    outcome = await ask(
        server, (ANTHROPIC, cut), (CHAT, whole(CHAT, "Never")), tools=[ping]
    )
    assert isinstance(outcome.error, StreamInterrupted)
    assert len(server.requests) == 1
    assert failures(outcome.response) == [("anthropic", "StreamInterrupted")]


async def test_run_shows_no_pieces_and_moves_on(server: Loopback) -> None:
    """Where nobody sees the pieces, a cut answer is followed by that of the next model, and its cost counts."""
    body = ANTHROPIC.send.text("Hello", " there")
    cut = Reply(body[:-2], content_type=ANTHROPIC.mime, end="close")
    server.reply(cut, whole(CHAT, "Whole."))
    async with agent_of(server, ANTHROPIC, CHAT, stream=True) as agent:
        response = await agent.run("Go")
    assert response.content == "Whole."
    assert failures(response) == [("anthropic", "StreamInterrupted")]
    assert response.metadata["tokens"]["input_tokens"] == 22


# Later turns


@both_ways
@each_sdk
async def test_history_moves_along_and_no_tool_runs_again(
    wire: Wire, streaming: bool, server: Loopback
) -> None:
    """A model that fails in a later turn is followed by one that reads what the tools gave, and that stays."""
    first = CHAT if wire is RESPONSES else RESPONSES
    call = "tool_calls" if streaming else "plain_tool_calls"
    mime = first.mime if streaming else JSON
    asked = Reply(
        getattr(first.send, call)(CALL, reasoning="I ping."), content_type=mime
    )
    again = Reply(
        getattr(wire.send, call)(("c2", "ping", "{}")),
        content_type=wire.mime if streaming else JSON,
    )
    server.reply(
        asked, refusal(first, 500), again, whole(wire, "Done.", streaming=streaming)
    )
    async with agent_of(server, first, wire, tools=[ping]) as agent:
        outcome = await outcome_of(agent, streaming=streaming)
    assert outcome.error is None and outcome.response is not None
    assert outcome.response.content == "Done." and outcome.context == {"pings": 2}
    assert failures(outcome.response) == [(first.provider, "ServerError")]
    assert attempts(outcome.response)[0]["step"] == 2
    providers = [turn.provider for turn in outcome.response.turns]
    assert providers == [first.provider, wire.provider, wire.provider]
    body = server.requests[2].body
    assert b"pong" in body and b"gAAAAAB" not in body
    assert len(server.requests) == 4


async def test_a_refused_prompt_is_an_answer(server: Loopback) -> None:
    """What a filter refuses is no failure: nobody else is asked."""
    body = CHAT.send.text("", finish="content_filter")
    outcome = await ask(server, (CHAT, as_reply(CHAT, body)), (ANTHROPIC, Reply()))
    assert outcome.finish_reasons == ["content_filter"] and len(server.requests) == 1


# Limits of time, and stopping


@both_ways
async def test_a_model_that_is_too_slow_is_left(
    streaming: bool, server: Loopback
) -> None:
    """The limit for the first content leaves the model, not the run; its connection is closed, and it is asked once."""
    slow = Reply(b"", end="stall")
    server.reply(slow, whole(ANTHROPIC, "Hi", streaming=streaming))
    settings = {"model": {"max_retries": 2}, "timeout": Timeout(first=ENOUGH)}
    async with agent_of(server, CHAT, ANTHROPIC, **settings) as agent:
        task = asyncio.current_task()
        outcome = await outcome_of(agent, streaming=streaming)
        assert outcome.text == "Hi" and task is not None and task.cancelling() == 0
        assert server.requests[0].wait_disconnected(20)
    (told,) = attempts(outcome.response)
    assert (told["error"], told["requests"]) == ("ModelTimeout", 1)


async def test_when_all_are_too_slow_the_limit_is_raised(server: Loopback) -> None:
    """The error names the limit, and its partial all who were too slow."""
    slow = Reply(b"", end="stall")
    limit = Timeout(first=SHORT)
    outcome = await ask(server, (CHAT, slow), (ANTHROPIC, slow), timeout=limit)
    assert isinstance(outcome.error, ModelTimeout) and outcome.error.kind == "first"
    assert failures(outcome.response) == [
        ("openai-chat", "ModelTimeout"),
        ("anthropic", "ModelTimeout"),
    ]


async def test_the_limit_of_the_run_ends_it(server: Loopback) -> None:
    """The time of the whole run is over for all models."""
    slow = Reply(b"", end="stall")
    outcome = await ask(server, (CHAT, slow), (ANTHROPIC, slow), timeout=ENOUGH)
    assert isinstance(outcome.error, ModelTimeout) and outcome.error.kind == "total"
    assert len(server.requests) == 1


async def test_content_that_stops_coming_is_no_reason_to_ask_another(
    server: Loopback,
) -> None:
    """After visible content the limit between two pieces ends the run."""
    stalled = Reply(CHAT.send.text("Hello", " you")[:2], end="stall")
    limit = Timeout(stall=SHORT)
    outcome = await ask(server, (CHAT, stalled), (ANTHROPIC, Reply()), timeout=limit)
    assert isinstance(outcome.error, ModelTimeout) and outcome.error.kind == "stall"
    assert outcome.text == "Hello" and len(server.requests) == 1


@pytest.mark.parametrize("how", ["cancel", "task"])
async def test_stopping_in_between_asks_nobody_else(how: str, server: Loopback) -> None:
    """A run that is stopped while the second model is asked ends there, and knows who failed before."""
    server.reply(refusal(CHAT, 500), Reply(b"", end="stall"))
    async with agent_of(
        server, CHAT, ANTHROPIC, RESPONSES, timeout=Timeout(first=60)
    ) as agent:
        stream = agent.run_stream("Go")

        async def consume() -> list[Any]:
            return [chunk async for chunk in stream]

        task = asyncio.create_task(consume())
        await until(lambda: len(server.requests) == 2)
        if how == "cancel":
            stream.cancel()
            assert await task == []
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert failures(stream.response) == [("openai-chat", "ServerError")]
    assert stream.response.metadata["provider"] == "anthropic"
    assert len(server.requests) == 2


# What providers take


class City(BaseModel):
    """A city."""

    name: str


@each_sdk
async def test_each_model_is_asked_for_a_typed_answer_in_its_own_way(
    wire: Wire, server: Loopback
) -> None:
    """The next model gets the request that it would have got alone."""
    other = OLLAMA if wire is CHAT else CHAT
    uses_tool = wire.provider == "groq"
    text = '{"name": "Oslo"}'
    body = (
        wire.send.tool_calls(("c1", "City", text))
        if uses_tool
        else wire.send.text(text)
    )
    server.reply(as_reply(wire, body), refusal(other, 500), as_reply(wire, body))
    alone = wire.agent(server, output_type=City)
    await read(alone)
    _, response = await read(agent_of(server, other, wire, output_type=City))
    assert response.output == City(name="Oslo")
    assert server.requests[2].json == server.requests[0].json


async def test_an_answer_that_does_not_fit_is_no_failure_of_the_model(
    server: Loopback,
) -> None:
    """It is told to the model that wrote it, and nobody else is asked."""
    wrong = whole(CHAT, "[]")
    outcome = await ask(
        server, (CHAT, wrong), (CHAT, wrong), (ANTHROPIC, Reply()), output_type=City
    )
    assert isinstance(outcome.error, OutputError) and len(server.requests) == 2


async def test_an_image_goes_to_the_model_that_takes_it(server: Loopback) -> None:
    """A provider that cannot take a part of the message is passed over without a request."""
    image = Image("https://example.org/cat.png")
    server.reply(whole(ANTHROPIC, "A cat."))
    agent = agent_of(server, OLLAMA, ANTHROPIC)
    async with agent:
        response = await stream_of(agent, ["What is it?", image])
    assert response.content == "A cat."
    (told,) = attempts(response)
    assert (told["error"], told["requests"]) == ("ConfigurationError", 0)
    assert "pass bytes" in told["message"] and len(server.requests) == 1


async def stream_of(agent: Agent, message: Any) -> Response[Any]:
    """The response of a streamed run."""
    stream = agent.run_stream(message)
    async for _ in stream:
        pass
    return stream.response


async def test_what_no_model_takes_is_refused(server: Loopback) -> None:
    """Where none takes it nothing is sent; where a server failed too, its error is raised."""
    image = Image("https://example.org/cat.png")
    message = ["What is it?", image]
    async with agent_of(server, OLLAMA, OLLAMA) as agent:
        with pytest.raises(ConfigurationError, match="pass bytes"):
            await stream_of(agent, message)
    assert server.requests == []
    server.reply(refusal(CHAT, 429))
    async with agent_of(server, CHAT, OLLAMA) as agent:
        with pytest.raises(RateLimited) as raised:
            await stream_of(agent, message)
    assert failures(raised.value.partial) == [
        ("openai-chat", "RateLimited"),
        ("ollama", "ConfigurationError"),
    ]


# What the caller reads


async def test_the_last_error_is_raised_and_tells_of_the_others(
    server: Loopback,
) -> None:
    """Its traceback names every model that failed, and its partial has them as data."""
    outcome = await ask(
        server,
        (CHAT, refusal(CHAT, 401, message="Bad key.")),
        (ANTHROPIC, refusal(ANTHROPIC, 500, message="It broke.")),
    )
    assert isinstance(outcome.error, ServerError)
    assert outcome.error.provider == "anthropic"
    text = "".join(traceback.format_exception(outcome.error))
    assert "openai-chat:gpt-test failed: AuthenticationError: Bad key." in text
    assert failures(outcome.response) == [
        ("openai-chat", "AuthenticationError"),
        ("anthropic", "ServerError"),
    ]


async def test_one_model_alone_raises_its_error_as_it_is(server: Loopback) -> None:
    """There is nothing to tell of others."""
    outcome = await ask(server, (CHAT, refusal(CHAT, 401)))
    assert isinstance(outcome.error, AuthenticationError)
    assert not hasattr(outcome.error, "__notes__")


async def test_no_key_is_in_what_is_told(server: Loopback) -> None:
    """A server that repeats the key in its error does not bring it into the metadata."""
    key = "sk-very-secret-key-0123456789"
    outcome = await ask(
        server,
        (CHAT, refusal(CHAT, 401, message=f"Wrong key: {key}", code=key)),
        (ANTHROPIC, refusal(ANTHROPIC, 500, message=f"Wrong key: {key}")),
        model={"api_key": key},
    )
    assert "Wrong key" in json.dumps(attempts(outcome.response))
    assert key not in json.dumps(attempts(outcome.response))
    assert key not in repr(outcome.error.__notes__)


async def test_half_a_character_in_an_error_is_told_as_json(
    server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """What is told and logged can be stored as UTF-8 whatever a server says."""
    body = rb'{"error": {"message": "broken \ud83d", "code": null}}'
    outcome = await ask(
        server,
        (CHAT, Reply(body, 500, JSON)),
        (ANTHROPIC, whole(ANTHROPIC, "Hi")),
    )
    assert "broken" in attempts(outcome.response)[0]["message"]
    json.dumps(attempts(outcome.response), ensure_ascii=False).encode()
    assert "broken" in caplog.text
    assert caplog.text.encode()


# The agent


async def test_a_missing_key_is_raised_at_once(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with the configuration of a model would never be seen if another answered for it."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    models = [Model("openai:gpt-test"), ANTHROPIC.model(server)]
    async with Agent("a", models) as agent:
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            await agent.run("Go")
    server.reply(refusal(ANTHROPIC, 500))
    async with Agent("a", models[::-1]) as agent:
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as raised:
            await agent.run("Go")
    assert any("ServerError" in note for note in raised.value.__notes__)


async def test_a_server_that_is_not_there_is_left(server: Loopback) -> None:
    """Nobody listens at the first model's address."""
    away = Model(
        "openai:m", base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0
    )
    server.reply(whole(CHAT, "Hi"))
    _, response = await read(Agent("a", [away, CHAT.model(server)]))
    assert failures(response) == [("openai", ConnectionFailed.__name__)]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], "the list of models is empty"),
        (["openai:m", "nobody:m"], "nobody"),
        (["openai:m", 5], "model"),
        (["openai:m", ["openai:n"]], "model"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_where_it_is_written(
    models: Any, words: str
) -> None:
    """Every model of the list is looked at when the agent is made."""
    with pytest.raises(ConfigurationError, match=words):
        Agent("a", models)


def test_an_agent_of_a_list_shows_all_and_survives_pickling() -> None:
    """`models` are all of them, `model` is the first; the repr has the list."""
    agent: Agent = Agent("a", ["openai:m", Model("anthropic:n", api_key="secret-key")])
    copied = pickle.loads(pickle.dumps(agent))
    for one in (agent, copied):
        assert [model.id for model in one.models] == ["openai:m", "anthropic:n"]
        assert one.model is one.models[0]
        assert "[Model('openai:m'), Model('anthropic:n')]" in repr(one)
    with pytest.raises(AttributeError, match="read-only"):
        agent.models = ()  # type: ignore[misc]
