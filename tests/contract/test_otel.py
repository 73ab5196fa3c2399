"""Spans and metrics of runs, as OpenTelemetry's own SDK records and exports them."""

import asyncio
import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Wire
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names
from opentelemetry.trace import SpanKind, StatusCode
from support.loopback import Loopback, Reply
from support.scene import JSON, refusal, whole
from support.tool_runs import CHAT, ask
from support.waiting import until
from support.wire import anthropic_messages

from cogent import Agent, AuthenticationError, ConfigurationError, Model, Usage, tool
from cogent.otel import OTel
from cogent.otel.attributes import of_usage

ADD = ("c1", "add", '{"a": 1, "b": 2}')
PROVIDERS = {
    "openai": "openai",
    "openai-chat": "openai",
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
}


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Telemetry:
    """What an application sets up, and what comes of it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def observer(self, content: bool = False) -> OTel:
        """An observer that reports here."""
        return OTel(content, tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order in which they began."""
        ended = self.exporter.get_finished_spans()
        return sorted(ended, key=lambda span: span.start_time or 0)

    def span(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def telemetry() -> Telemetry:
    """For one test."""
    return Telemetry()


def has(span: ReadableSpan, **attributes: object) -> None:
    """Check attributes, whose names are those of the constants of the conventions."""
    for constant, value in attributes.items():
        assert (span.attributes or {}).get(getattr(names, constant)) == value, constant


async def read(agent: Agent, message: str = "Go") -> None:
    """Read a stream to its end."""
    async with agent:
        async for _ in agent.run_stream(message):
            assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "plain"])
async def test_a_run_is_a_tree_of_spans(
    server: Loopback, wire: Wire, telemetry: Telemetry, streamed: bool
) -> None:
    """The run, its turns and its tools, with the conventions' names, on every provider."""
    build = wire.send.tool_calls if streamed else wire.send.plain_tool_calls
    mime = wire.mime if streamed else JSON
    server.reply(
        Reply(build(ADD), content_type=mime), whole(wire, "Three", streaming=streamed)
    )
    agent = wire.agent(
        server,
        tools=[add],
        observers=[telemetry.observer()],
        model={"max_tokens": 9, "temperature": 0.5},
    )
    if streamed:
        await read(agent)
    else:
        async with agent:
            await agent.run("Go")
    assert [span.name for span in telemetry.spans] == [
        "invoke_agent tester",
        "chat gpt-test",
        "execute_tool add",
        "chat gpt-test",
    ]
    run, first, called, last = telemetry.spans
    assert run.parent is None
    for span in (first, called, last):
        assert span.parent is not None and run.context is not None
        assert span.parent.span_id == run.context.span_id
    assert [span.kind for span in telemetry.spans] == [
        SpanKind.INTERNAL,
        SpanKind.CLIENT,
        SpanKind.INTERNAL,
        SpanKind.CLIENT,
    ]
    provider = PROVIDERS.get(wire.provider, wire.provider)
    has(
        run,
        GEN_AI_OPERATION_NAME="invoke_agent",
        GEN_AI_AGENT_NAME="tester",
        GEN_AI_PROVIDER_NAME=provider,
        GEN_AI_REQUEST_MODEL="gpt-test",
        GEN_AI_RESPONSE_FINISH_REASONS=("stop",),
        GEN_AI_USAGE_INPUT_TOKENS=22,
        GEN_AI_USAGE_OUTPUT_TOKENS=14,
    )
    has(
        first,
        GEN_AI_OPERATION_NAME="chat",
        GEN_AI_PROVIDER_NAME=provider,
        GEN_AI_REQUEST_MODEL="gpt-test",
        GEN_AI_REQUEST_STREAM=streamed,
        GEN_AI_REQUEST_MAX_TOKENS=9,
        GEN_AI_REQUEST_TEMPERATURE=0.5,
        GEN_AI_RESPONSE_MODEL="gpt-test",
        GEN_AI_RESPONSE_FINISH_REASONS=("tool_calls",),
        GEN_AI_USAGE_INPUT_TOKENS=11,
        GEN_AI_USAGE_OUTPUT_TOKENS=7,
    )
    assert (first.attributes or {})["server.address"] == "127.0.0.1"
    first_chunk = (first.attributes or {}).get(
        names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK
    )
    assert (first_chunk is not None) == streamed
    has(
        called,
        GEN_AI_OPERATION_NAME="execute_tool",
        GEN_AI_TOOL_NAME="add",
        GEN_AI_TOOL_TYPE="function",
        GEN_AI_TOOL_DESCRIPTION="Add two numbers.",
    )
    assert {span.status.status_code for span in telemetry.spans} == {StatusCode.UNSET}
    assert "Three" not in str([dict(span.attributes or {}) for span in telemetry.spans])
    durations = telemetry.points("gen_ai.client.operation.duration")
    assert [(point.count, point.explicit_bounds[0]) for point in durations] == [
        (2, 0.01)
    ]
    tokens = telemetry.points("gen_ai.client.token.usage")
    sums = {point.attributes[names.GEN_AI_TOKEN_TYPE]: point.sum for point in tokens}
    assert sums == {"input": 22, "output": 14}
    assert tokens[0].explicit_bounds[:3] == (1, 4, 16)
    waits = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
    assert [point.count for point in waits] == ([2] if streamed else [])


