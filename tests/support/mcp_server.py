"""A program that is an MCP server: `python mcp_server.py FOLDER [PORT]`.

It speaks over stdin and stdout, or on a port; what it does unseen it writes into files of the folder.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

from mcp import types
from mcp.server import MCPServer
from mcp.server.mcpserver import (
    Context,
    Elicit,
    ElicitationResult,
    Image,
    Resolve,
    Sample,
)
from pydantic import BaseModel

FOLDER = Path(sys.argv[1])
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")

server = MCPServer("test")


class Name(BaseModel):
    """What a user is asked."""

    name: str


def note(text: str) -> None:
    """Say something to the test."""
    with (FOLDER / "notes").open("a") as file:
        file.write(text + "\n")


@server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(name="files/read now", annotations=types.ToolAnnotations(title="Read"))
def read(path: str) -> str:
    """Read a file."""
    return f"text of {path}"


@server.tool()
async def wait() -> str:
    """Wait until somebody cancels it."""
    note("begun")
    try:
        await asyncio.Event().wait()
    finally:
        note("cancelled")
    return "never"


@server.tool()
def die() -> str:
    """End the program in the middle of a call."""
    os._exit(3)


@server.tool()
def picture() -> Image:
    """Return a picture."""
    return Image(data=PNG, format="png")


@server.tool()
async def steps(ctx: Context) -> str:
    """Report progress."""
    await ctx.report_progress(1, 2, "half")
    return "ok"


@server.tool()
async def log(ctx: Context) -> str:
    """Log a text and a value."""
    await ctx.log("info", "begun")
    await ctx.log("warning", {"left": 1})
    return "ok"


async def ask_name() -> Elicit[Name]:
    """The question for a name."""
    return Elicit("What is your name?", Name)


async def ask_model() -> Sample:
    """The question for a model."""
    content = types.TextContent(type="text", text="Say something.")
    asked = types.SamplingMessage(role="user", content=content)
    return Sample([asked], max_tokens=9)


@server.tool()
async def ask(name: Annotated[ElicitationResult[Name], Resolve(ask_name)]) -> str:
    """Ask the user for a name."""
    return f"{name.action}: {getattr(name, 'data', None)}"


@server.tool()
async def think(
    said: Annotated[types.CreateMessageResult, Resolve(ask_model)],
) -> str:
    """Ask a model."""
    return f"the model said {said.content.text}"


@server.tool()
def environment() -> list[str]:
    """Name what the environment holds."""
    return sorted(os.environ)


if __name__ == "__main__":
    note(f"pid {os.getpid()}")
    if len(sys.argv) > 2:
        server.run("streamable-http", port=int(sys.argv[2]))
    else:
        server.run("stdio")
