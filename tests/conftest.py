"""Fixtures that most tests share: a loopback server, and each wire format that a provider speaks."""

import gc
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.loopback import Loopback
from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    mistral_chat,
    ollama_chat,
    openai_responses,
)

from cogent import Agent, Model, preload

# All holds over httpx, as where aiohttp is not installed; a second run shows that it holds over aiohttp too.
if os.environ.get("TEST_HTTP") != "aiohttp":
    sys.modules["aiohttp"] = None  # type: ignore[assignment]

# Each new client of an SDK reads all authorities that this file names. Of the usual hundred and fifty that takes longer
# than most tests; the loopback server has no certificate, so that one authority, whose key nobody has, is enough.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "authority.pem")

# In the background of a shell SIGINT is ignored, and the programs that a test starts would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many more workers than processors, as a part of the tests waits; at most eight."""
    processors = os.cpu_count() or 1
    return min(8, processors + (processors + 1) // 2)


@dataclass(frozen=True)
class Wire:
    """A provider, the builders of what it sends, and the names that tell its requests from others'.

    `suffix` ends the base_url, `limit` is its word for max_tokens and `default_limit` what is sent where its API cannot
    do without, `variable` names its key in the environment. A `bare` format has no ids of calls and requests and no
    details of usage; one with `own_ids` takes the ids of calls only in a form of its own.
    """

    provider: str
    send: Any
    suffix: str = "/v1"
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: str = "max_tokens"
    default_limit: int | None = None
    variable: str = "OPENAI_API_KEY"
    bare: bool = False
    own_ids: bool = False
    mime: str = "text/event-stream"

    @property
    def format(self) -> Any:
        """The builders, or those of the format that this one's events and requests have the shape of."""
        return getattr(self.send, "SHAPE", self.send)

    @property
    def name(self) -> str:
        """The provider, told apart where it speaks two formats."""
        return self.provider + "-chat" * bool(self.settings)

    def model(self, server: Loopback, **settings: Any) -> Model:
        """A model of this provider whose server is the loopback one."""
        address = {
            "base_url": server.url + self.suffix,
            "api_key": "key",
            "max_retries": 0,
        }
        return Model(
            f"{self.provider}:gpt-test", **{**address, **self.settings, **settings}
        )

    def agent(
        self, server: Loopback, *, model: dict[str, Any] | None = None, **settings: Any
    ) -> Agent:
        """An agent of this provider whose server is the loopback one."""
        return Agent("tester", self.model(server, **(model or {})), **settings)


AZURE_CHAT = {"api_version": "2025-04-01-preview"}
WIRES = [
    Wire("openai", openai_responses, limit="max_output_tokens"),
    Wire("openai-chat", chat_completions),
    Wire(
        "azure",
        openai_responses,
        "",
        limit="max_output_tokens",
        variable="AZURE_OPENAI_API_KEY",
    ),
    Wire(
        "azure",
        chat_completions,
        "",
        AZURE_CHAT,
        limit="max_completion_tokens",
        variable="AZURE_OPENAI_API_KEY",
    ),
    Wire(
        "groq",
        chat_completions,
        "",
        limit="max_completion_tokens",
        variable="GROQ_API_KEY",
    ),
    Wire(
        "anthropic",
        anthropic_messages,
        "",
        default_limit=8192,
        variable="ANTHROPIC_API_KEY",
    ),
    Wire(
        "gemini",
        gemini_generate,
        "",
        limit="maxOutputTokens",
        variable="GEMINI_API_KEY",
    ),
    Wire("mistral", mistral_chat, "", variable="MISTRAL_API_KEY", own_ids=True),
    Wire(
        "ollama",
        ollama_chat,
        "",
        limit="num_predict",
        variable="OLLAMA_API_KEY",
        bare=True,
    ),
]

# Azure is openai's SDK and formats at another address, with another key: what becomes of an answer that costs much to
# try is tried once for each SDK and format.
SDK_WIRES = [wire for wire in WIRES if wire.provider != "azure"]
each_sdk = pytest.mark.parametrize("wire", SDK_WIRES, ids=lambda wire: wire.name)


@pytest.fixture(scope="session", autouse=True)
def _sdks_are_no_garbage() -> None:
    """Import every SDK once, and leave their million objects out of each later garbage collection."""
    preload(*{wire.provider for wire in WIRES})
    gc.collect()
    gc.freeze()


@pytest.fixture(params=WIRES, ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Each provider in turn."""
    return request.param


@pytest.fixture(params=SDK_WIRES, ids=lambda wire: wire.name)
def sdk_wire(request: pytest.FixtureRequest) -> Wire:
    """Each SDK and format in turn; a file takes it in place of `wire` by `wire = sdk_wire`."""
    return request.param


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A server of this test's own."""
    with Loopback() as running:
        yield running
