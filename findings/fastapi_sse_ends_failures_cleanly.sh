#!/usr/bin/env bash
# FastAPI's own server-sent events: a generator that fails in mid-stream ends the response properly, and the event given
# just before may be lost, so that a client cannot tell the failed answer from a whole one. Starlette's StreamingResponse
# over the same generator breaks the connection.
source "$(dirname "$0")/support/setup.sh"
install fastapi==0.165.0 uvicorn==0.54.0 httpx==0.28.1
python <<'PYTHON'
import asyncio
import logging

import httpx
import uvicorn
from canned import report
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

logging.disable(logging.CRITICAL)
app = FastAPI()


@app.get("/own", response_class=EventSourceResponse)
async def own():
    yield ServerSentEvent(data="first")
    await asyncio.sleep(0.2)
    raise RuntimeError("the model failed")


async def lines():
    yield "data: first\n\n"
    await asyncio.sleep(0.2)
    raise RuntimeError("the model failed")


@app.get("/plain")
async def plain():
    return StreamingResponse(lines(), media_type="text/event-stream")


async def end_of(url):
    async with httpx.AsyncClient() as client:
        try:
            await client.get(url)
        except httpx.HTTPError as error:
            return type(error).__name__
    return "a clean end"


async def main():
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    url = "http://127.0.0.1:{}".format(server.servers[0].sockets[0].getsockname()[1])
    seen = {"EventSourceResponse": await end_of(f"{url}/own"), "StreamingResponse": await end_of(f"{url}/plain")}
    server.should_exit = True
    await serving
    return seen


described = {"EventSourceResponse": "a clean end", "StreamingResponse": "RemoteProtocolError"}
report("a broken connection from both", asyncio.run(main()), described)
PYTHON
