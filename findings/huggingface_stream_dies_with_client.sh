#!/usr/bin/env bash
# A stream of huggingface_hub's AsyncInferenceClient does not keep its client alive: once the client's last name is gone, as
# in a function that makes a client and returns the stream, the stream breaks with ReadError. openai's keeps its own alive.
source "$(dirname "$0")/support/setup.sh"
install huggingface_hub==2.4.0 openai==3.57.0
python <<'PYTHON'
import asyncio
import gc

from canned import answering, report
from chat import DONE, END, MESSAGES, A, B
from huggingface_hub import AsyncInferenceClient
from openai import AsyncOpenAI


async def hugging_face(url):
    return await AsyncInferenceClient(base_url=url, api_key="k").chat_completion(MESSAGES, stream=True)


async def openai(url):
    return await AsyncOpenAI(api_key="k", base_url=url).chat.completions.create(model="m", messages=MESSAGES, stream=True)


async def read(ask):
    text = ""
    with answering(A, B, END, DONE, pause=0.3) as server:
        stream = await ask(server.url)
        gc.collect()
        try:
            async for event in stream:
                text += event.choices[0].delta.content or ""
        except Exception as error:  # which one is the finding
            return type(error).__name__
    return text


seen = {"openai": asyncio.run(read(openai)), "huggingface_hub": asyncio.run(read(hugging_face))}
report("the text ab from both", seen, {"openai": "ab", "huggingface_hub": "ReadError"})
PYTHON
