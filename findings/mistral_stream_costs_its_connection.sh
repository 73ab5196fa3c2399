#!/usr/bin/env bash
# Streams read to their end, one after the other, through one client: openai's SDK needs one connection for all of them,
# mistralai opens a new one for each, as it closes the answer at [DONE] before the last bytes of the body are read.
source "$(dirname "$0")/support/setup.sh"
install mistralai==3.7.0 openai==3.57.0
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import DONE, END, MESSAGES, A
from mistralai.client import Mistral
from openai import AsyncOpenAI


async def main():
    with answering(A, END, DONE) as server:
        client = Mistral(api_key="k", server_url=server.url)
        for _ in range(5):
            async for _ in await client.chat.stream_async(model="m", messages=MESSAGES):
                pass
        mistral = len(server.connections)
    with answering(A, END, DONE) as server:
        client = AsyncOpenAI(api_key="k", base_url=server.url)
        for _ in range(5):
            async for _ in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                pass
        return {"mistralai": mistral, "openai": len(server.connections)}


report("one connection for five streams", asyncio.run(main()), {"mistralai": 5, "openai": 1})
PYTHON