async def test_usage_of_the_cache_and_of_reasoning(
    server: Loopback, telemetry: Telemetry
) -> None:
    """They are told beside the totals that include them."""
    body = CHAT.send.text("Hi", usage=(100, 20), cached=80, reasoning_tokens=12)
    server.reply(Reply(body))
    await read(CHAT.agent(server, observers=[telemetry.observer()]))
    for span in telemetry.spans:
        has(
            span,
            GEN_AI_USAGE_INPUT_TOKENS=100,
            GEN_AI_USAGE_OUTPUT_TOKENS=20,
            GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS=80,
            GEN_AI_USAGE_REASONING_OUTPUT_TOKENS=12,
        )


def test_tokens_written_to_a_cache_stand_under_both_names() -> None:
    """That of the published constants, and the one that the conventions have had since."""
    told = of_usage(Usage(input_tokens=10, output_tokens=1, cache_write_tokens=4))
    assert told[names.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS] == 4
    assert told["gen_ai.usage.cache_write.input_tokens"] == 4


async def test_content_stands_in_spans_when_asked_for(
    server: Loopback, telemetry: Telemetry
) -> None:
    """Messages in the form of the conventions, instructions, tools, arguments and results."""
    ask(server, ADD)
    await read(
        CHAT.agent(
            server,
            tools=[add],
            instructions="Be brief.",
            observers=[telemetry.observer(content=True)],
        )
    )
    *_, last = telemetry.spans
    found = {name: str(value) for name, value in (last.attributes or {}).items()}
    sent = json.loads(found[names.GEN_AI_INPUT_MESSAGES])
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[0]["parts"] == [{"type": "text", "content": "Go"}]
    assert sent[1]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1, "b": 2}}
    ]
    assert sent[2]["parts"] == [
        {"type": "tool_call_response", "id": "c1", "response": "3"}
    ]
    assert json.loads(found[names.GEN_AI_OUTPUT_MESSAGES]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "Done"}],
            "finish_reason": "stop",
        }
    ]
    assert "Be brief." in found[names.GEN_AI_SYSTEM_INSTRUCTIONS]
    assert json.loads(found[names.GEN_AI_TOOL_DEFINITIONS])[0]["name"] == "add"
    called = telemetry.span("execute_tool add")
    has(
        called,
        GEN_AI_TOOL_CALL_ARGUMENTS='{"a": 1, "b": 2}',
        GEN_AI_TOOL_CALL_RESULT="3",
    )


# Ends


