#!/usr/bin/env bash
# An error that comes inside a chat stream, as an event with `error` instead of `choices`: openai's, groq's and together's
# SDKs raise it. perplexityai, made by the same generator, gives it as an ordinary chunk without choices and ends quietly.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 groq==1.7.0 together==3.1.1 perplexityai==0.46.1
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import DONE, STAINLESS, A, read, stainless

ERROR = b'data: {"error": {"message": "no room", "type": "server_error", "code": 503}}\n\n'


async def main():
    with answering(A, ERROR, DONE) as server:
        return {name: await read(stainless(name, server.url)) for name in STAINLESS}


described = dict.fromkeys(["openai", "groq", "together"], "a[APIError]") | {"perplexity": "ano choices|"}
report("an error after the first delta from each", asyncio.run(main()), described)
PYTHON
