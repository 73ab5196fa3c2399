#!/usr/bin/env bash
# google-genai takes each line of a stream for JSON once it has cut off "data: ": a comment (a proxy's keep-alive), an `id:`
# or `retry:` field, an `event:` name, or no blank after the colon, all valid in server-sent events, end the answer with an
# error. Behind such a server or proxy the SDK cannot stream.
source "$(dirname "$0")/support/setup.sh"
install google-genai==3.6.1
python <<'PYTHON'
import asyncio
import json

from canned import answering, report
from google import genai


def event(text, **more):
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}
    return f"data: {json.dumps({'candidates': [candidate]})}\n\n"


FIRST, LAST = event("a"), event("b", finishReason="STOP")
BODIES = {
    "as Google sends it": FIRST + LAST,
    "a keep-alive comment": FIRST + ": ping\n\n" + LAST,
    "an id": "id: 1\n" + FIRST + LAST,
    "a retry field": "retry: 3000\n\n" + FIRST + LAST,
    "the default event name": "event: message\n" + FIRST + LAST,
    "no blank after the colon": (FIRST + LAST).replace("data: ", "data:"),
}


async def read(body):
    text = ""
    with answering(body.encode()) as server:
        client = genai.Client(api_key="k", http_options={"base_url": server.url})
        try:
            async for answer in await client.aio.models.generate_content_stream(model="m", contents="x"):
                text += answer.text or ""
        except Exception as error:  # which one is the finding
            return f"{text}[{type(error).__name__}]"
    return text


async def main():
    return {what: await read(body) for what, body in BODIES.items()}


described = dict.fromkeys(BODIES, "[UnknownApiResponseError]")
described |= {"as Google sends it": "ab", "a keep-alive comment": "a[UnknownApiResponseError]"}
report("the text ab from each body", asyncio.run(main()), described)
PYTHON
