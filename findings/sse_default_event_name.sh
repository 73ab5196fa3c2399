#!/usr/bin/env bash
# `event: message` names the default type of a server-sent event, as good as no name. With it together's SDK gives
# nothing and ends quietly, and groq's gives chunks without choices; openai's reads it.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 groq==1.7.0 together==3.1.1 perplexityai==0.46.1 mistralai==3.7.0
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import STAINLESS, WHOLE, mistral, read, stainless


async def main():
    with answering(WHOLE.replace(b"data: ", b"event: message\ndata: ")) as server:
        seen = {name: await read(stainless(name, server.url)) for name in STAINLESS}
        return seen | {"mistralai": await read(mistral(server.url))}


described = {"openai": "ab|", "groq": "no choices" * 3 + "|", "together": "|", "perplexity": "ab|", "mistralai": "ab|"}
report("the text ab from every SDK", asyncio.run(main()), described)
PYTHON
