"""What a run yields and returns, on every provider and both transports."""

import json
import pickle
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import answer, body_of, read

import cogent
from cogent import (
    Agent,
    ConfigurationError,
    MaxStepsExceeded,
    Model,
    StreamChunk,
    Timeout,
    tool,
)

TOKENS = {
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
}


@tool
def search(query: str) -> str:
    """Search for information."""
    return f"Results for: {query}"


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """The plain values of a JSON document by the names of their fields."""
    if isinstance(value, dict):
        return {
            key: leaf
            for field, inner in value.items()
            for key, leaf in leaves(inner, field).items()
        }
    return {name: value}


async def test_text_comes_delta_by_delta_and_the_final_chunk_last(
    server: Loopback, wire: Wire
) -> None:
    """Each delta is one chunk with no finish reason, and one final chunk without content ends the run."""
    server.reply(Reply(wire.send.text("Hel", "lo", " there")))
    chunks, response = await read(wire.agent(server))
    assert [chunk.content for chunk in chunks] == ["Hel", "lo", " there", ""]
    assert all(
        chunk.finish_reason is None and not chunk.is_final for chunk in chunks[:-1]
    )
    assert chunks[-1].is_final and chunks[-1].finish_reason == "stop"
    assert str(response) == response.content == "Hello there"


async def test_the_final_metadata_has_every_promised_key(
    server: Loopback, wire: Wire
) -> None:
    """The final chunk's metadata has exactly the documented keys, with the provider's own figures."""
    reply = Reply(
        wire.send.text("Hi", usage=(11, 7), cached=3, reasoning_tokens=2),
        headers={"x-request-id": "req-1"},
    )
    server.reply(reply)
    chunks, response = await read(wire.agent(server))
    metadata = chunks[-1].metadata
    assert metadata is not None and metadata == response.metadata
    assert set(metadata) == {
        *("model", "provider", "tokens", "raw_finish_reason", "steps"),
        *("tool_calls", "duration", "time_to_first_token", "request_ids"),
        *["provider_details"] * (wire.provider == "ollama"),  # always tells durations
    }
    assert set(metadata["tokens"]) == TOKENS
    details = {
        "cache_read_tokens": 0 if wire.bare else 3,
        "reasoning_tokens": 0 if wire.bare else 2,
    }
    expected = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18, **details}
    assert expected.items() <= metadata["tokens"].items()
    assert (metadata["model"], metadata["provider"], metadata["steps"]) == (
        "gpt-test",
        wire.provider,
        1,
    )
    assert (
        metadata["request_ids"] == ([] if wire.bare else ["req-1"])
        and metadata["tool_calls"] == []
    )
    assert 0 <= metadata["time_to_first_token"] <= metadata["duration"]


async def test_both_transports_give_the_same_response(
    server: Loopback, wire: Wire
) -> None:
    """A plain request and a streamed one give the same Response, but for the times."""
    call = ("call_1", "search", '{"query": "AI"}')
    server.reply(
        Reply(wire.send.tool_calls(call, text="Let me see. ")),
        Reply(wire.send.text("Found", " it")),
    )
    streamed = await answer(wire.agent(server, tools=[search], stream=True))
    server.reply(
        body_of(wire.send.plain_tool_calls(call, text="Let me see. ")),
        body_of(wire.send.plain_text("Found it")),
    )
    whole = await answer(wire.agent(server, tools=[search]))
    for response in (streamed, whole):
        del response.metadata["duration"], response.metadata["time_to_first_token"]
        for called in [
            *response.tool_calls,
            *(c for m in response.messages for c in m.tool_calls),
        ]:
            assert called.result is not None
            called.result.duration = 0
        for described in response.metadata["tool_calls"]:
            described["duration"] = 0
        for message in response.messages:
            message.items = []
    assert streamed == whole
    assert [
        ":stream" in r.path or r.json.get("stream", False) for r in server.requests
    ] == [True, True, False, False]


