#!/usr/bin/env bash
# A server sends a second answer that nobody asked for, while the connection is idle. httpx sees that there is something
# to read, and asks its next question on a new connection. aiohttp gives the stray answer as that to its next question.
source "$(dirname "$0")/support/setup.sh"
install httpx==0.28.1 aiohttp==3.14.5
python <<'PYTHON'
import asyncio

import aiohttp
import httpx
from canned import report


def whole(text):
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


async def answer(reader, writer):
    number = 0
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            number += 1
            writer.write(whole(b"right"))
            if number == 1:
                await asyncio.sleep(0.1)
                writer.write(whole(b"stray"))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = "http://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])
        seen = {}
        async with httpx.AsyncClient() as client:
            await client.get(url)
            await asyncio.sleep(0.5)
            seen["httpx"] = (await client.get(url)).text
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                await response.text()
            await asyncio.sleep(0.5)
            async with session.get(url) as response:
                seen["aiohttp"] = await response.text()
        return seen


described = {"httpx": "right", "aiohttp": "stray"}
report("the answer to the second question", asyncio.run(main()), described)
PYTHON
