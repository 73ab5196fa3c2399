"""Mistral's chat format: https://docs.mistral.ai/api/endpoint/chat.

Reasoning is a part of a content list, calls come whole, and the last chunk has the finish reason and the usage.
Mistral itself has neither refusals nor content filters: what stands for them here is a text that ends with such a word.
"""

from collections.abc import Iterator, Sequence

from . import chat_completions
from .common import (
    Answer,
    Builders,
    Json,
    as_filtered,
    cut,
    encode,
    event,
)

SHAPE = chat_completions
DONE = b"data: [DONE]\n\n"


def error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The events of an answer that fails inside a 200, after these deltas of text."""
    begun = list(_deltas(Answer(deltas=after))) if after else []
    chunks = [_chunk(Answer(), delta) for delta in begun]
    return [*chunks, event(_error(message, code, type))]


def error_body(message: str, code: str | None, type: str) -> bytes:
    """The body of an HTTP error status."""
    return encode(_error(message, code, type))


def _error(message: str, code: str | None, type: str) -> Json:
    return {
        "object": "error",
        "message": message,
        "type": type,
        "param": None,
        "code": code,
    }


def _stream(answer: Answer) -> list[bytes]:
    *first, last = _deltas(answer)
    chunks = [_chunk(answer, delta) for delta in first]
    return [*chunks, _chunk(answer, last, is_last=True), DONE]


def _chunk(answer: Answer, delta: Json, *, is_last: bool = False) -> bytes:
    finish = _finish(answer) if is_last else None
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = _envelope(answer, "chat.completion.chunk") | {"choices": [choice]}
    return event(chunk | _usage(answer) if is_last else chunk)


def _deltas(answer: Answer) -> Iterator[Json]:
    yield {"role": "assistant", "content": ""}
    for piece in cut(answer.reasoning, answer.pieces):
        yield {"content": [_thinking(piece)]}
    for piece in answer.spoken:
        yield {"content": piece}
    if answer.calls:
        yield {"content": "", "tool_calls": _calls(answer)}
    yield {"content": ""}


def _plain(answer: Answer) -> bytes:
    said = "".join(answer.spoken)
    content: str | list[Json] = said
    if answer.reasoning:
        content = [_thinking(answer.reasoning)]
        content += [{"type": "text", "text": said}] if said else []
    message: Json = {"role": "assistant", "tool_calls": None, "content": content}
    if answer.calls:
        message["tool_calls"] = _calls(answer)
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer)}
    body = _envelope(answer, "chat.completion") | {"choices": [choice]}
    return encode(body | _usage(answer))


def _thinking(text: str) -> Json:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _calls(answer: Answer) -> list[Json]:
    return [
        {"id": id, "function": {"name": name, "arguments": arguments}, "index": index}
        for index, (id, name, arguments) in enumerate(answer.calls)
    ]


def _envelope(answer: Answer, kind: str) -> Json:
    return {
        "id": f"{answer.key}{answer.key}",
        "object": kind,
        "created": 1735689600,
        "model": answer.model,
    }


def _finish(answer: Answer) -> str:
    return answer.finish or ("tool_calls" if answer.calls else "stop")


def _usage(answer: Answer) -> Json:
    if answer.usage is None:
        return {}
    spent, made = answer.usage
    usage: Json = {
        "prompt_tokens": spent,
        "total_tokens": spent + made,
        "completion_tokens": made,
        "prompt_tokens_details": {"cached_tokens": answer.cached},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }
    return {"usage": usage}


_builders = Builders(_stream, _plain, as_filtered)
text = _builders.text
plain_text = _builders.plain_text
tool_calls = _builders.tool_calls
plain_tool_calls = _builders.plain_tool_calls
reasoning = _builders.reasoning
plain_reasoning = _builders.plain_reasoning
refusal = _builders.refusal
plain_refusal = _builders.plain_refusal
