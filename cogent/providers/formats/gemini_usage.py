"""The counts of tokens in an event of Gemini."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from google.genai import types

from cogent.providers.formats.counts import Counts, known


class Usage(NamedTuple):
    """What an event counts; a field that it lacks is None."""

    prompt: int | None
    tool_results: int | None
    answer: int | None
    thoughts: int | None
    cached: int | None
    total: int | None


def usage_of(usage: types.GenerateContentResponseUsageMetadata) -> Usage:
    """The counts of an event of the SDK."""
    return Usage(
        usage.prompt_token_count,
        usage.tool_use_prompt_token_count,
        usage.candidates_token_count,
        usage.thoughts_token_count,
        usage.cached_content_token_count,
        usage.total_token_count,
    )


def read_usage(usage: Mapping[str, int]) -> Usage:
    """The counts of an event as it came."""
    return Usage(
        usage.get("promptTokenCount"),
        usage.get("toolUsePromptTokenCount"),
        usage.get("candidatesTokenCount"),
        usage.get("thoughtsTokenCount"),
        usage.get("cachedContentTokenCount"),
        usage.get("totalTokenCount"),
    )


def decode_usage(usage: Usage) -> Counts:
    """The counts of an event, which are running totals.

    What the model read of its tools' results is not in the prompt's, nor are thoughts
    in the answer's; the total says so where a server counts otherwise.
    """
    prompt = usage.prompt or 0
    results = usage.tool_results or 0
    output = _output_tokens(usage, prompt + results)
    if prompt and usage.total == prompt + output:
        results = 0
    counts = {
        "cache_read_tokens": usage.cached,
        "reasoning_tokens": usage.thoughts,
    }
    if results or usage.prompt is not None:
        counts["input_tokens"] = prompt + results
    if prompt + output > 0:
        counts["output_tokens"] = output
    return known(counts)


def _output_tokens(usage: Usage, request: int) -> int:
    answer = usage.answer or 0
    if usage.total and usage.total == request + answer:
        return answer
    return answer + (usage.thoughts or 0)
