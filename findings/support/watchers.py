"""Spans that a library which watches OpenAI's SDK makes of one stream of 17 tokens, in a process of its own.

`python watchers.py WATCHER WAY` prints them as JSON: the status of each, and whether one has the number of tokens.
"""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress

from canned import answering
from chat import DONE, MESSAGES, chunk, event

WATCHERS = ("openinference", "openllmetry", "logfire", "langfuse")
USAGE = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}
ANSWER = [chunk("word ")] * 20 + [event({}, "stop"), event({}, usage=USAGE), DONE]


def watched(watcher: str, way: str) -> tuple[list[str], bool]:
    """The statuses of the spans, and whether one of them has the tokens."""
    command = [sys.executable, __file__, watcher, way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    statuses, counted = json.loads(done.stdout.splitlines()[-1])
    return statuses, counted


def watch(watcher: str, collector: str) -> object:
    """Switch one watcher on; where its spans are kept."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    spans = InMemorySpanExporter()
    keep = SimpleSpanProcessor(spans)
    if watcher == "logfire":
        import logfire

        logfire.configure(
            send_to_logfire=False, console=False, additional_span_processors=[keep]
        )
        logfire.instrument_openai()
        return spans
    provider = TracerProvider()
    provider.add_span_processor(keep)
    trace.set_tracer_provider(provider)
    if watcher == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument()
    elif watcher == "openllmetry":
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument()
    else:
        os.environ.update(
            LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk", LANGFUSE_HOST=collector
        )
        import langfuse.openai  # noqa: F401  # it watches from here on
    return spans


async def ask(url: str, way: str) -> None:
    from openai import AsyncOpenAI, AsyncStream

    asked = {"model": "m", "messages": MESSAGES, "stream": True}
    asked["stream_options"] = {"include_usage": True}
    completions = AsyncOpenAI(api_key="k", base_url=url).chat.completions
    if way == "raw":
        response = await completions.with_raw_response.create(**asked)
        stream = response.parse(to=AsyncStream[object])
    else:
        stream = await completions.create(**asked)
    async with stream:
        async for _ in stream:
            if way == "break":
                break
            if way == "cancel":
                asyncio.current_task().cancel()


def main(watcher: str, way: str) -> None:
    with answering(b"{}", content_type="application/json") as collector:
        spans = watch(watcher, collector.url)
        with answering(*ANSWER, pause=0.02) as server, suppress(asyncio.CancelledError):
            asyncio.run(ask(server.url, way))
        found = spans.get_finished_spans()
        statuses = [span.status.status_code.name for span in found]
        counted = any(
            "17" in str(v)
            for span in found
            for k, v in span.attributes.items()
            if "token" in k or "usage" in k
        )
        counted |= any(v == 7 for span in found for v in span.attributes.values())
        print(json.dumps([statuses, counted]))


if __name__ == "__main__":
    main(*sys.argv[1:])
