"""Which model answers, and the settings that belong to it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Self

from cogent.errors import ConfigurationError
from cogent.json_values import Json, UnsendableError, check_json
from cogent.model_names import parse, prefixes
from cogent.validation import check_whole, is_number, shown

if TYPE_CHECKING:
    from cogent.providers import Provider

__all__ = ["Model", "prefixes"]

# What a run fills in by itself, under the names of all providers, and what sets it
# instead.
SET_BY_MESSAGES = "give the run a message and history="
SET_BY_INSTRUCTIONS = "give the agent instructions="
FILLED_IN = {
    "model": "it is the first argument of Model",
    "stream": "ask by run_stream(), or give the agent stream=True",
    "input": SET_BY_MESSAGES,
    "messages": SET_BY_MESSAGES,
    "contents": SET_BY_MESSAGES,
    "instructions": SET_BY_INSTRUCTIONS,
    "system": SET_BY_INSTRUCTIONS,
    "system_instruction": SET_BY_INSTRUCTIONS,
    "systemInstruction": SET_BY_INSTRUCTIONS,
}
HIDDEN_FROM_REPR = frozenset(
    {"id", "api_key", "client", "extra", "provider", "name", "own_provider"}
)
CACHED_INSTRUCTIONS = ("anthropic", "system")  # where only blocks can ask for the cache


class _ProviderField:
    """The field `Model.provider`.

    It takes a provider of the user's own, and gives the prefix of the model string.
    """

    def __get__(self, model: Model | None, owner: type[Model]) -> str:
        return "" if model is None else str(model.__dict__["prefix"])

    def __set__(self, model: Model, provider: Provider | str | None) -> None:
        model.__dict__["own_provider"] = provider or None


@dataclass(frozen=True, repr=False)
class Model:
    """A model and how to ask it.

    `id` is `"provider:name"`, cut at the first colon, or a bare name like `gpt-…`,
    `o3`, `claude-…`, `gemini-…`. What is None is not sent, and the SDK's own default or
    environment variable holds. `client` is an SDK client of yours, which stays yours to
    close. `api_key` may be a function (sync or async) that returns the key, where the
    SDK takes one. `max_retries` counts further attempts before the first visible
    output. `strict_end=False` accepts a stream that ends without saying that it is
    complete. `http` is the HTTP client that the SDK is given: "aiohttp", which costs
    least and needs the extra `aiohttp`, or "httpx"; None takes aiohttp where it is
    installed. What the environment sends through a proxy goes over httpx.
    `provider` is one of your own, a module or an object with what
    `cogent.providers.Provider` asks for; the attribute is always the prefix. `extra`
    goes to the SDK call untouched: further settings, `tools` of the provider's own,
    `extra_headers`; not what a run fills in itself (`messages`,
    `stream`, ...).

    The key is in no repr and no pickle; an unpickled model reads it from the
    environment. Raises ConfigurationError.

    >>> model = Model("anthropic:claude-sonnet-5-5", max_tokens=500, temperature=0.2)
    >>> print(model.provider, model.name)
    anthropic claude-sonnet-5-5
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
    http: Literal["httpx", "aiohttp"] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    provider: _ProviderField = _ProviderField()
    name: str = field(init=False)
    own_provider: Provider | None = field(init=False)

    def __post_init__(self) -> None:
        own = self.own_provider
        prefix, name = parse(self.id, own=own is not None and not isinstance(own, str))
        object.__setattr__(self, "name", name)
        self.__dict__["prefix"] = prefix
        if isinstance(own, str):
            _check_prefix_given(own, prefix, name)
            self.__dict__["own_provider"] = None
        _check_address(self.base_url)
        _check_key(self.api_key)
        _check_numbers(self)
        _check_others(self)
        _check_extra(self)

    def __repr__(self) -> str:
        parts = [repr(self.id)]
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name not in HIDDEN_FROM_REPR and value != f.default:
                parts.append(f"{f.name}={value!r}")
        text = f"Model({', '.join(parts)})"
        return re.sub(r"//[^/'\"]*@", "//…@", text)  # a password in the address

    def __getstate__(self) -> Json:
        if self.client is not None:
            raise TypeError(
                "a Model with a client of its own cannot be pickled: "
                "an open connection has one process"
            )
        state = self.__dict__.copy()
        if isinstance(self.api_key, str):
            state["api_key"] = None
        if isinstance(self.own_provider, ModuleType):
            state["own_provider"] = self.own_provider.__name__
        return state

    def __setstate__(self, state: Json) -> None:
        self.__dict__.update(state)
        if isinstance(self.own_provider, str):  # the name of a module
            self.__dict__["own_provider"] = import_module(self.own_provider)

    # A frozen value is its own copy; without these a copy would go through __getstate__
    # and lose the key.
    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def _check_prefix_given(given: str, prefix: str, name: str) -> None:
    """A prefix as `provider=` is what dataclasses.replace gives, and else a mistake."""
    if given != prefix:
        raise ConfigurationError(
            "provider is an object or a module; a prefix is written into the model "
            f'string: "{given}:{name}"'
        )


