"""MCP servers that others published, fetched from their registries: only where TEST_PUBLISHED is set."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from cogent import Image
from cogent.mcp import MCP, MCPServerError

pytestmark = pytest.mark.skipif(
    "TEST_PUBLISHED" not in os.environ, reason="TEST_PUBLISHED is not set"
)
EVERYTHING = ("npx", "-y", "@modelcontextprotocol/server-everything@2026.8.31")
TIME = ("uvx", "mcp-server-time")
# What a program needs that fetches packages in some networks.
NETWORK = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY", "HTTPS_PROXY")


@asynccontextmanager
async def published(command: tuple[str, ...], **options: Any) -> AsyncIterator[MCP]:
    """A server, which is fetched when it is first used; the test is skipped where it cannot be."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is missing")
    env = {name: os.environ[name] for name in NETWORK if name in os.environ}
    server = MCP.stdio(*command, env=env, startup_timeout=300, **options)
    try:
        await server.__aenter__()
    except MCPServerError as error:
        pytest.skip(f"it cannot be fetched: {error}")
    async with AsyncExitStack() as stack:
        stack.push_async_exit(server)
        yield server


async def test_a_server_in_python_tells_the_time() -> None:
    """Its text is the result, and its own checks are errors for the model."""
    async with published(TIME) as server:
        tools = {tool.name: tool.function for tool in server.tools}
        told = await tools["get_current_time"](timezone="Asia/Tokyo")
        wrong = await tools["get_current_time"](timezone="Nowhere/None")
    assert '"timezone": "Asia/Tokyo"' in told.text
    assert wrong.is_error


async def test_a_server_in_javascript_has_everything() -> None:
    """Text, pictures, resources, structured values, progress, and questions to the user and to a model."""
    steps: list[float] = []
    async with published(EVERYTHING) as server:
        tools = {tool.name: tool.function for tool in server.tools}
        assert (await tools["echo"](message="hi")).text == "Echo: hi"
        assert (await tools["echo"](wrong=1)).is_error
        picture = await tools["get-tiny-image"]()
        assert any(isinstance(part, Image) for part in picture.parts)
        value = await tools["get-structured-content"](location="New York")
        assert '"temperature"' in value.text
        assert "trigger-sampling-request" not in tools
    asked = published(
        EVERYTHING,
        sampling=lambda params: "said the model",
        elicitation=lambda message, schema: {"name": "Ada"},
        on_progress=lambda tool, progress, total, message: steps.append(progress),
    )
    async with asked as server:
        tools = {tool.name: tool.function for tool in server.tools}
        said = await tools["trigger-sampling-request"](prompt="x")
        assert "said the model" in said.text
        assert "Ada" in (await tools["trigger-elicitation-request"]()).text
        await tools["trigger-long-running-operation"](duration=1, steps=3)
    assert steps == [1, 2, 3]
