#!/usr/bin/env bash
# Each event of Anthropic's stream says its type in the data as well as in the `event:` field. Without the field, as some
# compatible servers send it, the SDK gives no event at all and ends quietly; with `event: message` it reads everything.
source "$(dirname "$0")/support/setup.sh"
install anthropic==2.14.0
python <<'PYTHON'
import asyncio
import json

import anthropic
from canned import answering, report

MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
FIELDS = {"own names": lambda kind: f"event: {kind}\n", "event: message": lambda _: "event: message\n", "no name": lambda _: ""}


async def count(url):
    client = anthropic.AsyncAnthropic(api_key="k", base_url=url, max_retries=0)
    events = await client.messages.create(
        model="m", max_tokens=5, messages=[{"role": "user", "content": "x"}], stream=True
    )
    return len([event async for event in events])


async def main():
    seen = {}
    for name, field in FIELDS.items():
        body = "".join(f"{field(event['type'])}data: {json.dumps(event)}\n\n" for event in EVENTS)
        with answering(body.encode()) as server:
            seen[name] = await count(server.url)
    return seen


report("six events each time, or an error", asyncio.run(main()), {"own names": 6, "event: message": 6, "no name": 0})
PYTHON
