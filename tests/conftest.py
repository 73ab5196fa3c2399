"""Fixtures that most tests share: a loopback server, and each wire format that a provider speaks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.loopback import Loopback
from support.wire import chat_completions, openai_responses

from cogent import Agent, Model


@dataclass(frozen=True)
class Wire:
    """A provider and the builders of what it sends."""

    provider: str
    send: Any

    def agent(self, server: Loopback, *, model: dict[str, Any] | None = None, **settings: Any) -> Agent:
        """An agent of this provider whose server is the loopback one."""
        options = {"base_url": f"{server.url}/v1", "api_key": "key", "max_retries": 0, **(model or {})}
        return Agent("tester", Model(f"{self.provider}:gpt-test", **options), **settings)


WIRES = [Wire("openai", openai_responses), Wire("openai-chat", chat_completions)]


@pytest.fixture(params=WIRES, ids=lambda wire: wire.provider)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Each provider in turn."""
    return request.param


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A server of this test's own."""
    with Loopback() as running:
        yield running
