"""What a finish word does in a run: calls decide, and an unknown word never runs a tool."""

import re
import warnings
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.wire import chat_completions

from cogent import Agent, Model, ModelError, StreamChunk, StreamInterrupted, tool


@tool
def ping() -> str:
    """Answer."""
    return "pong"


async def _run(*answers: list[bytes]) -> tuple[Any, int]:
    with Loopback() as server:
        server.reply(*map(Reply, answers))
        model = Model(
            "openai-chat:gpt-test",
            base_url=server.url + "/v1",
            api_key="sk-test",
            max_retries=0,
        )
        response = await Agent("a", model, tools=[ping], stream=True).run("Hi")
        return response, len(server.requests)


@pytest.mark.parametrize(
    "word",
    ["stop", "tool_calls", "function_call", "eos", "tool_use", "STOP", "tool-calls"],
)
async def test_calls_decide_and_not_the_word(word: Any) -> None:
    """Complete calls are run whichever good word ends their turn."""
    response, requests = await _run(
        chat_completions.tool_calls(("c1", "ping", "{}"), finish=word),
        chat_completions.text("Done."),
    )
    assert [call.result.content for call in response.tool_calls] == ["pong"]
    assert (response.content, response.turns[0].raw_finish_reason, requests) == (
        "Done.",
        word,
        2,
    )


@pytest.mark.parametrize("word", ["tool_calls", "function_call"])
async def test_the_word_alone_runs_nothing(word: Any) -> None:
    """A turn that says it calls tools but calls none has simply ended."""
    response, requests = await _run(chat_completions.text("Hello.", finish=word))
    assert (
        response.finish_reason,
        response.metadata["raw_finish_reason"],
        requests,
    ) == ("stop", word, 1)


async def test_a_paused_turn_is_asked_on() -> None:
    """A turn that the provider paused is followed by the next one in the same run."""
    response, requests = await _run(
        chat_completions.text("One, ", finish="pause_turn"),
        chat_completions.text("two."),
    )
    assert (response.content, response.finish_reason, requests) == (
        "One, two.",
        "stop",
        2,
    )


@pytest.mark.parametrize(
    "word", ["error", "abort", "network_error", "MALFORMED_RESPONSE"]
)
async def test_a_turn_that_the_provider_gave_up_is_an_error(word: Any) -> None:
    """An ending that says the answer failed raises, names the word and runs no tool."""
    with pytest.raises(StreamInterrupted) as caught:
        await _run(
            chat_completions.tool_calls(
                ("c1", "ping", "{}"), text="Let me see.", finish=word
            )
        )
    assert (caught.value.code, caught.value.partial.content) == (word, "Let me see.")
    assert [call.result for call in caught.value.partial.tool_calls] == [None]


STREAMED = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "plain"])


WORD = re.compile(rb'(:\s*)"(length|max_tokens|MAX_TOKENS|max_output_tokens)"')


NEW_WORDS = ["guardrail_intervened", "BRAND_NEW_WORD"]


def _with_word(wire: Wire, word: str, streamed: bool, *, calls: bool) -> Reply:
    """An answer of this provider that ends with this word."""
    kind = ("" if streamed else "plain_") + ("tool_calls" if calls else "text")
    said = [("c1", "ping", "{}"), ("c2", "ping", "{}")] if calls else ["Hello."]
    made = getattr(wire.send, kind)(*said, finish="length")
    body, found = WORD.subn(
        lambda match: match[1] + f'"{word}"'.encode(),
        b"".join(made) if streamed else made,
    )
    assert found
    return Reply(body, content_type=wire.mime if streamed else "application/json")


async def _ask(
    server: Loopback, wire: Wire, streamed: bool, seen: list[StreamChunk]
) -> Any:
    """The response of an agent that has a tool, and in `seen` its chunks if it streams."""

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*is not a valid"
        )  # Gemini's SDK says so of a new word
        async with wire.agent(server, tools=[ping]) as agent:
            if not streamed:
                return await agent.run("Hi")
            stream = agent.run_stream("Hi")
            async for chunk in stream:
                seen.append(chunk)
            return stream.response


@STREAMED
@pytest.mark.parametrize("word", NEW_WORDS)
async def test_calls_with_an_unknown_word_are_an_error(
    server: Loopback, wire: Wire, word: str, streamed: bool
) -> None:
    """Nobody knows what a new word means, so that no tool runs: the error names it and lists the calls."""
    server.reply(_with_word(wire, word, streamed, calls=True))
    seen: list[StreamChunk] = []
    with pytest.raises(ModelError, match=word) as caught:
        await _ask(server, wire, streamed, seen)
    error = caught.value
    assert (error.retryable, error.code, error.provider) == (False, word, wire.provider)
    assert [call["executed"] for call in error.partial.metadata["tool_calls"]] == [
        False,
        False,
    ]
    assert (
        error.partial.metadata["raw_finish_reason"],
        error.partial.finish_reason,
    ) == (word, None)
    assert not any(chunk.tool_result or chunk.finish_reason for chunk in seen)
    assert [message.role for message in error.partial.messages] == ["user"]
    assert len(server.requests) == 1


@STREAMED
@pytest.mark.parametrize("word", NEW_WORDS)
async def test_text_with_an_unknown_word_has_ended(
    server: Loopback, wire: Wire, word: str, streamed: bool
) -> None:
    """A text whose finish word is new is an answer: it ends as a stop that shows the word."""
    server.reply(_with_word(wire, word, streamed, calls=False))
    response = await _ask(server, wire, streamed, [])
    assert (response.content, response.finish_reason) == ("Hello.", "stop")
    assert response.metadata["raw_finish_reason"] == word
