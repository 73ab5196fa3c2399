"""More than one model: the next one is asked when one fails before it has said anything.

MODEL names the models, with commas between them; the first that answers is the one that is shown. By default the first
is a server that is not there, and the second the embedded model.
"""

import asyncio
import os
import sys

from cogent import Agent, CogentError, Model

# Nobody listens on this port: so fails a server that is down.
ADDRESS = "http://127.0.0.1:9/v1"
DOWN = Model("openai-chat:away", base_url=ADDRESS, api_key="none", max_retries=0)


def models() -> list[str | Model]:
    """Those of MODEL, or two that need no key."""
    names = os.environ.get("MODEL", "")
    if names:
        return [name.strip() for name in names.split(",")]
    # The embedded model is so small that it does not always find an end.
    return [DOWN, Model("local", max_tokens=100)]


async def main() -> None:
    agent = Agent("writer", models())
    question = "Write two sentences about the sea."
    async with agent.run_stream(question) as stream:
        async for chunk in stream:
            print(chunk.content, end="", flush=True)
    metadata = stream.response.metadata
    print(f"\n\nanswered by {metadata['provider']}:{metadata['model']}", flush=True)
    for failed in metadata.get("attempts", []):
        name = f"{failed['provider']}:{failed['model']}"
        print(f"{name} failed: {failed['error']}: {failed['message']}", flush=True)


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
