"""An answer of a type: its values are shown while they come, and are a pydantic model in the end."""

import argparse
import asyncio
import os
import sys
from typing import Any

from pydantic import BaseModel, Field

from cogent import Agent, CogentError, Model


class City(BaseModel):
    """What there is to know of a city."""

    name: str
    country: str
    population: int = Field(gt=0)
    sights: list[str] = Field(min_length=1, max_length=3)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("city", nargs="?", default="Paris, the capital of France")
    parser.add_argument("--model", default=os.environ.get("MODEL", "local"))
    arguments = parser.parse_args()

    # The embedded model is so small that it does not always find an end.
    is_embedded = arguments.model.startswith("local")
    limits: dict[str, Any] = (
        {"max_tokens": 300, "temperature": 0} if is_embedded else {}
    )
    model = Model(arguments.model, **limits)
    agent = Agent("guide", model, output_type=City)
    stream = agent.run_stream(f"Tell me about {arguments.city}.")
    shown = None
    async for _ in stream:
        if stream.partial != shown:
            shown = stream.partial
            print(shown, flush=True)
    city = stream.response.output
    print(f"\n{city.name} has {city.population:,} inhabitants.", flush=True)


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
