"""AG-UI's `RunAgentInput` as a `Question`: https://docs.ag-ui.com/sdk/js/core/types.

What this server signed of a run comes back as the `encryptedValue` of its first
message, and stands for all messages of that run.
"""

from __future__ import annotations

import json

from cogent.content import ContentPart, File, Image
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.run.history import pair_results
from cogent.tools import Tool
from cogent.web.bad_input import BadInput
from cogent.web.body import add_signed, check_result, check_role
from cogent.web.fields import (
    as_bytes,
    as_name,
    as_object,
    as_objects,
    as_text,
    as_url,
)
from cogent.web.question import Question
from cogent.web.seal import unseal

# Of roles that are for a person to look at, and that no model reads.
SHOWN_ROLES = ("activity", "reasoning")
MEDIA = ("image", "audio", "video", "document", "binary")
ANY_OBJECT: Json = {"type": "object", "properties": {}}


def read_ag_ui(data: Json, secret: bytes | None) -> Question:
    """The messages, the tools of the page, and what it answers to interrupts."""
    question = Question(
        thread_id=as_name(data.get("threadId"), "threadId"),
        run_id=as_name(data.get("runId"), "runId"),
    )
    reader = _Reader(question, secret)
    messages = as_objects(data.get("messages"), "messages")
    for place, message in enumerate(messages):
        reader.read(message, f"messages[{place}]")
    reader.take_message()
    tools = as_objects(data.get("tools") or [], "tools")
    question.tools = [
        _read_tool(tool, f"tools[{place}]") for place, tool in enumerate(tools)
    ]
    answers = as_objects(data.get("resume") or [], "resume")
    for place, answer in enumerate(answers):
        id = as_text(answer.get("interruptId"), f"resume[{place}].interruptId")
        question.approvals[id] = _approval(answer)
    question.new_from = len(question.history)
    return question


class _Reader:
    """Reads the messages in turn."""

    def __init__(self, question: Question, secret: bytes | None) -> None:
        self._question = question
        self._secret = secret
        self._covered: set[str] = set()  # ids of messages that a signed text has

    def read(self, message: Json, path: str) -> None:
        """Add one message to the history, or the signed ones that stand for it."""
        self._take_signed(message)
        role = message.get("role")
        if message.get("id") in self._covered or role in SHOWN_ROLES:
            return
        check_role(role, path)
        if role == "tool":
            self._read_result(message, path)
        elif role == "assistant":
            self._question.history.append(_read_assistant(message, path))
        else:
            self._question.history.append(_read_user(message, path))

    def _take_signed(self, message: Json) -> None:
        signed = message.get("encryptedValue")
        if self._secret is None or signed is None:
            return
        sealed = unseal(signed, self._secret)
        self._covered |= set(sealed.covers)
        add_signed(self._question, sealed.messages)

    def take_message(self) -> None:
        """The last message is the question, if it is the user's and not signed."""
        history = self._question.history
        last = len(history) - 1
        if not history or last in self._question.signed or history[-1].role != "user":
            return
        message = history.pop()
        self._question.message = message.parts or message.content

    def _read_result(self, message: Json, path: str) -> None:
        """A result: of a call of the page's that waits, or one that had come before."""
        id = as_text(message.get("toolCallId"), f"{path}.toolCallId")
        check_result(self._question, id, path)
        content = _result_text(message)
        if id in self._signed_and_waiting():
            self._question.results[id] = content
            return
        result = Message("tool", content, tool_call_id=id)
        result.is_error = bool(message.get("error"))
        self._question.history.append(result)

    def _signed_and_waiting(self) -> set[str]:
        """The ids of calls whose result is an answer of the page."""
        question = self._question
        _, waiting = pair_results(question.history)
        return {
            call.id for (place, _), call in waiting.items() if place in question.signed
        }


def _result_text(message: Json) -> str:
    error = message.get("error")
    if error:
        return f"Error: {error}"
    content = message.get("content")
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False)


def _read_assistant(message: Json, path: str) -> Message:
    content = as_text(message.get("content") or "", f"{path}.content")
    calls = as_objects(message.get("toolCalls") or [], f"{path}.toolCalls")
    answer = Message("assistant", content)
    answer.tool_calls = [
        _read_call(call, f"{path}.toolCalls[{place}]")
        for place, call in enumerate(calls)
    ]
    answer.check()
    return answer


def _read_call(call: Json, path: str) -> ToolCall:
    function = as_object(call.get("function"), f"{path}.function")
    id = as_text(call.get("id"), f"{path}.id")
    name = as_text(function.get("name"), f"{path}.function.name")
    arguments = as_text(function.get("arguments"), f"{path}.function.arguments")
    return ToolCall(id, name, _read_arguments(arguments))


def _read_arguments(text: str) -> Json | str:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
    return arguments if isinstance(arguments, dict) else text


def _read_user(message: Json, path: str) -> Message:
    content = message.get("content")
    if isinstance(content, str):
        return Message("user", content)
    parts = as_objects(content, f"{path}.content")
    read = [
        _read_part(part, f"{path}.content[{place}]") for place, part in enumerate(parts)
    ]
    return Message("user", parts=read)


def _read_part(part: Json, path: str) -> ContentPart:
    kind = part.get("type")
    if kind == "text":
        return as_text(part.get("text"), f"{path}.text")
    if kind not in MEDIA:
        raise BadInput(f"{path} has the type text or one of {', '.join(MEDIA)}")
    source = part
    if kind != "binary":  # which AG-UI had before 1.0
        source = as_object(part.get("source"), f"{path}.source")
    media_type = source.get("mimeType")
    content = _read_source(source, path)
    if kind == "image" or str(media_type).startswith("image/"):
        return Image(content, media_type)
    return File(content, media_type)


def _read_source(source: Json, path: str) -> bytes | str:
    if source.get("type") == "url":
        return as_url(source.get("value"), path)
    if source.get("type") == "data":
        return as_bytes(source.get("value"), path)
    if "url" in source:
        return as_url(source["url"], path)
    return as_bytes(source.get("data"), path)


def _read_tool(tool: Json, path: str) -> Tool[..., object]:
    """A tool that runs in the page."""
    name = as_text(tool.get("name"), f"{path}.name")
    description = as_text(tool.get("description", ""), f"{path}.description")
    parameters = as_object(tool.get("parameters") or ANY_OBJECT, f"{path}.parameters")
    return Tool.from_schema(name, description, parameters, None)


def _approval(answer: Json) -> bool | str:
    """What a person said: yes if the payload is true or says `approved`; else no."""
    payload = answer.get("payload")
    if answer.get("status") != "resolved":
        return False
    if not isinstance(payload, dict):
        return payload is True
    if payload.get("approved") is True:
        return True
    reason = payload.get("reason")
    return reason if isinstance(reason, str) and reason else False
