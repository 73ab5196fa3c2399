"""A conversation made fit to be sent: whoever wrote it, no server refuses it.

What servers refuse, often for the rest of the conversation, and what is sent instead:

- arguments that are no JSON object: an object that holds the text;
- a name that is no function's name: one of the characters that every API takes, the
  same on call and result;
- an id that another call has too: a new one, which later requests give that call again;
- a call without a result: a result that says so; a result without a call is left out;
- a turn of reasoning alone: nothing;
- what belongs to another server (its own items, its reasoning): only the text and the
  calls.

A new value depends only on what stands before it, so that a longer conversation begins
with the same bytes. Pure functions: the messages that they are given stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import is_
from urllib.parse import urlsplit

from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.run.surrogates import is_json_object, json_object

NOT_RUN = "Not executed: the run was stopped before this tool had ended."
UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")
MAX_NAME_CHARS = 64
MAX_ID_CHARS = (
    40  # OpenAI's Chat Completions have refused longer ones; elsewhere 64 are allowed
)
NO_NAME = "unnamed_tool"
NO_ID = "call"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

CallKey = tuple[
    int, int
]  # the place of a message in its conversation, and of a call in that message


def fit_history(
    messages: Sequence[Message],
    provider: str,
    address: str | None,
    is_reasoning: Callable[[Json], bool] = lambda item: True,
) -> list[Message]:
    """The conversation as it may be sent to this provider at this address.

    Every call has an id of its own, a name that any API takes, an object as arguments,
    and its result right after its message. Only messages that this server made have
    items and reasoning. `is_reasoning` tells the items that a message cannot consist
    of.
    """
    results = pair_results(messages)
    used: set[str] = set()
    fitted: list[Message] = []
    for place, message in enumerate(messages):
        if message.role == "tool":
            continue  # stands after its call
        own = made_by(message, provider, address)
        sent = message if own else _without_items(message)
        if message.role != "assistant":
            fitted.append(sent)
        elif not _is_empty(sent, is_reasoning):
            calls = [_fit_call(call, own, used) for call in message.tool_calls]
            fitted.append(_with_calls(sent, calls))
            for number, call in enumerate(calls):
                fitted.append(_fit_result(call, results.get((place, number))))
    return fitted


def _is_empty(message: Message, is_reasoning: Callable[[Json], bool]) -> bool:
    """Whether an answer of the model has nothing but reasoning."""
    if message.content or message.tool_calls:
        return False
    return all(map(is_reasoning, message.items))


def made_by(message: Message, provider: str, address: str | None) -> bool:
    """Whether this server made the message; where an address is not known, the provider
    alone counts.
    """
    if message.provider != provider:
        return False
    return not message.address or address is None or message.address == address


def mend_items(
    items: Sequence[Json],
    calls: Sequence[ToolCall],
    read_id: Callable[[Json], object],
    mend: Callable[[Json, ToolCall], Json],
) -> list[Json] | None:
    """A provider's own items, with each call in them as `mend` makes it of the
    message's own.

    `read_id` gives the id in an item that is a call, "" where it has none, and None for
    any other item. Returns None if items and message do not hold as many calls: then
    only the message itself can be right.
    """
    ids = [read_id(item) for item in items]
    matched = _match([id for id in ids if id is not None], calls)
    if matched is None:
        return None
    following = iter(matched)
    return [
        item if id is None else mend(item, next(following))
        for item, id in zip(items, ids, strict=True)
    ]


def fit_name(name: str) -> str:
    """The name with no more than any API takes: 1 to 64 letters, digits, `_` and `-`."""
    return _safe(name, MAX_NAME_CHARS) or NO_NAME


def fit_arguments(arguments: object) -> Json:
    """The arguments of a call as a JSON object; text that is none stays readable in it."""
    if isinstance(arguments, dict):
        return arguments
    text = (
        arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
    )
    if text.strip() in ("", "null"):
        return {}
    value = json_object(text)
    return {"INVALID_JSON": text} if value is None else value


def fit_arguments_text(text: object, arguments: Json) -> str:
    """The JSON text of arguments as the model wrote it, or of the given object where
    that is no JSON object.
    """
    if isinstance(text, str) and is_json_object(text):
        return text
    return json.dumps(arguments)


def unused_id(id: str, used: set[str]) -> str:
    """The id, or where it is in use a new one that begins like it; it is entered into
    `used`.
    """
    unused = id
    number = 2
    while unused in used:
        end = f"_{number}"
        unused = _new_stem(id, end) + end
        number += 1
    used.add(unused)
    return unused


def _new_stem(id: str, end: str) -> str:
    return _safe(id, MAX_ID_CHARS - len(end)) or NO_ID


def server_address(url: object) -> str | None:
    """Scheme, host, port and path of a server's URL; None if there is none."""
    if url is None:
        return None
    parts = urlsplit(str(url))
    host = (
        parts.netloc.rpartition("@")[2]
        .lower()
        .removesuffix(DEFAULT_PORTS.get(parts.scheme, ":"))
    )
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{host}{parts.path.rstrip('/')}" or None


