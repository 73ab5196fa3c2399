#!/usr/bin/env bash
# groq with its own DefaultAioHttpClient: a task that reads a stream is cancelled, and the connection stays open; the
# server goes on to the end of the answer. With the default client the server is stopped at once.
source "$(dirname "$0")/support/setup.sh"
install groq==1.7.0 httpx-aiohttp==0.2.0 aiohttp==3.14.5
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import A, DONE, MESSAGES
from groq import AsyncGroq, DefaultAioHttpClient


async def read(client, first):
    async for _ in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
        first.set()


async def sent_after_cancel(**options):
    """How much of the answer the server could send after its reader had been cancelled."""
    first = asyncio.Event()
    with answering(*[A] * 30, DONE, pause=0.05) as server:
        client = AsyncGroq(api_key="k", base_url=server.url, max_retries=0, **options)
        task = asyncio.create_task(read(client, first))
        await first.wait()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(2.5)
        sent = server.sent
        await client.close()
        return "all" if sent == 31 else "little"


async def main():
    return {
        "default": await sent_after_cancel(),
        "aiohttp": await sent_after_cancel(http_client=DefaultAioHttpClient()),
    }


report("little, with both", asyncio.run(main()), {"default": "little", "aiohttp": "all"})
PYTHON
