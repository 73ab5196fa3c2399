"""Which model answers: `"provider:model"` strings and the settings that belong to a model."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, Self

from cogent.errors import ConfigurationError

# Names so well known that they need no prefix.
BARE_NAMES = (
    (re.compile(r"(chat)?gpt-|o\d"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "gemini"),
)


def prefixes() -> list[str]:
    """The prefixes of model strings: one for each module in `cogent/providers`, found by its name."""
    rooms = os.listdir(os.path.join(os.path.dirname(__file__), "providers"))
    return sorted(room[:-3].replace("_", "-") for room in rooms if room.endswith(".py") and not room.startswith("_"))


@dataclass(frozen=True, repr=False)
class Model:
    """A model and how to ask it.

    `id` is `"provider:name"`, cut at the first colon, or a bare name like `gpt-…`, `o3`, `claude-…`, `gemini-…`. What
    is None is not sent, and the SDK's own default or environment variable holds. `client` is an SDK client of yours,
    which stays yours to close. `api_key` may be a function (sync or async) that returns the key, where the SDK takes
    one. `max_retries` counts further attempts before the first visible output. `strict_end=False` accepts a stream
    that ends without saying that it is complete. `extra` goes to the SDK call untouched.

    The key is in no repr and no pickle; an unpickled model reads it from the environment. Raises ConfigurationError.
    """

    id: str
    _: KW_ONLY
    api_key: str | Callable[[], str | Awaitable[str]] | None = None
    base_url: str | None = None
    client: Any = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_retries: int = 2
    strict_end: bool = True
    api_version: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: str = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        provider, name = _parse(self.id)
        object.__setattr__(self, "provider", provider)
        object.__setattr__(self, "name", name)
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens is at least 1; got {self.max_tokens}")
        if self.max_retries < 0:
            raise ConfigurationError(f"max_retries is at least 0; got {self.max_retries}")

    def __repr__(self) -> str:
        hidden = {"id", "api_key", "client", "extra", "provider", "name"}
        shown = [f for f in fields(self) if f.name not in hidden and getattr(self, f.name) != f.default]
        text = f"Model({', '.join([repr(self.id), *(f'{f.name}={getattr(self, f.name)!r}' for f in shown)])})"
        return re.sub(r"//[^/'\"]*@", "//…@", text)  # a password in the address

    def __getstate__(self) -> dict[str, Any]:
        if self.client is not None:
            raise TypeError("a Model with a client of its own cannot be pickled: an open connection has one process")
        return {**self.__dict__, "api_key": None if isinstance(self.api_key, str) else self.api_key}

    # A frozen value is its own copy; without these a copy would go through __getstate__ and lose the key.
    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def _parse(text: object) -> tuple[str, str]:
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f'a model is a string like "openai:gpt-5.4" or a Model; got {text!r}')
    provider, colon, name = text.partition(":")
    if colon:
        if provider not in prefixes():
            known = ", ".join(prefixes())
            raise ConfigurationError(f"unknown provider {provider!r} in {text!r}; the known prefixes are {known}")
        if not name and provider != "local":
            raise ConfigurationError(f'no model name after the colon in {text!r}; write "{provider}:NAME"')
        return provider, name
    if text == "local":
        return "local", ""
    for pattern, known_provider in BARE_NAMES:
        if pattern.match(text):
            return known_provider, text
    raise ConfigurationError(
        f'cannot tell who serves {text!r}; write it as "PROVIDER:{text}" with one of {", ".join(prefixes())}'
    )
