"""What a provider is: a module, or another object, that translates for one SDK.

What must hold on every provider is done once, around it, in `run/exchange.py`: opening,
the check that an answer is a stream, completeness, closing, limits of size, and errors
without the keys in them. To add one, write a module here that has these names, and give
it an extra of the same name in pyproject.toml; `groq.py` is a short one to begin from.

1. `make_client(model, timeout)` makes the SDK's client, over an HTTP client with what
   `client_settings(...)` gives, and returns `Client(sdk, address, keys, close)`.
2. `encode_request(request)` returns the arguments of the SDK's call, and asks nobody.
   `request.history()` is the conversation as this server takes it.
3. `open_stream(sdk, request, arguments)` asks for a stream; it returns `Events`.
4. `ask(sdk, request, arguments)` asks for a whole answer; it returns body and headers.
5. `make_decoder()` makes what decodes one stream: `decode(event)` gives the outputs of
   an event, `close()` those of the end, `is_complete` says that the end event came.
6. `decode_response(body)` gives the outputs of a whole answer. What reports an error is
   raised as a ReportedError, here and in the decoder.
7. `FINISH_WORDS` says what its finish words mean: `ANY_SERVER`, and its own.
8. `ERROR_CODES` says what its error codes mean, beyond those that many servers send.
9. `SDK_READER` says what the SDK's reader of streamed bytes takes: see `SdkReader`.
10. `read_error(error)`, if the exceptions of this SDK keep status, body and headers
    elsewhere than those of OpenAI's: it returns an `ErrorReport`, or None.

Nothing else knows the providers, but the tests: an entry among the `WIRES` of
`tests/conftest.py` tries all that is true of every provider.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from functools import wraps
from importlib.util import find_spec
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
)

from cogent.content import Media, has_media
from cogent.errors import ConfigurationError, ModelError
from cogent.json_values import Json
from cogent.messages import Message
from cogent.model_names import added_providers, check_prefix, included_providers
from cogent.run.finish import FinishWords
from cogent.run.history import CheckMedia, fit_history

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from cogent.model import Model
    from cogent.output import OutputSchema
    from cogent.run.outputs import Output
    from cogent.timeout import Timeout
    from cogent.tools import Tool
    from cogent.transport.event_stream import SdkReader

Answer = tuple[Any, Mapping[str, str]] | list[Any]

# How a provider is asked for an answer of a type: by its own mode for JSON schemas; by
# that mode and by the schema in the instructions, where the mode does not show it to
# the model; by the instructions alone; by a tool that the model has to call, whose
# arguments are the answer; or by such a tool where it cannot be made to call one.
OutputWay = Literal[
    "mode", "mode and instructions", "instructions", "tool", "optional tool"
]

# What the HTTP clients import only when the first is made, which is inside a running
# loop.
HTTP_BACKENDS = {"httpx": "httpcore", "httpx2": "httpcore2"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model: the conversation so far and the tools that it may ask
    for.

    `messages` are as the user and the model wrote them; `address` is that of the
    server, where it is known. `tool_choice` is "required", "none" or a tool's name, or
    None where the model is free. `output` is the schema of the answer that is wanted, for
    the provider's own mode for such.
    """

    model: Model
    messages: Sequence[Message]
    instructions: str | None = None
    tools: Sequence[Tool[..., Any]] = field(default_factory=tuple)
    address: str | None = None
    tool_choice: str | None = None
    output: OutputSchema | None = None

    def history(
        self,
        is_reasoning: Callable[[dict[str, Any]], bool] = lambda item: True,
        *,
        with_parts: bool = False,
        check_media: CheckMedia | None = None,
    ) -> list[Message]:
        """The conversation as this server takes it: see `fit_history`.

        Only what the server itself made has `items` and `reasoning`. `is_reasoning`
        tells the items that may not be all of a message. A provider that encodes the
        `parts` of messages says so by `with_parts`; for any other one Images and Files
        are a ConfigurationError, as they would be lost. `check_media` raises
        ConfigurationError for an Image or a File that the provider does not take: of an
        optional one the model is told in words.
        """
        check = check_media or (_pass if with_parts else self._refuse)
        messages = fit_history(
            self.messages, self.model.provider, self.address, is_reasoning, check
        )
        if not with_parts and any(has_media(one.parts) for one in messages):
            self._refuse()
        return messages

    def _refuse(self, *_: Media) -> NoReturn:
        raise ConfigurationError(f"{self.model.provider} takes no images and files")


