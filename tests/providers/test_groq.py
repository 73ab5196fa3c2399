"""What is particular to Groq: its addresses, its keywords, its usage, its errors inside a stream."""

import json
from typing import Any

import groq
import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import answer
from support.wire import chat_completions
from support.wire.common import event

from cogent import (
    Agent,
    AuthenticationError,
    BadRequest,
    ConfigurationError,
    Model,
    Response,
    tool,
)

GROQ = Wire("groq", chat_completions, "")
HEAD = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1771434740,
    "model": "llama-3.3-70b",
}
TIMES = {
    "queue_time": 0.017,
    "prompt_time": 0.006,
    "completion_time": 0.117,
    "total_time": 0.123,
}
USAGE = {"prompt_tokens": 26, "completion_tokens": 41, "total_tokens": 67, **TIMES}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def run(server: Loopback, *replies: Reply, **settings: Any) -> Response:
    """The response of a streamed run against these replies."""
    server.reply(*replies)
    return await answer(GROQ.agent(server, stream=True, **settings))


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event({**HEAD, "choices": [choice], **more})


FIRST = chunk({"role": "assistant", "content": ""}, x_groq={"id": "req_1"})


async def test_usage_may_be_only_in_groqs_own_field(server: Loopback) -> None:
    """Usage is found in `x_groq`, and counted once where it is repeated."""
    inside = chunk({}, "stop", x_groq={"id": "req_1", "usage": USAGE})
    repeated = chunk({}, "stop", x_groq={"id": "req_1", "usage": USAGE}, usage=USAGE)
    last = event({**HEAD, "choices": [], "usage": USAGE})
    for end in ([inside], [repeated, last]):
        response = await run(
            server,
            Reply([FIRST, chunk({"content": "Hello"}), *end, b"data: [DONE]\n\n"]),
        )
        tokens = response.metadata["tokens"]
        assert (
            tokens["input_tokens"],
            tokens["output_tokens"],
            tokens["total_tokens"],
        ) == (26, 41, 67)
        assert (
            "estimated" not in tokens and response.metadata["model"] == "llama-3.3-70b"
        )


async def test_a_call_that_groq_refuses_is_an_error(server: Loopback) -> None:
    """A call that Groq itself finds invalid ends the stream as BadRequest with its code and the reasoning so far."""
    failed = {
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": "{}",
        "status_code": 400,
    }
    body = [FIRST, chunk({"reasoning": "We", "channel": "analysis"})]
    body.append(
        event(
            {"error": {"message": "Tool call validation failed", **failed}},
            name="error",
        )
    )
    with pytest.raises(BadRequest, match="Tool call validation failed") as raised:
        await run(server, Reply(body), tools=[add], model={"max_retries": 2})
    assert (raised.value.code, raised.value.status, raised.value.retryable) == (
        "tool_use_failed",
        200,
        False,
    )
    assert (
        isinstance(raised.value.__cause__, groq.APIError) and len(server.requests) == 1
    )


async def test_null_arguments_call_a_tool_without_parameters(server: Loopback) -> None:
    """Groq sends "null" where a tool has no parameters, and the tool runs."""

    @tool
    def ping() -> str:
        """Answer."""
        return "pong"

    calls = [("call_1", "ping", "null"), ("call_2", "ping", "null")]
    response = await run(
        server,
        Reply(chat_completions.tool_calls(*calls)),
        Reply(chat_completions.text("ok")),
        tools=[ping],
    )
    assert [call.result.content for call in response.tool_calls if call.result] == [
        "pong",
        "pong",
    ]


async def test_the_request_is_groqs(server: Loopback) -> None:
    """The limit has the name that is not deprecated, nothing that the SDK lacks is sent, and reasoning goes back."""
    call = {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
    }
    body = [
        FIRST,
        chunk({"reasoning": "Add."}),
        chunk({"tool_calls": [call]}),
        chunk({}, "tool_calls"),
    ]
    settings = {
        "max_tokens": 9,
        "temperature": 0.5,
        "extra": {"reasoning_format": "parsed"},
    }
    await run(
        server,
        Reply(body),
        Reply(chat_completions.text("3")),
        tools=[add],
        model=settings,
    )
    first, second = (request.json for request in server.requests)
    assert set(first) == {
        *("model", "messages", "stream", "tools"),
        "max_completion_tokens",
        "temperature",
        "reasoning_format",
    }
    assert (
        first["max_completion_tokens"],
        first["temperature"],
        first["reasoning_format"],
    ) == (9, 0.5, "parsed")
    assistant, result = second["messages"][1:]
    assert assistant["reasoning"] == "Add." and assistant["tool_calls"][0]["id"] == "c1"
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "3"}


async def test_the_address_and_the_key_come_from_the_environment(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GROQ_BASE_URL and GROQ_API_KEY hold where the model has no settings of its own."""
    monkeypatch.setenv("GROQ_BASE_URL", server.url)
    monkeypatch.setenv("GROQ_API_KEY", "from-outside")
    server.reply(*[Reply(chat_completions.text("ok"))] * 2)
    await answer(Agent("a", "groq:llama-3.3-70b", stream=True))
    monkeypatch.setenv("GROQ_BASE_URL", "http://127.0.0.1:1")
    await answer(
        Agent("a", Model("groq:m", base_url=server.url, api_key="own"), stream=True)
    )
    assert [request.path for request in server.requests] == [
        "/openai/v1/chat/completions"
    ] * 2
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer from-outside",
        "Bearer own",
    ]


async def test_a_key_is_needed_and_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key the error names the variable; a function as the key, which this SDK does not know, is refused."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="GROQ_API_KEY"):
        await answer(Agent("a", "groq:m"))
    with pytest.raises(ConfigurationError, match="string"):
        await answer(Agent("a", Model("groq:m", api_key=lambda: "key")))


async def test_a_refused_key_is_said(server: Loopback) -> None:
    """An error status has its class, its code and its request id."""
    body = chat_completions.error_body(
        "Invalid API Key", "invalid_api_key", "invalid_request_error"
    )
    with pytest.raises(AuthenticationError, match="Invalid API Key") as raised:
        await run(
            server, Reply(body, 401, "application/json", {"x-request-id": "req_9"})
        )
    assert (raised.value.code, raised.value.request_id) == ("invalid_api_key", "req_9")


async def test_a_plain_answer_is_read_whole(server: Loopback) -> None:
    """Without streaming the answer has its text, its usage and its request id."""
    message = {"role": "assistant", "content": "Hello", "reasoning": "Greet."}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps(
        {**HEAD, "choices": [choice], "usage": USAGE, "x_groq": {"id": "req_1"}}
    )
    server.reply(
        Reply(body, content_type="application/json", headers={"x-request-id": "req_1"})
    )
    response = await answer(GROQ.agent(server))
    assert (response.content, response.metadata["request_ids"]) == ("Hello", ["req_1"])
    assert (
        response.metadata["tokens"]["total_tokens"] == 67
        and response.messages[-1].reasoning == "Greet."
    )
