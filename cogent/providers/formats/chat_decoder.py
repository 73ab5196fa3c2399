"""Decode Chat Completions, as OpenAI defined the format and as the servers that are
compatible with it really send it.

What is allowed for: a `delta` that is null or missing, text as a list of parts
(Mistral), reasoning under three names, `usage` on any chunk, on the choice or under
`x_groq`, repeated or with nulls, arguments that are an object instead of a string. What
has to go back with the next request is kept in items, which `chat_encoder` reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.providers.formats.chat_beside import Beside, decode_part
from cogent.providers.formats.counts import (
    Counts,
    count,
    first_count,
    known,
    match_total,
)
from cogent.providers.formats.details import details_of
from cogent.providers.formats.fields import Fields, mapping
from cogent.providers.formats.updates import updates_of
from cogent.run.outputs import Item, Outputs, Refusal, Update
from cogent.transport.reported import ReportedError, raise_reported

# The names under which servers send reasoning text; the first that is set is shown, as
# some send it twice.
REASONING_FIELDS = ("reasoning_content", "reasoning")
# Given with every piece of reasoning, kept once: an item at a position replaces the one
# before it. A field that came only empty goes back empty, which some servers want.
FIELD_WITH_TEXT = {
    "reasoning_content": Item({"reasoning_field": "reasoning_content"}, position=-2),
    "reasoning": Item({"reasoning_field": "reasoning"}, position=-1),
}
FIELD_WITHOUT_TEXT = {
    "reasoning_content": Item(
        {"reasoning_field": "reasoning_content", "empty": True}, position=-4
    ),
    "reasoning": Item({"reasoning_field": "reasoning", "empty": True}, position=-3),
}
TEXT_ONLY = {"content", "role"}  # a delta with no more than these takes the short way
KNOWN_IN_CALL = {"index", "id", "type", "function"}
# Parts of a content list.
TEXT_PARTS = ("text", "output_text")
REASONING_PARTS = ("thinking", "reasoning", "reasoning_text", "reasoning_content")
# The fields of such a part that may hold its text.
REASONING_TEXTS = ("thinking", "summary", "text", "content")


class StreamDecoder:
    """Decodes the chunks of one stream, in order; only the first choice counts.

    Some servers send the whole message in one chunk instead of deltas. Others send
    both, which must not give it twice.
    """

    is_complete = False  # usage may follow the finish reason

    def __init__(self) -> None:
        self._has_deltas = False
        self._beside = Beside()

    def decode(self, event: Any) -> Outputs:
        """What a chunk of the stream gives."""
        choice = _first_choice(event)
        if choice is None:
            return self._decode_rest(event)
        delta = choice.get("delta")
        if delta:
            self._has_deltas = True
        else:
            delta = self._whole_message(choice)
        if (
            TEXT_ONLY.issuperset(delta)
            and not event.get("usage")
            and not choice.get("finish_reason")
            and not choice.get("logprobs")
            and "citations" not in event
        ):
            content = delta.get("content")
            if content and isinstance(content, str):
                return (StreamChunk(content),)
        return _decode_choice(event, choice, delta, self._beside)

    def close(self) -> Outputs:
        """What was said with each chunk, and is given once."""
        return self._beside.close()

    def _decode_rest(self, event: Json) -> Outputs:
        """What a chunk without a choice gives."""
        yield from self._beside.decode(event, {}, {})
        yield from _updates(event, {})

    def _whole_message(self, choice: Json) -> Json:
        message: Json | None = None if self._has_deltas else choice.get("message")
        return message or {}


def decode_response(response: Json) -> Outputs:
    """What a whole answer gives."""
    raise_reported(response)
    choices = response.get("choices")
    if not choices:
        raise ReportedError("the answer has no choices")
    choice = choices[0]
    beside = Beside()
    yield from _decode_choice(response, choice, choice.get("message") or {}, beside)
    yield from beside.close()


def _first_choice(event: Any) -> Json | None:
    """The choice that counts; None for an event without one.

    Raises the error that such an event reports.
    """
    if event.__class__ is not dict:
        raise_reported(event)
    choice: Json
    for choice in event.get("choices") or ():
        if not choice.get("index"):
            return choice
    raise_reported(event)
    return None


def _decode_choice(
    event: Json,
    choice: Json,
    delta: Json,
    beside: Beside,
) -> Outputs:
    if choice.get("error"):
        raise ReportedError(choice["error"])
    yield from _decode_reasoning(delta)
    yield from _decode_content(delta.get("content"), whole="message" in choice)
    refusal = delta.get("refusal")
    if refusal:
        yield StreamChunk(refusal)
        yield Refusal()
    yield from _decode_calls(delta)
    yield from beside.decode(event, choice, delta)
    yield from _updates(event, choice)


# Content and reasoning


def _decode_content(content: object, whole: bool) -> Outputs:
    """What a text or a content list gives.

    `whole` says that each entry of the list is a part of its own, and none a piece of
    that before it.
    """
    if isinstance(content, str) and content:
        yield StreamChunk(content)
    elif isinstance(content, list):
        for part in content:
            yield from _decode_content_part(part, whole)


def _decode_content_part(part: object, whole: bool) -> Outputs:
    """What one entry gives; what is no plain text is kept in the form in which it came."""
    if isinstance(part, str):
        part = {"text": part}
    if not isinstance(part, dict):
        return
    kind = part.get("type", "text")
    if kind in TEXT_PARTS:
        text = part.get("text")
        if text:
            yield StreamChunk(text)
            yield Item({"content_part": {"type": "text", "text": text}})
        return
    if kind in REASONING_PARTS:
        for text in _reasoning_texts(part):
            yield StreamChunk(reasoning=text)
    yield from decode_part(part)
    yield Item({"content_part": part, "whole": whole})


def _reasoning_texts(part: Json) -> Iterator[str]:
    """The texts of a part that is reasoning: its own, or those of its pieces."""
    for name in REASONING_TEXTS:
        value = part.get(name)
        pieces = value if isinstance(value, list) else [value]
        for piece in pieces:
            text = piece.get("text") if isinstance(piece, dict) else piece
            if text and isinstance(text, str):
                yield text


def _decode_reasoning(delta: Json) -> Outputs:
    details = delta.get("reasoning_details")
    if details:
        yield Item({"reasoning_details": details})
    texts = _texts_by_field(delta)
    shown = next(filter(None, texts.values()), "")
    if shown:
        yield StreamChunk(reasoning=shown)
    for name, text in texts.items():
        fields = FIELD_WITH_TEXT if text else FIELD_WITHOUT_TEXT
        yield fields[name]
    if details and not shown:
        yield from _show_details(details)


def _texts_by_field(delta: Json) -> dict[str, str]:
    return {
        name: delta[name]
        for name in REASONING_FIELDS
        if isinstance(delta.get(name), str)
    }


def _show_details(details: Iterable[Json]) -> Outputs:
    for detail in details:
        text = detail.get("text") or detail.get("summary")
        if text:
            yield StreamChunk(reasoning=text)


# Calls


def _decode_calls(delta: Json) -> Outputs:
    given = delta.get("tool_calls") or ()
    calls = [call for call in given if isinstance(call, dict)]
    # The name of a call before there could be several.
    former = delta.get("function_call")
    if former and not calls:
        calls = [{"function": former}]
    has_several = len(calls) > 1
    for place, call in enumerate(calls):
        yield from _decode_call(call, place if has_several else None)


def _decode_call(call: Json, place: int | None) -> Outputs:
    """What a piece of a call gives; `place` is its index where the server gives none."""
    function = call.get("function") or {}
    index = call.get("index")
    if index is None:
        index = place
    delta = ToolCallDelta(
        index=index,
        id=call.get("id") or None,
        name=function.get("name") or "",
        arguments=_arguments_text(function.get("arguments")),
    )
    yield StreamChunk(tool_call=delta)
    more = _other_fields(call)
    if more:
        yield Item({"more": more}, of_last_call=True)


def _other_fields(call: Json) -> Json:
    """What a server adds to a call, a signature say."""
    return {
        name: value
        for name, value in call.items()
        if name not in KNOWN_IN_CALL and value is not None
    }


def _arguments_text(arguments: object) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments)


# Figures


def _updates(event: Json, choice: Json) -> Iterator[Update]:
    usage = _usage_of(event, choice)
    yield from updates_of(
        model=event.get("model"),
        finish=choice.get("finish_reason"),
        counts=decode_usage(usage) if usage else {},
    )
    yield from details_of(event, usage)


def _usage_of(event: Json, choice: Json) -> Fields:
    """The first `usage` that holds something, of the places where servers put it; else
    an empty one.
    """
    places = (
        event.get("usage"),
        choice.get("usage"),
        mapping(event.get("x_groq")).get("usage"),
    )
    for value in places:
        usage = mapping(value)
        if usage:
            return usage
    return {}


def decode_usage(usage: Fields) -> Counts:
    """The counts of a `usage` object, under the names that OpenAI and the compatible
    servers give them.

    Cached tokens besides OpenAI's: DeepSeek, LiteLLM and Anthropic's gateways, Moonshot
    and Together, Mistral.
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
        "reasoning_tokens": first_count(
            written.get("reasoning_tokens"), usage.get("reasoning_tokens")
        ),
    }
    return match_total(known(counts), count(usage.get("total_tokens")))
