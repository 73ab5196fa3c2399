"""What is particular to Mistral: ids of calls, thinking, what its SDK fails at, and what it cannot deliver.

Not deliverable by public means of mistralai 3.7:

- In a client of the user's own there is none of our hooks: a header that announces a model's retirement, and an error
  without words, fail as ResponseNotRead; events of another content type are an error; a plain answer has only what the
  SDK's types have a place for, and no request id.
- A content part of a type that the SDK does not know goes out changed, and what a server added to a call not at all.
- A status of 2xx that is not 200 is an error.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import WIRES
from mistralai.client import Mistral
from support.loopback import Loopback, Reply
from support.scene import Outcome, answer, outcome_of
from support.wire import chat_completions, mistral_chat
from support.wire.common import event

from cogent import (
    BadRequest,
    ConfigurationError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    tool,
)

JSON = "application/json"
[MISTRAL] = [wire for wire in WIRES if wire.provider == "mistral"]
both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)
VALID = re.compile(r"[A-Za-z0-9]{9}")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def reply(*words: str, streaming: bool = True, **more: Any) -> Reply:
    """An answer of these words."""
    if streaming:
        return Reply(mistral_chat.text(*words), **more)
    body = mistral_chat.plain_text(*words)
    return Reply(body, **{"content_type": JSON, **more})


async def run(
    server: Loopback, *replies: Reply, streaming: bool = True, **settings: Any
) -> Outcome:
    """What comes of one run against these replies."""
    server.reply(*replies)
    agent = MISTRAL.agent(server, **settings)
    try:
        return await outcome_of(agent, streaming=streaming)
    finally:
        await agent.aclose()


# Ids of calls


@pytest.mark.parametrize("id", ["call_7", "D681PevKs", "ü b", "x" * 200])
async def test_ids_are_sent_in_the_form_that_it_takes(
    server: Loopback, id: str
) -> None:
    """Each id is nine letters and digits, the same in every request, and the user sees the model's own."""
    call = (id, "add", '{"a": 1, "b": 2}')
    server.reply(
        Reply(mistral_chat.tool_calls(call)), reply("It is 3."), reply("Sure.")
    )
    response = await answer(MISTRAL.agent(server, stream=True, tools=[add]))
    assert [call.id for call in response.tool_calls] == [id]
    await answer(MISTRAL.agent(server, tools=[add]), history=response.messages)
    sent = []
    for request in server.requests[1:]:
        assistant, result = request.json["messages"][1:3]
        [asked] = assistant["tool_calls"]
        sent += [asked["id"], result["tool_call_id"]]
    [only] = set(sent)
    assert VALID.fullmatch(only) and (only == id) == bool(VALID.fullmatch(id))


async def test_calls_of_one_turn_have_their_places(server: Loopback) -> None:
    """The SDK would give each call the index 0."""
    calls = [(f"c{n}", "add", json.dumps({"a": n, "b": 0})) for n in range(3)]
    first = Reply(mistral_chat.tool_calls(*calls))
    outcome = await run(server, first, reply("Yes."), tools=[add])
    assert outcome.error is None
    sent = server.requests[1].json["messages"][1]["tool_calls"]
    assert [call["index"] for call in sent] == [0, 1, 2]
    assert len({call["id"] for call in sent}) == 3


# Thinking


@both_ways
async def test_thinking_goes_back_as_the_parts_that_it_came_in(
    server: Loopback, streaming: bool
) -> None:
    """Magistral's thinking is reasoning, and a part of the same form in the next request."""
    part = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "Let me see."}],
        "signature": "sig",
        "closed": True,
    }
    content = [part, {"type": "text", "text": "Hello."}]
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop"}
    body = {"id": "c", "object": "o", "created": 1, "model": "m", "usage": {}}
    if streaming:
        first = Reply(event(body | {"choices": [choice | {"delta": message}]}))
    else:
        whole = body | {"choices": [choice | {"message": message}]}
        first = Reply(json.dumps(whole).encode(), content_type=JSON)
    server.reply(first, reply("Bye.", streaming=streaming))
    agent = MISTRAL.agent(server, stream=streaming)
    response = await agent.run("Go")
    assert response.messages[-1].reasoning == "Let me see."
    assert (await agent.run("And?", history=response.messages)).content == "Bye."
    await agent.aclose()
    assert server.requests[1].json["messages"][1]["content"] == content


