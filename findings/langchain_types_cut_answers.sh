#!/usr/bin/env bash
# LangChain's `with_structured_output`, where the model reached its token limit within the answer. Streamed, the cut JSON is
# mended, and the object passes for a whole one, its text cut in a word; awaited by `ainvoke`, it is None. Nothing is raised.
source "$(dirname "$0")/support/setup.sh"
install langchain-openai==1.7.4
python <<'PYTHON'
import asyncio
import json

from canned import answering, report
from chat import DONE, event
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Verdict(BaseModel):
    decision: str
    reason: str


CUT = '{"decision": "approve", "reason": "All is paid, unl'
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "Verdict", "arguments": CUT}}
MESSAGE = {"role": "assistant", "content": None, "tool_calls": [CALL]}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "length"}
BODY = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}).encode()


def typed(server):
    model = ChatOpenAI(model="m", base_url=server.url, api_key="k")
    return model.with_structured_output(Verdict, method="function_calling")


async def main():
    with answering(event(MESSAGE), event({}, "length"), DONE) as server:
        async for streamed in typed(server).astream("x"):
            pass
    with answering(BODY, content_type="application/json") as server:
        awaited = await typed(server).ainvoke("x")
    return {"astream": streamed.model_dump(), "ainvoke": awaited}


described = {"astream": {"decision": "approve", "reason": "All is paid, unl"}, "ainvoke": None}
report("an error from both", asyncio.run(main()), described)
PYTHON
