#!/usr/bin/env bash
# A gateway that answers a streamed request with status 200 and a JSON error, no stream: four SDKs made by Stainless and
# huggingface_hub give an empty answer and end quietly. Those made by Speakeasy raise.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 groq==1.7.0 together==3.1.1 perplexityai==0.46.1 mistralai==3.7.0 huggingface_hub==2.4.0 openrouter==1.3.84
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import STAINLESS, hugging_face, mistral, openrouter, read, stainless

ERROR = b'{"error": {"message": "no such model", "type": "invalid_request_error"}}'


async def main():
    with answering(ERROR, content_type="application/json") as server:
        seen = {name: await read(stainless(name, server.url)) for name in STAINLESS}
        others = {"huggingface_hub": hugging_face, "mistralai": mistral, "openrouter": openrouter}
        return seen | {name: await read(other(server.url)) for name, other in others.items()}


described = dict.fromkeys([*STAINLESS, "huggingface_hub"], "|")
described |= {"mistralai": "[SDKError]", "openrouter": "[ResponseValidationError]"}
report("an error from each", asyncio.run(main()), described)
PYTHON
