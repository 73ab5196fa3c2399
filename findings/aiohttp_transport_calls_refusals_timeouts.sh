#!/usr/bin/env bash
# A port where nobody listens, and a certificate that nobody trusts, are ConnectError with httpx. Over httpx-aiohttp both
# are ConnectTimeout, at once and without any time having run out, so that SDKs on top of it report a time-out.
source "$(dirname "$0")/support/setup.sh"
install httpx==0.28.1 httpx-aiohttp==0.2.0 aiohttp==3.14.5 trustme==1.2.1 'openai[aiohttp]==3.57.0'
python <<'PYTHON'
import asyncio
import socket
import ssl

import httpx
import openai
import trustme
from canned import report
from httpx_aiohttp import HttpxAiohttpClient


async def error_of(client, url):
    async with client:
        try:
            await client.post(url)
        except httpx.HTTPError as error:
            return type(error).__name__


async def openai_error(http_client, url):
    async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0, http_client=http_client) as client:
        try:
            await client.models.list()
        except openai.OpenAIError as error:
            return type(error).__name__


async def main():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context) as server:
        untrusted = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        return {
            "refused, httpx": await error_of(httpx.AsyncClient(), refusing),
            "refused, httpx-aiohttp": await error_of(HttpxAiohttpClient(), refusing),
            "untrusted, httpx": await error_of(httpx.AsyncClient(), untrusted),
            "untrusted, httpx-aiohttp": await error_of(HttpxAiohttpClient(), untrusted),
            "refused, openai": await openai_error(openai.DefaultAsyncHttpxClient(), refusing),
            "refused, openai over aiohttp": await openai_error(openai.DefaultAioHttpClient(), refusing),
        }


described = {
    "refused, httpx": "ConnectError",
    "refused, httpx-aiohttp": "ConnectTimeout",
    "untrusted, httpx": "ConnectError",
    "untrusted, httpx-aiohttp": "ConnectTimeout",
    "refused, openai": "APIConnectionError",
    "refused, openai over aiohttp": "APITimeoutError",
}
report("the same error over both transports", asyncio.run(main()), described)
PYTHON
