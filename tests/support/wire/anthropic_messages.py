"""The Messages format: https://platform.claude.com/docs/en/build-with-claude/streaming."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from .common import (
    Answer,
    Builders,
    Call,
    Json,
    as_filtered,
    cut,
    encode,
    event,
)

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}


def error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The events of an answer that fails inside a 200, after these deltas of text."""
    begun = _begun(after) if after else []
    return [_event(data) for data in [*begun, _error(message, code, type)]]


def error_body(message: str, code: str | None, type: str) -> bytes:
    """The body of an HTTP error status."""
    return encode(_error(message, code, type))


def content(answer: Answer) -> list[Json]:
    """The content blocks of an answer: what the next request sends back."""
    blocks: list[Json] = []
    if answer.reasoning:
        blocks.append(
            {
                "type": "thinking",
                "thinking": answer.reasoning,
                "signature": answer.encrypted or "",
            }
        )
    if answer.spoken:
        blocks.append({"type": "text", "text": "".join(answer.spoken)})
    for call_id, name, arguments in answer.calls:
        blocks.append(
            {
                "type": "tool_use",
                "id": call_id,
                "name": name,
                "input": _object(arguments),
            }
        )
    return blocks


def blocks(*content: Json, start: Json | None = None, **ending: Any) -> list[bytes]:
    """The events of an answer of these blocks, of which texts and inputs come in pieces.

    `start` are further fields of the message, `ending` those of the event that ends it.
    """
    answer = Answer()
    opening, ping = _opening(answer)
    opening["message"] |= start or {}
    usage = _usage(answer) | ending.pop("usage", {})
    end = {"type": "message_delta", "delta": _end(answer) | ending, "usage": usage}
    streamed = [
        data
        for index, block in enumerate(content)
        for data in _streamed_block(index, block)
    ]
    events = [opening, ping, *streamed, end, {"type": "message_stop"}]
    return [_event(data) for data in events]


def plain_blocks(*content: Json, start: Json | None = None, **ending: Any) -> bytes:
    """The body of the same answer without streaming."""
    answer = Answer()
    usage = _usage(answer) | ending.pop("usage", {})
    body = _message(answer) | (start or {}) | _end(answer) | ending
    return encode(body | {"content": list(content), "usage": usage})


def _streamed_block(index: int, block: Json) -> Iterator[Json]:
    opened, deltas = dict(block), list[Json]()
    if block["type"] == "text":
        opened["text"] = ""
        if "citations" in block:
            opened["citations"] = []
        for citation in block.get("citations") or ():
            deltas.append({"type": "citations_delta", "citation": citation})
        for piece in cut(block["text"]):
            deltas.append({"type": "text_delta", "text": piece})
    elif "input" in block:
        opened["input"] = {}
        for piece in ("", *cut(json.dumps(block["input"]))):
            deltas.append({"type": "input_json_delta", "partial_json": piece})
    yield {"type": "content_block_start", "index": index, "content_block": opened}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _stream(answer: Answer) -> list[bytes]:
    end: Json = {"type": "message_delta", "delta": _end(answer)}
    if answer.usage:
        end["usage"] = _usage(answer)
    return [
        _event(data)
        for data in [
            *_opening(answer),
            *_block_events(answer),
            end,
            {"type": "message_stop"},
        ]
    ]


def _plain(answer: Answer) -> bytes:
    body = _message(answer) | {"content": content(answer)} | _end(answer)
    return encode(body | {"usage": _usage(answer)} if answer.usage else body)


def _event(data: Json) -> bytes:
    return event(data, name=data["type"])


def _opening(answer: Answer) -> list[Json]:
    message = _message(answer)
    if answer.usage:
        message["usage"] = _usage(answer) | {"output_tokens": 1}
    return [{"type": "message_start", "message": message}, {"type": "ping"}]


def _begun(deltas: Sequence[str]) -> list[Json]:
    answer = Answer(deltas=deltas)
    return _opening(answer) + list(islice(_block_events(answer), 1 + len(deltas)))


def _block_events(answer: Answer) -> Iterator[Json]:
    calls = iter(answer.calls)
    for index, block in enumerate(content(answer)):
        match block["type"]:
            case "thinking":
                opened, deltas = (
                    block | {"thinking": "", "signature": ""},
                    _thinking_deltas(answer),
                )
            case "text":
                opened, deltas = (
                    block | {"text": ""},
                    [{"type": "text_delta", "text": t} for t in answer.spoken],
                )
            case _:
                opened, deltas = (
                    block | {"input": {}},
                    _input_deltas(next(calls), answer.pieces),
                )
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}


def _thinking_deltas(answer: Answer) -> list[Json]:
    deltas: list[Json] = [
        {"type": "thinking_delta", "thinking": t}
        for t in cut(answer.reasoning, answer.pieces)
    ]
    return (
        [*deltas, {"type": "signature_delta", "signature": answer.encrypted}]
        if answer.encrypted
        else deltas
    )


def _input_deltas(call: Call, pieces: int) -> list[Json]:
    # The first piece is empty; a call without arguments has no other.
    written = () if call[2] in ("", "{}") else cut(call[2], pieces)
    return [
        {"type": "input_json_delta", "partial_json": piece} for piece in ("", *written)
    ]


def _object(arguments: str) -> Json:
    try:
        return dict(json.loads(arguments or "{}"))
    except (ValueError, TypeError):
        return {}


def _message(answer: Answer) -> Json:
    return {
        "id": f"msg_{answer.key}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _end(answer: Answer) -> Json:
    reason = answer.finish or ("tool_calls" if answer.calls else "stop")
    return {"stop_reason": STOP_REASONS[reason], "stop_sequence": None}


def _usage(answer: Answer) -> Json:
    spent, made = answer.usage or (0, 0)
    return {
        "input_tokens": spent - answer.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached,
        "output_tokens": made,
        "output_tokens_details": {"thinking_tokens": answer.reasoning_tokens},
        "service_tier": "standard",
    }


def _error(message: str, code: str | None, type: str) -> Json:
    # The format has one word for what went wrong, and the more telling one is put there.
    return {
        "type": "error",
        "error": {"type": code or type, "message": message},
        "request_id": "req_test",
    }


_builders = Builders(_stream, _plain, as_filtered)
text = _builders.text
plain_text = _builders.plain_text
tool_calls = _builders.tool_calls
plain_tool_calls = _builders.plain_tool_calls
reasoning = _builders.reasoning
plain_reasoning = _builders.plain_reasoning
refusal = _builders.refusal
plain_refusal = _builders.plain_refusal
