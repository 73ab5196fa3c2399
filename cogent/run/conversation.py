"""What a run remembers from one chunk to the next; nothing else has a memory.

The pieces of a tool call belong together by id, then by index, then by position, because some servers give every
call index 0, some give none, and some repeat id and name with every piece. A piece that names a function opens a new
call unless it goes on with one of the same name whose arguments are still unfinished JSON. Two calls may come with one
id: at another index it is another call, and so is a second whole call without an index. Every call is given an id that
no other call of the conversation has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta, TurnUpdate
from cogent.messages import FinishReason, Message, Response, ToolCall, ToolResult, TurnSummary, Usage
from cogent.run import finish
from cogent.run.copies import copy_json, copy_response
from cogent.run.history import NOT_RUN, unused_id
from cogent.run.surrogates import joined, json_object, mended, mended_json, string

CHARACTERS_PER_TOKEN = 4  # the usual estimate for English text, used only where a provider gives no figures


# What decides whether a JSON text is complete: brackets and the quotes around strings, with what is escaped in them.
JSON_MARK = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


def whole_text(pieces: list[str]) -> str:
    """The text that the pieces make up. They become one, or reading the text after each piece would be quadratic."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""


class PartialCall:
    """A tool call whose arguments are still coming in."""

    __slots__ = (
        "_depth",
        "_in_string",
        "_parsed",
        "_parsed_from",
        "_scanned",
        "arguments",
        "id",
        "index",
        "name",
        "place",
        "told_id",
    )

    def __init__(self, place: int, index: int | None, id: str) -> None:
        self.place = place
        self.index = index  # the provider's
        self.told_id: str | None = None  # the provider's, which another call may have too
        self.id = id
        self.name = ""
        self.arguments: list[str] = []
        self._parsed: dict[str, Any] | None = None
        self._parsed_from = ""  # the text that `_parsed` was read from
        self._restart()

    def _restart(self) -> None:
        self._scanned = 0  # characters of the arguments that were looked at
        self._depth = 0  # brackets that are open there
        self._in_string = False

    def replace_arguments(self, text: str) -> None:
        """Take the whole arguments, whatever came of them before."""
        self.arguments = [text]
        self._restart()

    def arguments_object(self) -> dict[str, Any] | None:
        """The arguments so far if they are a JSON object; asking after each piece costs no more than the pieces."""
        text = whole_text(self.arguments)
        if self._is_unfinished(text):
            return None
        if text != self._parsed_from:
            self._parsed, self._parsed_from = json_object(text), text
        return self._parsed

    def _is_unfinished(self, text: str) -> bool:
        """Whether a bracket or a string is still open at the end of the text."""
        for match in JSON_MARK.finditer(text, self._scanned):
            mark = match[0]
            if mark == "\\":  # what it escapes comes with the next piece
                self._scanned = match.start()
                return True
            if mark == '"':
                self._in_string = not self._in_string
            elif not self._in_string and mark in "{[":
                self._depth += 1
            elif not self._in_string and mark in "}]":
                self._depth -= 1
        self._scanned = len(text)
        return self._in_string or self._depth > 0

    def takes_name(self, name: str) -> bool:
        """Whether a piece with this function name, but no id, goes on with this call."""
        if not self.name and self.index is not None:
            return True
        return self.name in ("", name) and not self.complete()

    def complete(self) -> bool:
        """Whether the arguments are a JSON object."""
        return self.arguments_object() is not None

    def takes(self, delta: ToolCallDelta) -> bool:
        """Whether a piece without an id of its own goes on with this call."""
        if delta.name:
            return self.takes_name(delta.name)
        # A server that gives neither id nor index sends its calls whole, also one that names no function.
        one_more = delta.index is None and json_object(delta.arguments) is not None
        return not (one_more and self.complete())

    def takes_id(self, delta: ToolCallDelta) -> bool:
        """Whether a piece with this call's id is of this call."""
        if self.index is not None and delta.index is not None:
            return self.index == delta.index
        return not (delta.name and delta.arguments.strip()) or self.takes_name(delta.name)

    def whole(self) -> ToolCall:
        """The call as it stands, its arguments parsed if they are a JSON object."""
        arguments = self.arguments_object()
        return ToolCall(self.id, self.name, whole_text(self.arguments) if arguments is None else copy_json(arguments))


