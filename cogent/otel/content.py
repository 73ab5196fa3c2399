"""What was said, for `cogent.otel.OTel(content=True)`: JSON texts in the form of
OpenTelemetry's conventions for generative AI.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cogent.content import File, Image
from cogent.messages import Message, Response, ToolCall, ToolResult, TurnSummary

if TYPE_CHECKING:
    from cogent.observe import ObservedRun

Texts = dict[str, str]
Part = dict[str, Any]


def of_request(run: ObservedRun) -> Texts:
    """What the model is asked: the conversation, the instructions and the tools."""
    texts = {"gen_ai.input.messages": _write(map(_message, run.messages))}
    if run.instructions:
        instructions = [_text(run.instructions)]
        texts["gen_ai.system_instructions"] = _write(instructions)
    if run.tools:
        texts["gen_ai.tool.definitions"] = _write(
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }
            for tool in run.tools.values()
        )
    return texts


def of_answer(run: ObservedRun, turn: TurnSummary) -> Texts:
    """What the model answered; of an answer that was broken off, its text alone."""
    answer = Message("assistant", turn.content)
    if turn.finish_reason is not None and run.messages[-1].role == "assistant":
        answer = run.messages[-1]
    return _output(answer, turn.finish_reason)


def of_end(response: Response[Any]) -> Texts:
    """The answer of a run."""
    return _output(Message("assistant", response.content), response.finish_reason)


def _output(answer: Message, finish_reason: str | None) -> Texts:
    written = {**_message(answer), "finish_reason": finish_reason or "error"}
    return {"gen_ai.output.messages": _write([written])}


def of_call(call: ToolCall) -> Texts:
    """The arguments of a tool."""
    return {"gen_ai.tool.call.arguments": _json(call.arguments)}


def of_result(result: ToolResult) -> Texts:
    """What a tool gave."""
    return {"gen_ai.tool.call.result": result.content}


def _message(message: Message) -> Part:
    said = [_result(message)] if message.role == "tool" else _said(message)
    return {"role": message.role, "parts": said}


def _result(message: Message) -> Part:
    return {
        "type": "tool_call_response",
        "id": message.tool_call_id,
        "response": message.content,
    }


def _said(message: Message) -> list[Part]:
    parts: list[Part] = []
    if message.reasoning:
        parts.append({"type": "reasoning", "content": message.reasoning})
    if message.parts:
        parts += map(_part, message.parts)
    elif message.content:
        parts.append(_text(message.content))
    parts += map(_call, message.tool_calls)
    return parts


def _call(call: ToolCall) -> Part:
    return {
        "type": "tool_call",
        "id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _part(part: str | Image | File) -> Part:
    """A part of a message; of an Image or a File that it is there, and no bytes."""
    if isinstance(part, str):
        return _text(part)
    return {"type": type(part).__name__.lower(), "mime_type": part.media_type}


def _text(text: str) -> Part:
    return {"type": "text", "content": text}


def _write(values: Any) -> str:
    return _json(list(values))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
