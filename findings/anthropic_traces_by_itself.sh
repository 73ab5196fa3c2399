#!/usr/bin/env bash
# Once an application has set a tracer provider, for whatever purpose, anthropic's SDK makes a span of its own for each
# request and sends a `traceparent` header to whatever address it talks to, without an instrumentation package. openai's
# does neither. `open_telemetry=False` on the client switches it off.
source "$(dirname "$0")/support/setup.sh"
install anthropic==2.14.0 openai==3.57.0 opentelemetry-sdk==1.38.0
python <<'PYTHON'
import asyncio
import json

import anthropic
import openai
from canned import answering, report
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
MESSAGES = [{"role": "user", "content": "x"}]
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}]}
MESSAGE |= {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
COMPLETION = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}


async def ask(body, call):
    spans.clear()
    with answering(json.dumps(body).encode(), content_type="application/json") as server:
        await call(server.url)
        return len(spans.get_finished_spans()), "traceparent" in server.request_headers[0]


async def main():
    def claude(**options):
        return lambda url: anthropic.AsyncAnthropic(api_key="k", base_url=url, **options).messages.create(
            model="m", max_tokens=3, messages=MESSAGES
        )

    def gpt(url):
        return openai.AsyncOpenAI(api_key="k", base_url=url).chat.completions.create(model="m", messages=MESSAGES)

    return {
        "anthropic": await ask(MESSAGE, claude()),
        "anthropic, open_telemetry=False": await ask(MESSAGE, claude(open_telemetry=False)),
        "openai": await ask(COMPLETION, gpt),
    }


described = {"anthropic": (1, True), "anthropic, open_telemetry=False": (0, False), "openai": (0, False)}
report("no span and no traceparent header, (0, False)", asyncio.run(main()), described)
PYTHON