def _without_items(message: Message) -> Message:
    if message.items or message.reasoning or message.provider:
        return replace(message, items=[], reasoning="", provider=None, address=None)
    return message


def pair_results(messages: Sequence[Message]) -> dict[CallKey, Message]:
    """The result of each call that has one."""
    answers: dict[CallKey, Message] = {}
    waiting: dict[CallKey, ToolCall] = {}
    for place, message in enumerate(messages):
        if message.role == "assistant":
            waiting |= {
                (place, number): call for number, call in enumerate(message.tool_calls)
            }
        elif message.role == "tool":
            key = _call_of(message, waiting)
            if key is not None:
                answers[key] = message
                del waiting[key]
    return answers


def _call_of(result: Message, waiting: dict[CallKey, ToolCall]) -> CallKey | None:
    """The call that a result answers: of those with its id, the first of the last
    message.
    """
    fitting = [key for key, call in waiting.items() if _answers(result, call)]
    if not fitting:
        return None
    last = fitting[-1][0]
    return next(key for key in fitting if key[0] == last)


def _answers(result: Message, call: ToolCall) -> bool:
    if result.tool_call_id:
        return result.tool_call_id == call.id
    return (
        not result.name or result.name == call.name
    )  # as histories of servers without ids have it


def _fit_call(call: ToolCall, own: bool, used: set[str]) -> ToolCall:
    id = call.id
    if not own or not id:
        id = _safe(str(id or ""), MAX_ID_CHARS) or NO_ID
    id = unused_id(id, used)
    name = fit_name(call.name)
    arguments = _fit_arguments_of(call)
    if id == call.id and name == call.name and arguments is call.arguments:
        return call
    return ToolCall(id, name, arguments, type=call.type)


def _fit_arguments_of(call: ToolCall) -> Json:
    if call.type != "function" and isinstance(call.arguments, str):
        return {
            "input": call.arguments
        }  # text is what such a call takes, and no broken JSON
    return fit_arguments(call.arguments)


# Most messages need no mending, and a copy costs more than all checks of a message.


def _with_calls(message: Message, calls: list[ToolCall]) -> Message:
    unchanged = all(map(is_, calls, message.tool_calls))
    return message if unchanged else replace(message, tool_calls=calls)


def _fit_result(call: ToolCall, result: Message | None) -> Message:
    if result is None:
        return Message(
            "tool", NOT_RUN, tool_call_id=call.id, name=call.name, is_error=True
        )
    unchanged = result.tool_call_id == call.id and result.name == call.name
    return (
        result if unchanged else replace(result, tool_call_id=call.id, name=call.name)
    )


def _may_be_from(id: str, given: object) -> bool:
    """Whether a call that came with the given id, or with none, may have this one."""
    if id == given or not given:
        return True
    stem, _, number = id.rpartition("_")
    return number.isdigit() and stem == _new_stem(str(given), f"_{number}")


def _match(ids: Sequence[object], calls: Sequence[ToolCall]) -> list[ToolCall] | None:
    """For each id in a provider's items the call that it is: in their order, or else by
    id and the rest in order.
    """
    if len(ids) != len(calls):
        return None
    if all(_may_be_from(call.id, id) for call, id in zip(calls, ids, strict=True)):
        return list(calls)  # a new id of one may be the id that another came with
    return _match_by_id(ids, calls)


def _match_by_id(ids: Sequence[object], calls: Sequence[ToolCall]) -> list[ToolCall]:
    unmatched = {call.id: call for call in calls}
    found = [unmatched.pop(id, None) if isinstance(id, str) else None for id in ids]
    rest = iter(unmatched.values())
    return [call or next(rest) for call in found]


def _safe(text: str, most: int) -> str:
    """The text with a code for each character that some API refuses, and no longer than
    `most`.
    """
    return UNSAFE.sub(lambda found: f"_{ord(found[0]):x}", text[:most])[:most]
