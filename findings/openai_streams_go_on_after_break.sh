#!/usr/bin/env bash
# openai, groq, together: a stream whose reader leaves by `break`, and which nothing holds any more, is open until the
# garbage collector comes by, as it refers to itself. Until then the server writes on, and the answer is paid for.
# anthropic and mistralai, and openai's stream in `async with`, close it at once.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 anthropic==2.14.0 groq==1.7.0 together==3.1.1 mistralai==3.7.0
python <<'PYTHON'
import asyncio

from anthropic import AsyncAnthropic
from canned import answering, report
from chat import A, DONE, MESSAGES
from groq import AsyncGroq
from mistralai.client import Mistral
from openai import AsyncOpenAI
from together import AsyncTogether

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
START = b'event: message_start\ndata: {"type": "message_start", "message": {"id": "m", "usage": {}}}\n\n'


async def stainless(client):
    async for _ in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
        break


async def openai(url):
    await stainless(AsyncOpenAI(api_key="k", base_url=url))


async def groq(url):
    await stainless(AsyncGroq(api_key="k", base_url=url))


async def together(url):
    await stainless(AsyncTogether(api_key="k", base_url=url))


async def anthropic(url):
    client = AsyncAnthropic(api_key="k", base_url=url)
    async for _ in await client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True):
        break


async def mistral(url):
    client = Mistral(api_key="k", server_url=url)
    async for _ in await client.chat.stream_async(model="m", messages=MESSAGES):
        break


async def openai_in_async_with(url):
    client = AsyncOpenAI(api_key="k", base_url=url)
    async with await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
        async for _ in stream:
            break


async def sent_after(leave):
    pieces = [START, *[PING] * 29] if leave is anthropic else [A] * 30
    with answering(*pieces, DONE, pause=0.05) as server:
        await leave(server.url)
        await asyncio.sleep(2.5)
        return "all" if server.sent == 31 else "little"


async def main():
    ways = (openai, groq, together, anthropic, mistral, openai_in_async_with)
    return {leave.__name__: await sent_after(leave) for leave in ways}


go_on, stop = ["openai", "groq", "together"], ["anthropic", "mistral", "openai_in_async_with"]
described = dict.fromkeys(go_on, "all") | dict.fromkeys(stop, "little")
report("little is sent, each time", asyncio.run(main()), described)
PYTHON
