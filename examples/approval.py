"""A payment that a person has to approve of, maybe days later and in another process.

The run ends where the tool waits, and is kept as a file; a second run goes on from that file. MODEL names the model; by
default a script plays its answers, as the embedded model knows nothing of tools.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from cogent import Agent, CogentError, Model, Response, ToolCall, tool
from cogent.testing import ScriptedModel


@tool(approval=True)
def pay(amount: int, to: str) -> str:
    """Pay an amount in euros."""
    return f"paid {amount} euros to {to}"


def make_agent(*script: object) -> Agent:
    """The agent of both processes; the script is what a model would say."""
    model: str | Model = os.environ.get("MODEL") or ScriptedModel(*script)
    return Agent("clerk", model, tools=[pay])


async def ask() -> Response:
    """The first process: the run ends with a call that waits."""
    agent = make_agent([ToolCall("call_1", "pay", {"amount": 40, "to": "Ada"})])
    return await agent.run("Pay Ada what we owe her: 40 euros.")


def decide(response: Response, decision: str | None) -> dict[str, bool | str]:
    """What a person says to each call that waits: True, or the reason for a no."""
    approvals: dict[str, bool | str] = {}
    for call in response.pending:
        print(f"May {call.name} run with {call.arguments}?", flush=True)
        said = decision or input("yes, or the reason for a no: ")
        approvals[call.id] = said == "yes" or said
    return approvals


async def go_on(response: Response, approvals: dict[str, bool | str]) -> None:
    """The second process: the run goes on where it ended."""
    agent = make_agent("I told Ada.")
    stream = agent.run_stream(history=response.messages, approvals=approvals)
    async for chunk in stream:
        if chunk.tool_result:
            print(f"[{chunk.tool_result.name}: {chunk.tool_result.content}]")
        print(chunk.content, end="", flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--answer", help='"yes", or the reason for a no; without it, you are asked'
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "response.json"
        kept.write_text(json.dumps(asyncio.run(ask()).to_dict()), "utf-8")
        response = Response.from_dict(json.loads(kept.read_text("utf-8")))
        asyncio.run(go_on(response, decide(response, arguments.answer)))


if __name__ == "__main__":
    try:
        main()
    except CogentError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except (KeyboardInterrupt, EOFError):
        sys.exit(130)  # what a shell expects after Ctrl-C
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has enough; Python must not try to write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
