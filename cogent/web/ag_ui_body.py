"""AG-UI's `RunAgentInput` as a `Question`: https://docs.ag-ui.com/sdk/js/core/types.

What this server signed of a run comes back as the `encryptedValue` of its first
message, and stands for all messages of that run.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence

from cogent.content import ContentPart, File, Image
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.run.history import pair_results
from cogent.tools import Tool
from cogent.validation import shown
from cogent.web.bad_input import BadInput
from cogent.web.body import add_signed, check_result, check_role
from cogent.web.question import Question
from cogent.web.seal import unseal

# Of roles that are for a person to look at, and that no model reads.
SHOWN_ROLES = ("activity", "reasoning")
MEDIA = ("image", "audio", "video", "document", "binary")


def read_ag_ui(data: Json, secret: bytes | None) -> Question:
    """The messages, the tools of the page, and what it answers to interrupts."""
    question = Question(thread_id=_text(data, "threadId"), run_id=_text(data, "runId"))
    messages = data.get("messages")
    if not isinstance(messages, list):
        raise BadInput("messages is a list of messages")
    reader = _Reader(question, secret)
    for place, message in enumerate(messages):
        reader.read(message, f"messages[{place}]")
    reader.take_message()
    question.tools = _read_tools(data.get("tools"))
    _read_answers_to_interrupts(question, data.get("resume"))
    question.new_from = len(question.history)
    return question


def _text(data: Json, name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{name} is a text that is not empty")
    return value


class _Reader:
    """Reads the messages in turn."""

    def __init__(self, question: Question, secret: bytes | None) -> None:
        self._question = question
        self._secret = secret
        self._covered: set[str] = set()  # ids of messages that a signed text has

    def read(self, message: object, path: str) -> None:
        """Add one message to the history, or the signed ones that stand for it."""
        if not isinstance(message, Mapping):
            raise BadInput(f"{path} is a message, an object; got {shown(message)}")
        signed = message.get("encryptedValue")
        if self._secret is not None and signed is not None:
            sealed = unseal(signed, self._secret)
            self._covered |= set(sealed.covers)
            add_signed(self._question, sealed.messages)
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

    def take_message(self) -> None:
        """The last message is the question, if it is the user's and not signed."""
        history = self._question.history
        last = len(history) - 1
        if not history or last in self._question.signed or history[-1].role != "user":
            return
        message = history.pop()
        self._question.message = message.parts or message.content

    def _read_result(self, message: Mapping[str, object], path: str) -> None:
        """A result: of a call of the page's that waits, or one that had come before."""
        id = message.get("toolCallId")
        check_result(self._question, id, path)
        content = _result_text(message, path)
        _, waiting = pair_results(self._question.history)
        waits = {
            call.id
            for (place, _), call in waiting.items()
            if place in self._question.signed
        }
        if id in waits:
            self._question.results[str(id)] = content
            return
        is_error = bool(message.get("error"))
        self._question.history.append(
            Message("tool", content, tool_call_id=str(id), is_error=is_error)
        )


def _result_text(message: Mapping[str, object], path: str) -> str:
    error = message.get("error")
    if error:
        return f"Error: {error}"
    content = message.get("content")
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False)


def _read_assistant(message: Mapping[str, object], path: str) -> Message:
    content = message.get("content") or ""
    if not isinstance(content, str):
        raise BadInput(f"{path}.content is a text")
    calls = message.get("toolCalls") or []
    if not isinstance(calls, list):
        raise BadInput(f"{path}.toolCalls is a list of calls")
    read = [_read_call(call, f"{path}.toolCalls[{n}]") for n, call in enumerate(calls)]
    answer = Message("assistant", content, tool_calls=read)
    answer.check()
    return answer


def _read_call(call: object, path: str) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise BadInput(f"{path} is a call with an id and a function")
    texts = (call.get("id"), function.get("name"), function.get("arguments"))
    if not all(isinstance(text, str) for text in texts):
        raise BadInput(f"{path} has an id, and a function's name and arguments")
    id, name, arguments = map(str, texts)
    return ToolCall(id, name, _read_arguments(arguments))


def _read_arguments(text: str) -> Json | str:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
    return arguments if isinstance(arguments, dict) else text


def _read_user(message: Mapping[str, object], path: str) -> Message:
    content = message.get("content")
    if isinstance(content, str):
        return Message("user", content)
    if not isinstance(content, list):
        raise BadInput(f"{path}.content is a text, or a list of parts")
    parts = [_read_part(part, f"{path}.content[{n}]") for n, part in enumerate(content)]
    return Message("user", parts=parts)


def _read_part(part: object, path: str) -> ContentPart:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or kind not in ("text", *MEDIA):
        raise BadInput(f"{path} has the type text or one of {', '.join(MEDIA)}")
    if kind == "text":
        text = part.get("text")
        if not isinstance(text, str):
            raise BadInput(f"{path}.text is a text")
        return text
    source = part if kind == "binary" else part.get("source")
    if not isinstance(source, Mapping):
        raise BadInput(f"{path}.source is an object")
    media_type = source.get("mimeType")
    content = _read_source(source, path)
    is_image = kind == "image" or str(media_type).startswith("image/")
    return Image(content, media_type) if is_image else File(content, media_type)


def _read_source(source: Mapping[str, object], path: str) -> bytes | str:
    """The bytes, or the URL. No path is ever taken for a file's."""
    url = source.get("url")
    data = source.get("data")
    if source.get("type") == "url":
        url = source.get("value")
    if source.get("type") == "data":
        data = source.get("value")
    if isinstance(url, str):
        return check_url(url, path)
    if isinstance(data, str):
        return read_base64(data, path)
    raise BadInput(f"{path} has data in base64 or a url")


def check_url(url: str, path: str) -> str:
    """An http(s) URL; else BadInput."""
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"{path} has an http(s) URL, or its data")
    return url


def read_base64(data: str, path: str) -> bytes:
    """The bytes; else BadInput."""
    try:
        return b64decode(data, validate=True)
    except ValueError:
        raise BadInput(f"{path} holds no base64") from None


def _read_tools(given: object) -> list[Tool[..., object]]:
    """The tools that run in the page."""
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(tool, dict) for tool in given):
        raise BadInput("tools is a list of tools")
    return [_read_tool(tool, f"tools[{place}]") for place, tool in enumerate(given)]


def _read_tool(tool: Json, path: str) -> Tool[..., object]:
    name = tool.get("name")
    description = tool.get("description", "")
    parameters = tool.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(name, str) or not isinstance(description, str):
        raise BadInput(f"{path} has a name and a description")
    return Tool.from_schema(name, description, parameters, None)


def _read_answers_to_interrupts(question: Question, given: object) -> None:
    """What a person said of the calls that waited for an approval."""
    if given is None:
        return
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise BadInput("resume is a list of answers to interrupts")
    for place, answer in enumerate(given):
        if not isinstance(answer, Mapping) or "interruptId" not in answer:
            raise BadInput(f"resume[{place}] has an interruptId and a status")
        question.approvals[str(answer["interruptId"])] = _approval(answer)


def _approval(answer: Mapping[str, object]) -> bool | str:
    """Yes if the payload is true or says `approved`; else no, with its reason."""
    payload = answer.get("payload")
    if answer.get("status") != "resolved":
        return False
    if isinstance(payload, Mapping):
        reason = payload.get("reason")
        if payload.get("approved") is True:
            return True
        return reason if isinstance(reason, str) and reason else False
    return payload is True
