"""What comes in of one answer becomes one turn.

The pieces of a tool call belong together by id, then by index, then by position,
because some servers give every call index 0, some give none, and some repeat id and
name with every piece. A piece that names a function opens a new call unless it goes on
with one of the same name whose arguments are still unfinished JSON. Two calls may come
with one id: at another index it is another call, and so is a second whole call without
an index. Every call is given an id that no other call of the conversation has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json, copy_json
from cogent.messages import Message, ToolCall, Usage
from cogent.run import finish
from cogent.run.history import unused_id
from cogent.run.outputs import (
    FinishWord,
    Item,
    ModelName,
    PendingCall,
    Refusal,
    RequestId,
    TokenCounts,
    Update,
    WholeCall,
    Working,
)
from cogent.run.surrogates import (
    fix_json,
    fix_surrogates,
    join_surrogates,
    json_object,
    require_str,
)

CHARACTERS_PER_TOKEN = 4  # the usual estimate for English text, used only where a provider gives no figures

# What decides whether a JSON text is complete: brackets and the quotes around strings,
# with what is escaped in them.
JSON_MARK = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
DEPTH_CHANGES = {"{": 1, "[": 1, "}": -1, "]": -1}


def whole_text(pieces: list[str]) -> str:
    """The text that the pieces make up.

    They become one, or reading the text after each piece would be quadratic.
    """
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
        "provider_id",
    )

    def __init__(self, place: int, index: int | None, id: str) -> None:
        self.place = place
        self.index = index  # the provider's
        self.provider_id: str | None = None  # which another call may have too
        self.id = id
        self.name = ""
        self.arguments: list[str] = []
        self._parsed: Json | None = None
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

    def arguments_object(self) -> Json | None:
        """The arguments so far if they are a JSON object; asking after each piece costs
        no more than the pieces.
        """
        text = whole_text(self.arguments)
        if self._is_unfinished(text):
            return None
        if text != self._parsed_from:
            self._parsed = json_object(text)
            self._parsed_from = text
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
            elif not self._in_string:
                self._depth += DEPTH_CHANGES.get(mark, 0)
        self._scanned = len(text)
        return self._in_string or self._depth > 0

    def is_complete(self) -> bool:
        """Whether the arguments are a JSON object."""
        return self.arguments_object() is not None

    def continues_with_name(self, name: str) -> bool:
        """Whether a piece with this function name, but no id, goes on with this call."""
        if not self.name and self.index is not None:
            return True
        return self.name in ("", name) and not self.is_complete()

    def continues_with(self, delta: ToolCallDelta) -> bool:
        """Whether a piece without an id of its own goes on with this call."""
        if delta.name:
            return self.continues_with_name(delta.name)
        # A server that gives neither id nor index sends its calls whole, also one that
        # names no function.
        is_whole = delta.index is None and json_object(delta.arguments) is not None
        return not is_whole or not self.is_complete()

    def continues_with_id(self, delta: ToolCallDelta) -> bool:
        """Whether a piece with this call's id is of this call."""
        if self.index is not None and delta.index is not None:
            return self.index == delta.index
        is_whole = delta.name and delta.arguments.strip()
        return not is_whole or self.continues_with_name(delta.name)

    def to_tool_call(self) -> ToolCall:
        """The call as it stands, its arguments parsed if they are a JSON object."""
        arguments = self.arguments_object()
        if arguments is None:
            return ToolCall(self.id, self.name, whole_text(self.arguments))
        return ToolCall(self.id, self.name, copy_json(arguments))


class PartialCalls:
    """The calls of a turn, and which of them a piece belongs to.

    `stem` is for the ids of calls that the provider gave none; `used` are the ids of
    earlier calls.
    """

    def __init__(self, stem: str, used: set[str]) -> None:
        self._stem = stem
        self._used = used
        self._by_provider_id: dict[str, list[PartialCall]] = {}
        self._last_by_index: dict[int | None, PartialCall] = {}
        self.all: list[PartialCall] = []
        self.last: PartialCall | None = None  # that a piece came for

    def call_of(self, delta: ToolCallDelta, is_whole: bool = False) -> PartialCall:
        """The call that a piece belongs to, or that is given whole: a known one or a
        new one.
        """
        call = self._find(delta, is_whole)
        if call is None:
            call = self._open(delta)
        elif delta.id and call.provider_id is None:
            self._set_id(call, fix_surrogates(require_str(delta.id)))
        call.name = fix_surrogates(require_str(delta.name)) or call.name
        self.last = call
        return call

    def _open(self, delta: ToolCallDelta) -> PartialCall:
        place = len(self.all)
        call = PartialCall(place, delta.index, "")
        if delta.id:
            self._set_id(call, fix_surrogates(require_str(delta.id)))
        else:
            call.id = unused_id(f"call_{self._stem}_{place}", self._used)
        self.all.append(call)
        self._last_by_index[delta.index] = call
        return call

    def _set_id(self, call: PartialCall, id: str) -> None:
        call.provider_id = id
        call.id = unused_id(id, self._used)
        self._by_provider_id.setdefault(id, []).append(call)

    def _find(self, delta: ToolCallDelta, is_whole: bool) -> PartialCall | None:
        known = self._find_by_id(delta, is_whole)
        if known is not None:
            return known
        last = self._last_at(delta.index)
        if last is None:
            return None
        if delta.id and last.provider_id:
            return None
        return last if is_whole or last.continues_with(delta) else None

    def _find_by_id(self, delta: ToolCallDelta, is_whole: bool) -> PartialCall | None:
        for known in reversed(self._by_provider_id.get(delta.id or "", ())):
            if is_whole and known.index == delta.index:
                return known
            if known.continues_with_id(delta):
                return known
        return None

    def _last_at(self, index: int | None) -> PartialCall | None:
        if index is not None:
            return self._last_by_index.get(index)
        return self.all[-1] if self.all else None