async def test_tools_run_between_two_turns_of_one_iterator(
    server: Loopback, wire: Wire
) -> None:
    """Deltas of the call, the tool_calls chunk, the tool's result, then the next turn's text, in that order."""
    server.reply(
        Reply(
            wire.send.tool_calls(
                ("call_1", "search", '{"query": "AI news"}'), text="One moment. "
            )
        )
    )
    server.reply(Reply(wire.send.text("All ", "quiet.")))
    chunks, response = await read(wire.agent(server, tools=[search]))
    kinds = [
        "call"
        if c.tool_call
        else "result"
        if c.tool_result
        else c.finish_reason or "text"
        for c in chunks
    ]
    order = [
        kind
        for place, kind in enumerate(kinds)
        if place == 0 or kind != kinds[place - 1]
    ]
    assert order == ["text", "call", "tool_calls", "result", "text", "stop"]
    id = (
        "call_1_0" if wire.bare else "call_1"
    )  # made up from the place where the provider gave none
    pieces = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    assert "".join(piece.arguments for piece in pieces) == '{"query": "AI news"}'
    assert {(piece.index, piece.id) for piece in pieces} == {(0, id)} and pieces[
        0
    ].name == "search"
    asked = next(chunk for chunk in chunks if chunk.finish_reason == "tool_calls")
    assert not asked.is_final and asked.content == "" and asked.metadata is not None
    assert asked.metadata["tool_calls"] == [
        {"id": id, "name": "search", "arguments": {"query": "AI news"}}
    ]
    assert (
        asked.metadata["model"] == "gpt-test"
        and set(asked.metadata["tokens"]) == TOKENS
    )
    result = next(chunk.tool_result for chunk in chunks if chunk.tool_result)
    assert (result.id, result.content, result.is_error) == (
        id,
        "Results for: AI news",
        False,
    )
    assert (
        response.content
        == "One moment. All quiet."
        == "".join(chunk.content for chunk in chunks)
    )
    assert (
        response.metadata["steps"] == 2
        and response.metadata["tokens"]["total_tokens"] == 36
    )
    called = response.metadata["tool_calls"][0]
    assert (
        called["executed"]
        and called["result"] == "Results for: AI news"
        and called["duration"] >= 0
    )
    assert [turn.finish_reason for turn in response.turns] == ["tool_calls", "stop"]


async def test_reasoning_is_not_content(server: Loopback, wire: Wire) -> None:
    """Reasoning comes in chunks of its own whose content is empty."""
    server.reply(Reply(wire.send.reasoning("Think hard.", "Done.")))
    chunks, response = await read(wire.agent(server))
    assert "".join(chunk.reasoning for chunk in chunks) == "Think hard."
    assert all(chunk.content == "" for chunk in chunks if chunk.reasoning)
    assert response.content == "Done."


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_was_cut_says_so(
    server: Loopback, wire: Wire, reason: str
) -> None:
    """A turn that the provider ended early ends the run with that reason."""
    server.reply(Reply(wire.send.text("Once upon", finish=reason)))
    chunks, response = await read(wire.agent(server))
    assert chunks[-1].finish_reason == reason == response.finish_reason


async def test_a_refusal_is_text_that_ends_as_content_filter(
    server: Loopback, wire: Wire
) -> None:
    """What the model says when it refuses is content, and the finish reason tells that it refused."""
    server.reply(Reply(wire.send.refusal("I cannot help with that.")))
    chunks, response = await read(wire.agent(server))
    assert (
        response.content == "I cannot help with that."
        and chunks[-1].finish_reason == "content_filter"
    )


def test_delta_is_another_name_for_content() -> None:
    """A chunk's delta equals its content however the chunk was made, and nothing else is accepted."""
    assert (
        StreamChunk("a").delta == "a"
        and StreamChunk("a", "a", False, None, None).delta == "a"
    )
    with pytest.raises(ValueError, match="delta"):
        StreamChunk("a", "b")


async def test_every_chunk_survives_json(server: Loopback, wire: Wire) -> None:
    """to_dict gives what JSON can hold, and from_dict gives the same chunk back."""
    server.reply(
        Reply(
            wire.send.tool_calls(("c1", "search", '{"query": "x"}'), reasoning="Hm. ")
        )
    )
    server.reply(Reply(wire.send.text("Done")))
    chunks, _ = await read(wire.agent(server, tools=[search]))
    assert [
        StreamChunk.from_dict(json.loads(json.dumps(chunk.to_dict())))
        for chunk in chunks
    ] == chunks


