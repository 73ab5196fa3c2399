#!/usr/bin/env bash
# A chat stream whose last line is "data: [DONE] ", with a blank behind, as some servers write it: SDKs made by Stainless
# look at how it begins, those made by Speakeasy compare the whole and raise after an answer that is complete.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 mistralai==3.7.0 openrouter==1.3.84
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import WHOLE, mistral, openrouter, read, stainless


async def main():
    with answering(WHOLE.replace(b"[DONE]", b"[DONE] ")) as server:
        return {
            "openai": await read(stainless("openai", server.url)),
            "mistralai": await read(mistral(server.url)),
            "openrouter": await read(openrouter(server.url)),
        }


described = {"openai": "ab|", "mistralai": "ab[ResponseValidationError]", "openrouter": "ab[ResponseValidationError]"}
report("the text ab and a quiet end from every SDK", asyncio.run(main()), described)
PYTHON
