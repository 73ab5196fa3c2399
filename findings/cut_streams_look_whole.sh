#!/usr/bin/env bash
# A chat stream whose server stops after the first delta and closes the body properly, without a finish reason and without
# [DONE], ends in seven SDKs like a whole answer: nothing is raised, and nothing tells it apart.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 groq==1.7.0 together==3.1.1 perplexityai==0.46.1 mistralai==3.7.0 huggingface_hub==2.4.0 openrouter==1.3.84
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import STAINLESS, A, hugging_face, mistral, openrouter, read, stainless


async def main():
    with answering(A) as server:
        seen = {name: await read(stainless(name, server.url)) for name in STAINLESS}
        others = {"mistralai": mistral, "huggingface_hub": hugging_face, "openrouter": openrouter}
        return seen | {name: await read(other(server.url)) for name, other in others.items()}


names = [*STAINLESS, "mistralai", "huggingface_hub", "openrouter"]
report("an error after the first delta", asyncio.run(main()), dict.fromkeys(names, "a|"))
PYTHON