async def test_max_steps_sends_the_last_calls_and_runs_them(
    server: Loopback, wire: Wire
) -> None:
    """With max_steps=1 a tool call is announced and run, and then the limit is an error that holds the partial."""
    server.reply(Reply(wire.send.tool_calls(("c1", "search", '{"query": "x"}'))))
    seen: list[StreamChunk] = []

    with pytest.raises(MaxStepsExceeded) as raised:
        async with wire.agent(server, tools=[search], max_steps=1) as agent:
            async for chunk in agent.run_stream("Go"):
                seen.append(chunk)
    assert [chunk.finish_reason for chunk in seen if chunk.finish_reason] == [
        "tool_calls"
    ]
    assert any(chunk.tool_result for chunk in seen) and not any(
        chunk.is_final for chunk in seen
    )
    partial = raised.value.partial
    assert partial is not None and partial.tool_calls[0].result is not None
    assert [message.role for message in partial.messages] == [
        "user",
        "assistant",
        "tool",
    ]


async def test_only_what_was_set_is_sent(server: Loopback, wire: Wire) -> None:
    """An agent without settings sends none, and each setting goes under the provider's own name."""
    server.reply(*[Reply(wire.send.text("ok"))] * 2)
    await read(wire.agent(server))
    settings = {"temperature": 0.5, "max_tokens": 9}
    await read(wire.agent(server, model=settings, instructions="Be brief."))
    bare, full = (leaves(request.json) for request in server.requests)
    assert bare.get(wire.limit) == wire.default_limit
    assert "temperature" not in bare and not server.requests[0].json.get("tools")
    assert (full["temperature"], full[wire.limit]) == (0.5, 9)
    assert "Be brief." in str(server.requests[1].json)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "empty"),
        (("  \n",), "empty"),
        (([],), "empty"),
        ((["a", b"list"],), "string"),
        ((None,), "string"),
    ],
)
def test_an_unusable_message_is_refused_at_once(
    arguments: tuple[Any], words: str
) -> None:
    """An empty message or one that is no string is an error before anything is sent."""
    agent = Agent("a", Model("openai:m", api_key="k"))
    with pytest.raises(ConfigurationError, match=words):
        agent.run_stream(*arguments)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": ""}, "name"),
        ({"model": "openai:"}, 'no model name.*"openai:NAME"'),
        (
            {"model": "nobody:m"},
            "unknown provider 'nobody'.*local.*openai, openai-chat",
        ),
        ({"model": "llama3"}, "PROVIDER:llama3.*openai-chat"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"max_steps": 0}, "max_steps"),
        ({"tools": [search, search]}, "two tools are named 'search'"),
        ({"instructions": 3}, "instructions"),
        ({"timeout": -1}, "total time-out"),
    ],
)
def test_an_unusable_agent_is_refused_when_built(
    settings: dict[str, Any], words: str
) -> None:
    """A bad setting is an error where it is written, with words that help."""
    with pytest.raises(ConfigurationError, match=words):
        Agent(**{"name": "a", "model": "openai:m", **settings})


def test_bare_names_and_prefixes() -> None:
    """Well-known names need no prefix, and a model string is cut at its first colon only."""
    parsed = {
        text: (Model(text).provider, Model(text).name)
        for text in ("gpt-5.4", "chatgpt-4o", "o3", "local")
    }
    assert parsed == {
        "gpt-5.4": ("openai", "gpt-5.4"),
        "chatgpt-4o": ("openai", "chatgpt-4o"),
        "o3": ("openai", "o3"),
        "local": ("local", ""),
    }
    assert (
        Model("openai-chat:llama3.2:3b").provider,
        Model("openai-chat:llama3.2:3b").name,
    ) == (
        "openai-chat",
        "llama3.2:3b",
    )


def test_a_model_never_shows_its_key() -> None:
    """The key is in no repr, no pickle and no agent's repr, while a copy keeps it."""
    model = Model(
        "openai:m",
        api_key="sk-canary",
        base_url="http://host",
        extra={"extra_headers": {"x": "sk-canary"}},
    )
    agent = Agent("a", Model("openai:m", api_key="sk-canary"))
    assert "canary" not in f"{model!r}{agent!r}" and b"canary" not in pickle.dumps(
        agent
    )
    assert (
        pickle.loads(
            pickle.dumps(Model("openai:m", api_key="sk-canary", temperature=1))
        ).temperature
        == 1
    )


def test_the_shop_window_shows_every_public_name() -> None:
    """Everything in __all__ exists, is sorted, and has a docstring."""
    assert cogent.__all__ == sorted(cogent.__all__)
    assert all(getattr(cogent, name).__doc__ for name in cogent.__all__)


def test_a_number_is_the_total_time_out() -> None:
    """timeout=30 means thirty seconds for the whole run."""
    assert Agent("a", "openai:m", timeout=30).timeout == Timeout(total=30)
