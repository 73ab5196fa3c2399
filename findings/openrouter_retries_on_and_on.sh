#!/usr/bin/env bash
# openrouter sends a request that met a status of 5XX again and again, by its own default for an hour: the call neither
# answers nor raises. openai raises after two retries, a few seconds later.
source "$(dirname "$0")/support/setup.sh"
install openrouter==1.3.84 openai==3.57.0
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import MESSAGES, openrouter, read

BODY = b'{"error": {"code": 503, "message": "No provider is available"}}'


async def call(answer):
    """How often it was asked in 20 seconds, and what came of it."""
    with answering(BODY, content_type="application/json", status=503) as server:
        try:
            seen = await asyncio.wait_for(read(answer(server.url)), 20)
        except TimeoutError:
            seen = "goes on"
        return "more than three requests" if len(server.requests) > 3 else "three requests or less", seen


async def openai(url):
    from openai import AsyncOpenAI

    stream = await AsyncOpenAI(api_key="k", base_url=url).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    async for chunk in stream:
        yield chunk.choices[0].delta.content


async def main():
    return {"openai": await call(openai), "openrouter": await call(openrouter)}


described = {
    "openai": ("three requests or less", "[InternalServerError]"),
    "openrouter": ("more than three requests", "goes on"),
}
report("an error after a few seconds, from both", asyncio.run(main()), described)
PYTHON
