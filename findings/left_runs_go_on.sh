#!/usr/bin/env bash
# The reader of a streamed agent's run leaves at the first text. In openai-agents `aclose()` of the events waits for the
# rest of the run, and in LlamaIndex a left run goes on unseen: the model writes to its end, the tool is run, and the
# model is asked again. LangChain and Strands stop at once.
source "$(dirname "$0")/support/setup.sh"
install langchain==1.5.2 langchain-openai==1.7.4 llama-index-core==0.14.25 openai-agents==0.24.0 strands-agents==1.62.0
install_alone llama-index-llms-openai==0.8.3
python <<'PYTHON'
import asyncio
import logging
from contextlib import aclosing

import strands
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from canned import answering, report
from chat import DONE, event
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from openai import AsyncOpenAI
from strands.models.openai import OpenAIModel

logging.disable(logging.CRITICAL)
set_tracing_disabled(True)
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 5}'}}
WORDS = [event({"role": "assistant", "content": "word "})] * 20
PIECES = [*WORDS, event({"tool_calls": [CALL]}), event({}, "tool_calls") + DONE]
payments = []


def pay(amount: int) -> str:
    """Pay."""
    payments.append(amount)
    return "paid"


async def langchain(url):
    agent = create_agent(ChatOpenAI(model="m", base_url=url, api_key="k"), tools=[pay])
    question = {"messages": [{"role": "user", "content": "x"}]}
    async with aclosing(agent.astream(question, {"recursion_limit": 3}, stream_mode="messages")) as events:
        async for message, _ in events:
            if message.content:
                return


async def strands_agents(url):
    model = OpenAIModel(client_args={"base_url": url, "api_key": "k"}, model_id="m")
    agent = strands.Agent(model=model, tools=[strands.tool(pay)], callback_handler=None)
    async with aclosing(agent.stream_async("x")) as events:
        async for one in events:
            if one.get("data"):
                return


async def openai_agents(url):
    model = OpenAIChatCompletionsModel("m", AsyncOpenAI(base_url=url, api_key="k"))
    run = Runner.run_streamed(Agent("a", tools=[function_tool(pay)], model=model), "x", max_turns=2)
    async with aclosing(run.stream_events()) as events:
        async for one in events:
            if getattr(getattr(one, "data", None), "type", "") == "response.output_text.delta":
                return


async def llama_index(url):
    model = OpenAI(model="gpt-4o", api_base=url, api_key="k")
    run = FunctionAgent(tools=[FunctionTool.from_defaults(pay)], llm=model).run("x", max_iterations=2)
    async with aclosing(run.stream_events()) as events:
        async for one in events:
            if isinstance(one, AgentStream) and one.delta:
                return


async def after_leaving(run):
    payments.clear()
    with answering(*PIECES, pause=0.05) as server:
        await run(server.url)
        await asyncio.sleep(3)
        return {"requests": len(server.requests), "payments": payments[:1]}


async def main():
    return {run.__name__: await after_leaving(run) for run in (langchain, strands_agents, openai_agents, llama_index)}


stopped, went_on = {"requests": 1, "payments": []}, {"requests": 2, "payments": [5]}
described = {"langchain": stopped, "strands_agents": stopped, "openai_agents": went_on, "llama_index": went_on}
report("one request and no payment, each time", asyncio.run(main()), described)
PYTHON
