"""The chat completions format: https://platform.openai.com/docs/api-reference/chat-streaming."""

from collections.abc import Iterator, Sequence

from .common import (
    Answer,
    Builders,
    Call,
    Json,
    as_refusal,
    cut,
    encode,
    error,
    event,
    in_turn,
)

CHUNK = "chat.completion.chunk"
DONE = b"data: [DONE]\n\n"


def error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The events of an answer that fails inside a 200, after these deltas of text."""
    begun = list(_deltas(Answer(deltas=after))) if after else []
    return [_chunk(Answer(), delta) for delta in begun] + [
        event({"error": error(message, code, type)})
    ]


def error_body(message: str, code: str | None, type: str) -> bytes:
    """The body of an HTTP error status."""
    return encode({"error": error(message, code, type)})


def _stream(answer: Answer) -> list[bytes]:
    chunks = [_chunk(answer, delta) for delta in _deltas(answer)]
    chunks.append(_chunk(answer, {}, finish=_finish(answer)))
    if answer.usage:
        chunks.append(
            event(_envelope(answer, CHUNK) | {"choices": [], "usage": _usage(answer)})
        )
    return [*chunks, DONE]


def _chunk(answer: Answer, delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _envelope(answer, CHUNK) | {"choices": [choice]}
    # With include_usage, every chunk but the last has a null usage.
    return event(chunk | {"usage": None} if answer.usage else chunk)


def _deltas(answer: Answer) -> Iterator[Json]:
    yield {
        "role": "assistant",
        "content": "" if answer.spoken else None,
        "refusal": None,
    }
    for piece in cut(answer.reasoning, answer.pieces):
        yield {"reasoning_content": piece}
    for piece in answer.spoken:
        yield {"content": piece}
    for piece in cut(answer.refusal, answer.pieces):
        yield {"refusal": piece}
    calls = (
        _call_deltas(index, call, answer.pieces)
        for index, call in enumerate(answer.calls)
    )
    yield from in_turn(calls, answer.interleaved)


def _call_deltas(index: int, call: Call, pieces: int) -> Iterator[Json]:
    yield {
        "tool_calls": [
            {
                "index": index,
                **_call(call),
                "function": {"name": call[1], "arguments": ""},
            }
        ]
    }
    for piece in cut(call[2], pieces):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _call(call: Call) -> Json:
    return {
        "id": call[0],
        "type": "function",
        "function": {"name": call[1], "arguments": call[2]},
    }


def _plain(answer: Answer) -> bytes:
    message: Json = {
        "role": "assistant",
        "content": "".join(answer.spoken) if answer.spoken else None,
        "refusal": answer.refusal or None,
    }
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [_call(call) for call in answer.calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish(answer),
    }
    body = _envelope(answer, "chat.completion") | {"choices": [choice]}
    return encode(body | {"usage": _usage(answer)} if answer.usage else body)


def _envelope(answer: Answer, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answer.key}",
        "object": kind,
        "created": 1735689600,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _finish(answer: Answer) -> str:
    return answer.finish or ("tool_calls" if answer.calls else "stop")


def _usage(answer: Answer) -> Json:
    spent, made = answer.usage or (0, 0)
    return {
        "prompt_tokens": spent,
        "completion_tokens": made,
        "total_tokens": spent + made,
        "prompt_tokens_details": {"cached_tokens": answer.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


_builders = Builders(_stream, _plain, as_refusal)
text = _builders.text
plain_text = _builders.plain_text
tool_calls = _builders.tool_calls
plain_tool_calls = _builders.plain_tool_calls
reasoning = _builders.reasoning
plain_reasoning = _builders.plain_reasoning
refusal = _builders.refusal
plain_refusal = _builders.plain_refusal
