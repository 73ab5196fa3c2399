#!/usr/bin/env bash
# Server-sent events may hold `retry:` and `id:` fields and comments; an event without data is not dispatched
# (WHATWG HTML, section 9.2.6). SDKs made by Stainless dispatch it, and fail to read nothing as JSON.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 groq==1.7.0 together==3.1.1 perplexityai==0.46.1 mistralai==3.7.0
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import STAINLESS, WHOLE, A, mistral, read, stainless

BODIES = {
    "a retry field of its own": b"retry: 3000\n\n" + WHOLE,
    "an id, then a keep-alive comment": b"id: 7\n" + A + b": ping\n\n" + WHOLE[len(A) :],
}


async def main():
    seen = {}
    for what, body in BODIES.items():
        with answering(body) as server:
            for name in STAINLESS:
                seen[what, name] = await read(stainless(name, server.url))
            seen[what, "mistralai"] = await read(mistral(server.url))
    return seen


failing = {(what, name): ("" if "retry" in what else "a") + "[JSONDecodeError]" for what in BODIES for name in STAINLESS}
passing = {(what, "mistralai"): "ab|" for what in BODIES}
report("the text ab from every SDK", asyncio.run(main()), failing | passing)
PYTHON
