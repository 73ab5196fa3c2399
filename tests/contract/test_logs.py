"""The logger `cogent`: what it says at which level, and what it never says."""

import logging
import traceback
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback
from support.scene import refusal, whole
from support.tool_runs import CHAT, ask

from cogent import Agent, Model, tool

KEY = "sk-secret-0123456789"
SOON = {"retry-after": "0"}


@tool
def broken(word: str) -> str:
    """Break."""
    raise KeyError(f"lost {word}")


async def log_of(
    caplog: pytest.LogCaptureFixture, level: int, agent: Agent, message: str = "Go"
) -> list[logging.LogRecord]:
    """What a run logs at this level."""
    caplog.clear()
    with caplog.at_level(level, "cogent"):
        async with agent:
            async for _ in agent.run_stream(message):
                pass
    return [record for record in caplog.records if record.name == "cogent"]


def text_of(records: list[logging.LogRecord]) -> str:
    """All that a handler would write, tracebacks too."""
    errors = [record.exc_info for record in records if record.exc_info]
    traces = ["".join(traceback.format_exception(*error)) for error in errors]
    return "\n".join([*(record.getMessage() for record in records), *traces])


async def test_an_ordinary_run_logs_only_at_debug(
    server: Loopback, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Start, request, first piece and ends are told at DEBUG, without the key or what was said."""
    server.reply(whole(wire, "Hel", "lo"), whole(wire, "Hello"))
    model = {"api_key": KEY}
    records = await log_of(
        caplog, logging.DEBUG, wire.agent(server, model=model), "A question"
    )
    assert {record.levelno for record in records} == {logging.DEBUG}
    text = text_of(records)
    for words in (
        "started",
        "asking",
        "first piece",
        "turn 1 ended: stop",
        "ended after",
    ):
        assert words in text
    assert f"{wire.provider}:gpt-test" in text
    for secret in (KEY, "Hello", "A question"):
        assert secret not in text
    assert await log_of(caplog, logging.INFO, wire.agent(server, model=model)) == []


async def test_retries_and_fall_backs_are_warnings(
    server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """Each names the error and what comes next; a key that the server repeats is left out."""
    server.reply(
        refusal(CHAT, 503, SOON, message=f"Down for {KEY}."),
        refusal(CHAT, 401, message=f"Bad key {KEY}."),
        whole(CHAT, "Hi"),
    )
    first, second = (
        Model(f"openai-chat:{name}", base_url=server.url, api_key=KEY, max_retries=1)
        for name in ("first", "second")
    )
    records = await log_of(caplog, logging.WARNING, Agent("a", [first, second]))
    assert [record.levelno for record in records] == [logging.WARNING] * 2
    retry, fall_back = (record.getMessage() for record in records)
    assert "asking again in 0 s after Overloaded" in retry
    assert "asking openai-chat:second instead after AuthenticationError" in fall_back
    assert KEY not in text_of(records)


async def test_failing_tools_are_warnings_with_their_traceback(
    server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """Arguments that do not fit and tools that are not there have no traceback."""
    ask(
        server,
        ("c1", "broken", '{"word": "x"}'),
        ("c2", "broken", "{}"),
        ("c3", "missing", "{}"),
    )
    agent = CHAT.agent(server, tools=[broken])
    records = await log_of(caplog, logging.WARNING, agent)
    by_words = {record.getMessage().split(": ", 1)[1]: record for record in records}
    failed = by_words.pop("the tool 'broken' failed (call c1)")
    assert "KeyError: 'lost x'" in text_of([failed])
    assert "def broken" not in text_of([failed])
    assert "raise KeyError" in text_of([failed])
    assert set(by_words) == {
        "the arguments of call c2 do not fit the tool 'broken'",
        "there is no tool 'missing'",
    }
    assert not any(record.exc_info for record in by_words.values())


async def test_what_is_said_is_logged_when_asked_for(
    server: Loopback,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only with the variable and at DEBUG: the message, calls, results and answers."""

    @tool
    def look(what: str) -> str:
        """Look."""
        return f"the {what} is blue"

    said: dict[str, Any] = {}
    for value in ("0", "1"):
        monkeypatch.setenv("COGENT_LOG_CONTENT", value)
        ask(server, ("c1", "look", '{"what": "sea"}'))
        agent = CHAT.agent(server, tools=[look])
        said[value] = text_of(await log_of(caplog, logging.DEBUG, agent, "A question"))
    for words in ("A question", '{"what": "sea"}', "the sea is blue", "Done"):
        assert words in said["1"]
        assert words not in said["0"]


def test_the_logger_has_a_handler_that_does_nothing() -> None:
    """So that nothing is printed where the application has not set logging up."""
    handlers = logging.getLogger("cogent").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
