"""What answers the calls of OpenAI Responses that are no functions, each with an output
item of its own type.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cogent.content import Image
from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.messages import Message
from cogent.providers.formats.parts import parts_to_send, url_or_data
from cogent.providers.formats.responses_parts import encode_parts
from cogent.run.approval import NOT_APPROVED
from cogent.run.pending import APPROVAL_REQUEST

# Of these the output may be a list of texts, images and files.
OUTPUTS_WITH_PARTS = {
    "function": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}


def encode_output(
    type: str,
    result: Message,
    provider: str,
) -> Json:
    """The output item for a call of this type.

    Raises ConfigurationError for a result that it cannot take.
    """
    id_name = "approval_request_id" if type == APPROVAL_REQUEST else "call_id"
    output = _own_output(type, result) or _encode(type, result, provider)
    return {id_name: result.tool_call_id, **output}


def _own_output(type: str, result: Message) -> Json:
    """The caller's own output item; empty if there is none for such a call."""
    own = result.items[0] if result.items else {}
    is_output = type != "function" or own.get("type") == "function_call_output"
    return own if is_output else {}


def _encode(
    type: str,
    result: Message,
    provider: str,
) -> Json:
    parts = parts_to_send(result)
    if parts and type in OUTPUTS_WITH_PARTS:
        output = encode_parts(parts, provider)
        return {"type": OUTPUTS_WITH_PARTS[type], "output": output}
    if parts and type != "computer_call":
        raise ConfigurationError(
            f"{provider} takes no images and files as the answer to a {type}"
        )
    encode = OUTPUTS.get(type)
    if encode is None:
        return {"type": f"{type}_output", "output": result.content}
    return encode(result)


def _approval(result: Message) -> Json:
    answer: Json = {"type": "mcp_approval_response", "approve": not result.is_error}
    if result.is_error and result.content != NOT_APPROVED:
        answer["reason"] = result.content
    return answer


def _screenshot(result: Message) -> Json:
    images = [part for part in result.parts if isinstance(part, Image)]
    image_url = url_or_data(images[0]) if images else result.content
    if result.is_error or not image_url.startswith(("data:", "https:", "http:")):
        raise ConfigurationError(
            f"the computer_call {result.tool_call_id!r} is answered with a screenshot: give results={{"
            f"{result.tool_call_id!r}: Image(...)}}, a URL, or the provider's own output item"
        )
    return {
        "type": "computer_call_output",
        "output": {"type": "computer_screenshot", "image_url": image_url},
    }


def _shell(result: Message) -> Json:
    """Text is what one command has written; a list is one entry for each command, as
    the API has them.
    """
    output = _listed(result.content)
    if output is None:
        outcome = {"type": "exit", "exit_code": int(result.is_error)}
        stdout = "" if result.is_error else result.content
        stderr = result.content if result.is_error else ""
        output = [{"stdout": stdout, "stderr": stderr, "outcome": outcome}]
    return {"type": "shell_call_output", "output": output}


def _patch(result: Message) -> Json:
    status = "failed" if result.is_error else "completed"
    return {
        "type": "apply_patch_call_output",
        "status": status,
        "output": result.content,
    }


def _tools(result: Message) -> Json:
    tools = _listed(result.content)
    if tools is None:
        raise ConfigurationError(
            f"the tool_search_call {result.tool_call_id!r} is answered with a list of tools"
        )
    return {
        "type": "tool_search_output",
        "execution": "client",
        "status": "completed",
        "tools": tools,
    }


def _listed(text: str) -> list[Any] | None:
    """The list that the text is as JSON, None if it is no such."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


OUTPUTS: dict[str, Callable[[Message], Json]] = {
    "function": lambda result: {
        "type": "function_call_output",
        "output": result.content,
    },
    "computer_call": _screenshot,
    "shell_call": _shell,
    "apply_patch_call": _patch,
    "tool_search_call": _tools,
    APPROVAL_REQUEST: _approval,
}
