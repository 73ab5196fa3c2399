"""A tool call in the middle of a stream: the model writes, asks for a tool, and goes on writing with its result."""

import argparse
import asyncio
import os
import sys
from datetime import datetime, timedelta, timezone

from cogent import Agent, CogentError, tool


@tool
def local_time(city: str, utc_offset: float) -> str:
    """Tell the time in a city that is so many hours ahead of UTC."""
    return (
        f"{datetime.now(timezone(timedelta(hours=utc_offset))):%H:%M on %A} in {city}"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "question", nargs="?", default="What time is it in Tokyo and in Lima?"
    )
    parser.add_argument(
        "--model", default="gpt-5.4", help='such as "anthropic:claude-sonnet-5-5"'
    )
    arguments = parser.parse_args()

    agent = Agent(
        "clock",
        arguments.model,
        instructions="Say what you look up before you do it.",
        tools=[local_time],
    )
    async for chunk in agent.run_stream(arguments.question):
        print(chunk.content, end="", flush=True)
        if chunk.finish_reason == "tool_calls":
            print("\n[Tool calling...]")
        if chunk.tool_result:
            print(f"[{chunk.tool_result.name}: {chunk.tool_result.content}]")
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
