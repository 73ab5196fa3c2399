"""A conversation made fit to be sent: whoever wrote it, no server refuses it.

What servers refuse, often for the rest of the conversation, and what is sent instead:

- arguments that are no JSON object: an object that holds the text;
- a name that is no function's name: one of the characters that every API takes, the
  same on call and result;
- an id that another call has too: a new one, which later requests give that call again;
- a call without a result: a result that says so; a result without a call is left out;
- a turn of reasoning alone: nothing;
- an optional Image or File in a result that the provider does not take: words that say
  so;
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

from cogent.content import ContentPart, File, Media, text_of
from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.run.surrogates import is_json_object, json_object

NOT_RUN = "Not executed to its end: the run was stopped before."
UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")
MAX_NAME_CHARS = 64
# OpenAI's Chat Completions have refused longer ones; elsewhere 64 are allowed.
MAX_ID_CHARS = 40
NO_NAME = "unnamed_tool"
NO_ID = "call"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# The place of a message in its conversation, and of a call in that message.
CallKey = tuple[int, int]
OpenCalls = dict[CallKey, ToolCall]
Messages = Sequence[Message]
Calls = Sequence[ToolCall]
IsReasoning = Callable[[Json], bool]
CheckMedia = Callable[[Media], object]
"""Raises ConfigurationError for an Image or a File that a provider does not take."""


def fit_history(
    messages: Messages,
    provider: str,
    address: str | None,
    is_reasoning: IsReasoning = lambda item: True,
    check_media: CheckMedia = lambda media: None,
) -> list[Message]:
    """The conversation as it may be sent to this provider at this address.

    Every call has an id of its own, a name that any API takes, an object as arguments,
    and its result right after its message. Only messages that this server made have
    items and reasoning. `is_reasoning` tells the items that a message cannot consist
    of. Only what `check_media` lets pass stays among the optional parts of results.
    """
    results, _ = pair_results(messages)
    used: set[str] = set()
    fitted: list[Message] = []
    for place, message in enumerate(messages):
        if message.role == "tool":
            continue  # stands after its call
        own = made_by(message, provider, address)
        sent = message if own else _without_items(message)
        if message.role != "assistant":
            fitted.append(sent)
            continue
        if _is_empty(sent, is_reasoning):
            continue
        calls = [_fit_call(call, own, used) for call in message.tool_calls]
        fitted.append(_with_calls(sent, calls))
        for number, call in enumerate(calls):
            result = results.get((place, number))
            fitted.append(_fit_media(_fit_result(call, result), check_media))
    return fitted


def _is_empty(message: Message, is_reasoning: IsReasoning) -> bool:
    """Whether an answer of the model has nothing but reasoning."""
    if message.content or message.tool_calls:
        return False
    return all(map(is_reasoning, message.items))


def made_by(message: Message, provider: str, address: str | None) -> bool:
    """Whether this server made the message.

    Where an address is not known, the provider alone counts.
    """
    if message.provider != provider:
        return False
    if not message.address or address is None:
        return True
    return message.address == address


def mend_items(
    items: Sequence[Json],
    calls: Calls,
    read_id: Callable[[Json], object],
    mend: Callable[[Json, ToolCall], Json],
) -> list[Json] | None:
    """A provider's own items, with each call mended: `mend(item, call)`.

    `read_id` gives the id in an item that is a call, "" where it has none, and None for
    any other item. Returns None if items and message do not hold as many calls: then
    only the message itself can be right.
    """
    ids = [read_id(item) for item in items]
    ids_of_calls = [id for id in ids if id is not None]
    if len(ids_of_calls) != len(calls):
        return None
    matched = iter(_match(ids_of_calls, calls))
    return [
        item if id is None else mend(item, next(matched))
        for item, id in zip(items, ids, strict=True)
    ]


def fit_name(name: str) -> str:
    """The name as every API takes it: 1 to 64 letters, digits, `_` and `-`."""
    return _safe(name, MAX_NAME_CHARS) or NO_NAME


def fit_arguments(arguments: object) -> Json:
    """The arguments of a call as a JSON object, in which other text stays readable."""
    if isinstance(arguments, dict):
        return arguments
    text = arguments
    if not isinstance(text, str):
        text = json.dumps(arguments, default=str)
    if text.strip() in ("", "null"):
        return {}
    value = json_object(text)
    if value is None:
        return {"INVALID_JSON": text}
    return value


def fit_arguments_text(text: object, arguments: Json) -> str:
    """The JSON text of arguments: the given one if it is an object, else a new one."""
    if isinstance(text, str) and is_json_object(text):
        return text
    return json.dumps(arguments)


def unused_id(id: str, used: set[str]) -> str:
    """The id, or where it is in use a new one that begins like it.

    It is entered into `used`.
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
    from urllib.parse import urlsplit  # imported here: it makes `import cogent` slower

    parts = urlsplit(str(url))
    _, _, host = parts.netloc.rpartition("@")
    host = host.lower()
    default_port = DEFAULT_PORTS.get(parts.scheme, ":")
    host = host.removesuffix(default_port)
    path = parts.path.rstrip("/")
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{host}{path}" or None


