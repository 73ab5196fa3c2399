"""Put the pieces of tool calls together.

The pieces of a tool call belong together by id, then by index, then by position,
because some servers give every call index 0, some give none, and some repeat id and
name with every piece. A piece that names a function opens a new call unless it goes on
with one of the same name whose arguments are still unfinished JSON. Two calls may come
with one id: at another index it is another call, and so is a second whole call without
an index. Every call is given an id that no other call of the conversation has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cogent.chunks import ToolCallDelta
from cogent.json_values import Json, copy_json
from cogent.messages import ToolCall
from cogent.run.history import unused_id
from cogent.run.surrogates import fix_surrogates, json_object, require_str

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
        self.place: int = place
        self.index: int | None = index  # the provider's
        self.provider_id: str | None = None  # which another call may have too
        self.id: str = id
        self.name: str = ""
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
        """The arguments so far if they are a JSON object.

        Asking after each piece costs no more than the pieces.
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
    earlier calls, `places` the places in the turn that no call has yet.
    """

    def __init__(self, stem: str, used: set[str], places: Iterator[int]) -> None:
        self._stem = stem
        self._used = used
        self._places = places
        self._by_provider_id: dict[str, list[PartialCall]] = {}
        self._last_by_index: dict[int | None, PartialCall] = {}
        self.all: list[PartialCall] = []
        self.last: PartialCall | None = None  # that a piece came for

    def call_of(self, delta: ToolCallDelta, is_whole: bool = False) -> PartialCall:
        """The known or new call that a piece belongs to, or that is given whole."""
        call = self._find(delta, is_whole)
        if call is None:
            call = self._open(delta)
        elif delta.id and call.provider_id is None:
            self._set_id(call, fix_surrogates(require_str(delta.id)))
        call.name = fix_surrogates(require_str(delta.name)) or call.name
        self.last = call
        return call

    def with_id(self, provider_id: str) -> list[PartialCall]:
        """The calls that came with this id."""
        return self._by_provider_id.get(provider_id, [])

    def _open(self, delta: ToolCallDelta) -> PartialCall:
        place = next(self._places)
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