async def test_errors_mark_the_spans_that_they_end(
    server: Loopback, telemetry: Telemetry
) -> None:
    """By their type, without their text, which may repeat what was said."""
    server.reply(refusal(CHAT, 401, message="Wrong."))
    with pytest.raises(AuthenticationError):
        await read(CHAT.agent(server, observers=[telemetry.observer()]))
    assert len(telemetry.spans) == 2
    for span in telemetry.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "AuthenticationError"
        assert "Wrong" not in span.to_json()
        assert names.GEN_AI_USAGE_INPUT_TOKENS not in (span.attributes or {})
    [point] = telemetry.points("gen_ai.client.operation.duration")
    assert point.attributes["error.type"] == "AuthenticationError"
    assert telemetry.points("gen_ai.client.token.usage") == []


async def test_retries_and_fall_backs_are_events_of_the_turn(
    server: Loopback, telemetry: Telemetry
) -> None:
    """The span goes over to the model that answers."""
    server.reply(
        refusal(CHAT, 503, {"retry-after": "0"}), refusal(CHAT, 401), whole(CHAT, "Hi")
    )
    first, second = (
        Model(f"openai-chat:{name}", base_url=server.url, api_key="key", max_retries=1)
        for name in ("first", "second")
    )
    await read(Agent("tester", [first, second], observers=[telemetry.observer()]))
    span = telemetry.span("chat second")
    events = {event.name: dict(event.attributes or {}) for event in span.events}
    assert events == {
        "cogent.retry": {
            "error.type": "Overloaded",
            "http.response.status_code": 503,
            "cogent.retry.wait": 0.0,
        },
        "cogent.fallback": {
            "error.type": "AuthenticationError",
            "http.response.status_code": 401,
            "gen_ai.request.model": "second",
        },
    }
    has(span, GEN_AI_REQUEST_MODEL="second")
    assert span.status.status_code is StatusCode.UNSET


def begin(server: Loopback) -> None:
    """The server sends "One" of an answer, and then nothing."""
    events = CHAT.send.text("One", "Two")
    place = next(place for place, event in enumerate(events) if b"One" in event)
    server.reply(Reply(events[: place + 1], end="stall"))


@pytest.mark.parametrize("how", ["break", "cancelled task"])
async def test_a_run_that_is_left_is_no_error(
    server: Loopback, telemetry: Telemetry, how: str
) -> None:
    """Its spans end at once, without a finish reason; what it cost is marked as an estimate."""
    begin(server)
    async with CHAT.agent(server, observers=[telemetry.observer()]) as agent:
        began = asyncio.Event()

        async def consume() -> None:
            async for _ in agent.run_stream("Go"):
                began.set()
                if how == "break":
                    break

        task = asyncio.create_task(consume())
        await began.wait()
        if how != "break":
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await until(lambda: len(telemetry.spans) == 2)
    for span in telemetry.spans:
        found = span.attributes or {}
        assert span.status.status_code is StatusCode.UNSET
        assert "error.type" not in found
        assert names.GEN_AI_RESPONSE_FINISH_REASONS not in found
        assert found["cogent.usage.estimated"] is True
    assert telemetry.points("gen_ai.client.token.usage") == []


async def test_failing_tools_mark_their_spans(
    server: Loopback, telemetry: Telemetry
) -> None:
    """An exception, arguments that do not fit, and a tool that is not there; the run is no error."""

    @tool
    def broken() -> None:
        """Break."""
        raise KeyError("private")

    ask(
        server,
        ("c1", "broken", "{}"),
        ("c2", "add", '{"a": "x"}'),
        ("c3", "missing", "{}"),
    )
    agent = CHAT.agent(server, tools=[broken, add], observers=[telemetry.observer()])
    await read(agent)
    kinds = {"broken": "KeyError", "add": "ArgumentsError", "missing": "unknown_tool"}
    for name, kind in kinds.items():
        span = telemetry.span(f"execute_tool {name}")
        assert (span.attributes or {})["error.type"] == kind
        assert span.status.status_code is StatusCode.ERROR
        assert "private" not in span.to_json()
    run = telemetry.span("invoke_agent tester")
    assert run.status.status_code is StatusCode.UNSET


