"""Ollama's chat format, one JSON object a line: https://docs.ollama.com/api/chat.

Calls come whole, arguments are an object, a turn that calls tools ends with "stop", and an error is one string.
Ollama itself has neither refusals nor content filters: what stands for them here is a text whose `done_reason` says so.
"""

import json
from collections.abc import Sequence

from .common import Answer, Builders, Json, as_filtered, cut, encode


def error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The lines of an answer that fails inside a 200, after these deltas of text; code and type have no place in it."""
    begun = [_line(Answer(), {"content": delta}) for delta in after]
    return [*begun, encode({"error": message}) + b"\n"]


def error_body(message: str, code: str | None, type: str) -> bytes:
    """The body of an HTTP error status; code and type have no place in it."""
    return encode({"error": message})


def _stream(answer: Answer) -> list[bytes]:
    lines = [
        _line(answer, {"content": "", "thinking": piece})
        for piece in cut(answer.reasoning, answer.pieces)
    ]
    lines += [_line(answer, {"content": piece}) for piece in answer.spoken]
    lines += [
        _line(answer, {"content": "", "tool_calls": [call]}) for call in _calls(answer)
    ]
    return [*lines, _line(answer, {"content": ""}, _end(answer))]


def _line(answer: Answer, message: Json, end: Json | None = None) -> bytes:
    return encode(_object(answer, message, end or {"done": False})) + b"\n"


def _plain(answer: Answer) -> bytes:
    message: Json = {"content": "".join(answer.spoken)}
    if answer.reasoning:
        message["thinking"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = _calls(answer)
    return encode(_object(answer, message, _end(answer)))


def _object(answer: Answer, message: Json, end: Json) -> Json:
    head = {"model": answer.model, "created_at": "2025-01-01T00:00:00.000000Z"}
    return {**head, "message": {"role": "assistant", **message}, **end}


def _calls(answer: Answer) -> list[Json]:
    return [
        {
            "id": id,
            "function": {
                "index": index,
                "name": name,
                "arguments": json.loads(arguments),
            },
        }
        for index, (id, name, arguments) in enumerate(answer.calls)
    ]


def _end(answer: Answer) -> Json:
    reason = "stop" if answer.finish in (None, "tool_calls") else answer.finish
    spent, made = answer.usage or (0, 0)
    times = {"total_duration": 978445250, "load_duration": 58436917}
    counts = {
        "prompt_eval_count": spent,
        "prompt_eval_duration": 17853083,
        "eval_count": made,
        "eval_duration": 810829670,
    }
    return {
        "done": True,
        "done_reason": reason,
        **times,
        **(counts if answer.usage else {}),
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