# What its SDK fails at


CHUNK = {"id": "c", "object": "o", "created": 1, "model": "m"}
ODD: dict[str, Any] = {
    "without an id": {"choices": [{"index": 0, "delta": {"content": "b"}}]},
    "a null delta": {
        "choices": [{"index": 0, "delta": None, "message": None}],
        "more": "x",
    },
    "no choices": {**CHUNK, "choices": []},
    "unknown fields": {
        **CHUNK,
        "choices": [{"index": 0, "delta": {"content": "b", "new": 1}, "x": 2}],
    },
}


@pytest.mark.parametrize("case", ODD)
async def test_chunks_that_the_sdk_refuses_are_read(
    server: Loopback, case: str
) -> None:
    """What compatible servers send, and the SDK's types have no place for, ends no answer in its middle."""
    events = mistral_chat.text("a", "c")
    events.insert(2, event(ODD[case]))
    outcome = await run(server, Reply(events))
    assert outcome.error is None and outcome.text in ("abc", "ac")


async def test_a_call_in_pieces_is_put_together(server: Loopback) -> None:
    """Pieces of a call without its name are read too."""
    call = ("c1", "add", '{"a": 1, "b": 2}')
    first = Reply(chat_completions.tool_calls(call, pieces=5))
    outcome = await run(server, first, reply("3."), tools=[add])
    assert outcome.error is None and outcome.response is not None
    [done] = outcome.response.tool_calls
    assert done.result is not None and done.result.content == "3"


@both_ways
async def test_a_model_that_will_be_retired_still_answers(
    server: Loopback, streaming: bool
) -> None:
    """The header that announces it is no error."""
    headers = {"x-model-deprecation-timestamp": "2027-01-31T00:00:00Z"}
    first = reply("Hi", streaming=streaming, headers=headers)
    outcome = await run(server, first, streaming=streaming)
    assert (outcome.error, outcome.text) == (None, "Hi")


@both_ways
async def test_an_error_without_words_has_its_status(
    server: Loopback, streaming: bool
) -> None:
    """A gateway's 503 with an empty body is that."""
    outcome = await run(server, Reply(b"", 503), streaming=streaming)
    assert type(outcome.error) is Overloaded and outcome.error.status == 503


async def test_a_plain_answer_that_its_types_do_not_fit(server: Loopback) -> None:
    """The answer of a compatible server, without what Mistral always sends."""
    choice = {"message": {"role": "assistant", "content": "Hi", "reasoning": "Hm."}}
    body = json.dumps({"choices": [{**choice, "finish_reason": "stop"}]}).encode()
    outcome = await run(server, Reply(body, content_type=JSON), streaming=False)
    assert (outcome.error, outcome.text) == (None, "Hi")
    assert outcome.response is not None
    assert outcome.response.messages[-1].reasoning == "Hm."


async def test_streams_share_a_connection(server: Loopback) -> None:
    """An answer is read to its end, behind `[DONE]`, and its connection used again."""
    server.reply(*[reply("Hi")] * 3)
    async with MISTRAL.agent(server, stream=True) as agent:
        for _ in range(3):
            assert (await agent.run("Go")).content == "Hi"
    assert {request.connection for request in server.requests} == {1}


# Errors


@both_ways
@pytest.mark.parametrize(
    ("status", "type_", "code", "kind"),
    [
        (400, "invalid_model", "1500", ModelNotFound),
        (429, "rate_limited", "1300", RateLimited),
        (429, "service_tier_capacity_exceeded", "3505", RateLimited),
        (503, "unreachable_backend", "1100", Overloaded),
        (400, "invalid_request_message_order", "3230", BadRequest),
    ],
)
async def test_its_codes(
    server: Loopback, streaming: bool, status: int, type_: str, code: str, kind: Any
) -> None:
    """The words and types of Mistral's own errors have their meaning."""
    body = mistral_chat.error_body("No.", code, type_)
    first = Reply(body, status, JSON, {"retry-after": "7"})
    outcome = await run(server, first, streaming=streaming)
    assert (type(outcome.error), outcome.error.code) == (kind, type_)
    assert outcome.error.retry_after == 7 and "No." in str(outcome.error)


