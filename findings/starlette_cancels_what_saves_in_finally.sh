#!/usr/bin/env bash
# A streamed answer is saved in the `finally` of its generator. When the reader leaves, Starlette (and FastAPI, sse-starlette
# and Litestar, over anyio) cancels not once but at each `await` that follows, so the save is begun and never done.
# Quart saves. A BackgroundTask of the response is run even then.
source "$(dirname "$0")/support/setup.sh"
install starlette==1.10.0 sse-starlette==3.7.0 litestar==2.25.0 quart==0.22.0 uvicorn==0.54.0
python <<'PYTHON'
import asyncio

import uvicorn
from canned import report
from litestar import Litestar, get
from litestar.response import Stream
from quart import Quart
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Route

done = []


async def answer():
    try:
        for _ in range(30):
            yield b"data: x\n\n"
            await asyncio.sleep(0.1)
    finally:
        done.append("begun")
        await asyncio.sleep(0.01)  # the query to a database
        done.append("saved")


async def events():
    async for _ in answer():
        yield {"data": "x"}


async def background():
    done.append("background")


async def plain(request):
    return StreamingResponse(answer(), background=BackgroundTask(background))


async def sse(request):
    return EventSourceResponse(events())


@get("/")
async def litestar() -> Stream:
    return Stream(answer())


quart = Quart("quart")


@quart.get("/")
async def in_quart():
    return answer(), 200


APPS = {
    "starlette": Starlette(routes=[Route("/", plain)]),
    "sse-starlette": Starlette(routes=[Route("/", sse)]),
    "litestar": Litestar([litestar]),
    "quart": quart,
}


async def after_leaving(app):
    done.clear()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"data: x")
    writer.close()
    await asyncio.sleep(1)
    seen = list(done)
    server.should_exit = True
    await serving
    return seen


async def main():
    return {name: await after_leaving(app) for name, app in APPS.items()}


described = {
    "starlette": ["begun", "background"],
    "sse-starlette": ["begun"],
    "litestar": ["begun"],
    "quart": ["begun", "saved"],
}
report("begun and saved, each time", asyncio.run(main()), described)
PYTHON
