"""The items of a response that wait for the client, beside the calls of functions."""

from __future__ import annotations

from collections.abc import Iterable

from cogent.json_values import Json
from cogent.messages import ToolCall
from cogent.providers.formats.responses_items import type_of
from cogent.run.surrogates import json_object

# Their types, and the fields that say what they ask for.
WAITING: dict[str, tuple[str, ...]] = {
    "custom_tool_call": ("input",),
    "computer_call": ("action", "actions", "pending_safety_checks"),
    "local_shell_call": ("action",),
    "shell_call": ("action",),
    "apply_patch_call": ("operation",),
    "tool_search_call": ("arguments",),
    "mcp_approval_request": ("arguments",),
}
# How the types end of items that answer such an item, and the fields that name it.
ANSWERS = ("_output", "_response", "mcp_call")
ANSWERED = ("call_id", "approval_request_id", "id")


def pending_items(items: Iterable[Json]) -> list[Json]:
    """The items that wait: those whose output is not in the same response.

    xAI runs tools of its own under the name of custom ones, and tells no output; after
    them the model goes on with its answer, which it does after no call that waits.
    """
    items = list(items)
    answered = _answered_ids(items)
    messages = [n for n, item in enumerate(items) if type_of(item) == "message"]
    last_message = max(messages, default=-1)
    waiting = []
    for place, item in enumerate(items):
        went_on = type_of(item) == "custom_tool_call" and place < last_message
        if _may_wait(item) and answered.isdisjoint(_own_ids(item)) and not went_on:
            waiting.append(item)
    return waiting


def _answered_ids(items: Iterable[Json]) -> set[object]:
    """The ids that the answers among the items name."""
    answers = [item for item in items if type_of(item).endswith(ANSWERS)]
    return {answer.get(name) for answer in answers for name in ANSWERED}


def _may_wait(item: Json) -> bool:
    if type_of(item) not in WAITING or not _own_ids(item):
        return False
    return bool(item.get("execution", "client") == "client")


def _own_ids(item: Json) -> list[str]:
    ids = (item.get("call_id"), item.get("id"))
    return [id for id in ids if id]


def pending_call(item: Json) -> ToolCall:
    """What an item that waits asks of the client."""
    type = type_of(item)
    name = item.get("name") or type
    return ToolCall(_own_ids(item)[0], name, _arguments(item), type=type)


def _arguments(body: Json) -> Json | str:
    """What the client is asked to do: the fields of the item that say it, or the value
    of its only one.
    """
    names = WAITING[type_of(body)]
    asked: Json = {}
    for name in names:
        if body.get(name) is not None:
            asked[name] = body[name]
    if len(names) > 1 or not asked:
        return asked
    [value] = asked.values()
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        return asked
    return _parsed(value) if "arguments" in asked else value


def _parsed(text: str) -> Json | str:
    """The object that the text is as JSON, else the text."""
    parsed = json_object(text)
    return text if parsed is None else parsed