# What is current where


async def test_runs_are_children_of_the_caller_and_tools_run_in_their_span(
    server: Loopback, telemetry: Telemetry
) -> None:
    """Two streams that take turns, in two spans of the caller: nothing leaks into either."""
    tracer = telemetry.tracers.get_tracer("app")
    inner: list[str] = []

    @tool
    def in_thread() -> str:
        """Look."""
        with tracer.start_as_current_span("inside"):
            span: Any = trace.get_current_span()
            inner.append(span.parent.span_id)
        return "seen"

    calls = [Reply(CHAT.send.tool_calls(("c1", "in_thread", "{}")))] * 2
    server.reply(*calls, *[whole(CHAT, "Done", "now")] * 2)
    before = context.get_current()
    agent = CHAT.agent(server, tools=[in_thread], observers=[telemetry.observer()])
    async with agent:
        callers = [tracer.start_span(name) for name in ("one", "two")]
        streams = [agent.run_stream("Go") for _ in callers]
        open_streams = dict(zip(callers, streams, strict=True))
        while open_streams:
            for caller, stream in list(open_streams.items()):
                with trace.use_span(caller):
                    try:
                        await anext(stream)
                    except StopAsyncIteration:
                        del open_streams[caller]
                    assert trace.get_current_span() is caller
    assert context.get_current() == before
    for caller in callers:
        caller.end()
    runs = [span for span in telemetry.spans if span.name == "invoke_agent tester"]
    parents = {run.parent.span_id for run in runs if run.parent}
    assert parents == {caller.get_span_context().span_id for caller in callers}
    tools = [span for span in telemetry.spans if span.name.startswith("execute_tool")]
    assert set(inner) == {span.context.span_id for span in tools if span.context}


async def test_an_agent_in_a_tool_is_a_child_of_the_tool(
    server: Loopback, telemetry: Telemetry
) -> None:
    """The whole is one trace."""
    observer = telemetry.observer()
    helper = Agent(
        "helper",
        Model("openai-chat:small", base_url=server.url, api_key="key"),
        observers=[observer],
    )

    @tool
    async def delegate() -> str:
        """Ask the helper."""
        async with helper:
            return (await helper.run("Help")).content

    server.reply(
        Reply(CHAT.send.tool_calls(("c1", "delegate", "{}"))),
        whole(CHAT, "helped", streaming=False),
        whole(CHAT, "Done"),
    )
    await read(CHAT.agent(server, tools=[delegate], observers=[observer]))
    inner = telemetry.span("invoke_agent helper")
    outer = telemetry.span("execute_tool delegate")
    assert inner.parent and outer.context
    assert inner.parent.span_id == outer.context.span_id
    assert len({span.context.trace_id for span in telemetry.spans if span.context}) == 1


@pytest.mark.parametrize("streamed", [True, False], ids=["stream_sync", "run_sync"])
def test_runs_without_asyncio_are_children_of_the_caller_too(
    server: Loopback, telemetry: Telemetry, streamed: bool
) -> None:
    """Though they run on another thread."""
    server.reply(whole(CHAT, "Hi", streaming=streamed))
    agent = CHAT.agent(server, observers=[telemetry.observer()])
    tracer = telemetry.tracers.get_tracer("app")
    with tracer.start_as_current_span("caller") as caller:
        if streamed:
            for _ in agent.stream_sync("Go"):
                assert trace.get_current_span() is caller
        else:
            agent.run_sync("Go")
    run = telemetry.span("invoke_agent tester")
    assert run.parent and run.parent.span_id == caller.get_span_context().span_id