def _without_items(message: Message) -> Message:
    if message.items or message.reasoning or message.provider:
        return replace(message, items=[], reasoning="", provider=None, address=None)
    return message


# Calls and their results


def pair_results(messages: Messages) -> tuple[dict[CallKey, Message], OpenCalls]:
    """The result of each call that has one, and the calls that have none."""
    results: dict[CallKey, Message] = {}
    waiting: OpenCalls = {}
    for place, message in enumerate(messages):
        if message.role == "assistant":
            for number, call in enumerate(message.tool_calls):
                waiting[place, number] = call
        elif message.role == "tool":
            key = _find_call(message, waiting)
            if key is not None:
                results[key] = message
                del waiting[key]
    return results, waiting


def result_message(call: ToolCall, content: str, is_error: bool) -> Message:
    """The message that answers a call."""
    message = Message("tool", content)
    message.tool_call_id = call.id
    message.name = call.name
    message.is_error = is_error
    return message


def _find_call(result: Message, waiting: OpenCalls) -> CallKey | None:
    """The call that a result answers.

    Of the calls with its id that is the first one of the last message that has any.
    """
    found = None
    for key, call in waiting.items():
        is_later = found is None or key[0] > found[0]
        if is_later and _answers(result, call):
            found = key
    return found


def _answers(result: Message, call: ToolCall) -> bool:
    if result.tool_call_id:
        return result.tool_call_id == call.id
    # Histories of servers without ids have a name, or nothing.
    return not result.name or result.name == call.name


def _fit_call(call: ToolCall, own: bool, used: set[str]) -> ToolCall:
    id = call.id
    if not own or not id:
        id = _safe(id, MAX_ID_CHARS) or NO_ID
    id = unused_id(id, used)
    name = fit_name(call.name)
    arguments = _fit_arguments_of(call)
    is_same = id == call.id and name == call.name
    if is_same and arguments is call.arguments:
        return call
    return ToolCall(id, name, arguments, type=call.type)


def _fit_arguments_of(call: ToolCall) -> Json:
    arguments = call.arguments
    if call.type != "function" and isinstance(arguments, str):
        return {"input": arguments}  # what such a call takes, and no broken JSON
    return fit_arguments(arguments)


# Most messages need no mending, and a copy costs more than all checks of a message.


def _with_calls(message: Message, calls: list[ToolCall]) -> Message:
    if all(map(is_, calls, message.tool_calls)):
        return message
    return replace(message, tool_calls=calls)


def _fit_result(call: ToolCall, result: Message | None) -> Message:
    if result is None:
        return result_message(call, NOT_RUN, is_error=True)
    is_same = result.tool_call_id == call.id and result.name == call.name
    if is_same:
        return result
    return replace(result, tool_call_id=call.id, name=call.name)


def _fit_media(result: Message, check_media: CheckMedia) -> Message:
    """The result, with words for the optional parts that the provider does not take."""
    parts = [_fit_part(part, check_media) for part in result.parts]
    if all(map(is_, parts, result.parts)):
        return result
    return replace(result, parts=parts, content=text_of(parts))


def _fit_part(part: ContentPart, check_media: CheckMedia) -> ContentPart:
    if isinstance(part, str) or not part.optional:
        return part
    try:
        check_media(part)
    except ConfigurationError:
        return f"The tool answered with {_kind(part)}, which this model cannot take."
    return part


def _kind(media: Media) -> str:
    if isinstance(media, File) and media.name:
        return f"the file {media.name!r} ({media.media_type or 'of unknown type'})"
    return media.media_type or f"an {type(media).__name__}"


# The calls in a provider's own items


def _match(ids: list[object], calls: Calls) -> Calls:
    """For each id in the items the call that it is of; there are as many of both.

    They match in their order if they can: a new id of one call may be the id that
    another one came with. Else they match by id, and the rest in order.
    """
    if all(map(_may_be_from, calls, ids)):
        return calls
    rest = {call.id: call for call in calls}
    found = [rest.pop(str(id), None) for id in ids]
    in_order = iter(rest.values())
    return [call or next(in_order) for call in found]


def _may_be_from(call: ToolCall, id: object) -> bool:
    """Whether the call may be the one that came with this id, or with none."""
    if call.id == id or not id:
        return True
    stem, _, number = call.id.rpartition("_")
    if not number.isdigit():
        return False
    return stem == _new_stem(str(id), f"_{number}")


def _safe(text: str, max_chars: int) -> str:
    """The text with a code for each character that some API refuses, shortened."""
    safe = UNSAFE.sub(_code, text[:max_chars])
    return safe[:max_chars]


def _code(found: re.Match[str]) -> str:
    return f"_{ord(found[0]):x}"
