"""What the Gemini API answers, streamed or whole, as cogent's chunks and updates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.genai import types

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.providers.formats.counts import known
from cogent.providers.formats.updates import updates_of
from cogent.run.outputs import Item, Output, RequestId, TokenCounts

JSON_PATH = re.compile(r"(?:\.|\[')([^.'\[\]]+)|\[(\d+)\]")
NO_CANDIDATE = types.Candidate()
TEXT_ONLY = {"text"}
TEXT_OR_THOUGHT = {"text", "thought"}


class StreamDecoder:
    """Decodes the events of one answer.

    It remembers the answer's parts, which are sent back later, and the call whose
    arguments still come in pieces.
    """

    is_complete = False  # more may follow a finish reason

    def __init__(self) -> None:
        self._items: list[Json] = []  # a text in one is the list of its pieces
        self._calls = 0  # how many calls have begun
        self._open_call: Json | None = None  # as it stands in its item
        self._request_id = ""
        self._model: str | None = None  # as the last event named it

    def decode(self, event: types.GenerateContentResponse) -> Iterator[Output]:
        """The parts that an event stands for; only the first candidate counts."""
        candidate = _first(event.candidates or ())
        for part in (candidate.content and candidate.content.parts) or ():
            text = part.text
            if part.function_call is not None:
                yield from self._decode_call(part, part.function_call)
            elif text and self._continues_last_text(part):
                self._items[-1]["text"].append(text)
                yield StreamChunk(text)
            else:
                yield from self._decode_part(part)
        if not self._request_id:
            self._request_id = _request_id(event)
            yield RequestId(self._request_id)
        if event.model_version != self._model:
            self._model = event.model_version
            yield from updates_of(model=self._model)
        yield from updates_of(finish=_finish(event, candidate))
        if event.usage_metadata is not None:
            yield TokenCounts(decode_usage(event.usage_metadata))

    def close(self) -> Iterator[Output]:
        """What is known only at the end: the parts to be sent back."""
        if self._open_call is not None:
            # Without its end it is no JSON, so that no tool runs with a part of its
            # arguments.
            arguments = json.dumps(self._open_call["args"])[:-1]
            yield StreamChunk(
                tool_call=ToolCallDelta(self._calls - 1, arguments=arguments)
            )
        for item in self._items:
            if "text" in item:
                item = {**item, "text": "".join(item["text"])}
            yield Item(item)

    def _continues_last_text(self, part: types.Part) -> bool:
        """Whether the part is only more of the text before; then its text is to be
        appended there.
        """
        if part.model_fields_set != TEXT_ONLY or not self._items:
            return False
        return self._items[-1].keys() == TEXT_ONLY

    def _decode_part(self, part: types.Part) -> Iterator[Output]:
        text = part.text
        if not part.model_fields_set <= TEXT_OR_THOUGHT:
            self._add_item(part)
        elif text:
            self._add_text(text, bool(part.thought))
        if not text:
            return
        yield StreamChunk(reasoning=text) if part.thought else StreamChunk(text)

    def _add_item(self, part: types.Part) -> None:
        """Keep a part that stays by itself, as one with a signature does."""
        item: Json = part.to_json_dict()
        if part.text is not None:
            item["text"] = [part.text]
        self._items.append(item)

    def _add_text(self, text: str, is_thought: bool) -> None:
        """Append to the item before if that is of the same kind, else begin a new one."""
        item: Json = {"thought": True} if is_thought else {}
        item["text"] = []
        if not self._items or self._items[-1].keys() != item.keys():
            self._items.append(item)
        self._items[-1]["text"].append(text)

    def _decode_call(
        self, part: types.Part, call: types.FunctionCall
    ) -> Iterator[Output]:
        if self._begins_call(call):
            self._begin_call(part, call)
        if self._open_call is None:
            return
        self._open_call["args"] = _add_arguments(self._open_call["args"], call)
        index = self._calls - 1
        name = call.name or ""
        if not call.will_continue:
            arguments = json.dumps(self._open_call["args"])
            yield StreamChunk(tool_call=ToolCallDelta(index, call.id, name, arguments))
            self._open_call = None
        elif name:
            yield StreamChunk(tool_call=ToolCallDelta(index, call.id, name))

    def _begins_call(self, call: types.FunctionCall) -> bool:
        if call.name:
            return True
        return self._open_call is None and bool(call.id or call.args)

    def _begin_call(self, part: types.Part, call: types.FunctionCall) -> None:
        self._calls += 1
        self._open_call = {"name": call.name or "", "args": {}}
        if call.id:
            self._open_call["id"] = call.id
        self._items.append({**part.to_json_dict(), "function_call": self._open_call})


def _first(candidates: Iterable[types.Candidate]) -> types.Candidate:
    for candidate in candidates:
        if not candidate.index:
            return candidate
    return NO_CANDIDATE


def _request_id(event: types.GenerateContentResponse) -> str:
    response = event.sdk_http_response
    headers = (response and response.headers) or {}
    return headers.get("x-request-id") or event.response_id or ""


def _finish(
    event: types.GenerateContentResponse, candidate: types.Candidate
) -> str | None:
    """Why the answer ended, in the provider's own words, or why the request was
    blocked.
    """
    feedback = event.prompt_feedback
    if feedback and feedback.block_reason:
        return f"blocked:{feedback.block_reason.value}"
    reason = candidate.finish_reason
    return reason.value if reason else None


def _add_arguments(arguments: Json, call: types.FunctionCall) -> Json:
    """The arguments so far with those of this piece of the call, which come as an
    object or one by one with a path.
    """
    arguments = {**arguments, **(call.args or {})}
    for piece in call.partial_args or ():
        arguments = _put(arguments, _path_of(piece), _value_of(piece))
    return arguments


def _path_of(piece: types.PartialArg) -> list[str | int]:
    """The names and places that lead to the value: `$.cities[0].name` is "cities", 0,
    "name".
    """
    steps = JSON_PATH.findall(piece.json_path or "")
    return [int(place) if place else name for name, place in steps]


def _value_of(piece: types.PartialArg) -> object:
    for value in (piece.string_value, piece.number_value, piece.bool_value):
        if value is not None:
            return value
    return None


def _put(node: Any, steps: list[str | int], value: object) -> Any:
    """The node with the value where the steps lead; texts at one place add up."""
    if not steps:
        if isinstance(node, str) and isinstance(value, str):
            return node + value
        return value
    step, *rest = steps
    if isinstance(step, str):
        fields = node or {}
        return {**fields, step: _put(fields.get(step), rest, value)}
    items = list(node or ())
    missing = step + 1 - len(items)
    items += [None] * missing
    items[step] = _put(items[step], rest, value)
    return items


def decode_usage(usage: types.GenerateContentResponseUsageMetadata) -> dict[str, int]:
    """The counts of an event, which are running totals.

    What the model read of its tools' results is not in `prompt_token_count`, nor are
    thoughts in `candidates_token_count`; the total says so where a server counts
    otherwise.
    """
    output = _output_tokens(usage)
    counts: dict[str, int | None] = {
        "cache_read_tokens": usage.cached_content_token_count,
        "reasoning_tokens": usage.thoughts_token_count,
        "input_tokens": _input_tokens(usage, output),
    }
    if output or usage.prompt_token_count:
        counts["output_tokens"] = output
    return known(counts)


def _input_tokens(
    usage: types.GenerateContentResponseUsageMetadata, output: int
) -> int | None:
    """The request's tokens with the results of tools, which are in its own count where
    the total says so.
    """
    prompt = usage.prompt_token_count
    results = usage.tool_use_prompt_token_count
    if prompt and usage.total_token_count == prompt + output:
        return prompt
    if prompt is None and not results:
        return None
    return (prompt or 0) + (results or 0)


def _output_tokens(usage: types.GenerateContentResponseUsageMetadata) -> int:
    """The answer's tokens with its thoughts, which are in its own count where the total
    says so.
    """
    total = usage.total_token_count
    answer = usage.candidates_token_count or 0
    thoughts = usage.thoughts_token_count or 0
    prompt = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
    if total and total == prompt + answer:
        return answer
    return answer + thoughts
