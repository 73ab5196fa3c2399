"""Mistral's chat format: https://docs.mistral.ai/api/endpoint/chat.

Reasoning is a part of a content list, calls come whole, and the last chunk has the finish reason and the usage.
Mistral itself has neither refusals nor content filters: what stands for them here is a text that ends with such a word.
"""

from collections.abc import Iterator, Sequence
from typing import Unpack

from . import chat_completions
from .common import Answer, Call, Json, Options, cut, encode, event

SHAPE = chat_completions
DONE = b"data: [DONE]\n\n"


def text(*deltas: str, **options: Unpack[Options]) -> list[bytes]:
    """The events of an answer that streams in these deltas."""
    return _stream(Answer(deltas=deltas, **options))


def plain_text(*deltas: str, **options: Unpack[Options]) -> bytes:
    """The body of the same answer without streaming."""
    return _plain(Answer(deltas=deltas, **options))


def tool_calls(
    *calls: Call, text: str = "", reasoning: str = "", **options: Unpack[Options]
) -> list[bytes]:
    """The events of an answer that calls tools, after reasoning and text if there are any."""
    return _stream(Answer(calls=calls, text=text, reasoning=reasoning, **options))


def plain_tool_calls(
    *calls: Call, text: str = "", reasoning: str = "", **options: Unpack[Options]
) -> bytes:
    """The body of the same answer without streaming."""
    return _plain(Answer(calls=calls, text=text, reasoning=reasoning, **options))


def reasoning(text: str, answer: str, **options: Unpack[Options]) -> list[bytes]:
    """The events of an answer after reasoning, which is a `thinking` part of the content."""
    return _stream(Answer(reasoning=text, text=answer, **options))


def plain_reasoning(text: str, answer: str, **options: Unpack[Options]) -> bytes:
    """The body of the same answer without streaming."""
    return _plain(Answer(reasoning=text, text=answer, **options))


def refusal(text: str, **options: Unpack[Options]) -> list[bytes]:
    """The events of a text that ends as a content filter."""
    return _stream(Answer(text=text, finish="content_filter", **options))


def plain_refusal(text: str, **options: Unpack[Options]) -> bytes:
    """The body of the same text without streaming."""
    return _plain(Answer(text=text, finish="content_filter", **options))


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
