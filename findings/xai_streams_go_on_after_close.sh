#!/usr/bin/env bash
# xai-sdk: a stream that is left by `break` and closed by `aclose()` goes on at the server to the end of the answer, and is
# paid for. Only cancelling the task that reads it reaches the server.
source "$(dirname "$0")/support/setup.sh"
install xai-sdk==1.21.0
python <<'PYTHON'
import asyncio
from contextlib import aclosing

import grpc
from canned import report
from xai_sdk import AsyncClient
from xai_sdk.chat import user
from xai_sdk.proto import chat_pb2, chat_pb2_grpc


class Service(chat_pb2_grpc.ChatServicer):
    sent = 0

    async def GetCompletionChunk(self, request, context):
        for _ in range(40):
            chunk = chat_pb2.GetChatCompletionChunk(id="c", model="m")
            chunk.outputs.add(index=0).delta.content = "a"
            yield chunk
            self.sent += 1
            await asyncio.sleep(0.05)


async def close(chat):
    async with aclosing(chat.stream()) as stream:
        async for _ in stream:
            break


async def cancel(chat):
    first = asyncio.Event()

    async def read():
        async for _ in chat.stream():
            first.set()

    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()
    await asyncio.wait([task])


async def after(leave):
    service, server = Service(), grpc.aio.server()
    chat_pb2_grpc.add_ChatServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = AsyncClient(api_key="k", api_host=f"localhost:{port}", use_insecure_channel=True)
    await leave(client.chat.create(model="m", messages=[user("x")]))
    await asyncio.sleep(3)
    await client.close()
    await server.stop(None)
    return "all" if service.sent == 40 else "little"


async def main():
    return {"aclose": await after(close), "cancel": await after(cancel)}


report("little is sent, both times", asyncio.run(main()), {"aclose": "all", "cancel": "little"})
PYTHON
