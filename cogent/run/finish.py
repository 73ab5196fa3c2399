"""Why a turn ended: what a finish word means, and the rule for tool calls.

The rule: a turn that ended normally and holds complete tool calls asks for tools,
whatever its word was (Gemini says STOP, Ollama "stop", some servers "stop"). A turn
that ended in any other way runs nothing, and a turn whose word nobody knows does not
either: with calls it is an error, without calls a `stop` that shows the word as
`raw_finish_reason`.

Which words there are is data of the providers: their `FINISH_WORDS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from cogent.messages import FinishReason

# "continue" is a turn that the provider paused and wants to be asked on; "error" one
# that it gave up. "unknown" is a word that the provider's table does not have.
Ending = Literal["stop", "length", "content_filter", "continue", "error", "unknown"]
FinishWords = Mapping[str, Ending]
NO_WORDS: FinishWords = MappingProxyType({})

# Some servers send these with every piece until the end.
NOT_A_WORD = {"null", "none"}
SPELLING = re.compile(r"[-_ ]|^(finish_)?reason_(?!unspecified)", re.IGNORECASE)


def is_word(word: str) -> bool:
    """Whether this says anything about the end: "null" and an empty string do not."""
    return bool(word) and str(word).lower() not in NOT_A_WORD


def ending(word: str, words: FinishWords) -> Ending:
    """What a provider's word means.

    A reason may follow it after a colon (`content_filter: RECITATION`). Servers spell
    one word in many ways, which all count as the one in the table.
    """
    if word in words:
        return words[word]
    by_spelling: dict[str, Ending] = {
        _without_spelling(known): words[known] for known in words
    }
    known = by_spelling.get(_without_spelling(word))
    if known is None:
        before_colon = word.partition(":")[0].rstrip()
        known = by_spelling.get(_without_spelling(before_colon))
    return known or "unknown"


@lru_cache(512)
def _without_spelling(word: str) -> str:
    """What `TOOL_CALLS`, `tool-calls`, `toolCalls` and `REASON_TOOL_CALLS` share."""
    return SPELLING.sub("", word).lower()


def decisive(former: str | None, latter: str, words: FinishWords) -> str:
    """Which of two words of one turn counts: the later one, but a normal end does not
    replace one that is not.
    """
    if former is None:
        return latter
    end = ending(former, words)
    if end == "stop":
        return latter
    if end == "unknown" and ending(latter, words) != "stop":
        return latter
    return former


def map_finish_reason(end: Ending, *, refused: bool, calls: bool) -> FinishReason:
    """The finish reason of a turn that ended with `end`; a refusal is a content filter
    in the model's own words.
    """
    if refused:
        return "content_filter"
    if end == "length" or end == "content_filter":
        return end
    return "tool_calls" if calls and end != "unknown" else "stop"
