"""Model strings: `"provider:name"` and bare names, and what was probably meant by one that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from cogent.errors import ConfigurationError
from cogent.validation import LONE_SURROGATE, shown

# Names so well known that they need no prefix.
BARE_NAMES = (
    (re.compile(r"(chat)?gpt-|o\d"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "gemini"),
)
FAMILIES = {"chatgpt": "openai", "claude": "anthropic", "gemini": "gemini", "gpt": "openai"}

# Names under which people know our providers.
ALIASES = {
    **dict.fromkeys(("aoai", "azure-openai", "azureopenai", "azure-ai"), "azure"),
    **dict.fromkeys(("anthropic-ai", "claude"), "anthropic"),
    **dict.fromkeys(("chatgpt", "gpt", "open-ai", "openai-responses", "responses"), "openai"),
    **dict.fromkeys(("chat", "openai-compatible", "openai-like", "openaichat"), "openai-chat"),
    **dict.fromkeys(("gguf", "llama-cpp-python", "llamacpp-python"), "local"),
    **dict.fromkeys(
        (
            "google",
            "google-ai",
            "google-genai",
            "google-gla",
            "google-vertex",
            "googleai",
            "palm",
            "vertex",
            "vertex-ai",
            "vertexai",
        ),
        "gemini",
    ),
}
# Servers that speak Chat Completions, and their addresses.
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
    "mistral": "https://api.mistral.ai/v1",
    "mistralai": "https://api.mistral.ai/v1",
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
# Models with open weights, which Ollama serves under these names; and its tags, which stand after a colon too.
OPEN_WEIGHTS = re.compile(
    r"(code)?(llama|qwen|qwq|gemma|llava|smollm|mixtral|mistral|codestral|phi|deepseek|gpt-oss|granite|command-r)"
)
TAG = re.compile(r"(latest|cloud|instruct|chat|text|e?\d+(\.\d+)?[bm]|\d+x\d+b|q\d)([-_].*)?", re.IGNORECASE)


def prefixes() -> list[str]:
    """The prefixes of model strings: one for each module in `cogent/providers`, found by its name."""
    files = (Path(__file__).parent / "providers").glob("[!_]*.py")
    return sorted(file.stem.replace("_", "-") for file in files)


def parse(text: object) -> tuple[str, str]:
    """The provider and the name of a model string. Raises ConfigurationError, with the nearest that can be used."""
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f'a model is a string like "openai:gpt-5.4" or a Model; got {text!r}')
    if LONE_SURROGATE.search(text):
        raise ConfigurationError(f"the model {text!r} cannot be sent: the text has half a character")
    provider, colon, name = text.partition(":")
    if colon:
        return _check_model(text, provider, name)
    if text == "local":
        return "local", ""
    for pattern, known_provider in BARE_NAMES:
        if pattern.match(text):
            return known_provider, text
    raise ConfigurationError(
        f'cannot tell who serves {text!r}; write it as "PROVIDER:{text}" with one of {", ".join(prefixes())}'
        f"{_question(_bare_suggestions(text))}"
    )


def check_prefix(prefix: object) -> None:
    """Raise ConfigurationError, with the nearest that there is, unless a provider has this prefix."""
    known = prefixes()
    if prefix in known:
        return
    if not isinstance(prefix, str):
        raise ConfigurationError(f'a provider is named by its prefix, like "openai"; got {shown(prefix)}')
    word = _plain(prefix.partition(":")[0])
    near = [word] if word in known else get_close_matches(word, [*known, *ALIASES, *COMPATIBLE], n=1)
    question = _question(f'"{_provider_of(found)}"' for found in near)
    raise ConfigurationError(f"unknown provider {prefix!r}; the known prefixes are {', '.join(known)}{question}")


def _provider_of(word: str) -> str:
    return ALIASES.get(word, "openai-chat" if word in COMPATIBLE else word)


def _check_model(text: str, provider: str, name: str) -> tuple[str, str]:
    known = prefixes()
    if provider not in known:
        raise ConfigurationError(
            f"unknown provider {provider!r} in {text!r}; the known prefixes are {', '.join(known)}"
            f"{_question(_prefix_suggestions(text, provider, name))}"
        )
    if not name.strip() and provider != "local":
        raise ConfigurationError(f'no model name after the colon in {text!r}; write "{provider}:NAME"')
    return provider, name


def _question(suggestions: Iterator[str]) -> str:
    first = next(suggestions, None)
    return "" if first is None else f"; did you mean {first}?"


def _prefix_suggestions(text: str, provider: str, name: str) -> Iterator[str]:
    """What may be meant by a string with a colon, the likeliest first."""
    word = _plain(provider)
    if word in prefixes():
        yield _quoted(word, name)
    if word == "ft":  # OpenAI's names of fine-tuned models begin so
        yield _quoted("openai", text)
    if TAG.fullmatch(name) and word not in ALIASES:
        yield _quoted("ollama", text)
    yield from _known_elsewhere(word, name)
    yield from _by_spelling(word, name)
    if OPEN_WEIGHTS.match(word):
        yield _quoted("ollama", text)


def _bare_suggestions(text: str) -> Iterator[str]:
    """What may be meant by a name alone, the likeliest first."""
    word = _plain(text)
    if word in prefixes():
        yield _quoted(word, "")
    vendor, slash, name = text.partition("/")
    if slash and _plain(vendor) in prefixes():
        yield _quoted(_plain(vendor), name)
    if any(pattern.match(word) for pattern, _ in BARE_NAMES):
        yield f'"{word}"'
    if not OPEN_WEIGHTS.match(word) or word in COMPATIBLE:
        yield from _known_elsewhere(word, "")
    yield from _by_family(word)
    if OPEN_WEIGHTS.match(word):
        yield _quoted("ollama", text)
    yield from _by_spelling(word, "")


def _known_elsewhere(word: str, name: str) -> Iterator[str]:
    """Another name of a provider of ours, or a server that one of them can ask."""
    if word in ALIASES:
        yield _quoted(ALIASES[word], name)
    if word in COMPATIBLE:
        yield f'Model({_quoted("openai-chat", name)}, base_url="{COMPATIBLE[word]}")'


def _by_family(word: str) -> Iterator[str]:
    """The family of a bare name with its spelling put right: `gtp-5.4` is `gpt-5.4`."""
    letters = re.match(r"[a-z]*", word)
    head = letters[0] if letters is not None else ""
    for family in get_close_matches(head, FAMILIES, n=1):
        rest = word.removeprefix(head).lstrip("-")
        yield f'"{family}-{rest}"' if rest else _quoted(FAMILIES[family], "")


def _by_spelling(word: str, name: str) -> Iterator[str]:
    known = [*prefixes(), *ALIASES, *COMPATIBLE]
    for near in get_close_matches(word, known, n=1):
        if near in prefixes():
            yield _quoted(near, name)
        yield from _known_elsewhere(near, name)


def _plain(word: str) -> str:
    return word.strip().lower().replace("_", "-").replace(" ", "-").replace("llama.cpp", "llama-cpp")


def _quoted(provider: str, name: str) -> str:
    return f'"{provider}:{name.strip() or "NAME"}"'