OWN_SPANS = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
from cogent import Agent, Model
from cogent.otel import OTel
async def main():
    model = Model("anthropic:claude-test", base_url=sys.argv[1], api_key="key", http="httpx")
    async with Agent("tester", model, observers=[OTel()]) as agent:
        async for chunk in agent.run_stream("Go"):
            pass
asyncio.run(main())
print(json.dumps([span.name for span in exporter.get_finished_spans()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("asked", [False, True], ids=["by default", "asked for"])
def test_the_sdk_makes_no_spans_of_its_own(server: Loopback, asked: bool) -> None:
    """Anthropic's would, and would send their ids to its server; a variable asks for that."""
    server.reply(Reply(anthropic_messages.text("Hi")))
    environment = {**os.environ}
    environment.pop("ANTHROPIC_OPEN_TELEMETRY", None)
    if asked:
        environment["ANTHROPIC_OPEN_TELEMETRY"] = "true"
    child = subprocess.run(
        [sys.executable, "-c", OWN_SPANS, server.url],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    spans = json.loads(child.stdout)
    [request] = server.requests
    assert ("traceparent" in request.headers) == asked
    assert (len(spans) > 2) == asked
    assert spans[-2:] == ["chat claude-test", "invoke_agent tester"]


# A collector


@pytest.fixture
def port() -> Iterator[int]:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    yield found


async def test_a_real_receiver_gets_them_over_otlp(server: Loopback, port: int) -> None:
    """Spans and metrics arrive as OTLP over HTTP, as any collector takes it."""
    oteltap = pytest.importorskip("oteltap", reason="the receiver is not installed")
    settings = oteltap.OtelTapHttpProtobufReceiverSettings(http_port=port)
    ask(server, ADD)
    async with oteltap.OtelTapHttpProtobufReceiver(settings) as receiver:
        wanted = [
            asyncio.ensure_future(receiver.await_trace(by_name(name), timeout=30))
            for name in ("invoke_agent tester", "execute_tool add")
        ]
        metric = asyncio.ensure_future(
            receiver.await_metric(by_name("gen_ai.client.token.usage"), timeout=30)
        )
        await asyncio.to_thread(export_a_run, f"http://127.0.0.1:{port}", server)
        run, called = await asyncio.gather(*wanted)
        usage = await metric
    assert called.parent_span_id == run.span_id
    found = {entry.key: entry.value.string_value for entry in run.attributes}
    assert found[names.GEN_AI_AGENT_NAME] == "tester"
    assert sum(point.sum for point in usage.histogram.data_points) == 36


def by_name(name: str) -> Any:
    """A predicate of the receiver."""
    return lambda item: item.name == name


def export_a_run(address: str, server: Loopback) -> None:
    """A run whose spans and metrics are exported."""
    tracers = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{address}/v1/traces")
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    sender = OTLPMetricExporter(endpoint=f"{address}/v1/metrics")
    meters = MeterProvider([PeriodicExportingMetricReader(sender, 3_600_000)])
    observer = OTel(tracer_provider=tracers, meter_provider=meters)
    asyncio.run(read(CHAT.agent(server, tools=[add], observers=[observer])))
    tracers.shutdown()
    meters.shutdown()


# Use


def test_it_goes_with_an_agent_into_a_pickle() -> None:
    """The providers stay here: in another process the global ones hold."""
    agent = Agent("a", "gpt-5.4", observers=[Telemetry().observer(content=True)])
    [observer] = pickle.loads(pickle.dumps(agent)).observers
    assert isinstance(observer, OTel)
    assert observer.content


def test_what_content_is_not() -> None:
    """A provider in its place is refused."""
    with pytest.raises(ConfigurationError, match="content is True or False"):
        OTel(TracerProvider())  # type: ignore[arg-type]


def test_without_the_package_the_error_names_the_extra() -> None:
    """As all that is optional does."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from cogent import ConfigurationError\n"
        "try:\n    import cogent.otel\n"
        "except ConfigurationError as error: print(error)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert 'pip install "cogent-ai[otel]"' in child.stdout