def _pass(media: Media) -> None:
    """A provider that does not say what it takes may take it."""


async def _nothing_to_close() -> None:
    """For a client that is the user's to close."""


@dataclass(slots=True, repr=False)
class Client:
    """An SDK's client, with what must be known of it and no SDK tells in a common way.

    `address` is its server's URL, where it is known. `keys` are the secrets that no
    error may show; a function that gives a new key for each request adds it there.
    """

    sdk: Any
    address: str | None = None
    keys: Sequence[str] = ()
    close: Callable[[], Awaitable[None]] = _nothing_to_close


@dataclass(slots=True)
class Events:
    """The events of an SDK's stream.

    `first` are events that had to be read to send the request, `response` is the HTTP
    response, where the SDK shows it. `close` ends the SDK's stream and its connection,
    at whatever point it is.
    """

    iterator: AsyncIterator[Any]
    close: Callable[[], Awaitable[None]]
    response: Any = None
    first: Sequence[Any] = ()


class Decoder(Protocol):
    """Decodes the events of one answer."""

    is_complete: bool  # whether an event said that the answer is over

    def decode(self, event: Any, /) -> Iterable[Output]:
        """What an event stands for. Raises ReportedError if it reports an error."""
        ...

    def close(self) -> Iterable[Output]:
        """What is known only after the last event."""
        ...


class Provider(Protocol):
    """What a provider has: see the recipe above.

    Four more are optional: `read_error(error) -> ErrorReport | None`;
    `UNREACHABLE_HINT`, which says what helps where no server answers;
    `provider_for(sdk) -> Provider`, for a provider of more than one API; and
    `output_way(request, is_streamed) -> OutputWay`, which says how it is asked for the
    answer that `request.output` describes; by default "instructions".
    """

    FINISH_WORDS: FinishWords
    SDK_READER: SdkReader | None  # None if its streams are not for cogent to look at
    ERROR_CODES: Mapping[str, type[ModelError]]  # beyond those that many servers send

    def make_client(self, model: Model, timeout: Timeout, /) -> Client:
        """A client with the model's settings, which has no connection yet.

        Raises ConfigurationError, naming the variable of a missing key.
        """
        ...

    def encode_request(self, request: Request, /) -> Json:
        """The arguments of the SDK's call.

        Raises ConfigurationError for what cannot be sent.
        """
        ...

    async def open_stream(
        self, sdk: Any, request: Request, arguments: Json, /
    ) -> Events:
        """Ask for a stream; the request has been sent when this returns."""
        ...

    async def ask(self, sdk: Any, request: Request, arguments: Json, /) -> Answer:
        """Ask for the whole answer: its body and the headers, or the events of a server
        that streams whatever it is asked for.
        """
        ...

    def make_decoder(self) -> Decoder:
        """A decoder for the events of one answer."""
        ...

    def decode_response(self, body: Any, /) -> Iterable[Output]:
        """What a whole answer stands for. Raises ReportedError if it is an error."""
        ...


# What every provider has, whoever wrote it.
DATA = tuple(Provider.__annotations__)
FUNCTIONS = tuple(name for name in vars(Provider) if not name.startswith("_"))

P = ParamSpec("P")
R = TypeVar("R")


