"""The list of messages of Vercel's AI SDK (`useChat`) as a `Question`.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol. What this server signed of a message
comes back in its metadata and stands for all its parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from cogent.content import ContentPart, File, Image
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.run.history import pair_results
from cogent.validation import shown
from cogent.web.ag_ui_body import check_url, read_base64
from cogent.web.bad_input import BadInput
from cogent.web.body import add_signed, check_role
from cogent.web.question import Question
from cogent.web.seal import unseal

SIGNED = "signed"
"""The key of a message's metadata that holds what was signed."""

# Of a call that has an answer.
ENDED = ("output-available", "output-error", "output-denied")
NOT_APPROVED = "Not approved."

Part = Mapping[str, object]


def read_vercel(data: Json, secret: bytes | None) -> Question:
    """The messages; calls that a person or the page has answered since are answers."""
    question = Question(thread_id=str(data.get("id") or ""))
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadInput("messages is a list of messages")
    for place, message in enumerate(messages):
        question.new_from = len(question.history)
        _read_message(question, message, secret, f"messages[{place}]")
    last = messages[-1]
    if last["role"] == "assistant":
        # The run goes on in the same message of the page.
        question.message_id = str(last.get("id") or "")
        return question
    message = question.history.pop()
    question.message = message.parts or message.content
    return question


def _read_message(
    question: Question, message: object, secret: bytes | None, path: str
) -> None:
    if not isinstance(message, Mapping):
        raise BadInput(f"{path} is a message, an object; got {shown(message)}")
    role = message.get("role")
    check_role(role, path)
    if role == "tool":
        raise BadInput(f"{path} has the role user or assistant")
    parts = message.get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise BadInput(f"{path}.parts is a list of parts")
    if role == "user":
        question.history.append(_read_user(parts, path))
        return
    metadata = message.get("metadata")
    signed = metadata.get(SIGNED) if isinstance(metadata, Mapping) else None
    if signed is None or secret is None:
        _read_steps(question, parts, path)
        return
    add_signed(question, unseal(signed, secret).messages)
    _read_answers(question, parts, path)


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
        text = part.get("text")
        if not isinstance(text, str):
            raise BadInput(f"{path}.text is a text")
        return text
    url = part.get("url")
    media_type = part.get("mediaType")
    if not isinstance(url, str) or not isinstance(media_type, str):
        raise BadInput(f"{path} has a url and a mediaType")
    source = (
        _read_data_url(url, path) if url.startswith("data:") else check_url(url, path)
    )
    if media_type.startswith("image/"):
        return Image(source, media_type)
    name = part.get("filename")
    return File(source, media_type, name if isinstance(name, str) else None)


def _read_data_url(url: str, path: str) -> bytes:
    head, comma, data = url.partition(",")
    if not comma:
        raise BadInput(f"{path}.url is no data URL")
    if head.endswith(";base64"):
        return read_base64(data, path)
    return unquote_to_bytes(data)


# Messages of the model that are not signed


def _read_steps(question: Question, parts: list[Json], path: str) -> None:
    """The steps of an answer: for each a message, and the results of its calls."""
    step: list[Json] = []
    for part in [*parts, {"type": "step-start"}]:
        if part.get("type") != "step-start":
            step.append(part)
        elif step:
            _read_step(question, step, path)
            step = []


def _read_step(question: Question, parts: list[Json], path: str) -> None:
    texts = [part.get("text") for part in parts if part.get("type") == "text"]
    text = "".join(text for text in texts if isinstance(text, str))
    calls = [part for part in parts if _is_call(part)]
    message = Message("assistant", text)
    message.tool_calls = [_read_call(part, path) for part in calls]
    if not text and not calls:
        return
    message.check()
    question.history.append(message)
    for part, call in zip(calls, message.tool_calls, strict=True):
        result = _result_message(part, call)
        if result is not None:
            question.history.append(result)
        _read_approval(question, part, call.id)


def _is_call(part: Part) -> bool:
    """A call of the server's or the page's; not one that the provider ran itself."""
    kind = str(part.get("type"))
    is_tool = kind.startswith("tool-") or kind == "dynamic-tool"
    # While it was streaming, the run was stopped.
    whole = part.get("state") != "input-streaming"
    return is_tool and whole and not part.get("providerExecuted")


def _read_call(part: Part, path: str) -> ToolCall:
    name = part.get("toolName") or str(part.get("type")).removeprefix("tool-")
    id = part.get("toolCallId")
    if not isinstance(id, str) or not isinstance(name, str) or not id or not name:
        raise BadInput(f"{path} has a call without a name or an id")
    arguments = part.get("input")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict | str):
        raise BadInput(f"the input of the call {id!r} is an object")
    return ToolCall(id, name, arguments)


def _result_message(part: Part, call: ToolCall) -> Message | None:
    state = part.get("state")
    if state not in ENDED:
        return None
    is_error = state != "output-available"
    return Message(
        "tool",
        _result_text(part),
        tool_call_id=call.id,
        name=call.name,
        is_error=is_error,
    )


def _result_text(part: Part) -> str:
    state = part.get("state")
    if state == "output-denied":
        return NOT_APPROVED
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
    for part in parts:
        if not _is_call(part):
            continue
        call = _read_call(part, path)
        if call.id not in ids:
            continue
        if part.get("state") in ENDED:
            question.results[call.id] = _result_text(part)
        _read_approval(question, part, call.id)


def _read_approval(question: Question, part: Part, call_id: str) -> None:
    approval = part.get("approval")
    if part.get("state") != "approval-responded" or not isinstance(approval, Mapping):
        return
    reason = approval.get("reason")
    if approval.get("approved") is True:
        question.approvals[call_id] = True
    else:
        question.approvals[call_id] = reason if isinstance(reason, str) else False
