"""Model strings: `"provider:name"`, bare names, and what others probably mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cogent.errors import ConfigurationError
from cogent.json_values import LONE_SURROGATE
from cogent.validation import shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "cogent.providers"  # the group in which packages name their providers

# Names so well known that they need no prefix.
BARE_NAMES = {
    "openai": re.compile(r"(chat)?gpt-|o\d"),
    "anthropic": re.compile(r"claude-"),
    "gemini": re.compile(r"gemini-"),
}
FAMILIES = ("chatgpt", "claude", "gemini", "gpt")

# Other names of the providers.
ALIASES = {
    "anthropic-ai": "anthropic",
    "aoai": "azure",
    "azure-ai": "azure",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "chat": "openai-chat",
    "chatgpt": "openai",
    "claude": "anthropic",
    "gguf": "local",
    "google": "gemini",
    "google-ai": "gemini",
    "google-genai": "gemini",
    "google-gla": "gemini",
    "google-vertex": "gemini",
    "googleai": "gemini",
    "gpt": "openai",
    "llama-cpp-python": "local",
    "llamacpp-python": "local",
    "mistral-ai": "mistral",
    "mistralai": "mistral",
    "open-ai": "openai",
    "openai-compatible": "openai-chat",
    "openai-like": "openai-chat",
    "openai-responses": "openai",
    "openaichat": "openai-chat",
    "palm": "gemini",
    "responses": "openai",
    "vertex": "gemini",
    "vertex-ai": "gemini",
    "vertexai": "gemini",
}
# Other servers that speak Chat Completions, and their addresses.
COMPATIBLE = {
    "cerebras": "https://api.cerebras.ai/v1",
    "deepseek": "https://api.deepseek.com",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "grok": "https://api.x.ai/v1",
    "hf": "https://router.huggingface.co/v1",
    "huggingface": "https://router.huggingface.co/v1",
    "litellm": "http://localhost:4000/v1",
    "llama-cpp": "http://localhost:8080/v1",
    "llamacpp": "http://localhost:8080/v1",
    "lm-studio": "http://localhost:1234/v1",
    "lmstudio": "http://localhost:1234/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity": "https://api.perplexity.ai",
    "sglang": "http://localhost:30000/v1",
    "together": "https://api.together.xyz/v1",
    "togetherai": "https://api.together.xyz/v1",
    "vllm": "http://localhost:8000/v1",
    "x-ai": "https://api.x.ai/v1",
    "xai": "https://api.x.ai/v1",
}
# Models with open weights, which Ollama serves under these names; and its tags, which
# stand after a colon too.
OPEN_WEIGHTS = re.compile(
    r"(code)?(llama|qwen|qwq|gemma|llava|smollm|mixtral|mistral|codestral|phi"
    r"|deepseek|gpt-oss|granite|command-r)"
)
TAG = re.compile(
    r"(latest|cloud|instruct|chat|text|e?\d+(\.\d+)?[bm]|\d+x\d+b|q\d)([-_].*)?",
    re.IGNORECASE,
)


def prefixes() -> list[str]:
    """The prefixes of model strings.

    There is one for each module in `cogent/providers`, by its name, and one for each
    provider that another package adds.
    """
    return sorted({*included_providers(), *added_providers()})


def included_providers() -> set[str]:
    """The prefixes of this library's own providers."""
    from pathlib import Path  # slow to import

    files = (Path(__file__).parent / "providers").glob("[!_]*.py")
    return {file.stem.replace("_", "-") for file in files}


def added_providers() -> dict[str, EntryPoint]:
    """The providers of other packages, by their prefixes; none is imported.

    A package adds one by an entry point of the group `cogent.providers`. It cannot
    replace a provider of this library.
    """
    from importlib.metadata import entry_points  # slow, and seldom needed

    included = included_providers()
    added = entry_points(group=ENTRY_POINTS)
    return {entry.name: entry for entry in added if entry.name not in included}


def has_provider(prefix: object) -> bool:
    """Whether there is a provider with this prefix."""
    if not isinstance(prefix, str):
        return False
    return prefix in included_providers() or prefix in added_providers()


def parse(text: object, *, own: bool = False) -> tuple[str, str]:
    """The prefix and the name of a model string.

    Any prefix will do if the user gives a provider of their `own`. Raises
    ConfigurationError, with the nearest that can be used.
    """
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(
            f'a model is a string like "openai:gpt-5.4" or a Model; got {text!r}'
        )
    if LONE_SURROGATE.search(text):
        raise ConfigurationError(
            f"the model {text!r} cannot be sent: the text has half a character"
        )
    provider, colon, name = text.partition(":")
    if own:
        _check_own(text, provider, name)
        return provider, name
    if colon:
        _check_prefixed(text, provider, name)
        return provider, name
    if text == "local":
        return text, ""
    known_provider = _provider_of_bare(text)
    if known_provider is None:
        hint = _did_you_mean(_suggest_for_bare(text))
        raise ConfigurationError(
            f'cannot tell who serves {text!r}; write it as "PROVIDER:{text}" '
            f"with one of {', '.join(prefixes())}{hint}"
        )
    return known_provider, text


