"""Tools from an MCP server: by default one that tells the time, which `uvx` fetches when it is first used."""

import argparse
import asyncio
import os
import shlex

from cogent import Agent, CogentError, Model
from cogent.mcp import MCP


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", nargs="?", default="What time is it in Tokyo?")
    parser.add_argument("--model", default=os.environ.get("MODEL", "local"))
    parser.add_argument("--server", default="uvx mcp-server-time", help="a command")
    arguments = parser.parse_args()

    async with MCP.stdio(*shlex.split(arguments.server)) as server:
        print("Tools:", ", ".join(tool.name for tool in server.tools))
        # The embedded model seldom calls a tool, and would go on for long.
        model = Model(arguments.model, max_tokens=300)
        agent = Agent("helper", model, tools=server.tools)
        async with agent:
            async for chunk in agent.run_stream(arguments.question):
                print(chunk.content, end="", flush=True)
                if chunk.tool_result:
                    result = chunk.tool_result
                    print(f"\n[{result.name}: {result.content}]")
    print()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except CogentError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
