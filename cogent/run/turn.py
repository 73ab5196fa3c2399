"""What comes in of one answer becomes one turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import assert_never

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content import Media, estimate_tokens
from cogent.json_values import Json, copy_json
from cogent.messages import Message, ToolCall, ToolResult, Usage
from cogent.run.finish import (
    NO_WORDS,
    Ending,
    FinishWords,
    decisive,
    ending,
    is_word,
)
from cogent.run.history import unused_id
from cogent.run.outputs import (
    HERE,
    Commentary,
    FinishWord,
    Item,
    ModelName,
    PendingCall,
    ProviderDetails,
    Refusal,
    RequestId,
    TokenCounts,
    Update,
    WholeCall,
    Working,
)
from cogent.run.partial_calls import PartialCall, PartialCalls, whole_text
from cogent.run.provider_calls import ProviderCalls
from cogent.run.surrogates import (
    fix_json,
    fix_surrogates,
    join_surrogates,
    require_str,
)
from cogent.sources import Source, copy_source

# The usual estimate for English text, used only where a provider gives no figures.
CHARACTERS_PER_TOKEN = 4


class Turn:
    """One answer of the model as it comes in.

    `id` is for ids of calls that the provider gave none; `used` are the ids of earlier
    calls, `words` the provider's finish words. The text of the answer that earlier turns
    gave has `text_before` characters.
    """

    def __init__(
        self,
        id: str,
        used: Iterable[str] = (),
        words: FinishWords = NO_WORDS,
        text_before: int = 0,
    ) -> None:
        self.id = id
        self._used = set(used)
        self._words = words
        self._text_before = text_before
        self.billable: bool = False  # whether the provider may have taken the request
        self.began: bool = False  # whether anything at all came of the answer
        self._text: list[str] = []
        self._thoughts: list[str] = []
        places = count()
        self._calls = PartialCalls(id, self._used, places)
        self._provider_calls = ProviderCalls(id, self._used, places)
        self._items: dict[int, Json] = {}  # by position
        # By text: the half character that its last piece ended with.
        self._carry: dict[object, str] = {}
        self.pending: list[ToolCall] = []  # calls that are no functions
        self.sources: list[Source] = []
        self.files: list[Media] = []
        self.details: Json = {}  # the provider's own
        self.finish: str | None = None  # the provider's word for the end
        self.model: str = ""
        self.refused: bool = False
        self.request_id: str | None = None
        self.usage: dict[str, int] = {}
        # The tool whose arguments are the answer, where one is asked for in this way.
        self.output_tool: str | None = None
        self._output_call: PartialCall | None = None

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
            return self._add_call(chunk.tool_call) and self._show(chunk)
        else:
            return self._add_beside(chunk)
        return text != ""

    def _add_beside(self, chunk: StreamChunk) -> bool:
        """Take in what stands beside the text."""
        if chunk.source is not None:
            self._add_source(chunk.source)
        elif chunk.file is not None:
            self.files.append(chunk.file)
        elif chunk.tool_result is not None:
            return self._provider_calls.add_result(chunk.tool_result)
        else:
            return False
        return True

    def _add_source(self, source: Source) -> None:
        """Keep a source, whose positions become those in the text of the whole answer."""
        source.start = self._position(source.start)
        source.end = self._position(source.end)
        self.sources.append(copy_source(source))

    def _position(self, position: int | None) -> int | None:
        if position is None:
            return None
        if position == HERE:
            position = len(self.content)
        return position + self._text_before

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
            case ProviderDetails(details):
                self._add_details(details)
            case Commentary(characters):
                self._add_commentary(characters)
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

    def _add_details(self, details: Json) -> None:
        for name, value in details.items():
            known = self.details.get(name)
            if isinstance(value, list) and isinstance(known, list):
                known.extend(value)
            else:
                self.details[name] = copy_json(value)

    def _add_commentary(self, characters: int) -> None:
        end = len(self.content)
        start = end - characters
        passages = self.details.setdefault("commentary", [])
        if passages and passages[-1]["end"] == start:
            passages[-1]["end"] = end
        else:
            passages.append({"start": start, "end": end})

    def _finish(self, word: str) -> None:
        if is_word(word):
            self.finish = decisive(self.finish, word, self._words)

    def _keep_item(self, kept: Item) -> None:
        item, position = kept.item, kept.position
        if kept.of_last_call and self._calls.last is not None:
            item = {**item, "call": self._calls.all.index(self._calls.last)}
        if position is None:
            position = len(self._items)
        self._items[position] = item

    def _replace_call(self, delta: ToolCallDelta) -> None:
        if _says_something(delta):
            call = self._group(delta).call_of(delta, is_whole=True)
            call.replace_arguments(fix_surrogates(require_str(delta.arguments)))

    def _add_call(self, delta: ToolCallDelta) -> bool:
        if not _says_something(delta):
            return False
        call = self._group(delta).call_of(delta)
        delta.index = call.place
        delta.id = call.id
        if delta.arguments:
            delta.arguments = join_surrogates(self._carry, call.place, delta.arguments)
            call.arguments.append(delta.arguments)
        return True

    def _group(self, delta: ToolCallDelta) -> PartialCalls:
        """The calls to which the one of this piece belongs."""
        return self._provider_calls if delta.provider_executed else self._calls

    def _show(self, chunk: StreamChunk) -> bool:
        """Make a piece of the call that is the answer a piece of the text."""
        call = self._calls.last
        if chunk.tool_call is None or chunk.tool_call.provider_executed:
            return True
        if call is None or call.name != self.output_tool:
            return True
        self._output_call = self._output_call or call
        if call is not self._output_call:
            return False  # a second answer
        text = chunk.tool_call.arguments
        chunk.tool_call = None
        chunk.content = chunk.delta = text
        self._text.append(text)
        return text != ""

    @property
    def output_text(self) -> str:
        """The text that an output is read from."""
        if self._output_call is None:
            return self._without_commentary()
        return whole_text(self._output_call.arguments)

    def _without_commentary(self) -> str:
        text = self.content
        for passage in reversed(self.details.get("commentary", ())):
            text = text[: passage["start"]] + text[passage["end"] :]
        return text

    @property
    def content(self) -> str:
        return whole_text(self._text)

    @property
    def reasoning(self) -> str:
        return whole_text(self._thoughts)

    @property
    def visible(self) -> bool:
        """Whether the user has seen anything of this turn."""
        texts = self._text or self._thoughts
        calls = self._calls.all or self._provider_calls.all
        return bool(texts or calls or self.sources or self.files)

    @property
    def ending(self) -> Ending:
        """How the answer ended: normally, where the provider gave no word for it."""
        return "stop" if self.finish is None else ending(self.finish, self._words)

    def calls(self) -> list[ToolCall]:
        """The calls as they stand, in the order in which they came."""
        return [call.to_tool_call() for call in self._called()]

    def provider_calls(self) -> list[ToolCall]:
        """The calls that the provider ran itself, as they stand, with their results."""
        return self._provider_calls.to_tool_calls()

    @property
    def results_of_earlier(self) -> Sequence[ToolResult]:
        """Results of calls that the provider ran, and that an earlier answer holds."""
        return self._provider_calls.of_earlier

    def _called(self) -> list[PartialCall]:
        """The calls, without the one that is the answer."""
        return [call for call in self._calls.all if call.name != self.output_tool]

    def asks_for_tools(self) -> bool:
        """Whether the turn holds calls that can be answered.

        Where the provider did not say that the answer was complete, a call without
        whole arguments may have been cut off, and no call counts.
        """
        if self.pending:
            return True
        calls = self._called()
        if self.finish is None and not all(call.is_complete() for call in calls):
            return False
        return bool(calls)

    def items(self) -> list[Json]:
        """The provider's own pieces, in their order; a decoder may keep its own for the
        next turn. None of them of a turn whose answer was a call, which goes back as text.
        """
        if self._output_call is not None:
            return []
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
        # Before its end, a figure of the provider's is not the last one.
        has_output = "output_tokens" in counts and self.finish is not None
        if has_output and "input_tokens" in counts:
            return Usage(**counts, estimated=False)
        counts.setdefault("input_tokens", _estimate_input(messages))
        if not has_output:
            counts["output_tokens"] = max(
                counts.get("output_tokens", 0), self._estimate_output()
            )
        return Usage(**counts, estimated=True)

    def _estimate_output(self) -> int:
        calls = [*self._called(), *self._provider_calls.all]
        arguments = [len(whole_text(call.arguments)) for call in calls]
        return _estimate([len(self.content), len(self.reasoning), *arguments])


def _estimate_input(messages: Sequence[Message]) -> int:
    """About how many tokens the messages are."""
    texts = _estimate(len(message.content) for message in messages)
    parts = (part for message in messages for part in message.parts)
    return texts + sum(
        estimate_tokens(part) for part in parts if not isinstance(part, str)
    )


def _estimate(lengths: Iterable[int]) -> int:
    """About how many tokens texts of these lengths are, rounded up."""
    return -(-sum(lengths) // CHARACTERS_PER_TOKEN)


def _says_something(delta: ToolCallDelta) -> bool:
    """Whether a piece of a call holds anything: some servers send empty ones where
    there is no call.
    """
    return bool(delta.id or delta.name or delta.arguments)
