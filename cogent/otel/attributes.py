"""The attributes of `cogent.otel`, by OpenTelemetry's conventions for generative AI.

The names are those of opentelemetry-semantic-conventions 0.66b2. Tokens written to a
cache stand there under another name than in the conventions since, and so under both.
What the conventions have no name for begins with `cogent.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cogent.errors import ModelError
from cogent.messages import Response, ToolCall, TurnSummary, Usage

if TYPE_CHECKING:
    from cogent.model import Model
    from cogent.observe import ObservedRun

Attributes = dict[str, Any]

# The conventions' names of providers, by the prefixes of models.
PROVIDERS = {
    "openai": "openai",
    "openai-chat": "openai",
    "azure": "azure.ai.openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
}
# Servers with a name of their own that speak OpenAI's formats.
HOSTS = {
    "api.x.ai": "x_ai",
    "api.deepseek.com": "deepseek",
    "api.perplexity.ai": "perplexity",
    "api.moonshot.ai": "moonshot_ai",
}
PORTS = {"https": 443, "http": 80}
# Settings in `Model(extra=...)` that the conventions have a name for.
SETTINGS = {
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}


def of_model(run: ObservedRun) -> Attributes:
    """Which model is asked, and where, as far as that is known."""
    address = urlsplit(run.address or run.model.base_url or "")
    host = address.hostname or ""
    found: Attributes = {
        "gen_ai.provider.name": _provider(run.model, host),
        "gen_ai.request.model": run.model.name,
    }
    if host:
        found["server.address"] = host
        found["server.port"] = address.port or PORTS.get(address.scheme, 443)
    return found


def _provider(model: Model, host: str) -> str:
    if model.provider in ("openai", "openai-chat") and host in HOSTS:
        return HOSTS[host]
    return PROVIDERS.get(model.provider, model.provider)


def of_settings(run: ObservedRun) -> Attributes:
    """How the model is asked."""
    model = run.model
    found: Attributes = {"gen_ai.request.stream": run.streamed}
    if run.typed:
        found["gen_ai.output.type"] = "json"
    if model.temperature is not None:
        found["gen_ai.request.temperature"] = model.temperature
    if model.max_tokens is not None:
        found["gen_ai.request.max_tokens"] = model.max_tokens
    for name, attribute in SETTINGS.items():
        value = model.extra.get(name)
        if isinstance(value, int | float):
            found[attribute] = value
    return found


def of_turn(turn: TurnSummary) -> Attributes:
    """What an answer was."""
    found = {"gen_ai.response.model": turn.model, **of_usage(turn.usage)}
    if turn.finish_reason is not None:
        found["gen_ai.response.finish_reasons"] = [turn.finish_reason]
    if turn.request_id is not None:
        found["cogent.request_id"] = turn.request_id
    return found


def of_usage(usage: Usage) -> Attributes:
    """The tokens; nothing of a request that cost none."""
    if not usage.total_tokens:
        return {}
    counts = {
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    found: Attributes = {name: count for name, count in counts.items() if count}
    found["gen_ai.usage.input_tokens"] = usage.input_tokens
    found["gen_ai.usage.output_tokens"] = usage.output_tokens
    if usage.estimated:
        found["cogent.usage.estimated"] = True
    return found


def of_call(run: ObservedRun, call: ToolCall) -> Attributes:
    """Which tool runs."""
    found: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.name,
        "gen_ai.tool.call.id": call.id,
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": run.agent,
    }
    tool = run.tools.get(call.name)
    if tool is not None and tool.description:
        found["gen_ai.tool.description"] = tool.description
    return found


def of_response(response: Response[Any]) -> Attributes:
    """How a run ended, and what all of it cost."""
    metadata: Mapping[str, Any] = response.metadata
    found = of_usage(Usage.from_dict(metadata["tokens"]))
    found["gen_ai.response.model"] = metadata["model"]
    if response.finish_reason is not None:
        found["gen_ai.response.finish_reasons"] = [response.finish_reason]
    return found


def of_error(error: BaseException, *, with_text: bool) -> Attributes:
    """The kind of an error, and its text if that is wanted."""
    found: Attributes = {"error.type": error_type(error)}
    if isinstance(error, ModelError) and error.status is not None:
        found["http.response.status_code"] = error.status
    if with_text:
        found["error.message"] = str(error)
    return found


def error_type(error: BaseException) -> str:
    """The name of its class."""
    return type(error).__name__
