"""Proxies of the environment hold for other machines, and never stand between a process and its own."""

from collections.abc import Iterator

import pytest
from conftest import AZURE_CHAT, WIRES, Wire
from support.loopback import Loopback
from support.scene import whole

from cogent import Agent, Model

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A server that the environment names as the proxy for everything."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Loopback() as running:
        for name in PROXIES:
            monkeypatch.setenv(name, running.url)
            monkeypatch.setenv(name.lower(), running.url)
        yield running


async def answer(wire: Wire, address: str, streaming: bool) -> str:
    """What an agent of this provider answers that asks this address."""
    settings = {
        "base_url": address + wire.suffix,
        "api_key": "key",
        "max_retries": 0,
        **wire.settings,
    }
    async with Agent(
        "a", Model(f"{wire.provider}:gpt-test", **settings), stream=streaming
    ) as agent:
        return (await agent.run("Go")).content


@both_ways
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
async def test_no_proxy_is_asked_for_a_server_of_this_machine(
    server: Loopback, proxy: Loopback, wire: Wire, streaming: bool, host: str
) -> None:
    """A request to a loopback address goes straight there, whatever the environment says."""
    server.reply(whole(wire, "Done", streaming=streaming))
    address = server.url.replace("127.0.0.1", host)
    if (
        host == "127.0.0.2"
    ):  # nobody listens there, which is what the error says, unless the proxy was asked
        with pytest.raises(Exception, match="cannot reach the server"):
            await answer(wire, address, streaming)
    else:
        assert await answer(wire, address, streaming) == "Done"
    assert proxy.requests == []


@both_ways
async def test_a_proxy_is_asked_for_other_hosts(
    proxy: Loopback, wire: Wire, streaming: bool
) -> None:
    """A request to another host goes through the proxy of the environment, as ever."""
    proxy.reply(whole(wire, "Done", streaming=streaming))
    assert await answer(wire, "http://models.example", streaming) == "Done"
    assert [
        request.path.startswith("http://models.example") for request in proxy.requests
    ] == [True]


@both_ways
async def test_hosts_without_a_proxy_are_still_the_users_choice(
    monkeypatch: pytest.MonkeyPatch, proxy: Loopback, wire: Wire, streaming: bool
) -> None:
    """NO_PROXY of the environment holds too."""
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    monkeypatch.setenv("no_proxy", "models.invalid")
    with pytest.raises(Exception, match="cannot reach the server"):
        await answer(wire, "http://models.invalid", streaming)
    assert proxy.requests == []


VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "/v1"),
    "openai-chat": ("OPENAI_BASE_URL", "/v1"),
    "azure": ("AZURE_OPENAI_ENDPOINT", ""),
    "azure-chat": ("AZURE_OPENAI_ENDPOINT", ""),
    "groq": ("GROQ_BASE_URL", ""),
    "anthropic": ("ANTHROPIC_BASE_URL", ""),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", ""),
    "ollama": ("OLLAMA_HOST", ""),
}  # the SDK of Mistral reads no address


@pytest.mark.parametrize(
    "wire", [w for w in WIRES if w.name in VARIABLES], ids=lambda w: w.name
)
async def test_an_address_of_this_machine_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, proxy: Loopback, wire: Wire
) -> None:
    """Any address of 127.0.0.0/8 is this machine's, also where the environment gives it."""
    variable, suffix = VARIABLES[wire.name]
    monkeypatch.setenv(variable, f"http://127.1.2.3:9{suffix}")
    settings = AZURE_CHAT if wire.name == "azure-chat" else {}
    agent = Agent(
        "a",
        Model(f"{wire.provider}:gpt-test", api_key="key", max_retries=0, **settings),
    )
    with pytest.raises(Exception, match="cannot reach the server"):
        await agent.run("Go")
    assert proxy.requests == []


@both_ways
async def test_the_model_inside_the_process_is_asked_without_a_proxy(
    proxy: Loopback, streaming: bool
) -> None:
    """The prompt of `local` stays in the process."""
    agent = Agent("a", Model("local", max_tokens=2, max_retries=0), stream=streaming)
    assert (await agent.run("Hi")).finish_reason in ("stop", "length")
    assert proxy.requests == []
