#!/usr/bin/env bash
# vcrpy reads a streamed answer to its end before it hands over the first piece, whenever it records: a run that stops a
# stream after the first delta lets the server write, and is billed for, the whole of it, and the cassette says nothing.
source "$(dirname "$0")/support/setup.sh"
install vcrpy==9.4.2 openai==3.57.0
python <<'PYTHON'
import asyncio
import time

import vcr
from canned import answering, report
from chat import A, DONE, MESSAGES
from openai import AsyncOpenAI


async def leave_at_first_delta(url):
    client = AsyncOpenAI(base_url=url, api_key="k")
    async with await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
        async for _ in stream:
            return


async def sent(cassette):
    with answering(*[A] * 20, DONE, pause=0.05) as server:
        if cassette:
            with vcr.use_cassette(cassette, ignore_localhost=False):
                await leave_at_first_delta(server.url)
        else:
            await leave_at_first_delta(server.url)
        time.sleep(2)
        return "all" if server.sent == 21 else "little"


async def main():
    return {"without": await sent(None), "while recording": await sent("cassette.yaml")}


report("little is sent, both times", asyncio.run(main()), {"without": "little", "while recording": "all"})
PYTHON
