"""What type checkers see of the public API; this file is checked by mypy and never run.

Each `type: ignore` with a code is an expectation too: mypy reports it as unused where no such error is found.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypedDict, assert_type

from cogent import (
    Agent,
    AgentStream,
    File,
    Image,
    Message,
    Model,
    ModelError,
    Response,
    RunContext,
    StreamChunk,
    Timeout,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolError,
    ToolResult,
    TurnSummary,
    Usage,
    tool,
)
from cogent.providers import Answer, Client, Events, Provider, Request
from cogent.run.finish import FinishWords
from cogent.testing import Cut, Delay, Reasoning, ScriptedModel, record, replay
from cogent.transport.event_stream import SdkReader

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@tool
def search(query: str, limit: int = 5) -> str:
    return f"{limit} results for {query}"


@tool(name="other", timeout=2.5, on_error="raise", sequential=True, run_in_thread=False)
def weigh(item: str, *, grams: bool) -> float:
    return 1.0 if grams else 0.001


@tool
async def fetch(url: str) -> bytes:
    return url.encode()


@tool
def remember(key: str, ctx: RunContext) -> None:
    assert_type(ctx["user"], Any)
    ctx[key] = len(ctx)


@tool
def recall(key: str, ctx: RunContext | None = None) -> str | None:
    return None if ctx is None else str(ctx.get(key))


def plain(query: str) -> str:
    return query


class Shop:
    @tool
    def price(self, item: str) -> float:
        return float(len(item))

    @tool(timeout=1)
    async def order(self, item: str) -> int:
        return len(item)

    def stock(self, item: str) -> int:
        return len(item)


def a_decorated_function_keeps_its_signature() -> None:
    as_function: Callable[[str, int], str] = search
    assert_type(search("AI"), str)
    assert_type(search(query="AI", limit=3), str)
    assert_type(weigh("tea", grams=True), float)
    assert_type(as_function("AI", 3), str)
    search()  # type: ignore[call-arg]
    search(3)  # type: ignore[arg-type]
    search("AI", size=3)  # type: ignore[call-arg]
    weigh("tea", True)  # type: ignore[call-arg]


async def a_decorated_async_function_is_still_awaited() -> None:
    as_function: Callable[[str], Awaitable[bytes]] = fetch
    assert_type(await fetch("x"), bytes)
    assert_type(await as_function("x"), bytes)
    await fetch(3)  # type: ignore[arg-type]


def a_tool_has_typed_attributes() -> None:
    assert_type(search.name, str)
    assert_type(search.description, str)
    assert_type(search.parameters, dict[str, Any])
    assert_type(weigh.timeout, float | None)
    assert_type(weigh.on_error, Literal["return", "raise"])


async def a_decorated_method_keeps_its_result() -> None:
    shop = Shop()
    assert_type(shop.price, Tool[..., float])
    assert_type(shop.price("tea"), float)
    assert_type(await shop.order("tea"), int)


def a_context_is_a_dict_where_a_tool_is_called_by_hand() -> None:
    remember("k", {"user": 1})
    assert_type(recall("k"), str | None)
    assert_type(recall("k", {"user": 1}), str | None)
    remember("k", "user")  # type: ignore[arg-type]
    # pyright calls no alias; at run time, and for mypy, this is the dict itself.
    remember("k", RunContext({"user": 1}))  # pyright: ignore[reportCallIssue]


@dataclass
class Till:
    limit: int


@tool
def pay(amount: int, till: RunContext[Till]) -> str:
    assert_type(till, Till)
    return str(amount <= till.limit)


@tool
def count(till: RunContext[Till] | None = None) -> int:
    assert_type(till, Till | None)
    return 0 if till is None else till.limit


async def a_context_may_be_any_object(agent: Agent) -> None:
    pay(3, Till(5))
    count()
    pay(3, {"limit": 5})  # type: ignore[arg-type]
    await agent.run("Hi", context=Till(5))
    agent.run_stream("Hi", context={"user": 1})
    Agent("a", "local", tools=[pay, count], approve=may_pay)


def may_pay(call: ToolCall, till: Till) -> bool | str:
    return till.limit > 3 or f"{call.name} is over the limit"


def senseless_options_are_found() -> None:
    tool(on_error="ignore")  # type: ignore[call-overload]
    tool(retries=3)  # type: ignore[call-overload]
    tool(3)  # type: ignore[call-overload]


def an_agent_takes_tools_methods_and_plain_functions() -> None:
    shop = Shop()
    Agent("a", "gpt-5.4")
    Agent(
        "a",
        Model("gpt-5.4", temperature=0.5, extra={"seed": 1}),
        timeout=Timeout(first=1, stall=2.5),
    )
    Agent(
        "a",
        "gpt-5.4",
        tools=(search, fetch),
        instructions="Be brief.",
        stream=True,
        max_steps=3,
        timeout=2.5,
    )
    mixed: list[Tool[..., Any] | Callable[..., Any]] = [search, plain]
    Agent("a", "gpt-5.4", tools=mixed)
    Agent(
        "a",
        "gpt-5.4",
        tools=[
            search,
            fetch,
            remember,
            plain,
            shop.price,
            shop.order,
            shop.stock,
            lambda x: x,
        ],
    )
    Agent("a", "gpt-5.4", tools=[3])  # type: ignore[list-item]
    Agent("a", 5)  # type: ignore[arg-type]
    Agent("a", "gpt-5.4", None, [search])  # type: ignore[call-arg]


def an_agent_takes_a_list_of_models() -> None:
    agent = Agent("a", ["gpt-5.4", Model("anthropic:claude-sonnet-5-5")])
    names: list[str] = ["gpt-5.4", "gemini-3-flash"]
    Agent("a", names)
    assert_type(agent.model, Model)
    assert_type(agent.models, tuple[Model, ...])
    with agent.override(model="local"), agent.override(model=names):
        pass
    Agent("a", [5])  # type: ignore[list-item]
    agent.override("local")  # type: ignore[call-arg]


async def a_scripted_model_is_a_model(agent: Agent) -> None:
    model = ScriptedModel(
        ["Hel", Reasoning("Hm."), ToolCall("c1", "add", {}), Delay(0.1), Cut()],
        ModelError("It broke."),
        Till(3),
        max_retries=1,
    )
    any_model: Model = model
    assert_type(model.requests, list[Request])
    assert_type(model.unplayed, int)
    with agent.override(model=any_model), record("a.jsonl"):
        await agent.run("Hi")
    with replay(Path("a.jsonl"), speed=1.5, cut_at=3, stall_at=None):
        await agent.run("Hi")
    replay("a.jsonl", cut="3")  # type: ignore[call-arg]


async def a_run_gives_a_response(agent: Agent, history: list[Message]) -> None:
    response = await agent.run("Hi", context={"user": 1}, history=history)
    assert_type(response, Response)
    assert_type(response.content, str)
    assert_type(response.finish_reason, FinishReason | None)
    assert_type(response.metadata, dict[str, Any])
    assert_type(response.messages, list[Message])
    assert_type(response.tool_calls, list[ToolCall])
    assert_type(response.tool_calls[0].result, ToolResult | None)
    assert_type(response.turns, list[TurnSummary])
    assert_type(response.turns[0].usage, Usage)
    await agent.run("Go on", history=response.messages)
    await agent.run("Go on", history=[{"role": "user", "content": "Hi"}])
    await agent.run("Hi", {"user": 1})  # type: ignore[call-arg]


async def a_streamed_run_gives_chunks(agent: Agent) -> None:
    async for chunk in agent.run_stream("Hi", context={"user": 1}, history=None):
        assert_type(chunk, StreamChunk)
        assert_type(chunk.content, str)
        assert_type(chunk.reasoning, str)
        assert_type(chunk.is_final, bool)
        assert_type(chunk.finish_reason, FinishReason | None)
        assert_type(chunk.metadata, dict[str, Any] | None)
        assert_type(chunk.tool_call, ToolCallDelta | None)
        assert_type(chunk.tool_result, ToolResult | None)
        if chunk.finish_reason == "done":  # type: ignore[comparison-overlap]
            break


async def a_stream_is_a_handle(agent: Agent) -> None:
    async with agent, agent.run_stream("Hi") as stream:
        assert_type(stream, AgentStream)
        assert_type([chunk.content async for chunk in stream], list[str])
        stream.cancel()
        await stream.aclose()
    assert_type(stream.response, Response)


def errors_have_typed_details(failed: ModelError, tool_failed: ToolError) -> None:
    assert_type(failed.retryable, bool)
    assert_type(failed.retry_after, float | None)
    assert_type(failed.partial, Response | None)
    assert_type(tool_failed.partial, Response | None)


@tool
def draw(color: str) -> list[str | Image]:
    return [color, Image(b"...", "image/png")]


async def a_message_is_a_string_or_a_list_with_images_and_files(agent: Agent) -> None:
    bill = File("invoice.pdf", name="invoice")
    assert_type(await agent.run(["Look", Image("photo.png"), bill]), Response)
    agent.run_stream(["Only", "texts"])
    agent.run_stream((File(b"..."), "a tuple"))
    agent.run_stream([Image("photo.png")])
    agent.run_stream([b"bytes"])  # type: ignore[list-item]
    agent.run_stream(Image("photo.png"))  # type: ignore[arg-type]
    Image(5)  # type: ignore[arg-type]


def images_and_files_have_typed_attributes(
    message: Message, result: ToolResult
) -> None:
    image, file = Image("photo.png"), File("invoice.pdf")
    assert_type(image.data, bytes | None)
    assert_type(image.url, str | None)
    assert_type(image.media_type, str | None)
    assert_type(file.name, str | None)
    assert_type(message.parts, list[str | Image | File])
    assert_type(result.parts, list[str | Image | File])
    image.media_type = "image/png"  # type: ignore[misc]


def responses_are_stored_as_json(response: Response) -> None:
    assert_type(response.to_dict(), dict[str, Any])
    assert_type(Response.from_dict(response.to_dict()), Response)


class Lines:
    is_complete = False

    def decode(self, line: str) -> list[StreamChunk]:
        return [StreamChunk(line)]

    def close(self) -> list[StreamChunk]:
        return []


class Echo:
    SDK_READER: SdkReader | None = None
    FINISH_WORDS: FinishWords = MappingProxyType({"fine": "stop"})
    ERROR_CODES: Mapping[str, type[ModelError]] = MappingProxyType({})
    make_decoder = Lines

    def make_client(self, model: Model, timeout: Timeout) -> Client:
        return Client(self, model.base_url)

    def encode_request(self, request: Request) -> dict[str, Any]:
        return {"model": request.model.name, "text": request.messages[-1].content}

    async def open_stream(
        self, own: object, request: Request, arguments: dict[str, Any]
    ) -> Events:
        raise NotImplementedError

    async def ask(
        self, own: object, request: Request, arguments: dict[str, Any]
    ) -> Answer:
        return arguments, {}

    def decode_response(self, said: dict[str, str]) -> list[StreamChunk]:
        return [StreamChunk(said["text"])]


def a_model_takes_a_provider_of_the_users() -> None:
    model = Model("echo:small", provider=Echo())
    assert_type(model.provider, str)
    assert_type(model.own_provider, Provider | None)
    Model("echo:small", provider=Lines())  # type: ignore[arg-type]


class Invoice(TypedDict):
    number: str


async def an_output_type_is_the_type_of_the_output(agent: Agent) -> None:
    typed = Agent("a", "local", output_type=Invoice)
    assert_type(typed, Agent[Invoice])
    assert_type((await typed.run("Go")).output, Invoice)
    stream = typed.run_stream("Go")
    assert_type(stream, AgentStream[Invoice])
    assert_type(stream.response, Response[Invoice])
    assert_type(stream.partial, Any)
    assert_type(await stream.show(), Response[Invoice])
    assert_type(typed.stream_sync("Go").show(), Response[Invoice])
    assert_type(Agent("a", "local", output_type=list[int]), Agent[list[int]])
    assert_type(await agent.run("Go"), Response[Any])
    assert_type(await agent.run("Go", output_type=Invoice), Response[Any])


def what_is_no_class_is_told_by_an_annotation() -> None:
    answer: Agent[Literal["yes", "no"]] = Agent(
        "a", "local", output_type=Literal["yes", "no"]
    )
    either: Agent[int | str] = Agent("a", "local", output_type=int | str)
    any_agent: Agent = either
    assert_type(answer.run_stream("Go").response.output, Literal["yes", "no"])
    assert_type(any_agent, Agent[Any])


async def another_type_than_that_of_the_agent_is_found(agent: Agent[Invoice]) -> None:
    await agent.run("Go", output_type=int)  # type: ignore[arg-type]
