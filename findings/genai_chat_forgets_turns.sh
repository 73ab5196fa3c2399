#!/usr/bin/env bash
# google-genai's Chat: a turn whose stream ended with a chunk of nothing but the token counts or the finish reason, or that
# the reader left early, is not in the next request: neither the answer nor the question. Nothing is raised or logged.
source "$(dirname "$0")/support/setup.sh"
install google-genai==3.6.1
python <<'PYTHON'
import asyncio
import json
from contextlib import aclosing

from canned import answering, report
from google import genai
from google.genai.types import HttpOptions


def event(**fields):
    return b"data: " + json.dumps(fields).encode() + b"\r\n\r\n"


def text(words, **fields):
    content = {"role": "model", "parts": [{"text": words}]}
    return event(candidates=[{"index": 0, "content": content, **fields}])


async def second_request(*pieces, leave=False):
    """The texts of what is sent with the second question."""
    with answering(*pieces) as server:
        client = genai.Client(api_key="k", http_options=HttpOptions(base_url=server.url))
        chat = client.aio.chats.create(model="m")
        async with aclosing(await chat.send_message_stream("My name is Ada.")) as answer:
            async for _ in answer:
                if leave:
                    break
        async for _ in await chat.send_message_stream("Who am I?"):
            pass
        contents = json.loads(server.requests[1])["contents"]
        return [content["parts"][0]["text"] for content in contents]


async def main():
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 1, "totalTokenCount": 6}
    last = text("Hello", finishReason="STOP")
    return {
        "text to the end": await second_request(last),
        "counts at the end": await second_request(last, event(usageMetadata=counts)),
        "finish reason alone": await second_request(text("Hello"), event(candidates=[{"index": 0, "finishReason": "STOP"}])),
        "left early": await second_request(text("Hello"), last, leave=True),
    }


whole, forgotten = ["My name is Ada.", "Hello", "Who am I?"], ["Who am I?"]
described = {
    "text to the end": whole,
    "counts at the end": forgotten,
    "finish reason alone": forgotten,
    "left early": forgotten,
}
report("the first question each time, with what was answered", asyncio.run(main()), described)
PYTHON
