"""A new process that prints each token after the CPU time spent so far: `python cold.py ours|theirs URL`."""

import asyncio
import sys
from time import process_time

NAME, QUESTION = "text-10", "Say something."


async def ours(url: str) -> None:
    from cogent import Agent, Model

    agent = Agent("cold", Model(f"openai:{NAME}", api_key="none", base_url=url))
    async with agent, agent.run_stream(QUESTION) as stream:
        async for chunk in stream:
            print(process_time(), chunk.content)


async def theirs(url: str) -> None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="none", base_url=url) as client:
        async for event in await client.responses.create(
            model=NAME, input=QUESTION, stream=True
        ):
            if event.type == "response.output_text.delta":
                print(process_time(), event.delta)


if __name__ == "__main__":
    _, who, address = sys.argv
    asyncio.run({"ours": ours, "theirs": theirs}[who](address))
