#!/usr/bin/env bash
# A tool asks the user by `ctx.elicit`, as the documentation of `mcp` has it, and the client has a callback that answers.
# Between client and server of the same release the question is refused: by default they speak the protocol of 2026,
# which has no requests from the server. With the older handshake, and with a `Resolve` parameter, it is answered.
source "$(dirname "$0")/support/setup.sh"
install mcp==2.3.0
cat >"$work/server.py" <<'PYTHON'
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel

server = MCPServer("test")


class Name(BaseModel):
    name: str


async def question() -> Elicit[Name]:
    return Elicit("Who?", Name)


@server.tool()
async def by_context(ctx: Context) -> str:
    return (await ctx.elicit("Who?", Name)).data.name


@server.tool()
async def by_parameter(who: Annotated[ElicitationResult[Name], Resolve(question)]) -> str:
    return who.data.name


server.run("stdio")
PYTHON
python <<'PYTHON'
import asyncio
import sys

from canned import report
from mcp import Client, MCPError, StdioServerParameters, types


async def answer(context, params):
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def ask(mode, tool):
    program = StdioServerParameters(command=sys.executable, args=["server.py"])
    async with Client(program, mode=mode, elicitation_callback=answer) as client:
        try:
            result = await client.call_tool(tool, {})
        except MCPError:
            return "refused"
        return "refused" if result.is_error else result.content[0].text


async def main():
    return {
        f"{tool}, {mode}": await ask(mode, tool)
        for tool in ("by_context", "by_parameter")
        for mode in ("auto", "legacy")
    }


described = {
    "by_context, auto": "refused",
    "by_context, legacy": "Ada",
    "by_parameter, auto": "Ada",
    "by_parameter, legacy": "Ada",
}
report("Ada, each time", asyncio.run(main()), described)
PYTHON
