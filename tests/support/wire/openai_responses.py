"""The Responses format: https://platform.openai.com/docs/api-reference/responses-streaming."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from .common import (
    Answer,
    Builders,
    Json,
    as_refusal,
    cut,
    encode,
    error,
    event,
    in_turn,
)

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The events of an answer that ends in `response.failed` inside a 200, after these deltas of text."""
    failed = _response(Answer(), "failed") | {"error": error(message, code, type)}
    return _number([*_begun(after), {"type": "response.failed", "response": failed}])


def plain_error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The events of an answer that ends in an `error` event as documented: without the type."""
    return _number(
        [
            *_begun(after),
            {"type": "error", "code": code, "message": message, "param": None},
        ]
    )


def nested_error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The events of an answer that ends in an `error` event as OpenAI's servers have been seen to send it."""
    return _number(
        [*_begun(after), {"type": "error", "error": error(message, code, type)}]
    )


def error_body(message: str, code: str | None, type: str) -> bytes:
    """The body of an HTTP error status."""
    return encode({"error": error(message, code, type)})


def _stream(answer: Answer) -> list[bytes]:
    status = _status(answer)
    last = {"type": f"response.{status}", "response": _response(answer, status)}
    return _number([*_opening(answer), *_item_events(answer), last])


def _plain(answer: Answer) -> bytes:
    return encode(_response(answer, _status(answer)))


def _number(events: Iterable[Json]) -> list[bytes]:
    return [
        event(data | {"sequence_number": n}, name=data["type"])
        for n, data in enumerate(events)
    ]


def _opening(answer: Answer) -> list[Json]:
    response = _response(answer, "in_progress")
    return [
        {"type": f"response.{kind}", "response": response}
        for kind in ("created", "in_progress")
    ]


def _begun(deltas: Sequence[str]) -> list[Json]:
    answer = Answer(deltas=deltas)
    # Up to the last delta: before the deltas come the item's and the part's opening, after them their ends.
    return _opening(Answer()) + list(
        islice(_item_events(answer), len(deltas) and 2 + len(deltas))
    )


def _item_events(answer: Answer) -> Iterator[Json]:
    calls = []
    for index, item in enumerate(_items(answer)):
        match item["type"]:
            case "reasoning":
                yield from _reasoning_events(index, item, answer.pieces)
            case "message":
                deltas = answer.spoken or cut(answer.refusal, answer.pieces)
                yield from _message_events(index, item, deltas)
            case "function_call":
                calls.append(_call_events(index, item, answer.pieces))
    yield from in_turn(calls, answer.interleaved)


def _reasoning_events(index: int, item: Json, pieces: int) -> Iterator[Json]:
    opened = item | {"summary": []}
    if "encrypted_content" in item:
        # While the item is in progress the encrypted content may be incomplete.
        opened["encrypted_content"] = cut(item["encrypted_content"], 2)[0]
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    for number, part in enumerate(item["summary"]):
        at = {"item_id": item["id"], "output_index": index, "summary_index": number}
        yield {
            "type": "response.reasoning_summary_part.added",
            **at,
            "part": part | {"text": ""},
        }
        for delta in cut(part["text"], pieces):
            yield {
                "type": "response.reasoning_summary_text.delta",
                **at,
                "delta": delta,
            }
        yield {
            "type": "response.reasoning_summary_text.done",
            **at,
            "text": part["text"],
        }
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _message_events(index: int, item: Json, deltas: Sequence[str]) -> Iterator[Json]:
    opened = item | {"status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    part = item["content"][0]
    kind, said = part["type"], "refusal" if part["type"] == "refusal" else "text"
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    logprobs: Json = {} if kind == "refusal" else {"logprobs": []}
    yield {"type": "response.content_part.added", **at, "part": part | {said: ""}}
    for delta in deltas:
        yield {"type": f"response.{kind}.delta", **at, "delta": delta, **logprobs}
    yield {"type": f"response.{kind}.done", **at, said: part[said], **logprobs}
    yield {"type": "response.content_part.done", **at, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _call_events(index: int, item: Json, pieces: int) -> Iterator[Json]:
    opened = item | {"status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    at = {"item_id": item["id"], "output_index": index}
    for delta in cut(item["arguments"], pieces):
        yield {"type": "response.function_call_arguments.delta", **at, "delta": delta}
    yield {
        "type": "response.function_call_arguments.done",
        **at,
        "arguments": item["arguments"],
    }
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _items(answer: Answer) -> list[Json]:
    items: list[Json] = []
    if answer.reasoning:
        summary = [
            {"type": "summary_text", "text": part}
            for part in answer.reasoning.split("\n\n")
        ]
        item: Json = {"id": f"rs_{answer.key}", "type": "reasoning", "summary": summary}
        items.append(
            item
            if answer.encrypted is None
            else item | {"encrypted_content": answer.encrypted}
        )
    if answer.spoken or answer.refusal:
        whole = "".join(answer.spoken)
        part: Json = {
            "type": "output_text",
            "annotations": [],
            "logprobs": [],
            "text": whole,
        }
        if answer.refusal:
            part = {"type": "refusal", "refusal": answer.refusal}
        message = {
            "id": f"msg_{answer.key}",
            "type": "message",
            "role": "assistant",
            "content": [part],
        }
        items.append(message | {"status": "completed"})
    for number, (call_id, name, arguments) in enumerate(answer.calls):
        call = {
            "id": f"fc_{answer.key}_{number}",
            "type": "function_call",
            "call_id": call_id,
        }
        items.append(
            call | {"name": name, "arguments": arguments, "status": "completed"}
        )
    if items and "status" in items[-1]:
        items[-1]["status"] = _status(answer)
    return items


def _status(answer: Answer) -> str:
    return "incomplete" if answer.finish in INCOMPLETE else "completed"


def _response(answer: Answer, status: str) -> Json:
    ended = status in ("completed", "incomplete")
    reason = INCOMPLETE.get(answer.finish or "")
    return {
        "id": f"resp_{answer.key}",
        "object": "response",
        "created_at": 1735689600,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if ended and reason else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": answer.model,
        "output": _items(answer) if ended else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(answer) if ended else None,
        "metadata": {},
    }


def _usage(answer: Answer) -> Json | None:
    if answer.usage is None:
        return None
    spent, made = answer.usage
    return {
        "input_tokens": spent,
        "input_tokens_details": {
            "cached_tokens": answer.cached,
            "cache_write_tokens": 0,
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": spent + made,
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
