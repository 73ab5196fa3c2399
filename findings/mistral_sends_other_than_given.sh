#!/usr/bin/env bash
# mistralai makes its own types of a request and sends those: a content part of a type that this version does not know
# goes out inside another object, a reasoning effort that it does not know not at all, and a field that a server added
# to a call is dropped. Nothing is raised, while a tier of service that it does not know is an error.
source "$(dirname "$0")/support/setup.sh"
install mistralai==3.7.0
python <<'PYTHON'
import asyncio
import json

from canned import answering, report
from chat import MESSAGES, WHOLE
from mistralai.client import Mistral

PART = {"type": "video", "video": "v1"}
CALL = {"id": "abcdefghi", "function": {"name": "f", "arguments": "{}"}, "signature": "s"}
ANSWER = {"role": "assistant", "content": [PART], "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "content": "1"}


async def main():
    with answering(WHOLE) as server:
        chat = Mistral(api_key="k", server_url=server.url).chat
        await chat.stream_async(
            model="m", messages=[*MESSAGES, ANSWER, RESULT], reasoning_effort="extreme"
        )
        try:
            await chat.stream_async(model="m", messages=MESSAGES, service_tier="slow")
            tier = "sent"
        except ValueError as error:
            tier = type(error).__name__
        body = json.loads(server.requests[0])
        message = body["messages"][1]
        return {
            "content part": message["content"][0],
            "signature of the call": message["tool_calls"][0].get("signature"),
            "reasoning_effort": body.get("reasoning_effort"),
            "service_tier": tier,
        }


described = {
    "content part": {"type": "UNKNOWN", "raw": PART, "is_unknown": True},
    "signature of the call": None,
    "reasoning_effort": None,
    "service_tier": "ValidationError",
}
report("each as it was given, or an error", asyncio.run(main()), described)
PYTHON
