"""OpenAI's Responses API.

Nothing is stored at the provider: reasoning comes back encrypted and is sent again with the next request, as the
documentation of `store=false` asks. Models that do not reason refuse that, so they are not asked for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from openai import AsyncOpenAI, AsyncStream, BadRequestError
from openai.resources.responses import AsyncResponses  # noqa: F401  # the SDK imports it only with the first request

from cogent.chunks import StreamChunk, ToolCallDelta, TurnUpdate
from cogent.messages import Message
from cogent.providers import Part, Request
from cogent.providers._bytes import drain
from cogent.providers._http import answered, leave, opened
from cogent.providers._openai_client import close_client, make_client
from cogent.providers._sdk import not_looked_through, plain, provider_error, without_retries

__all__ = ["close_client", "complete", "make_client", "stream"]

ENCRYPTED_REASONING = "reasoning.encrypted_content"
NOT_REASONING = re.compile(r"(chat)?gpt-[34]")


async def stream(client: AsyncOpenAI, request: Request) -> AsyncGenerator[Part, None]:
    """Ask, and yield what comes as it comes."""
    raw = await _create(client, {**encode_request(request), "stream": True}, request.model.extra)
    events = raw.parse(to=AsyncStream[object])
    try:
        yield await opened(raw.http_response)
        async for event in events:
            for part in decode_event(event):
                yield part
            if event["type"] in ENDS:
                await drain(events)
    finally:
        await leave(events)


async def complete(client: AsyncOpenAI, request: Request) -> Iterable[Part]:
    """Ask for the whole answer at once."""
    raw = await _create(client, encode_request(request), request.model.extra)
    return chain((answered(raw.headers),), decode_response(plain(raw.parse(to=object))))


async def _create(client: AsyncOpenAI, arguments: dict[str, Any], extra: Mapping[str, Any]) -> Any:
    create: Callable[..., Awaitable[Any]] = without_retries(client).responses.with_raw_response.create
    arguments = not_looked_through(arguments, "input", "tools")
    try:
        return await create(**arguments)
    except BadRequestError as error:
        if error.param != "include" or "include" in extra:
            raise
        # The name (a deployment, a fine-tuned model) did not tell that this model does not reason.
        return await create(**{name: value for name, value in arguments.items() if name != "include"})


# Ours to theirs


def encode_request(request: Request) -> dict[str, Any]:
    """The arguments of `responses.create`."""
    model = request.model
    reasons = NOT_REASONING.match(model.name) is None
    arguments: dict[str, Any] = {
        "model": model.name,
        "input": [item for message in request.messages for item in _encode_message(message, model.provider, reasons)],
        "store": False,
    }
    if reasons:
        arguments["include"] = [ENCRYPTED_REASONING]
    if request.instructions is not None:
        arguments["instructions"] = request.instructions
    if model.max_tokens is not None:
        arguments["max_output_tokens"] = model.max_tokens
    if model.temperature is not None:
        arguments["temperature"] = model.temperature
    arguments |= model.extra
    tools = [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": False,
        }
        for tool in request.tools
    ]
    if tools:
        arguments["tools"] = [*tools, *model.extra.get("tools", ())]
    return arguments


def _encode_message(message: Message, provider: str, reasons: bool) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": message.content}
    elif reasons and message.provider == provider and message.items and "type" in message.items[0]:
        yield from message.items
    else:
        if message.content:
            yield {"role": message.role, "content": message.content}
        for call in message.tool_calls:
            arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
            yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


# Theirs to ours


def decode_event(event: Any) -> Iterable[Part]:
    """The parts that a streaming event stands for; events that only repeat or announce give none."""
    kind = event["type"]
    if kind == "response.output_text.delta":
        return (StreamChunk(event["delta"]),)
    decode = DECODERS.get(kind)
    return () if decode is None else decode(event)


def _reasoning_delta(event: dict[str, Any]) -> Iterable[Part]:
    return (StreamChunk(reasoning=event["delta"]),)


def _refusal_delta(event: dict[str, Any]) -> Iterable[Part]:
    return (StreamChunk(event["delta"]), TurnUpdate(refused=True))


def _arguments_delta(event: dict[str, Any]) -> Iterable[Part]:
    return (StreamChunk(tool_call=ToolCallDelta(event.get("output_index"), arguments=event["delta"])),)


def _item_added(event: dict[str, Any]) -> Iterable[Part]:
    item = event["item"]
    if item["type"] == "function_call":
        delta = ToolCallDelta(event.get("output_index"), item.get("call_id"), item["name"])
        return (StreamChunk(tool_call=delta),)
    return () if item["type"] == "message" else (TurnUpdate(unseen=True),)


def _summary_part_done(event: dict[str, Any]) -> Iterable[Part]:
    return (TurnUpdate(unseen=True),)


def _item_done(event: dict[str, Any]) -> Iterable[Part]:
    item, place = event["item"], event.get("output_index")
    call = None
    if item["type"] == "function_call":
        call = ToolCallDelta(place, item.get("call_id"), item["name"], item.get("arguments") or "")
    return (TurnUpdate(item=item, position=place, call=call),)


def _response(event: dict[str, Any]) -> Iterable[Part]:
    response = event["response"]
    status = response.get("status")
    if status == "failed" or event["type"] == "response.failed":
        raise provider_error(response.get("error"))
    update = TurnUpdate(model=response.get("model"), usage=decode_usage(response.get("usage") or {}))
    if event["type"] in ENDS:
        update.finish = (response.get("incomplete_details") or {}).get("reason") or status
    return (update,)


def _error(event: dict[str, Any]) -> Iterable[Part]:
    raise provider_error(event.get("error") or {**event, "type": None})


ENDS = ("response.completed", "response.incomplete", "response.cancelled")
DECODERS: dict[str, Callable[[dict[str, Any]], Iterable[Part]]] = {
    "response.created": _response,
    "response.reasoning_summary_text.delta": _reasoning_delta,
    "response.reasoning_text.delta": _reasoning_delta,
    "response.reasoning_summary_part.done": _summary_part_done,
    "response.refusal.delta": _refusal_delta,
    "response.output_item.added": _item_added,
    "response.function_call_arguments.delta": _arguments_delta,
    "response.output_item.done": _item_done,
    **dict.fromkeys(ENDS, _response),
    "response.failed": _response,
    "error": _error,
}


def decode_response(response: dict[str, Any]) -> Iterator[Part]:
    """The parts of a whole response, in the order of its items."""
    if response.get("error"):
        raise provider_error(response["error"])
    for place, item in enumerate(response.get("output") or ()):
        if item["type"] == "function_call":
            yield from _item_added({"item": item, "output_index": place})
        for part in [*(item.get("summary") or ()), *(item.get("content") or ())]:
            yield from _decode_part(part)
        yield from _item_done({"item": item, "output_index": place})
    yield from _response({"type": "response.completed", "response": response})


def _decode_part(part: dict[str, Any]) -> Iterable[Part]:
    match part["type"]:
        case "output_text":
            return (StreamChunk(part["text"]),)
        case "refusal":
            return _refusal_delta({"delta": part["refusal"]})
        case "summary_text" | "reasoning_text":
            return (StreamChunk(reasoning=part["text"]),)
        case _:
            return ()


def decode_usage(usage: dict[str, Any]) -> dict[str, int]:
    """Our counts from theirs; `input_tokens` includes cached ones and `output_tokens` includes reasoning."""
    read = usage.get("input_tokens_details") or {}
    written = usage.get("output_tokens_details") or {}
    counts = {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "cache_read_tokens": read.get("cached_tokens"),
        "cache_write_tokens": read.get("cache_write_tokens"),
        "reasoning_tokens": written.get("reasoning_tokens"),
    }
    return {name: int(count) for name, count in counts.items() if count is not None}
