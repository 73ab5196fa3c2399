"""Fails where an installed cogent does not do what its extra promises.

Run outside the repository: `python release_smoke.py [EXTRA]`. Without an extra, nothing
but the core is installed. For `local` it prints the command that the error names.
"""

import asyncio
import importlib
import importlib.util
import socket
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cogent
from cogent import Agent, ConfigurationError, ConnectionFailed, Model, tool
from cogent.testing import ScriptedModel

PROVIDERS = [
    "openai",
    "openai-chat",
    "azure",
    "anthropic",
    "gemini",
    "groq",
    "mistral",
    "ollama",
]
MCP_SERVER = """
from mcp.server import MCPServer
server = MCPServer("smoke")
@server.tool()
def add(a: int, b: int) -> int:
    return a + b
server.run()
"""


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def check_core() -> None:
    """What every installation has; extras that are missing are named."""
    heavy = {"openai", "anthropic", "google.genai", "groq", "ollama", "httpx"}
    loaded = heavy & set(sys.modules)
    assert not loaded, f"import cogent loads {loaded}"
    package = Path(cogent.__file__).parent
    assert "site-packages" in package.parts, f"not the installed one: {package}"
    assert (package / "py.typed").exists()
    assert cogent.__version__ == version("cogent-ai")
    response = Agent("smoke", ScriptedModel("Hello.")).run_sync("Hi")
    assert response.content == "Hello."


def check_missing() -> None:
    """Without its extra each provider says what to install."""
    for provider in PROVIDERS:
        try:
            Agent("smoke", Model(f"{provider}:m", api_key="key"))
        except ConfigurationError as error:
            assert f'pip install "cogent-ai[{provider}]"' in str(error), error
        else:
            raise AssertionError(f"{provider} works without its extra")


def check_provider(provider: str, **settings: object) -> None:
    """A request with a tool and a typed answer is built by the SDK and leaves it."""
    model = Model(
        f"{provider}:m",
        api_key="key",
        base_url=f"http://127.0.0.1:{_closed_port()}",
        max_retries=0,
        **settings,
    )
    for stream in (False, True):
        agent = Agent("smoke", model, tools=[add], output_type=list[int], stream=stream)
        try:
            asyncio.run(agent.run("What is 1 + 2?"))
        except ConnectionFailed:
            continue
        raise AssertionError(f"{provider}: somebody answers at a closed port")


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check_aiohttp() -> None:
    check_provider("openai", http="aiohttp")
    assert "aiohttp" in sys.modules


def check_all() -> None:
    for provider in PROVIDERS:
        check_provider(provider)


def check_web() -> None:
    from cogent.web import sse_response

    agent = Agent("smoke", ScriptedModel("Hello."))
    response = sse_response(agent.run_stream("Hi"))
    assert response.media_type == "text/event-stream"


def check_otel() -> None:
    from cogent.otel import OTel

    agent = Agent("smoke", ScriptedModel("Hello."), observers=[OTel(content=True)])
    assert agent.run_sync("Hi").content == "Hello."


def check_prices() -> None:
    from cogent.prices import cost

    response = Agent("smoke", ScriptedModel("Hello.")).run_sync("Hi")
    assert cost(response) is None, "a script costs nothing that is known"
    assert importlib.util.find_spec("genai_prices")


def check_ray() -> None:
    importlib.import_module("ray.data")
    importlib.import_module("ray.serve")


def check_mcp() -> None:
    asyncio.run(_call_mcp())


async def _call_mcp() -> None:
    from cogent.mcp import MCP
    from cogent.messages import ToolCall

    model = ScriptedModel([ToolCall("1", "add", {"a": 1, "b": 2})], "It is 3.")
    async with MCP.stdio(sys.executable, "-c", MCP_SERVER) as server:
        response = await Agent("smoke", model, tools=server.tools).run("1 + 2?")
    result = response.tool_calls[0].result
    assert result is not None and result.content == "3", result


def check_local() -> None:
    """The engine is there; what else is needed is one command, which is printed."""
    try:
        asyncio.run(Agent("smoke", "local").run("Hi"))
    except ConfigurationError as error:
        _, _, command = str(error).partition("pip install ")
        print("pip install " + command.partition(";")[0])


CHECKS: dict[str, Callable[[], None]] = {
    "openai,aiohttp": check_aiohttp,
    "web": check_web,
    "otel": check_otel,
    "prices": check_prices,
    "mcp": check_mcp,
    "ray": check_ray,
    "all": check_all,
    "local": check_local,
}


def main(extra: str = "") -> None:
    if not extra:
        check_core()
        check_missing()
    elif extra in CHECKS:
        CHECKS[extra]()
    else:
        check_provider(extra)


if __name__ == "__main__":
    main(*sys.argv[1:])
