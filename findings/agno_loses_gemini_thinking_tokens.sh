#!/usr/bin/env bash
# Gemini counts the tokens that a model thought with beside those of its answer, and both are paid for as output. agno's
# metrics leave them out of the output and of the total, which is then far from the total that Gemini itself names.
source "$(dirname "$0")/support/setup.sh"
install agno==3.1.10 google-genai==2.34.0
python <<'PYTHON'
import asyncio
import json

from agno.agent import Agent
from agno.models.google import Gemini
from canned import answering, report
from google import genai
from google.genai.types import HttpOptions

USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 100, "totalTokenCount": 113}
CONTENT = {"role": "model", "parts": [{"text": "Hello"}]}
EVENT = {"candidates": [{"index": 0, "content": CONTENT, "finishReason": "STOP"}], "usageMetadata": USAGE}


async def main():
    with answering(b"data: " + json.dumps(EVENT).encode() + b"\r\n\r\n") as server:
        client = genai.Client(api_key="k", http_options=HttpOptions(base_url=server.url))
        agent = Agent(model=Gemini(id="gemini-2.5-flash", client=client), telemetry=False)
        async for last in agent.arun("x", stream=True, yield_run_output=True):
            pass
    return {"output": last.metrics.output_tokens, "total": last.metrics.total_tokens}


report({"output": 103, "total": 113}, asyncio.run(main()), {"output": 3, "total": 13})
PYTHON
