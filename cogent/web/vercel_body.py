"""The list of messages of Vercel's AI SDK (`useChat`) as a `Question`.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol. What this server signed of a message
comes back in its metadata and stands for all its parts.
"""

from __future__ import annotations

import json

from cogent.content import ContentPart, File, Image
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.run.approval import refusal
from cogent.run.history import pair_results
from cogent.web.bad_input import BadInput
from cogent.web.body import add_signed, check_role
from cogent.web.fields import as_name, as_objects, as_source, as_text
from cogent.web.question import Question
from cogent.web.seal import unseal

SIGNED = "signed"
"""The key of a message's metadata that holds what was signed."""

# Of a call that has an answer.
ENDED = ("output-available", "output-error", "output-denied")


def read_vercel(data: Json, secret: bytes | None) -> Question:
    """The messages; calls that a person or the page has answered since are answers."""
    question = Question(thread_id=str(data.get("id") or ""))
    messages = as_objects(data.get("messages"), "messages")
    if not messages:
        raise BadInput("messages is empty")
    for place, message in enumerate(messages):
        question.new_from = len(question.history)
        _read_message(question, message, secret, f"messages[{place}]")
    last = messages[-1]
    if last["role"] == "assistant":
        # The run goes on in the same message of the page.
        question.message_id = str(last.get("id") or "")
        return question
    asked = question.history.pop()
    question.message = asked.parts or asked.content
    return question


def _read_message(
    question: Question, message: Json, secret: bytes | None, path: str
) -> None:
    role = message.get("role")
    check_role(role, path)
    if role == "tool":
        raise BadInput(f"{path} has the role user or assistant")
    parts = as_objects(message.get("parts"), f"{path}.parts")
    if role == "user":
        question.history.append(_read_user(parts, path))
        return
    signed = _signed_part(message)
    if signed is None or secret is None:
        _read_steps(question, parts, path)
        return
    add_signed(question, unseal(signed, secret).messages)
    _read_answers(question, parts, path)


def _signed_part(message: Json) -> object:
    metadata = message.get("metadata")
    return metadata.get(SIGNED) if isinstance(metadata, dict) else None


# Messages of the user


def _read_user(parts: list[Json], path: str) -> Message:
    read = []
    for place, part in enumerate(parts):
        if part.get("type") in ("text", "file"):
            read.append(_read_content(part, f"{path}.parts[{place}]"))
    if not read:
        raise BadInput(f"{path} has no text and no file")
    return Message("user", parts=read)


def _read_content(part: Json, path: str) -> ContentPart:
    if part["type"] == "text":
        return as_text(part.get("text"), f"{path}.text")
    media_type = as_text(part.get("mediaType"), f"{path}.mediaType")
    source = as_source(part.get("url"), f"{path}.url")
    if media_type.startswith("image/"):
        return Image(source, media_type)
    name = as_text(part.get("filename") or "", f"{path}.filename")
    return File(source, media_type, name or None)


# Messages of the model that are not signed


def _read_steps(question: Question, parts: list[Json], path: str) -> None:
    """The steps of an answer: for each a message, and the results of its calls."""
    step: list[Json] = []
    for part in [*parts, {"type": "step-start"}]:
        if part.get("type") != "step-start":
            step.append({"type": None, **part})
        elif step:
            _read_step(question, step, path)
            step = []


def _read_step(question: Question, parts: list[Json], path: str) -> None:
    text = "".join(str(part.get("text")) for part in parts if part["type"] == "text")
    calls = [part for part in parts if _is_call(part)]
    message = Message("assistant", text)
    message.tool_calls = [_read_call(part, path) for part in calls]
    if not text and not calls:
        return
    message.check()
    question.history.append(message)
    for part, call in zip(calls, message.tool_calls, strict=True):
        _read_ending(question, part, call)


def _read_ending(question: Question, part: Json, call: ToolCall) -> None:
    """What became of a call, or what was decided of it."""
    result = _result_message(part, call)
    if result is not None:
        question.history.append(result)
    _read_approval(question, part, call.id)


def _is_call(part: Json) -> bool:
    """A call of the server's or the page's; not one that the provider ran itself."""
    kind = str(part.get("type"))
    is_tool = kind.startswith("tool-") or kind == "dynamic-tool"
    # While it was streaming, the run was stopped.
    whole = part.get("state") != "input-streaming"
    return is_tool and whole and not part.get("providerExecuted")


def _read_call(part: Json, path: str) -> ToolCall:
    kind = str(part.get("type"))
    name = part.get("toolName") or kind.removeprefix("tool-")
    arguments = part.get("input")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict | str):
        raise BadInput(f"{path} has a call whose input is no object")
    return ToolCall(
        as_name(part.get("toolCallId"), f"{path}: toolCallId"),
        as_name(name, f"{path}: toolName"),
        arguments,
    )


def _result_message(part: Json, call: ToolCall) -> Message | None:
    state = part.get("state")
    if state not in ENDED:
        return None
    result = Message("tool", _result_text(part), tool_call_id=call.id)
    result.name = call.name
    result.is_error = state != "output-available"
    return result


def _result_text(part: Json) -> str:
    state = part.get("state")
    if state == "output-denied":
        return str(refusal(_refusal_of(part.get("approval"))))
    if state == "output-error":
        return f"Error: {part.get('errorText')}"
    output = part.get("output")
    if isinstance(output, str):
        return output
    return json.dumps(output, ensure_ascii=False)


# Answers to calls


def _read_answers(question: Question, parts: list[Json], path: str) -> None:
    """What the page says of the signed calls that wait for an answer."""
    _, waiting = pair_results(question.history)
    ids = {call.id for call in waiting.values()}
    for part in filter(_is_call, parts):
        call = _read_call(part, path)
        if call.id in ids:
            _read_answer(question, part, call.id)


def _read_answer(question: Question, part: Json, call_id: str) -> None:
    if part.get("state") == "output-denied":
        question.approvals[call_id] = _refusal_of(part.get("approval"))
    elif part.get("state") in ENDED:
        question.results[call_id] = _result_text(part)
    else:
        _read_approval(question, part, call_id)


def _read_approval(question: Question, part: Json, call_id: str) -> None:
    if part.get("state") != "approval-responded":
        return
    approval = part.get("approval")
    if not isinstance(approval, dict):
        return
    is_yes = approval.get("approved") is True
    question.approvals[call_id] = True if is_yes else _refusal_of(approval)


def _refusal_of(approval: object) -> bool | str:
    """A no, as its reason where it has one."""
    reason = approval.get("reason") if isinstance(approval, dict) else None
    return reason if isinstance(reason, str) and reason else False
