#!/usr/bin/env bash
# Three pieces of a chunked answer arrive while the reader is busy with the first; then the connection is reset. httpx
# gives the three and then the error. aiohttp gives the first and then the error, and never the other two, although it
# holds them.
source "$(dirname "$0")/support/setup.sh"
install httpx==0.28.1 aiohttp==3.14.5
python <<'PYTHON'
import asyncio
import socket
import struct

import aiohttp
import httpx
from canned import report

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD)
    for piece in (b"one ", b"two ", b"three "):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0.1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def read(pieces):
    text = b""
    try:
        async for piece in pieces:
            text += piece
            await asyncio.sleep(1)
    except (httpx.HTTPError, aiohttp.ClientError):
        return text.decode() + "(error)"
    return text.decode()


async def main():
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = "http://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])
        async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
            with_httpx = await read(response.aiter_raw())
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            with_aiohttp = await read(response.content.iter_any())
        return {"httpx": with_httpx, "aiohttp": with_aiohttp}


described = {"httpx": "one two three (error)", "aiohttp": "one (error)"}
report("what a busy reader gets of an answer that is cut", asyncio.run(main()), described)
PYTHON
