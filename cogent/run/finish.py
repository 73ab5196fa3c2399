"""Why a turn ended: one table of the finish words that providers send, and the rule for
tool calls.

The rule: a turn that ended normally and holds complete tool calls asks for tools,
whatever its word was (Gemini says STOP, Ollama "stop", some servers "stop"). A turn
that ended in any other way runs nothing, and a turn whose word is not in the table does
not either: with calls it is an error, without calls a `stop` that shows the word as
`raw_finish_reason`.
"""

from __future__ import annotations

import re
from typing import Literal

from cogent.messages import FinishReason

# "continue" is a turn that the provider paused and wants to be asked on; "error" one
# that it gave up. "unknown" is a word that is not in the table.
Ending = Literal["stop", "length", "content_filter", "continue", "error", "unknown"]

ENDINGS: dict[str, Ending] = {
    # Chat completions, and the servers that speak them: DeepSeek, Mistral, Moonshot,
    # SGLang, Together, vLLM, xAI, Zhipu
    "stop": "stop",
    "tool_calls": "stop",
    "tool_call": "stop",
    "function_call": "stop",
    "function_calls": "stop",
    "eos": "stop",
    "end": "stop",
    "done": "stop",
    "normal": "stop",
    "length": "length",
    "model_length": "length",
    "max_length": "length",
    "max_new_tokens": "length",
    "context_length": "length",
    "repetition": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "abort": "error",
    "aborted": "error",
    "error": "error",
    "timeout": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
    # Text Generation Inference, and what gateways pass on from it
    "eos_token": "stop",
    "stop_token": "stop",
    # Cohere
    "complete": "stop",
    "user_cancel": "error",
    "error_toxic": "content_filter",
    "error_limit": "length",
    # Bedrock, through gateways. Its `guardrail_intervened` is left out: what ends so is
    # the guardrail's own message.
    "finish": "stop",
    "finished": "stop",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
    # OpenAI Responses: the status, or the reason of an incomplete response
    "completed": "stop",
    "max_output_tokens": "length",
    "max_messages": "length",
    "steered": "error",
    "incomplete": "error",
    "failed": "error",
    "cancelled": "error",
    "queued": "error",
    "in_progress": "error",
    # Anthropic; "message_stop" is what the decoder says for a server that gives no stop
    # reason
    "message_stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "pause_turn": "continue",
    "compaction": "continue",
    # Gemini: a candidate's finish reason, or "blocked:" and the reason that the prompt
    # was
    "continuation": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
    "language": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "model_armor": "content_filter",
    "escalation": "content_filter",
    "pup_limited_disabled": "content_filter",
    "finish_reason_unspecified": "error",
    "other": "error",
    "malformed_function_call": "error",
    "malformed_response": "error",
    "unexpected_tool_call": "error",
    "too_many_tool_calls": "error",
    "missing_thought_signature": "error",
    "no_image": "error",
    "image_other": "error",
    "blocked": "content_filter",
    "blocked:blocked_reason_unspecified": "content_filter",
    "blocked:safety": "content_filter",
    "blocked:other": "content_filter",
    "blocked:blocklist": "content_filter",
    "blocked:prohibited_content": "content_filter",
    "blocked:image_safety": "content_filter",
    "blocked:model_armor": "content_filter",
    "blocked:jailbreak": "content_filter",
    # Gemini behind its Chat Completions address, where the reason follows a colon
    "function_call_filter": "error",
    # Ollama, for a request without messages
    "load": "stop",
    "unload": "stop",
}


NOT_A_WORD = {"null", "none"}  # some servers send these with every piece until the end
AS_WRITTEN = re.compile(r"[-_ ]|^(finish_)?reason_(?!unspecified)", re.IGNORECASE)


def _plain(word: str) -> str:
    """The word without what servers change in it: `TOOL_CALLS`, `tool-calls`,
    `toolCalls` and `REASON_TOOL_CALLS`.
    """
    return AS_WRITTEN.sub("", word).lower()


BY_PLAIN_WORD = {_plain(word): end for word, end in ENDINGS.items()}


def is_word(word: str | None) -> bool:
    """Whether this says anything about the end: null, an empty string and "null" do
    not.
    """
    return bool(word) and str(word).lower() not in NOT_A_WORD


def ending(word: str) -> Ending:
    """What a provider's word means; after a colon may follow the reason
    (`content_filter: RECITATION`).
    """
    known = BY_PLAIN_WORD.get(_plain(word))
    if known is None:
        known = BY_PLAIN_WORD.get(_plain(word.partition(":")[0].rstrip()))
    return known or "unknown"


def decisive(former: str | None, latter: str) -> str:
    """Which of two words of one turn counts: the later one, but no good end hides one
    that is not.
    """
    if former is None or ending(former) == "stop":
        return latter
    if ending(former) == "unknown" and ending(latter) != "stop":
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
