"""Stream an answer: from the embedded model without a key, or with --model from any provider."""

import argparse
import asyncio
import os
import sys

from cogent import Agent, CogentError, Model


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "question", nargs="?", default="Write two sentences about the sea."
    )
    parser.add_argument(
        "--model",
        default="local",
        help='such as "gpt-5.4" or "anthropic:claude-sonnet-5-5"',
    )
    arguments = parser.parse_args()

    # The embedded model is so small that it does not always find an end.
    agent = Agent(name="writer", model=Model(arguments.model, max_tokens=200))
    async for chunk in agent.run_stream(arguments.question):
        print(chunk.content, end="", flush=True)
        if chunk.is_final and chunk.metadata:
            print(
                f"\n\n{chunk.metadata['model']}: {chunk.metadata['tokens']}", flush=True
            )


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
