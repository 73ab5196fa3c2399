"""What the finish words of the APIs mean, each as the API writes it.

A gateway passes on the words of whatever model is behind it, so that Anthropic's come
through Chat Completions, and Gemini's through Messages. So each provider knows the
words that any server may send, `ANY_SERVER`, beside those that only its own API has.
"""

from __future__ import annotations

from cogent.run.finish import FinishWords

CHAT_COMPLETIONS: FinishWords = {
    "stop": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "content_filter": "content_filter",
}

# Servers that speak Chat Completions, with words of their own.
COMPATIBLE: FinishWords = {
    # DeepSeek, Mistral, Moonshot, SGLang, Together, vLLM, xAI, Zhipu
    "tool_call": "stop",
    "function_calls": "stop",
    "eos": "stop",
    "end": "stop",
    "done": "stop",
    "normal": "stop",
    "model_length": "length",
    "max_length": "length",
    "max_new_tokens": "length",
    "context_length": "length",
    "repetition": "length",
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
    # Gemini behind its Chat Completions address, where the reason follows a colon
    "function_call_filter": "error",
}

# OpenAI Responses: the status, or the reason of an incomplete response.
RESPONSES: FinishWords = {
    "completed": "stop",
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
    "steered": "error",
    "incomplete": "error",
    "failed": "error",
    "cancelled": "error",
    "queued": "error",
    "in_progress": "error",
}

# Anthropic Messages.
MESSAGES: FinishWords = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "pause_turn": "continue",
    "compaction": "continue",
}

# Gemini: a candidate's finish reason.
GEMINI: FinishWords = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "FINISH_REASON_UNSPECIFIED": "error",
    "OTHER": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "NO_IMAGE": "error",
    "IMAGE_OTHER": "error",
}

ANY_SERVER: FinishWords = {
    **COMPATIBLE,
    **CHAT_COMPLETIONS,
    **RESPONSES,
    **MESSAGES,
    **GEMINI,
}
