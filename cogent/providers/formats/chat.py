"""The Chat Completions format, as OpenAI defined it and as the servers that are compatible with it really send it.

What the decoder allows for: a `delta` that is null or missing, text as a list of parts (Mistral), reasoning under
three names, `usage` on any chunk, on the choice or under `x_groq`, repeated or with nulls, arguments that are an object
instead of a string. An assistant message goes back with the fields in which it came: its reasoning under the same name,
`reasoning_details` and whatever else a tool call carried (a signature of Gemini's, say).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta, TurnUpdate
from cogent.messages import Message
from cogent.providers import Part, Request, encoder
from cogent.providers.formats.counts import count, first_count, known, mapping, match_total
from cogent.transport.errors import provider_error, raise_reported

# The names under which servers send reasoning text; the first that is set is shown, as some send it twice.
REASONING_FIELDS = ("reasoning_content", "reasoning")
# Given with every piece of reasoning, kept once: an item at a position replaces the one before it. A field that came
# only empty goes back empty, which some servers want.
SENT_AS = {
    name: TurnUpdate(item={"reasoning_field": name}, position=place - len(REASONING_FIELDS))
    for place, name in enumerate(REASONING_FIELDS)
}
SENT_EMPTY = {
    name: TurnUpdate(item={"reasoning_field": name, "empty": True}, position=place - 2 * len(REASONING_FIELDS))
    for place, name in enumerate(REASONING_FIELDS)
}
TEXT_ONLY = {"content", "role"}  # a delta with no more than these takes the short way
KNOWN_IN_CALL = {"index", "id", "type", "function"}
# Parts of a content list.
TEXT_PARTS = ("text", "output_text")
REASONING_PARTS = ("thinking", "reasoning", "reasoning_text", "reasoning_content")
GROWING = ("text", "thinking", "summary", "data")  # the fields of a part whose pieces add up


# Ours to theirs


@encoder
def encode_request(request: Request, *, max_tokens: str) -> dict[str, Any]:
    """The arguments of `chat.completions.create`; `max_tokens` is the server's name for that limit."""
    model = request.model
    messages = [_encode_message(message) for message in request.history()]
    if request.instructions is not None:
        messages.insert(0, {"role": "system", "content": request.instructions})
    arguments: dict[str, Any] = {"model": model.name, "messages": messages}
    if model.max_tokens is not None:
        arguments[max_tokens] = model.max_tokens
    if model.temperature is not None:
        arguments["temperature"] = model.temperature
    arguments |= model.extra
    tools = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in request.tools
    ]
    if tools:
        arguments["tools"] = [*tools, *model.extra.get("tools", ())]
    return arguments


def _encode_message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    encoded: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        encoded["content"] = message.content or None
        encoded["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.items:
        _add_own_items(encoded, message)
    return encoded


def _add_own_items(encoded: dict[str, Any], message: Message) -> None:
    details: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for item in message.items:
        if "content_part" in item:
            _add_part(parts, item["content_part"], item.get("whole", False))
        if "reasoning_field" in item:
            encoded[item["reasoning_field"]] = "" if item.get("empty") else message.reasoning
        for detail in item.get("reasoning_details", ()):
            _merge_detail(details, detail)
        for place, call in enumerate(encoded.get("tool_calls", ())):
            if item.get("call") in (place, call["id"]):  # the id in what earlier versions saved
                call |= item["more"]
    if details:
        encoded["reasoning_details"] = details
    others = [part for part in parts if part["type"] != "text"]
    if others and "".join(part["text"] for part in parts if part["type"] == "text") == message.content:
        encoded["content"] = parts
    elif others:  # some of the text came outside of a list: where it stood is not known
        encoded["content"] = [*others, {"type": "text", "text": message.content}]


def _add_part(parts: list[dict[str, Any]], part: dict[str, Any], whole: bool) -> None:
    """Add a part of a content list, or join a piece of one with that before it."""
    if whole or not parts or parts[-1].get("type") != part.get("type"):
        parts.append(deepcopy(part))
    else:
        _join(parts[-1], deepcopy(part))


def _join(part: dict[str, Any], piece: dict[str, Any]) -> None:
    for name, value in piece.items():
        known = part.get(name)
        if isinstance(known, list) and isinstance(value, list):
            _join_lists(known, value)
        elif name in GROWING and isinstance(known, str) and isinstance(value, str):
            part[name] = known + value
        elif value not in (None, ""):
            part[name] = value


def _join_lists(known: list[Any], added: list[Any]) -> None:
    first = added[0] if added else None
    last = known[-1] if known else None
    if isinstance(first, dict) and isinstance(last, dict) and first.get("type") == last.get("type"):
        _join(last, first)
        added = added[1:]
    known += added


def _merge_detail(details: list[dict[str, Any]], detail: Mapping[str, Any]) -> None:
    """Join pieces of one detail: the text of those that share type and index grows, anything else is replaced."""
    last = details[-1] if details else {}
    if last and all(last.get(name) == detail.get(name) for name in ("type", "index")):
        for name, value in detail.items():
            grows = name in ("text", "summary", "data") and isinstance(last.get(name), str) and isinstance(value, str)
            last[name] = last[name] + value if grows else value if value is not None else last.get(name)
    else:
        details.append(dict(detail))


# Theirs to ours


class Answer:
    """What has to be remembered of one stream: whether a delta had something in it."""

    has_deltas = False


def decode_event(event: Any, answer: Answer | None = None) -> Iterable[Part]:
    """The parts that a chunk of the stream stands for; only the first choice counts.

    Some servers send the whole message in one chunk instead of deltas, others both.
    """
    if event.__class__ is not dict:
        raise_reported(event)
    for choice in event.get("choices") or ():
        if not choice.get("index"):
            break
    else:
        raise_reported(event)
        return (_update(event, {}),)
    delta = choice.get("delta") or {}
    if delta:
        if answer is not None:
            answer.has_deltas = True
    elif choice.get("message") and not (answer is not None and answer.has_deltas):
        delta = choice["message"]
    if delta.keys() <= TEXT_ONLY and not choice.get("finish_reason") and not event.get("usage"):
        content = delta.get("content")
        if content and isinstance(content, str):
            return (StreamChunk(content),)
    return _decode_choice(event, choice, delta)


def decode_response(response: dict[str, Any]) -> Iterator[Part]:
    """The parts of a whole answer."""
    raise_reported(response)
    choices = response.get("choices")
    if not choices:
        raise provider_error("the answer has no choices")
    yield from _decode_choice(response, choices[0], choices[0].get("message") or {})


def _decode_choice(event: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any]) -> Iterator[Part]:
    if choice.get("error"):
        raise provider_error(choice["error"])
    yield from _decode_reasoning(delta)
    content = delta.get("content")
    if isinstance(content, str) and content:
        yield StreamChunk(content)
    elif isinstance(content, list):
        yield from _decode_content(content, whole="message" in choice)
    if delta.get("refusal"):
        yield StreamChunk(delta["refusal"])
        yield TurnUpdate(refused=True)
    former = delta.get("function_call")  # what calls were named before there could be several
    calls = [call for call in delta.get("tool_calls") or () if isinstance(call, dict)]
    if former and not calls:
        calls = [{"function": former}]
    for place, call in enumerate(calls):
        yield from _decode_call(call, place if len(calls) > 1 else None)
    yield _update(event, choice)


