"""Why a turn ended: one table from every provider's word to ours, and the rule for tool calls.

The rule: a turn that ended normally and holds complete tool calls asks for tools, whatever its word was (Gemini says
STOP, Ollama "stop", some servers "stop"). A turn that ended in any other way runs nothing.
"""

from __future__ import annotations

from typing import Literal

from cogent.messages import FinishReason

# "continue" is a turn that the provider paused and wants to be asked on; "error" one that it gave up.
Ending = Literal["stop", "length", "content_filter", "continue", "error"]

ENDINGS: dict[str, Ending] = {
    # Chat completions, and the servers that speak them
    "stop": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "eos": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "abort": "error",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
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
    # Anthropic
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "pause_turn": "continue",
    "compaction": "continue",
    # Gemini: a candidate's finish reason, or "blocked:" and the reason that the prompt was
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
    "blocked:blocked_reason_unspecified": "content_filter",
    "blocked:safety": "content_filter",
    "blocked:other": "content_filter",
    "blocked:blocklist": "content_filter",
    "blocked:prohibited_content": "content_filter",
    "blocked:image_safety": "content_filter",
    "blocked:model_armor": "content_filter",
    "blocked:jailbreak": "content_filter",
    # Ollama, for a request without messages
    "load": "stop",
    "unload": "stop",
}


def ending(word: str) -> Ending:
    """Our word for a provider's; one that nobody has told us counts as a normal end and stays visible as raw."""
    return ENDINGS.get(word.lower(), "stop")


def finish_reason(end: Ending, *, refused: bool, calls: bool) -> FinishReason:
    """The finish reason of a turn that ended with `end`; a refusal is a content filter in the model's own words."""
    if refused:
        return "content_filter"
    if end == "length" or end == "content_filter":
        return end
    return "tool_calls" if calls else "stop"
