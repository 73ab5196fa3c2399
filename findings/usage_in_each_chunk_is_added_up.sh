#!/usr/bin/env bash
# Some servers (xAI, Perplexity, vLLM with `continuous_usage_stats`) count tokens in each chunk of a stream, each time for
# the whole answer so far. Three frameworks add the counts up, and so report a multiple of what the answer took.
source "$(dirname "$0")/support/setup.sh"
install agno==3.1.10 langchain-openai==1.7.4 smolagents==1.26.0 openai==2.54.0
python <<'PYTHON'
import asyncio

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from canned import answering, report
from chat import DONE, MESSAGES, event
from langchain_openai import ChatOpenAI
from openai import OpenAI
from smolagents import OpenAIServerModel
from smolagents.models import ChatMessage, MessageRole, agglomerate_stream_deltas


def counted(text, count, finish=None):
    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": 10 + count}
    return event({"role": "assistant", "content": text}, finish, usage=usage)


ANSWER = counted("a", 1) + counted("b", 2) + counted("", 2, "stop") + DONE


async def openai(url):
    with OpenAI(base_url=url, api_key="k").chat.completions.stream(model="m", messages=MESSAGES) as stream:
        usage = stream.get_final_completion().usage
    return usage.prompt_tokens, usage.completion_tokens


async def langchain(url):
    model = ChatOpenAI(model="m", base_url=url, api_key="k", stream_usage=True)
    whole = None
    async for chunk in model.astream("x"):
        whole = chunk if whole is None else whole + chunk
    return whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]


async def agno(url):
    agent = Agent(model=OpenAIChat(id="m", base_url=url, api_key="k"), telemetry=False)
    async for last in agent.arun("x", stream=True, yield_run_output=True):
        pass
    return last.metrics.input_tokens, last.metrics.output_tokens


async def smolagents(url):
    model = OpenAIServerModel("m", api_base=url, api_key="k")
    deltas = list(model.generate_stream([ChatMessage(role=MessageRole.USER, content="x")]))
    usage = agglomerate_stream_deltas(deltas).token_usage
    return usage.input_tokens, usage.output_tokens


async def main():
    with answering(ANSWER) as server:
        return {one.__name__: await one(server.url) for one in (openai, langchain, agno, smolagents)}


described = dict.fromkeys(["openai", "langchain", "agno", "smolagents"], (30, 5)) | {"openai": (10, 2)}
report("(10, 2) from each: tokens in and out", asyncio.run(main()), described)
PYTHON
