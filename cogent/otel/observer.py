"""The observer that makes spans and metrics."""

from __future__ import annotations

from contextvars import Token
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cogent.errors import ConfigurationError
from cogent.observe import ObservedRun, Observer

try:
    from opentelemetry import context, metrics, trace
except ImportError as _missing:
    raise ConfigurationError(
        'cogent.otel needs opentelemetry-api: pip install "cogent-ai[otel]"'
    ) from _missing

import cogent.otel.attributes as attributes
import cogent.otel.content as contents

if TYPE_CHECKING:
    from opentelemetry.context.context import Context
    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from cogent.errors import CogentError
    from cogent.messages import Response, ToolCall, TurnSummary

SECONDS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64,
    1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
TOKENS = tuple(4**exponent for exponent in range(14))


@dataclass(slots=True)
class _Spans:
    """The open spans of a run; `inside` is the context that they are children in."""

    run: Span
    inside: Context
    chat: Span | None = None
    asked_at: float = 0.0
    first_after: float | None = None  # seconds
    tools: dict[int, tuple[Span, Token[Context]]] = field(default_factory=dict)


class OTel(Observer):
    """Makes spans and metrics of the runs of an agent.

    `content=True` adds what was said: messages, instructions, tools, arguments, results
    and the texts of errors. The providers are OpenTelemetry's global ones, unless others
    are given. In a pickle they are left out, and the global ones hold.

    >>> agent = Agent("writer", ScriptedModel("The Nile."), observers=[OTel()])
    >>> print(agent.run_sync("Name a river."))
    The Nile.
    """

    def __init__(
        self,
        content: bool = False,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if not isinstance(content, bool):
            raise ConfigurationError(f"content is True or False; got {content!r}")
        self.content = content
        self._tracer = trace.get_tracer("cogent", tracer_provider=tracer_provider)
        meter = metrics.get_meter("cogent", meter_provider=meter_provider)
        self._duration: Histogram = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._first_chunk: Histogram = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._tokens: Histogram = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )

    def __reduce__(self) -> tuple[type[OTel], tuple[bool]]:
        return OTel, (self.content,)

    def run_started(self, run: ObservedRun) -> None:
        """Open the span of the run, a child of the caller's."""
        caller = context.get_current()
        span = self._tracer.start_span(
            f"invoke_agent {run.agent}",
            caller,
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": run.agent,
                **attributes.of_model(run),
            },
        )
        inside = trace.set_span_in_context(span, caller)
        run.state[self] = _Spans(span, inside)
        if self.content and span.is_recording():
            span.set_attributes(contents.of_request(run))

    def turn_started(self, run: ObservedRun) -> None:
        """Open the span of a turn."""
        spans = self._spans(run)
        spans.asked_at = perf_counter()
        spans.first_after = None
        spans.chat = span = self._tracer.start_span(
            f"chat {run.model.name}",
            spans.inside,
            kind=trace.SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                **attributes.of_model(run),
                **attributes.of_settings(run),
            },
        )
        if self.content and span.is_recording():
            span.set_attributes(contents.of_request(run))

    def first_chunk(self, run: ObservedRun) -> None:
        """Note how long it took."""
        spans = self._spans(run)
        if spans.chat is not None and spans.first_after is None:
            spans.first_after = seconds = perf_counter() - spans.asked_at
            spans.chat.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def turn_ended(self, run: ObservedRun, turn: TurnSummary) -> None:
        """Close the span of the turn, and measure."""
        spans = self._spans(run)
        span, spans.chat = spans.chat, None
        if span is None:
            return
        span.set_attributes(attributes.of_turn(turn))
        if self.content and span.is_recording():
            span.set_attributes(contents.of_answer(run, turn))
        self._fail(span, run.error)
        span.end()
        self._measure(run, turn, spans)

    def retried(self, run: ObservedRun, error: CogentError, wait: float) -> None:
        """An event of the turn, or between two turns of the run."""
        event = {**self._of_error(error), "cogent.retry.wait": wait}
        self._add_event(run, "cogent.retry", event)

    def fell_back(self, run: ObservedRun, error: CogentError) -> None:
        """An event of the turn, whose span goes over to the next model."""
        event = {**self._of_error(error), "gen_ai.request.model": run.model.name}
        self._add_event(run, "cogent.fallback", event)
        span = self._spans(run).chat
        if span is not None:
            span.update_name(f"chat {run.model.name}")
            span.set_attributes(attributes.of_model(run))

    def tool_started(self, run: ObservedRun, call: ToolCall) -> None:
        """Open the span of a tool, and make it current in the tool's own task."""
        spans = self._spans(run)
        span = self._tracer.start_span(
            f"execute_tool {call.name}",
            spans.inside,
            attributes=attributes.of_call(run, call),
        )
        token = context.attach(trace.set_span_in_context(span))
        spans.tools[id(call)] = span, token
        if self.content and span.is_recording():
            span.set_attributes(contents.of_call(call))

    def tool_ended(self, run: ObservedRun, call: ToolCall) -> None:
        """Close the span of a tool."""
        span, token = self._spans(run).tools.pop(id(call))
        context.detach(token)
        result = call.result
        if self.content and result is not None and span.is_recording():
            span.set_attributes(contents.of_result(result))
        error = run.tool_error(call)
        if error is None and result is not None and result.is_error:
            known = call.name in run.tools
            span.set_attribute("error.type", "tool_error" if known else "unknown_tool")
            span.set_status(trace.StatusCode.ERROR)
        self._fail(span, error)
        span.end()

    def run_ended(
        self, run: ObservedRun, response: Response[Any], error: BaseException | None
    ) -> None:
        """Close the span of the run."""
        span = self._spans(run).run
        span.set_attributes(attributes.of_response(response))
        if self.content and span.is_recording():
            span.set_attributes(contents.of_end(response))
        self._fail(span, error)
        span.end()

    def _spans(self, run: ObservedRun) -> _Spans:
        spans: _Spans = run.state[self]
        return spans

    def _add_event(self, run: ObservedRun, name: str, event: dict[str, Any]) -> None:
        spans = self._spans(run)
        span = spans.run if spans.chat is None else spans.chat
        span.add_event(name, event)

    def _of_error(self, error: BaseException) -> dict[str, Any]:
        """What an event says of an error."""
        return attributes.of_error(error, with_text=self.content)

    def _fail(self, span: Span, error: BaseException | None) -> None:
        """Mark a span whose operation ended by an error; a cancellation is none."""
        if not isinstance(error, Exception | SystemExit):
            return
        span.set_attribute("error.type", attributes.error_type(error))
        text = str(error) if self.content else None
        span.set_status(trace.StatusCode.ERROR, text)

    def _measure(self, run: ObservedRun, turn: TurnSummary, spans: _Spans) -> None:
        """Record the metrics of a turn.

        An estimate is no usage, and a turn that was left counts where it failed.
        """
        common = {
            "gen_ai.operation.name": "chat",
            **attributes.of_model(run),
            "gen_ai.response.model": turn.model,
        }
        failed = dict(common)
        if isinstance(run.error, Exception):
            failed["error.type"] = attributes.error_type(run.error)
        # The context tells an exemplar the trace that it comes from.
        inside = spans.inside
        self._duration.record(perf_counter() - spans.asked_at, failed, inside)
        if spans.first_after is not None:
            self._first_chunk.record(spans.first_after, common, inside)
        usage = turn.usage
        if usage.estimated or not usage.total_tokens:
            return
        counts = {"input": usage.input_tokens, "output": usage.output_tokens}
        for kind, count in counts.items():
            self._tokens.record(count, {**common, "gen_ai.token.type": kind}, inside)
