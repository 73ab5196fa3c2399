#!/usr/bin/env bash
# google-genai: `timeout` limits the pause between two pieces of a stream over httpx2, and the whole answer over aiohttp.
# Which of them carries it is decided by whether aiohttp is installed, so another package's dependency cuts long answers.
source "$(dirname "$0")/support/setup.sh"
install google-genai==3.6.1 aiohttp==3.14.5
python <<'PYTHON'
import asyncio
import json

import httpx2
from canned import answering, report
from google import genai
from google.genai.types import HttpOptions

PIECE = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "a"}]}}]}
PIECES = [b"data: " + json.dumps(PIECE).encode() + b"\r\n\r\n"] * 20


async def read(**options):
    with answering(*PIECES, pause=0.1) as server:
        limits = HttpOptions(base_url=server.url, timeout=1_000, **options)
        client = genai.Client(api_key="k", http_options=limits)
        try:
            answer = await client.aio.models.generate_content_stream(model="m", contents="x")
            async for _ in answer:
                pass
        except TimeoutError:
            return "TimeoutError"
        return "whole"


async def main():
    httpx2_too = {"transport": httpx2.AsyncHTTPTransport()}
    return {"aiohttp": await read(), "httpx2": await read(async_client_args=httpx2_too)}


expected = "two seconds of pieces, one each 0.1 seconds, are whole with a limit of one second"
report(expected, asyncio.run(main()), {"aiohttp": "TimeoutError", "httpx2": "whole"})
PYTHON
