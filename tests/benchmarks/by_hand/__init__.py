"""What users would write without cogent: loops over the SDK's typed events, one set of them for each protocol.

A protocol is a class with the provider's name and these functions: `connect` makes a client, `request` writes the
arguments of the SDK's call, `text` hands on each piece of an answer, `plain` takes it whole, `floor` does as `text`
over plain dicts, which is the least that the SDK can be had for, and `round_trip` runs the one tool that is called.
`floor` may be left out. `whole_calls` says that tool calls never come in pieces. Another protocol is another class
here and a wire format in `server.py`.
"""

from importlib import import_module
from typing import Any

CLASSES = {
    "openai": "openai_loops.Responses",
    "openai-chat": "openai_loops.ChatCompletions",
    "azure": "openai_loops.Azure",
    "groq": "groq_loops.Groq",
    "anthropic": "anthropic_loops.Anthropic",
    "gemini": "gemini_loops.Gemini",
    "ollama": "ollama_loops.Ollama",
    "mistral": "mistral_loops.Mistral",
}
PROVIDERS = tuple(CLASSES)


def protocol(provider: str) -> Any:
    """The protocol of a provider; imports its SDK and no other, as memory is measured too."""
    module, _, name = CLASSES[provider].partition(".")
    return getattr(import_module(f"by_hand.{module}"), name)
