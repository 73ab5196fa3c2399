"""A prompt or an answer that a filter refuses ends with a final chunk, whatever the provider calls it."""

import json
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.scene import JSON, Outcome, play

from cogent import (
    BadRequest,
    ModelError,
    RateLimited,
    ServerError,
    tool,
)

MODES = pytest.mark.parametrize("streaming", [True, False], ids=["stream", "plain"])

AZURE = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"hate": {"filtered": True}},
        },
    }
}
INNER_ONLY = {
    "error": {
        "message": "Refused.",
        "code": "400",
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
}
GENERIC = "invalid_request_error"
# What a server sends with the status, and the raw finish reason of it.
REFUSALS: dict[str, tuple[int, Any, str]] = {
    "azure": (400, AZURE, "content_filter"),
    "azure's inner error": (400, INNER_ONLY, "ResponsibleAIPolicyViolation"),
    "openai, images": (
        400,
        {
            "error": {
                "message": "Rejected.",
                "type": GENERIC,
                "code": "content_policy_violation",
            }
        },
        "content_policy_violation",
    ),
    "openai, reasoning": (
        400,
        {
            "error": {
                "message": "Invalid prompt: it was flagged.",
                "type": GENERIC,
                "code": "invalid_prompt",
            }
        },
        "invalid_prompt",
    ),
    "openai, biology": (
        400,
        {"error": {"message": "No.", "code": "bio_policy"}},
        "bio_policy",
    ),
    "alibaba": (
        400,
        {
            "error": {
                "message": "Input data may contain inappropriate content.",
                "code": "data_inspection_failed",
            }
        },
        "data_inspection_failed",
    ),
    "alibaba's own": (
        400,
        {
            "code": "DataInspectionFailed",
            "message": "Output data may contain inappropriate content.",
        },
        "DataInspectionFailed",
    ),
    "alibaba, dotted": (
        400,
        {
            "error": {
                "message": "Refused.",
                "code": "InternalError.Algo.DataInspectionFailed",
            }
        },
        "InternalError.Algo.DataInspectionFailed",
    ),
    "anthropic": (
        400,
        {
            "type": "error",
            "error": {
                "type": GENERIC,
                "message": "Output blocked by content filtering policy",
            },
        },
        "Output blocked by content filtering policy",
    ),
    "deepseek": (
        400,
        {
            "error": {
                "message": "Content Exists Risk",
                "type": GENERIC,
                "param": None,
                "code": GENERIC,
            }
        },
        "Content Exists Risk",
    ),
    "deepseek, earlier": (
        400,
        {"detail": "Content Exists Risk"},
        "Content Exists Risk",
    ),
    "zhipu": (
        400,
        {
            "error": {
                "code": "1301",
                "message": "系统检测到输入或生成内容可能包含不安全或敏感内容",
            }
        },
        "1301",
    ),
    "moonshot": (
        400,
        {"error": {"message": "high risk", "type": "content_filter"}},
        "content_filter",
    ),
    "xai": (
        403,
        {"error": "Content violates usage guidelines."},
        "Content violates usage guidelines.",
    ),
}
every_refusal = pytest.mark.parametrize(
    ("status", "body", "raw"), REFUSALS.values(), ids=REFUSALS
)


@tool
def look_up() -> str:
    """Answer."""
    return "pong"


async def ask(
    server: Loopback, wire: Wire, reply: Reply, streaming: bool = True
) -> Outcome:
    """What comes of this reply, which ends a run without an error; it may be asked three times."""
    settings = {"tools": [look_up], "model": {"max_retries": 2}}
    outcome = await play(server, wire, reply, streaming=streaming, **settings)
    assert outcome.error is None
    return outcome


@MODES
@every_refusal
async def test_a_refused_prompt_is_an_end(
    server: Loopback, wire: Wire, streaming: bool, status: int, body: Any, raw: str
) -> None:
    """A prompt that a filter refuses ends the run as content_filter, with the provider's code and no second request."""
    head = {"x-request-id": "req_1"}
    outcome = await ask(
        server, wire, Reply(json.dumps(body), status, JSON, head), streaming
    )
    assert (outcome.response.content, outcome.response.finish_reason) == (
        "",
        "content_filter",
    )
    assert outcome.response.metadata["raw_finish_reason"] == raw
    assert outcome.response.metadata["request_ids"] == ([] if wire.bare else ["req_1"])
    assert len(server.requests) == 1
    if streaming:
        assert [(chunk.is_final, chunk.finish_reason) for chunk in outcome.chunks] == [
            (True, "content_filter")
        ]


def _in_stream(wire: Wire, body: Any, begun: bool) -> Reply:
    """A stream whose last event is this error, after text or at once."""
    events = wire.send.text("Hel", "lo")
    count = next(n for n, event in enumerate(events, 1) if b'"lo"' in event)
    start = b"".join(events[:count]) if begun else b""
    text = json.dumps(body).encode()
    if wire.bare:
        return Reply(start + text + b"\n", content_type=wire.mime)
    name = b"event: error\n" if wire.provider == "anthropic" else b""
    return Reply(start + name + b"data: " + text + b"\n\n", content_type=wire.mime)


IN_STREAM = ["azure", "openai, images", "openai, reasoning", "deepseek", "zhipu", "xai"]


@pytest.mark.parametrize("begun", [False, True], ids=["at once", "after text"])
@pytest.mark.parametrize("refusal", IN_STREAM)
async def test_a_refusal_in_the_stream_is_an_end(
    server: Loopback, wire: Wire, begun: bool, refusal: str
) -> None:
    """A refusal that comes as an event of the stream ends the run in the same way, after the text that was seen."""
    _, body, raw = REFUSALS[refusal]
    outcome = await ask(server, wire, _in_stream(wire, body, begun))
    assert (outcome.response.content, outcome.response.finish_reason) == (
        "Hello" if begun else "",
        "content_filter",
    )
    assert outcome.response.metadata["raw_finish_reason"] == raw
    assert [chunk.finish_reason for chunk in outcome.chunks if chunk.is_final] == [
        "content_filter"
    ]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "wire", [wire for wire in WIRES if not wire.bare], ids=lambda wire: wire.name
)
async def test_a_refused_answer_runs_no_tool(server: Loopback, wire: Wire) -> None:
    """Calls that came before the refusal are listed as not executed."""
    events = wire.send.tool_calls(("c1", "look_up", "{}"))
    count = next(n for n, event in enumerate(events, 1) if b"look_up" in event)
    error = _in_stream(wire, AZURE, begun=False)
    assert isinstance(error.body, bytes)
    reply = Reply(b"".join(events[:count]) + error.body, content_type=wire.mime)
    response = (await ask(server, wire, reply)).response
    assert response.finish_reason == "content_filter"
    assert [call["executed"] for call in response.metadata["tool_calls"]] == [False]
    assert len(server.requests) == 1