def encoder(encode: Callable[P, R]) -> Callable[P, R]:
    """Make a function that encodes a request say what is wrong with its input, which is
    the caller's, not the server's.

    What it stumbles over is a history whose items are not those of the provider, or a
    setting of another type.
    """

    @wraps(encode)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return encode(*args, **kwargs)
        except (
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigurationError(
                f"history or extra cannot be made into a request: {reason}"
            ) from error

    return checked


def provider_of(model: Model) -> Provider:
    """The provider of a model: the user's own, or the one of its prefix.

    Raises ConfigurationError if it cannot be used.
    """
    if model.own_provider is None:
        return load(model.provider)
    return _checked(model.own_provider, f"the provider of {model.id!r}")


def load(name: str) -> Provider:
    """The provider for a prefix; imports its SDK.

    Raises ConfigurationError if that is missing or too old.
    """
    check_prefix(name)
    if name in included_providers():
        return _load_included(name)
    return _load_added(added_providers()[name])


def _load_added(entry: EntryPoint) -> Provider:
    what = f"the provider {entry.name!r}, which is {entry.value!r},"
    try:
        provider = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{what} cannot be imported: {error}") from error
    return _checked(provider, what)


def _checked(provider: object, what: str) -> Provider:
    """The object as a provider. Raises ConfigurationError for what it lacks."""
    if isinstance(provider, type):
        raise ConfigurationError(f"{what} is a class: give an object of it")
    lacks = [name for name in (*DATA, *FUNCTIONS) if not hasattr(provider, name)]
    if lacks:
        raise ConfigurationError(
            f"{what} lacks {', '.join(lacks)}: see cogent.providers.Provider"
        )
    for name in FUNCTIONS:
        if not callable(getattr(provider, name)):
            raise ConfigurationError(f"{what} has a {name} that is no function")
    return cast(Provider, provider)


def _load_included(name: str) -> Provider:
    try:
        provider = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        for client, transport in HTTP_BACKENDS.items():
            if client in sys.modules:
                importlib.import_module(transport)
                importlib.import_module("cogent.transport.http_clients")
        return cast(Provider, provider)
    except ImportError as error:
        if (error.name or "").startswith(__name__):
            raise
        # A package of a namespace that is there, as `google` often is, is missing by an
        # ImportError.
        if isinstance(error, ModuleNotFoundError) or not all(
            map(_is_there, _packages(name))
        ):
            raise ConfigurationError(_missing(name, error)) from error
        raise ConfigurationError(
            f'models of {name!r} need a newer SDK ({error}): pip install --upgrade "cogent-ai[{name}]"'
        ) from error


def _missing(name: str, error: ImportError) -> str:
    """What to install: the SDK, and, in parentheses, what is missing of the packages
    that an SDK needs.
    """
    missing = error.name or ""
    packages = _packages(name)
    sdk = next((package for package in packages if _provides(package, missing)), None)
    below = ""
    if sdk is None:
        sdk = next((package for package in packages if not _is_there(package)), None)
    if sdk is None:
        sdk, below = packages[0], f" ({missing!r}, which it needs, is missing)"
    return f'models of {name!r} need the package {sdk!r}{below}: pip install "cogent-ai[{name}]"'


def _packages(extra: str) -> list[str]:
    """The packages of an extra, from the metadata of this library where it is
    installed.
    """
    from importlib import metadata  # slow, and seldom needed

    try:
        lines = metadata.requires("cogent-ai") or []
    except metadata.PackageNotFoundError:
        lines = []
    wanted = re.compile(rf"extra\s*==\s*['\"]{extra}['\"]")
    return [
        re.split(r"[^\w.-]", line, maxsplit=1)[0]
        for line in lines
        if wanted.search(line)
    ] or [extra]


def _provides(package: str, module: str) -> bool:
    """Whether a module belongs to a package: `google` and `google.genai.types` to
    `google-genai`.
    """
    path = package.split("-")
    return all(a == b for a, b in zip(path, module.split("."), strict=False))


def _is_there(package: str) -> bool:
    try:
        return find_spec(package.replace("-", ".")) is not None
    except (ImportError, ValueError):
        # Of the namespace that it is in, or of one that hides it.
        return False


def preload(*providers: str) -> None:
    """Import the SDKs of these providers now, by their prefixes: for a server's start,
    as it can take seconds.

    Building an agent does the same for its model. Raises ConfigurationError for a
    prefix that does not exist, and if an SDK is missing or too old.

    >>> preload("openai", "anthropic")
    >>> agent = Agent("writer", "claude-sonnet-5-5")  # fast now
    """
    for name in providers:
        load(name)