def _check_address(address: object) -> None:
    """Raise ConfigurationError for an address that is not whole.

    One without `http://` fails only in the HTTP client, and looks like a server that is
    not there.
    """
    if address is None:
        return
    if not isinstance(address, str):
        raise ConfigurationError(f"base_url is a string; got {type(address).__name__}")
    if not _is_whole_address(address):
        hint = "https://HOST/PATH" if "://" in address else f"http://{address.strip()}"
        text = f'base_url is a whole address like "{hint}"; got {shown(address)}'
        # A password is left out, also where `//` is missing.
        raise ConfigurationError(re.sub(r"[^/'\"]*@", "…@", text))


def _is_whole_address(address: str) -> bool:
    from urllib.parse import urlsplit  # imported here: it makes `import cogent` slower

    if re.search(r"\s", address):
        return False
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


def _check_key(key: object) -> None:
    if key is not None and not isinstance(key, str) and not callable(key):
        raise ConfigurationError(
            "api_key is a string or a function that returns one; "
            f"got {type(key).__name__}"
        )


def _check_numbers(model: Model) -> None:
    if model.temperature is not None and not is_number(model.temperature):
        raise ConfigurationError(
            f"temperature is a finite number; got {shown(model.temperature)}"
        )
    if model.max_tokens is not None:
        check_whole(model.max_tokens, "max_tokens", at_least=1)
    check_whole(model.max_retries, "max_retries", at_least=0)


def _check_others(model: Model) -> None:
    if not isinstance(model.strict_end, bool):
        raise ConfigurationError(
            f"strict_end is True or False; got {shown(model.strict_end)}"
        )
    if model.api_version is not None and not isinstance(model.api_version, str):
        raise ConfigurationError(
            f"api_version is a string; got {shown(model.api_version)}"
        )
    if model.http not in (None, "httpx", "aiohttp"):
        raise ConfigurationError(
            f'http is "httpx", "aiohttp" or None; got {shown(model.http)}'
        )


def _check_extra(model: Model) -> None:
    """Raise ConfigurationError for what `extra` cannot hold.

    It holds settings. What a run fills in itself it would replace, and the run would
    not know.
    """
    _check_settings(model.extra, "extra", model.provider)
    try:
        check_json(dict(model.extra), objects=True)
    except UnsendableError as error:
        raise ConfigurationError(error.at("extra")) from None
    _check_provider_tools(model.extra.get("tools", []))
    body = model.extra.get("extra_body")
    if body is not None:
        _check_settings(body, 'extra["extra_body"]', model.provider)


def _check_provider_tools(tools: object) -> None:
    if not isinstance(tools, list | tuple):
        raise ConfigurationError(
            f'extra["tools"] is a list; got {type(tools).__name__}'
        )
    for tool in tools:
        if tool is None or isinstance(tool, str | int | float):
            raise ConfigurationError(
                'extra["tools"] are dicts, as the provider documents them; '
                f"got {shown(tool)}"
            )


def _check_settings(settings: object, path: str, provider: str) -> None:
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"{path} is a dict; got {type(settings).__name__}")
    for name in settings:
        if not isinstance(name, str):
            raise ConfigurationError(
                f"{path} has the key {shown(name)}, and a key is a string"
            )
        if name in FILLED_IN and (provider, name) != CACHED_INSTRUCTIONS:
            raise ConfigurationError(f"{path} cannot set {name!r}: {FILLED_IN[name]}")


def make_models(given: str | Model | Sequence[str | Model]) -> tuple[Model, ...]:
    """The models in the order in which they are asked. Raises ConfigurationError."""
    if not isinstance(given, list | tuple):
        return (_make_model(given),)
    if not given:
        raise ConfigurationError("the list of models is empty")
    return tuple(map(_make_model, given))


def _make_model(given: object) -> Model:
    if isinstance(given, Model):
        return given
    return Model(given)  # type: ignore[arg-type]  # it says what is wrong with another type
