#!/usr/bin/env bash
# A model that reaches its token limit within the arguments of a tool call stops with the finish reason `length`, and the
# JSON is without its end. LangChain's agent mends the piece and runs the tool with half a text, and LlamaIndex's drops the
# parameter that was cut and runs the tool with None in its place.
source "$(dirname "$0")/support/setup.sh"
install langchain==1.5.2 langchain-openai==1.7.4 llama-index-core==0.14.25 llama-index-llms-openai==0.8.3
python <<'PYTHON'
import asyncio
import logging

from canned import answering, report
from chat import DONE, event
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

logging.disable(logging.CRITICAL)
CUT = '{"text": "Keep the first line, delete the'
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "save", "arguments": CUT}}
ANSWER = event({"role": "assistant", "tool_calls": [CALL]}) + event({}, "length") + DONE
saved = []


def save(text: str) -> str:
    """Save a text.

    Args:
        text: What to save.
    """
    saved.append(text)
    return "saved"


async def langchain(url):
    agent = create_agent(ChatOpenAI(model="m", base_url=url, api_key="k"), tools=[save])
    question = {"messages": [{"role": "user", "content": "x"}]}
    async for _ in agent.astream(question, {"recursion_limit": 3}, stream_mode="messages"):
        pass


async def llama_index(url):
    model = OpenAI(model="gpt-4o", api_base=url, api_key="k")
    await FunctionAgent(tools=[FunctionTool.from_defaults(save)], llm=model).run("x", max_iterations=2)


async def first_saved(run):
    saved.clear()
    with answering(ANSWER) as server:
        try:
            await run(server.url)
        except Exception as error:  # noqa: BLE001  # each one's own limit of turns
            print(type(error).__name__)
    return saved[:1]


async def main():
    return {run.__name__: await first_saved(run) for run in (langchain, llama_index)}


described = {"langchain": ["Keep the first line, delete the"], "llama_index": [None]}
report("[] for both: the tool is not run", asyncio.run(main()), described)
PYTHON