def _decode_content(content: list[Any], whole: bool) -> Iterator[Part]:
    """The parts of a content list; what is no plain text is kept in the form in which it came.

    `whole` says that each part is one of its own, and none a piece of that before it.
    """
    for part in content:
        if isinstance(part, str):
            part = {"text": part}
        if not isinstance(part, dict):
            continue
        if part.get("type", "text") in TEXT_PARTS:
            if part.get("text"):
                yield StreamChunk(part["text"])
                yield TurnUpdate(item={"content_part": {"type": "text", "text": part["text"]}})
        else:
            if part.get("type") in REASONING_PARTS:
                yield from (StreamChunk(reasoning=text) for text in _texts(part))
            yield TurnUpdate(item={"content_part": part, "whole": whole})


def _texts(part: dict[str, Any]) -> Iterator[str]:
    """The texts of a part that is reasoning: its own, or those of its pieces."""
    for name in ("thinking", "summary", "text", "content"):
        pieces = part.get(name)
        for piece in pieces if isinstance(pieces, list) else [pieces]:
            text = piece.get("text") if isinstance(piece, dict) else piece
            if text and isinstance(text, str):
                yield text


def _decode_reasoning(delta: dict[str, Any]) -> Iterator[Part]:
    details = delta.get("reasoning_details")
    if details:
        yield TurnUpdate(item={"reasoning_details": details})
    texts = {name: delta[name] for name in REASONING_FIELDS if isinstance(delta.get(name), str)}
    shown = next(filter(None, texts.values()), "")
    if shown:
        yield StreamChunk(reasoning=shown)
    for name, text in texts.items():
        yield SENT_AS[name] if text else SENT_EMPTY[name]
    if shown:
        return
    for detail in details or ():
        text = detail.get("text") or detail.get("summary")
        if text:
            yield StreamChunk(reasoning=text)


def _decode_call(call: dict[str, Any], place: int | None) -> Iterator[Part]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    index = place if call.get("index") is None else call["index"]
    delta = ToolCallDelta(index, call.get("id") or None, function.get("name") or "", arguments or "")
    yield StreamChunk(tool_call=delta)
    more = {name: value for name, value in call.items() if name not in KNOWN_IN_CALL and value is not None}
    if more:
        yield TurnUpdate(item={"more": more}, of_last_call=True)


def _update(event: dict[str, Any], choice: dict[str, Any]) -> TurnUpdate:
    places = (event.get("usage"), choice.get("usage"), mapping(event.get("x_groq")).get("usage"))
    usage = next(filter(None, map(mapping, places)), {})
    return TurnUpdate(
        model=event.get("model"),
        finish=choice.get("finish_reason"),
        usage=decode_usage(usage) if usage else usage,
    )


def decode_usage(usage: Mapping[str, Any]) -> dict[str, int]:
    """The counts of a `usage` object, under the names that OpenAI and the compatible servers give them.

    Cached tokens besides OpenAI's: DeepSeek, LiteLLM and Anthropic's gateways, Moonshot and Together, Mistral.
    """
    read = mapping(usage.get("prompt_tokens_details"))
    written = mapping(usage.get("completion_tokens_details"))
    cached = (
        read.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cache_read_input_tokens"),
        usage.get("cached_tokens"),
        usage.get("num_cached_tokens"),
    )
    cache_writes = (
        read.get("cache_write_tokens"),
        read.get("cache_creation_tokens"),
        usage.get("cache_creation_input_tokens"),
    )
    counts = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "cache_read_tokens": first_count(*cached),
        "cache_write_tokens": first_count(*cache_writes),
        "reasoning_tokens": first_count(written.get("reasoning_tokens"), usage.get("reasoning_tokens")),
    }
    return match_total(known(counts), count(usage.get("total_tokens")))