def _check_own(text: str, prefix: str, name: str) -> None:
    if not prefix or not name.strip():
        raise ConfigurationError(
            f'a model of your own provider is written "PREFIX:NAME"; got {text!r}'
        )


def check_prefix(prefix: object) -> None:
    """Raise ConfigurationError unless a provider has this prefix.

    The error names the nearest one.
    """
    if has_provider(prefix):
        return
    if not isinstance(prefix, str):
        raise ConfigurationError(
            f'a provider is named by its prefix, like "openai"; got {shown(prefix)}'
        )
    word, _, _ = prefix.partition(":")
    near = _nearest(_normalized(word), _known_words())
    hint = _did_you_mean(None if near is None else f'"{_provider_of(near)}"')
    raise ConfigurationError(
        f"unknown provider {prefix!r}; the known prefixes are "
        f"{', '.join(prefixes())}{hint}"
    )


def _check_prefixed(text: str, provider: str, name: str) -> None:
    if not has_provider(provider):
        hint = _did_you_mean(_suggest_for_prefixed(text, provider, name))
        raise ConfigurationError(
            f"unknown provider {provider!r} in {text!r}; "
            f"the known prefixes are {', '.join(prefixes())}{hint}"
        )
    if not name.strip() and provider != "local":
        raise ConfigurationError(
            f'no model name after the colon in {text!r}; write "{provider}:NAME"'
        )


# Suggestions


def _suggest_for_prefixed(text: str, provider: str, name: str) -> str | None:
    """What is probably meant by a string with a colon."""
    word = _normalized(provider)
    if word in prefixes():
        return _model_string(word, name)
    if word == "ft":  # OpenAI's names of fine-tuned models begin so
        return _model_string("openai", text)
    if TAG.fullmatch(name) and word not in ALIASES:
        return _model_string("ollama", text)
    near = _nearest(word, _known_words())
    if near is not None:
        return _model_of(near, name)
    return _model_string("ollama", text) if OPEN_WEIGHTS.match(word) else None


def _suggest_for_bare(text: str) -> str | None:
    """What is probably meant by a name alone."""
    word = _normalized(text)
    vendor, _, name = text.partition("/")
    if name and _normalized(vendor) in prefixes():
        return _model_string(_normalized(vendor), name)
    if _provider_of_bare(word) is not None:
        return f'"{word}"'
    if word in _known_words():
        return _model_of(word, "")
    corrected = _correct_family(word)
    if corrected is not None:
        return corrected
    if OPEN_WEIGHTS.match(word):
        return _model_string("ollama", text)
    near = _nearest(word, _known_words())
    return None if near is None else _model_of(near, "")


def _correct_family(word: str) -> str | None:
    """A bare name with the spelling of its family put right: `gtp-5.4` is `gpt-5.4`."""
    letters = re.sub(r"[^a-z].*", "", word)
    family = _nearest(letters, FAMILIES)
    if family is None:
        return None
    rest = word.removeprefix(letters).lstrip("-")
    return f'"{family}-{rest}"' if rest else _model_of(family, "")


def _nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of the words that is spelt most like this one, if any is."""
    from difflib import get_close_matches  # slow to import, and only for errors

    return next(iter(get_close_matches(word, words, n=1)), None)


def _known_words() -> list[str]:
    return [*prefixes(), *ALIASES, *COMPATIBLE]


def _provider_of_bare(name: str) -> str | None:
    for provider, pattern in BARE_NAMES.items():
        if pattern.match(name):
            return provider
    return None


def _provider_of(word: str) -> str:
    """The provider for one of the known words."""
    if word in COMPATIBLE and word not in prefixes():
        return "openai-chat"
    return ALIASES.get(word, word)


def _model_of(word: str, name: str) -> str:
    """How to write a model of one of the known words."""
    text = _model_string(_provider_of(word), name)
    if word in COMPATIBLE and word not in prefixes():
        return f'Model({text}, base_url="{COMPATIBLE[word]}")'
    return text


def _model_string(provider: str, name: str) -> str:
    return f'"{provider}:{name.strip() or "NAME"}"'


def _did_you_mean(suggestion: str | None) -> str:
    return "" if suggestion is None else f"; did you mean {suggestion}?"


def _normalized(word: str) -> str:
    word = word.strip().lower()
    word = re.sub("[_ ]", "-", word)
    return word.replace("llama.cpp", "llama-cpp")
