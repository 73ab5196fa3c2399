#!/usr/bin/env bash
# An HTTP client with limits of its own is given to mistralai: connect within 2 s, no byte for 60 s. Each request goes out
# with 300 s for everything, and `timeout_ms` sets all four alike.
source "$(dirname "$0")/support/setup.sh"
install mistralai==3.7.0
python <<'PYTHON'
import asyncio

import httpx2
from canned import answering, report
from chat import MESSAGES, WHOLE
from mistralai.client import Mistral


async def main():
    seen = {}

    async def note(request):
        seen.update(request.extensions["timeout"])

    limits = httpx2.Timeout(60, connect=2)
    http = httpx2.AsyncClient(timeout=limits, event_hooks={"request": [note]})
    with answering(WHOLE) as server:
        client = Mistral(api_key="k", server_url=server.url, async_client=http)
        async with await client.chat.stream_async(model="m", messages=MESSAGES):
            pass
    await http.aclose()
    return seen


expected = {"connect": 2, "read": 60, "write": 60, "pool": 60}
described = dict.fromkeys(expected, 300.0)
report(expected, asyncio.run(main()), described)
PYTHON