async def test_what_fastapi_says_of_a_request(server: Loopback) -> None:
    """A 422 has its place and its words."""
    detail = [{"loc": ["body", "top_k"], "msg": "Too many.", "type": "value_error"}]
    body = json.dumps({"detail": detail}).encode()
    outcome = await run(server, Reply(body, 422, JSON))
    assert type(outcome.error) is BadRequest
    assert "body.top_k: Too many." in str(outcome.error)


@both_ways
@pytest.mark.parametrize("extra", [{"service_tier": "slow"}, {"stop": 5}], ids=repr)
async def test_what_the_sdk_refuses_to_send(
    server: Loopback, streaming: bool, extra: dict[str, Any]
) -> None:
    """A setting of another type is the caller's error."""
    outcome = await run(server, streaming=streaming, model={"extra": extra})
    assert type(outcome.error) is ConfigurationError
    assert "the Mistral SDK does not take" in str(outcome.error)
    assert server.requests == []


# Settings, keys, clients


async def test_settings_go_to_the_call_untouched(server: Loopback) -> None:
    """What only Mistral has is set by `extra`."""
    extra = {
        "safe_prompt": True,
        "tool_choice": "any",
        "random_seed": 7,
        "http_headers": {"x-team": "a"},
    }
    await run(server, reply("Hi"), model={"extra": extra, "max_tokens": 9})
    sent = server.requests[0]
    assert sent.headers["x-team"] == "a" and sent.json["max_tokens"] == 9
    for name in ("safe_prompt", "tool_choice", "random_seed"):
        assert sent.json[name] == extra[name]


def provide() -> str:
    return "key-of-a-function"


async def provide_later() -> str:
    return "key-of-a-function"


@both_ways
@pytest.mark.parametrize("give", [provide, provide_later])
async def test_a_key_may_be_a_function(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    streaming: bool,
    give: Callable[[], Any],
) -> None:
    """Also an async one, and before the key of the environment."""
    monkeypatch.setenv("MISTRAL_API_KEY", "another")
    outcome = await run(
        server,
        reply("Hi", streaming=streaming),
        streaming=streaming,
        model={"api_key": give, "extra": {"http_headers": {"x-team": "a"}}},
    )
    assert outcome.error is None
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer key-of-a-function"
    assert headers["x-team"] == "a"


async def test_without_a_key(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A missing key names its variable; the SDK's file of a service account will do."""
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    outcome = await run(server, model={"api_key": None})
    assert type(outcome.error) is ConfigurationError
    assert "set MISTRAL_API_KEY" in str(outcome.error)
    token = tmp_path / "token"
    token.write_text("token-of-a-file")
    monkeypatch.setenv("MISTRAL_SA_TOKEN_PATH", str(token))
    await run(server, reply("Hi"), model={"api_key": None})
    assert server.requests[0].headers["authorization"] == "Bearer token-of-a-file"


@both_ways
async def test_a_client_of_the_users(server: Loopback, streaming: bool) -> None:
    """A client of the user's own gives the same answer, tools and thinking included."""
    call = ("c1", "add", '{"a": 1, "b": 2}')
    if streaming:
        first = Reply(mistral_chat.tool_calls(call, reasoning="Hm."))
    else:
        body = mistral_chat.plain_tool_calls(call, reasoning="Hm.")
        first = Reply(body, content_type=JSON)
    async with Mistral("key", server_url=server.url) as client:
        outcome = await run(
            server,
            first,
            reply("It is 3.", streaming=streaming),
            streaming=streaming,
            model={"client": client, "base_url": None, "api_key": None},
            tools=[add],
        )
    assert outcome.error is None and outcome.response is not None
    assert outcome.response.content == "It is 3."
    assert outcome.response.messages[1].reasoning == "Hm."
    assert outcome.response.metadata["tokens"]["total_tokens"] == 36