async def test_a_failed_response_of_a_filter_is_an_end(server: Loopback) -> None:
    """`response.failed` with OpenAI's code for a refused prompt is an end as well."""
    wire = WIRES[0]
    events = wire.send.error_event(
        "Invalid prompt: it was flagged.", "invalid_prompt", GENERIC
    )
    response = (await ask(server, wire, Reply(events))).response
    assert (response.finish_reason, response.metadata["raw_finish_reason"]) == (
        "content_filter",
        "invalid_prompt",
    )


NO_REFUSALS: dict[str, tuple[int, Any, type[ModelError]]] = {
    "a request in a wrong form": (
        400,
        {
            "error": {
                "code": "invalid_prompt",
                "message": "Invalid Responses API request",
            }
        },
        BadRequest,
    ),
    "a filter that failed": (
        500,
        {"error": {"code": "content_filter_error", "message": "Failed."}},
        ServerError,
    ),
    "another status": (
        429,
        {"error": {"message": "Our content filtering policy service is busy"}},
        RateLimited,
    ),
}


@MODES
@pytest.mark.parametrize(
    ("status", "body", "kind"), NO_REFUSALS.values(), ids=NO_REFUSALS
)
async def test_what_is_no_refusal_stays_an_error(
    server: Loopback,
    wire: Wire,
    streaming: bool,
    status: int,
    body: Any,
    kind: type[ModelError],
) -> None:
    """What a filter has not decided is an error as ever."""
    reply = Reply(json.dumps(body), status, JSON)
    outcome = await play(server, wire, reply, streaming=streaming)
    assert isinstance(outcome.error, kind)
