"""Those that answer the same question over Chat Completions: a loop written by hand, cogent, and other libraries.

Each function takes the server's address, the model's name and the tools, and returns a coroutine function that asks
once and hands on each piece of the text. It has no more state than its library needs, and one client for all that it
asks, where the library allows it. Nothing is imported before a function is called, as each runs in an environment of
its own, where the others are not installed.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from answers import QUESTION

Heard = Callable[[str], object]
Ask = Callable[[Heard], Awaitable[None]]
Tools = Sequence[Callable[[str], Awaitable[str]]]

PACKAGES = {
    "pydantic_ai": ["pydantic-ai-slim[openai]"],
    "openai_agents": ["openai-agents"],
    "langchain": ["langchain", "langchain-openai"],
    "litellm": ["litellm"],
    "any_llm": ["any-llm-sdk[openai]"],
    "agno": ["agno", "openai"],
    "llm": ["llm"],
    "chatlas": ["chatlas", "openai"],
    "strands": ["strands-agents[openai]"],
}
"""What the registry calls them, their own package first."""

PARAMETERS = {
    "type": "object",
    "properties": {"asked": {"type": "string"}},
    "required": ["asked"],
}


def by_hand(url: str, model: str, tools: Tools) -> Ask:
    from openai import AsyncOpenAI

    create = AsyncOpenAI(
        api_key="none", base_url=url, max_retries=0
    ).chat.completions.create
    return _loop(create, tools, model=model, stream_options={"include_usage": True})


def _loop(create: Callable[..., Awaitable[Any]], tools: Tools, **options: Any) -> Ask:
    """What has to be written where there are typed chunks and nothing else."""
    named = {tool.__name__: tool for tool in tools}
    functions = [
        {"name": name, "description": tool.__doc__, "parameters": PARAMETERS}
        for name, tool in named.items()
    ]
    if functions:
        options["tools"] = [
            {"type": "function", "function": function} for function in functions
        ]

    async def ask(heard: Heard) -> None:
        messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
        calls: dict[int, dict[str, Any]] | None = None
        while calls is None or calls:
            calls = {}
            async for chunk in await create(messages=messages, stream=True, **options):
                if not chunk.choices:
                    continue
                delta = chunk.choices[0].delta
                if delta.content:
                    heard(delta.content)
                for call in delta.tool_calls or ():
                    new = {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": ""},
                    }
                    calls.setdefault(call.index, new)["function"]["arguments"] += (
                        call.function.arguments or ""
                    )
            messages.append({"role": "assistant", "tool_calls": [*calls.values()]})
            for call in calls.values():
                output = await named[call["function"]["name"]](
                    **json.loads(call["function"]["arguments"])
                )
                messages.append(
                    {"role": "tool", "tool_call_id": call["id"], "content": output}
                )

    return ask


def by_hand_over(provider: str, url: str, model: str, tools: Tools) -> Ask:
    """The loop written by hand over another SDK, for text alone."""
    from by_hand import protocol

    loops = protocol(provider)
    client = loops.connect(url)
    request = loops.request([{"role": "user", "content": QUESTION}], [])

    async def ask(heard: Heard) -> None:
        await loops.text(client, heard, model=model, **request)

    return ask


def cogent(url: str, model: str, tools: Tools, provider: str = "openai-chat") -> Ask:
    from cogent import Agent, Model

    agent = Agent(
        "benchmark",
        Model(f"{provider}:{model}", api_key="none", base_url=url),
        tools=tools,
    )

    async def ask(heard: Heard) -> None:
        async with agent.run_stream(QUESTION) as stream:
            async for chunk in stream:
                if chunk.content:
                    heard(chunk.content)

    return ask


def pydantic_ai(url: str, model: str, tools: Tools) -> Ask:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    agent = Agent(
        OpenAIChatModel(model, provider=OpenAIProvider(base_url=url, api_key="none")),
        tools=tools,
    )

    async def ask(heard: Heard) -> None:
        async with agent.run_stream(QUESTION) as stream:
            async for text in stream.stream_text(delta=True, debounce_by=None):
                heard(text)

    return ask


def openai_agents(url: str, model: str, tools: Tools) -> Ask:
    from agents import (
        Agent,
        OpenAIChatCompletionsModel,
        Runner,
        function_tool,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    chat = OpenAIChatCompletionsModel(
        model, AsyncOpenAI(api_key="none", base_url=url, max_retries=0)
    )
    agent = Agent(
        "benchmark", model=chat, tools=[function_tool(tool) for tool in tools]
    )

    async def ask(heard: Heard) -> None:
        async for event in Runner.run_streamed(agent, QUESTION).stream_events():
            if (
                event.type == "raw_response_event"
                and event.data.type == "response.output_text.delta"
            ):
                heard(event.data.delta)

    return ask


def langchain(url: str, model: str, tools: Tools) -> Ask:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        model=model, api_key="none", base_url=url, max_retries=0, stream_usage=True
    )
    if not tools:

        async def ask(heard: Heard) -> None:
            async for chunk in chat.astream(QUESTION):
                if chunk.content:
                    heard(chunk.content)

        return ask

    from langchain.agents import create_agent

    agent = create_agent(chat, tools=list(tools))

    async def ask_agent(heard: Heard) -> None:
        question = {"messages": [{"role": "user", "content": QUESTION}]}
        async for chunk, _ in agent.astream(question, stream_mode="messages"):
            if chunk.type == "AIMessageChunk" and chunk.content:
                heard(chunk.content)

    return ask_agent


def litellm(url: str, model: str, tools: Tools) -> Ask:
    from litellm import acompletion

    usage = {"include_usage": True}
    return _loop(
        acompletion,
        tools,
        model=f"openai/{model}",
        api_base=url,
        api_key="none",
        stream_options=usage,
    )


def any_llm(url: str, model: str, tools: Tools) -> Ask:
    from any_llm import AnyLLM

    create = AnyLLM.create("openai", api_key="none", api_base=url).acompletion
    return _loop(create, tools, model=model, stream_options={"include_usage": True})


def agno(url: str, model: str, tools: Tools) -> Ask:
    from agno.agent import Agent
    from agno.models.openai.like import OpenAILike

    chat = OpenAILike(id=model, api_key="none", base_url=url, max_retries=0)
    agent = Agent(model=chat, tools=list(tools), telemetry=False)

    async def ask(heard: Heard) -> None:
        async for event in agent.arun(QUESTION, stream=True):
            if event.event == "RunContent" and event.content:
                heard(event.content)

    return ask


def llm(url: str, model: str, tools: Tools) -> Ask:
    from llm.default_plugins.openai_models import AsyncChat

    chat = AsyncChat(model, model_name=model, api_base=url, supports_tools=True)

    async def ask(heard: Heard) -> None:
        async for text in chat.chain(QUESTION, key="none", tools=list(tools)):
            heard(text)

    return ask


def chatlas(url: str, model: str, tools: Tools) -> Ask:
    from chatlas import Chat, ChatOpenAICompletions

    provider = ChatOpenAICompletions(base_url=url, model=model, api_key="none").provider

    async def ask(heard: Heard) -> None:
        chat: Any = Chat(provider)  # it remembers what was said
        for tool in tools:
            chat.register_tool(tool)
        async for text in await chat.stream_async(QUESTION, echo="none"):
            if text.strip():  # it sets what follows a tool apart by an empty line
                heard(text)

    return ask


def strands(url: str, model: str, tools: Tools) -> Ask:
    from openai import AsyncOpenAI
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    chat = OpenAIModel(
        AsyncOpenAI(api_key="none", base_url=url, max_retries=0), model_id=model
    )
    decorated = [tool(function) for function in tools]

    async def ask(heard: Heard) -> None:
        agent = Agent(
            chat, tools=decorated, callback_handler=None
        )  # it remembers what was said, and asks one thing
        async for event in agent.stream_async(QUESTION):
            if "data" in event:
                heard(event["data"])

    return ask
