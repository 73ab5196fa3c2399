#!/usr/bin/env bash
# `await client.aio.models.generate_content_stream(...)` returns before anything was sent: the request goes out with the
# first event that is asked for. A refused connection, and a server's error, come out of the loop and not of the call.
source "$(dirname "$0")/support/setup.sh"
install google-genai==3.6.1
python <<'PYTHON'
import asyncio

from canned import report
from google import genai
from google.genai import types


async def main():
    seen = {"connections after the call": 0, "connections after the events": 0}
    opened = 0

    async def answer(reader, writer):
        nonlocal opened
        opened += 1
        await reader.readuntil(b"\r\n\r\n")
        event = b'data: {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}\r\n\r\n'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        writer.write(head + event)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = "http://127.0.0.1:{}".format(server.sockets[0].getsockname()[1])
        client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=url))
        events = await client.aio.models.generate_content_stream(model="m", contents="Hi")
        await asyncio.sleep(0.5)
        seen["connections after the call"] = opened
        async for _ in events:
            pass
        seen["connections after the events"] = opened
        await client.aio.aclose()
    return seen


described = {"connections after the call": 0, "connections after the events": 1}
report("when the request is sent", asyncio.run(main()), described)
PYTHON
