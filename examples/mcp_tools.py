"""Tools from an MCP server: by default one that tells the time, which `uvx` fetches when it is first used."""

import argparse
import asyncio
import os
import shlex
import sys

from cogent import Agent, CogentError, Model
from cogent.mcp import MCP


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", nargs="?", default="What time is it in Tokyo?")
    parser.add_argument("--model", default=os.environ.get("MODEL", "local"))
    parser.add_argument("--server", default="uvx mcp-server-time", help="a command")
    arguments = parser.parse_args()

    async with MCP.stdio(*shlex.split(arguments.server)) as server:
        names = ", ".join(tool.name for tool in server.tools)
        print("Tools:", names, flush=True)
        # The embedded model seldom calls a tool, and would go on for long.
        model = Model(arguments.model, max_tokens=300)
        agent = Agent("helper", model, tools=server.tools)
        async with agent:
            async for chunk in agent.run_stream(arguments.question):
                print(chunk.content, end="", flush=True)
                if chunk.tool_result:
                    result = chunk.tool_result
                    print(f"\n[{result.name}: {result.content}]", flush=True)
    print(flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except CogentError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell expects after Ctrl-C
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has enough; Python must not try to write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
