#!/usr/bin/env bash
# CPython 3.11 and 3.12, httpx: an async generator that holds a client and is dropped as its event loop ends, as a local
# variable of the main coroutine is. The event loop makes a task that closes the generator, and cancels it before it
# begins; the generator's `finally` then runs only up to its first turn of the loop. Of the client's idle connections
# one is closed, the others stay open, each with a ResourceWarning. From 3.13 on `finally` runs to its end.
source "$(dirname "$0")/support/setup.sh"
install httpx==0.28.1 anyio==4.16.0
python <<'PYTHON'
import asyncio
import gc
import sys
import warnings

import httpx
from canned import answering, report

CONNECTIONS = 5


async def held():
    client = httpx.AsyncClient()
    try:
        yield client
    finally:
        await client.aclose()


async def ask_all(url):
    holder = held()
    client = await anext(holder)
    await asyncio.gather(*[client.post(url) for _ in range(CONNECTIONS)])


def left_open():
    with answering(b"{}", content_type="application/json", pause=0.2) as server:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            asyncio.run(ask_all(server.url))
            gc.collect()
    return sum("unclosed transport" in str(warning.message) for warning in caught)


described = CONNECTIONS - 1 if sys.version_info < (3, 13) else 0
print(f"Python {sys.version_info.major}.{sys.version_info.minor}, connections that stay open")
report(0, left_open(), described)
PYTHON