class Turn:
    """One answer of the model as it comes in.

    `id` is for ids of calls that the provider gave none; `used` are the ids of earlier
    calls.
    """

    def __init__(self, id: str, used: Iterable[str] = ()) -> None:
        self.id = id
        self._used = set(used)
        self.billable = False  # whether the provider may have taken the request
        self.began = False  # whether anything at all came of the answer
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._calls = PartialCalls(id, self._used)
        self._items: dict[int, Json] = {}  # by position
        self._carry: dict[
            object, str
        ] = {}  # of which text, and the half character that its last piece ended with
        self.pending: list[ToolCall] = []  # calls that are no functions
        self.finish: str | None = None
        self.model = ""
        self.refused = False
        self.request_id: str | None = None
        self.usage: dict[str, int] = {}

    def add(self, chunk: StreamChunk) -> bool:
        """Take in a chunk; returns whether there is anything in it.

        A piece of a call is given its place and id.
        """
        self.began = True
        if text := chunk.content:
            if text.__class__ is not str or not text.isascii() or self._carry:
                chunk.content = chunk.delta = text = join_surrogates(
                    self._carry, "content", text
                )
            self._text.append(text)
        elif text := chunk.reasoning:
            chunk.reasoning = text = join_surrogates(self._carry, "reasoning", text)
            self._thoughts.append(text)
        elif chunk.tool_call is not None:
            return self._add_call(chunk.tool_call)
        return text != ""

    def update(self, update: Update) -> None:
        """Take in what the provider says about the turn."""
        self.began = True
        match update:
            case TokenCounts(counts):
                self._add_counts(counts)
            case Item():
                self._keep_item(update)
            case ModelName(name):
                self.model = require_str(name)
            case RequestId(id):
                self.request_id = id or self.request_id
            case FinishWord(word):
                self._finish(word)
            case Refusal():
                self.refused = True
            case WholeCall(delta):
                self._replace_call(delta)
            case PendingCall(call):
                call_id = unused_id(call.id, self._used)
                self.pending.append(replace(call, id=call_id))
            case Working():
                pass  # for the clock alone
            case _:
                assert_never(update)

    def _add_counts(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            if number or name not in self.usage:
                self.usage[name] = number

    def _finish(self, word: str) -> None:
        if finish.is_word(word):
            self.finish = finish.decisive(self.finish, word)

    def _keep_item(self, kept: Item) -> None:
        item, position = kept.item, kept.position
        if kept.of_last_call and self._calls.last is not None:
            item = {**item, "call": self._calls.last.place}
        if position is None:
            position = len(self._items)
        self._items[position] = item

    def _replace_call(self, delta: ToolCallDelta) -> None:
        if _says_something(delta):
            call = self._calls.call_of(delta, is_whole=True)
            call.replace_arguments(fix_surrogates(require_str(delta.arguments)))

    def _add_call(self, delta: ToolCallDelta) -> bool:
        if not _says_something(delta):
            return False
        call = self._calls.call_of(delta)
        delta.index = call.place
        delta.id = call.id
        if delta.arguments:
            delta.arguments = join_surrogates(self._carry, call.place, delta.arguments)
            call.arguments.append(delta.arguments)
        return True

    @property
    def content(self) -> str:
        return whole_text(self._text)

    @property
    def reasoning(self) -> str:
        return whole_text(self._thoughts)

    @property
    def visible(self) -> bool:
        """Whether the user has seen anything of this turn."""
        return bool(self._text or self._thoughts or self._calls.all)

    def calls(self) -> list[ToolCall]:
        """The calls as they stand, in the order in which they came."""
        return [call.to_tool_call() for call in self._calls.all]

    def asks_for_tools(self) -> bool:
        """Whether the turn holds calls that can be answered.

        Where its end was only assumed, a call without arguments may be one that was cut
        off, and none counts.
        """
        if self.pending:
            return True
        if self.finish is None and not all(
            call.is_complete() for call in self._calls.all
        ):
            return False
        return bool(self._calls.all)

    def items(self) -> list[Json]:
        """The provider's own pieces, in their order; a decoder may keep its own for the
        next turn.
        """
        return [
            copy_json(fix_json(self._items[position]))
            for position in sorted(self._items)
        ]

    def tokens(self, messages: Sequence[Message]) -> Usage:
        """What the turn cost: the provider's figures, or an estimate from the messages
        sent and the answer.
        """
        counts = dict(self.usage)
        uncached = counts.pop("input_tokens_uncached", None)
        if uncached is not None:
            cached = counts.get("cache_read_tokens", 0) + counts.get(
                "cache_write_tokens", 0
            )
            counts["input_tokens"] = uncached + cached
        if (
            "output_tokens" in counts
            and "input_tokens" in counts
            and self.finish is not None
        ):
            return Usage(**counts, estimated=False)
        counts.setdefault(
            "input_tokens", _estimate(len(message.content) for message in messages)
        )
        counts["output_tokens"] = max(
            counts.get("output_tokens", 0), self._estimate_output()
        )
        return Usage(**counts, estimated=True)

    def _estimate_output(self) -> int:
        arguments = [len(whole_text(call.arguments)) for call in self._calls.all]
        return _estimate([len(self.content), len(self.reasoning), *arguments])


def _estimate(lengths: Iterable[int]) -> int:
    """About how many tokens texts of these lengths are, rounded up."""
    return -(-sum(lengths) // CHARACTERS_PER_TOKEN)


def _says_something(delta: ToolCallDelta) -> bool:
    """Whether a piece of a call holds anything: some servers send empty ones where
    there is no call.
    """
    return bool(delta.id or delta.name or delta.arguments)