class Turn:
    """One answer of the model as it comes in.

    `id` is for ids of calls that the provider gave none; `used` are the ids of earlier calls.
    """

    def __init__(self, id: str, used: Iterable[str] = ()) -> None:
        self.id = id
        self._used = set(used)
        self.asked = False  # whether the provider may have taken the question, which costs
        self.began = False  # whether anything at all came of the answer
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[PartialCall] = []
        self._by_id: dict[str, list[PartialCall]] = {}  # by the provider's id
        self._by_index: dict[int | None, PartialCall] = {}  # the last call of each index
        self._items: dict[int, dict[str, Any]] = {}
        self._last_call: PartialCall | None = None
        self._halves: dict[object, str] = {}  # of what, and the half character that its last piece ended with
        self.pending: list[ToolCall] = []  # calls that are no functions
        self.finish: str | None = None
        self.model = ""
        self.refused = False
        self.request_id: str | None = None
        self.usage: dict[str, int] = {}

    def add(self, chunk: StreamChunk) -> bool:
        """Take in a chunk; returns whether there is anything in it. A piece of a call is given its place and id."""
        self.began = True
        if text := chunk.content:
            if text.__class__ is not str or not text.isascii() or self._halves:
                chunk.content = chunk.delta = text = joined(self._halves, text, "content")
            self._text.append(text)
        elif text := chunk.reasoning:
            chunk.reasoning = text = joined(self._halves, text, "reasoning")
            self._thoughts.append(text)
        elif chunk.tool_call is not None:
            if not _says_something(chunk.tool_call):
                return False
            self._add_call(chunk.tool_call)
            return True
        return text != ""

    def update(self, update: TurnUpdate) -> None:
        """Take in what the provider says about the turn; the last word holds, but no good end hides a bad one."""
        self.began = True
        self.model = string(update.model or self.model)
        self.request_id = update.request_id or self.request_id
        self.refused = self.refused or update.refused
        for name, number in update.usage.items():
            self.usage[name] = number or self.usage.get(name, 0)  # a later zero says nothing
        if update.finish and finish.is_word(update.finish):
            self.finish = finish.decisive(self.finish, update.finish)
        if update.item is not None:
            item = update.item
            if update.of_last_call and self._last_call is not None:
                item = {**item, "call": self._last_call.place}
            self._items[len(self._items) if update.position is None else update.position] = item
        if update.pending is not None:
            call_id = unused_id(update.pending.id, self._used)
            self.pending.append(replace(update.pending, id=call_id))
        if update.call is not None and _says_something(update.call):
            call = self._call_of(update.call, whole=True)
            call.replace_arguments(mended(string(update.call.arguments)))

    def _add_call(self, delta: ToolCallDelta) -> None:
        call = self._call_of(delta)
        delta.index = call.place
        if delta.arguments:
            delta.arguments = joined(self._halves, delta.arguments, delta.index)
            call.arguments.append(delta.arguments)
        delta.id = call.id

    def _call_of(self, delta: ToolCallDelta, whole: bool = False) -> PartialCall:
        call = self._find(delta, whole)
        if call is None:
            call = self._open_call(delta)
        elif delta.id and call.told_id is None:
            self._set_id(call, mended(string(delta.id)))
        call.name = mended(string(delta.name)) or call.name
        self._last_call = call
        return call

    def _open_call(self, delta: ToolCallDelta) -> PartialCall:
        place = len(self._calls)
        call = PartialCall(place, delta.index, "")
        if delta.id:
            self._set_id(call, mended(string(delta.id)))
        else:
            call.id = unused_id(f"call_{self.id}_{place}", self._used)
        self._calls.append(call)
        self._by_index[delta.index] = call
        return call

    def _set_id(self, call: PartialCall, id: str) -> None:
        call.told_id = id
        call.id = unused_id(id, self._used)
        self._by_id.setdefault(id, []).append(call)

    def _find(self, delta: ToolCallDelta, whole: bool) -> PartialCall | None:
        for known in reversed(self._by_id.get(delta.id or "", ())):
            if (whole and known.index == delta.index) or known.takes_id(delta):
                return known
        last = self._last_at(delta.index)
        if last is None or (delta.id and last.told_id):
            return None
        return last if whole or last.takes(delta) else None

    def _last_at(self, index: int | None) -> PartialCall | None:
        if index is not None:
            return self._by_index.get(index)
        return self._calls[-1] if self._calls else None

    @property
    def content(self) -> str:
        return whole_text(self._text)

    @property
    def reasoning(self) -> str:
        return whole_text(self._thoughts)

    @property
    def visible(self) -> bool:
        """Whether the user has seen anything of this turn."""
        return bool(self._text or self._thoughts or self._calls)

    def calls(self) -> list[ToolCall]:
        """The calls as they stand, in the order in which they came."""
        return [call.whole() for call in self._calls]

    def asks_for_tools(self) -> bool:
        """Whether the turn holds calls that can be answered.

        Where its end was only assumed, a call without arguments may be one that was cut off, and none counts.
        """
        if self.pending:
            return True
        return bool(self._calls) and (self.finish is not None or all(call.complete() for call in self._calls))

    def items(self) -> list[dict[str, Any]]:
        """The provider's own pieces, in their order; a decoder may keep its own for the next turn."""
        return [copy_json(mended_json(self._items[position])) for position in sorted(self._items)]

    def tokens(self, asked: Sequence[Message]) -> Usage:
        """What the turn cost: the provider's figures, or an estimate where it gave none."""
        counts = dict(self.usage)
        uncached = counts.pop("input_tokens_uncached", None)
        if uncached is not None:
            cached = counts.get("cache_read_tokens", 0) + counts.get("cache_write_tokens", 0)
            counts["input_tokens"] = uncached + cached
        if "output_tokens" in counts and "input_tokens" in counts and self.finish is not None:
            return Usage(**counts, estimated=False)
        written = len(self.content) + len(self.reasoning)
        written += sum(len(whole_text(call.arguments)) for call in self._calls)
        read = sum(len(message.content) for message in asked)
        counts.setdefault("input_tokens", -(-read // CHARACTERS_PER_TOKEN))
        counts["output_tokens"] = max(counts.get("output_tokens", 0), -(-written // CHARACTERS_PER_TOKEN))
        return Usage(**counts, estimated=True)


def _says_something(delta: ToolCallDelta) -> bool:
    """Whether a piece of a call holds anything: some servers send empty ones where there is no call."""
    return bool(delta.id or delta.name or delta.arguments)


class Run:
    """One run as it goes: the conversation, the turns, the calls, the figures."""

    def __init__(self, provider: str, model: str, messages: list[Message]) -> None:
        self.provider = provider
        self.address: str | None = None  # of the server that answers
        self.model = model
        self.messages = messages
        self.turns: list[TurnSummary] = []
        self.calls: list[ToolCall] = []
        self.open_calls: list[ToolCall] = []
        self.pending: list[ToolCall] = []  # of the last turn: calls that are left to the caller
        self.turn: Turn | None = None
        self.first_at: float | None = None
        self.started = perf_counter()
        self.ended: float | None = None
        self.finished: Response | None = None
        self.abandoned = Usage()  # of attempts that were cut after they had begun, and repeated

    def begin_turn(self) -> Turn:
        """Start the next answer of the model, or the same once more after a failure that nobody saw."""
        if self.turn is not None and self.turn.visible and self.turn.usage:
            self.abandoned += self.turn.tokens(self.messages)
        used = (call.id for message in self.messages for call in message.tool_calls)
        self.turn = Turn(str(len(self.messages)), used)
        return self.turn

    def end_turn(self, reason: FinishReason | None) -> TurnSummary:
        """Enter the current turn into the conversation; `reason` is None if it was broken off.

        Only a turn that ended normally keeps its calls and the provider's own items: half a call, or reasoning
        without what it led to, makes the next request invalid.
        """
        turn, self.turn = self.turn, None
        assert turn is not None
        summary = self._summary(turn, reason)
        self.turns.append(summary)
        calls = turn.calls()
        self.open_calls = calls if reason == "tool_calls" else []
        self.pending = turn.pending if reason == "tool_calls" else []
        self.calls += [*calls, *self.pending]
        whole = reason == "tool_calls" or (reason == "stop" and not calls)
        if turn.content or (whole and (calls or turn.items())):
            self.messages.append(
                Message(
                    "assistant",
                    turn.content,
                    tool_calls=[*self.open_calls, *self.pending],
                    reasoning=turn.reasoning if whole else "",
                    provider=self.provider,
                    items=turn.items() if whole else [],
                    address=self.address,
                )
            )
        return summary

    def close_calls(self) -> None:
        """Enter a result for every open call, in call order: providers refuse a call without one."""
        for call in self.open_calls:
            result = call.result or ToolResult(call.id, call.name, NOT_RUN, is_error=True)
            self.messages.append(
                Message("tool", result.content, tool_call_id=call.id, name=call.name, is_error=result.is_error)
            )
        self.open_calls = []

    def tool_calls_metadata(self) -> dict[str, Any]:
        """The metadata of the chunk that ends a turn with tool calls: that turn's model, tokens and calls."""
        turn = self.turns[-1]
        calls = [call.to_dict() for call in [*self.open_calls, *self.pending]]
        return {"model": turn.model, "tokens": turn.usage.to_dict(), "tool_calls": copy_json(calls)}

    def metadata(self) -> dict[str, Any]:
        """The final chunk's metadata, as things stand."""
        open_turn = self._open_turn()
        turns = [*self.turns, *([self._summary(open_turn, None)] if open_turn else [])]
        pending = [{**call.to_dict(), "type": call.type} for call in self.pending]
        return {
            "model": next((turn.model for turn in reversed(turns) if turn.model), self.model),
            "provider": self.provider,
            "tokens": sum((turn.usage for turn in turns), self.abandoned).to_dict(),
            "raw_finish_reason": turns[-1].raw_finish_reason if turns else None,
            "steps": len(turns),
            "tool_calls": [_described(call) for call in [*self.calls, *(open_turn.calls() if open_turn else [])]],
            "duration": (self.ended or perf_counter()) - self.started,
            "time_to_first_token": None if self.first_at is None else self.first_at - self.started,
            "request_ids": [turn.request_id for turn in turns if turn.request_id],
            **({"pending": copy_json(pending)} if pending else {}),
        }

    def finish(self, reason: FinishReason) -> dict[str, Any]:
        """End the run; returns the final chunk's metadata."""
        self.finished = self._response(self.metadata(), reason)
        return copy_json(self.finished.metadata)

    def response(self) -> Response:
        """The whole response once the run has finished, before that as far as it came; a copy each time."""
        if self.finished is not None:
            return copy_response(self.finished)
        metadata = self.metadata()
        now = Run(self.provider, self.model, list(self.messages))
        now.address = self.address
        now.turns, now.calls = list(self.turns), list(self.calls)
        now.open_calls, now.pending, now.turn = self.open_calls, self.pending, self._open_turn()
        if now.turn is not None:
            now.end_turn(None)
        now.close_calls()
        return copy_response(now._response(metadata, None))

    def _open_turn(self) -> Turn | None:
        """The turn that is coming in, if it costs something."""
        return self.turn if self.turn is not None and (self.turn.asked or self.turn.began) else None

    def _response(self, metadata: dict[str, Any], reason: FinishReason | None) -> Response:
        content = "".join(turn.content for turn in self.turns)
        return Response(content, reason, metadata, self.messages, self.calls, self.turns, self.pending)

    def _summary(self, turn: Turn, reason: FinishReason | None) -> TurnSummary:
        usage = turn.tokens(self.messages)
        return TurnSummary(turn.content, reason, turn.finish, turn.model or self.model, usage, turn.request_id)


def _described(call: ToolCall) -> dict[str, Any]:
    described = {**call.to_dict(), "executed": call.result is not None}
    if call.result is not None:
        described |= {
            "result": call.result.content,
            "is_error": call.result.is_error,
            "duration": call.result.duration,
        }
    return described
