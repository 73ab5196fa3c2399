"""Spans and metrics of runs, by OpenTelemetry's conventions for generative AI.

    from cogent.otel import OTel

    agent = Agent("researcher", "gpt-5.4", observers=[OTel()])

A run is a span `invoke_agent`, a child of the span that is current where the run begins;
in it stand a span `chat` for each turn of the model, with its retries and fall-backs as
events, and a span `execute_tool` for each call of a tool. That one is current in the
tool, and no other is made current: between two chunks the code that reads a stream sees
its own span. The metrics are `gen_ai.client.operation.duration`,
`gen_ai.client.operation.time_to_first_chunk` and `gen_ai.client.token.usage`.

A run that is left, or whose task is cancelled, is no error: its spans end without a
status and without a finish reason.

It needs the extra `otel`; the SDK that exports is the application's to set up.
"""

from cogent.otel.observer import OTel

__all__ = ["OTel"]
