"""Anthropic's Messages API.

An assistant message goes back block by block as it came: thinking with its signature, calls, the provider's own tools
and their results, citations. Messages of one role are put together, and all results of a turn are in one message.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

import httpx2
from anthropic import AnthropicError, AsyncAnthropic, AsyncStream, DefaultAsyncHttpxClient

from cogent.chunks import StreamChunk, ToolCallDelta, TurnUpdate
from cogent.errors import ConfigurationError
from cogent.messages import Message, ToolCall
from cogent.model import Model
from cogent.providers import Part, Request, encoder
from cogent.providers.formats.counts import known, mapping
from cogent.run.history import fit_arguments, mend_items
from cogent.timeout import Timeout
from cogent.transport.answers import answered, client_settings, end_of, guard, is_event_stream, leave, opened
from cogent.transport.body import drain
from cogent.transport.errors import not_looked_through, plain, provider_error, raise_reported, without_retries
from cogent.transport.keys import check_key

DEFAULT_MAX_TOKENS = 8192  # The API wants a limit in every request; `Model(max_tokens=...)` sets another.
NO_KEY = "no API key: set ANTHROPIC_API_KEY, or give Model(..., api_key=...)"


def make_client(model: Model, timeout: Timeout) -> AsyncAnthropic:
    """A client with the model's key and address; what is not set comes from the SDK's environment variables."""
    key = "" if callable(model.api_key) else model.api_key
    address = model.base_url or os.environ.get("ANTHROPIC_BASE_URL")
    http = DefaultAsyncHttpxClient(**client_settings(httpx2, timeout, address, _guard))
    try:
        client = AsyncAnthropic(api_key=key, base_url=model.base_url, max_retries=0, http_client=http)
    except AnthropicError as error:
        raise ConfigurationError(f"{NO_KEY} ({error})") from error
    headers = {name.lower() for name in client.default_headers}
    if client.credentials is None and not headers & {"authorization", "x-api-key"}:
        raise ConfigurationError(NO_KEY)
    return client


async def _guard(response: httpx2.Response) -> None:
    await guard(response, reader="anthropic")


async def close_client(client: AsyncAnthropic) -> None:
    """Close its connections."""
    await client.close()


async def stream(client: AsyncAnthropic, request: Request) -> AsyncGenerator[Part, None]:
    """Ask, and yield what comes as it comes."""
    raw = await _create(client, request.model, {**encode_request(request), "stream": True})
    check_end = end_of(raw.http_response, "anthropic")
    events = await raw.parse(to=AsyncStream[object])
    answer = Answer()
    try:
        yield opened(raw.http_response, "anthropic")
        async for event in events:
            for part in decode_event(event, answer):
                yield part
            if event.get("type") == "message_stop":
                break
        else:
            check_end()
            for part in _rest(answer) if answer.finish is not None else ():
                yield part
        await drain(events)
    finally:
        await leave(events)


async def complete(client: AsyncAnthropic, request: Request) -> Iterable[Part]:
    """Ask for the whole answer at once."""
    # Given its time-out as an argument, the SDK does not refuse a large `max_tokens`.
    arguments = {"timeout": client.timeout, "stream": False, **encode_request(request)}
    raw = await _create(client, request.model, arguments)
    if is_event_stream(raw.http_response):  # a server that streams whatever it is asked for
        answer = Answer()
        events = AsyncStream[object](cast_to=object, response=raw.http_response, client=client)
        return [part async for event in events for part in decode_event(event, answer)]
    return chain((answered(raw.headers),), decode_response(plain(await raw.parse(to=object))))


async def _create(client: AsyncAnthropic, model: Model, arguments: dict[str, Any]) -> Any:
    if callable(model.api_key) and model.client is None:
        given = model.api_key()
        client.api_key = await given if inspect.isawaitable(given) else given
        check_key(client.api_key)
    create: Callable[..., Awaitable[Any]] = without_retries(client).messages.with_raw_response.create
    return await create(**not_looked_through(arguments, "messages", "tools", "container", messages=[]))


# Ours to theirs


@encoder
def encode_request(request: Request) -> dict[str, Any]:
    """The arguments of `messages.create`."""
    model = request.model
    history = request.history(_is_reasoning)
    arguments: dict[str, Any] = {
        "model": model.name,
        "max_tokens": DEFAULT_MAX_TOKENS if model.max_tokens is None else model.max_tokens,
        "messages": _encode_messages(history),
    }
    containers = [item["container"] for message in history for item in message.items if "type" not in item]
    if containers:
        arguments["container"] = containers[-1]
    system = [request.instructions, *(message.content for message in request.messages if message.role == "system")]
    if any(system):
        arguments["system"] = "\n\n".join(filter(None, system))
    arguments |= model.extra
    if model.temperature is not None:
        arguments["extra_body"] = {"temperature": model.temperature, **model.extra.get("extra_body", {})}
    tools = [{"name": t.name, "description": t.description, "input_schema": t.parameters} for t in request.tools]
    if tools:
        arguments["tools"] = [*tools, *model.extra.get("tools", ())]
    return arguments


def _encode_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    encoded: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [] if message.role == "system" else list(_encode_message(message))
        if not encoded or encoded[-1]["role"] != role:
            encoded.append({"role": role, "content": []})
        content = encoded[-1]["content"]
        # The API refuses text without a visible character, thinking at the end, and results after anything else.
        content += [block for block in blocks if block["type"] != "text" or block["text"].strip()]
        while content and _is_reasoning(content[-1]):
            content.pop()
        content.sort(key=lambda block: block["type"] != "tool_result")
        if not content:
            encoded.pop()
    return encoded


def _encode_message(message: Message) -> Iterable[dict[str, Any]]:
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
        return [{**result, "is_error": True} if message.is_error else result]
    blocks = [item for item in message.items if "type" in item]
    own = mend_items(blocks, message.tool_calls, _call_id, _mend_call) if blocks else None
    return _encode_neutral(message) if own is None else own


def _encode_neutral(message: Message) -> Iterator[dict[str, Any]]:
    yield {"type": "text", "text": message.content}
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}


def _call_id(block: dict[str, Any]) -> object:
    return (block.get("id") or "") if block["type"] == "tool_use" else None


def _mend_call(block: dict[str, Any], call: ToolCall) -> dict[str, Any]:
    given = block.get("input")
    return {**block, "id": call.id, "name": call.name, "input": given if isinstance(given, dict) else call.arguments}


def _is_reasoning(block: dict[str, Any]) -> bool:
    return block.get("type", "thinking") in ("thinking", "redacted_thinking")


# Theirs to ours


# What a block is not to which such a piece belongs.
OTHER_BLOCK = {"text_delta": "thinking", "thinking_delta": "text"}


class Answer:
    """What has to be remembered of one answer: its blocks still coming in, with their pieces, and the stop reason.

    Blocks are kept in the order in which they begin, as some servers give all of them index 0.
    """

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[int, dict[str, Any], list[str]]] = {}  # by index: place, block, pieces
        self.next_place = 0
        self.counts: dict[str, int] = {}  # of the message itself, without compactions
        self.finish: str | None = None
        self.whole: list[dict[str, Any]] = []  # the content that came with the message itself, and no block since

    def begin_block(self, index: int, block: dict[str, Any]) -> None:
        """Enter a block that begins."""
        self.whole = []
        place = max(index, self.next_place)
        self.blocks[index] = place, block, []
        self.next_place = place + 1


def decode_event(event: Any, answer: Answer) -> Iterable[Part]:
    """The parts that a streaming event stands for; events that only repeat or announce give none."""
    if event.__class__ is not dict:
        raise_reported(event)
    match event.get("type"):
        case "content_block_delta":
            return _block_delta(event.get("index") or 0, event["delta"], answer)
        case "content_block_start":
            return _block_start(event.get("index") or 0, event["content_block"], answer)
        case "content_block_stop":
            return _block_stop(event.get("index") or 0, answer)
        case "message_start":
            message = mapping(event.get("message"))
            answer.whole = message.get("content") or []
            return (_update(message, answer), *_container(message))
        case "message_delta":
            delta = mapping(event.get("delta"))
            answer.finish = delta.get("stop_reason") or answer.finish
            return (_update(event, answer, answer.finish), *_container(delta))
        case "message_stop":
            # A message that gave no reason ended all the same.
            return (*_rest(answer), TurnUpdate(finish=answer.finish or "message_stop"))
        case _:
            raise_reported(event)
    return ()


def _rest(answer: Answer) -> Iterator[Part]:
    """Blocks that the server did not stop, or did not even start: then the message itself may hold them."""
    for index in list(answer.blocks):
        yield from _block_stop(index, answer)
    for index, block in enumerate(list(answer.whole)):
        yield from _block_start(index, block, answer)
        yield from _block_stop(index, answer)


def _block_start(index: int, block: dict[str, Any], answer: Answer) -> Iterator[Part]:
    yield from _block_stop(index, answer)  # of the block before, which the server did not stop
    answer.begin_block(index, dict(block))
    match block["type"]:
        case "text":
            yield StreamChunk(block.get("text") or "")
        case "tool_use":
            yield StreamChunk(tool_call=ToolCallDelta(index, block.get("id"), block.get("name") or ""))
        case "thinking":
            yield StreamChunk(reasoning=block.get("thinking") or "")
            yield TurnUpdate(unseen=True)
        case _:
            yield TurnUpdate(unseen=True)


def _block_delta(index: int, delta: dict[str, Any], answer: Answer) -> Iterable[Part]:
    if index not in answer.blocks:  # compatible servers leave out the start
        answer.begin_block(index, {"type": _block_type(delta)})
    _, block, pieces = answer.blocks[index]
    if block["type"] == OTHER_BLOCK.get(delta["type"]):  # and the stop
        return (*_block_stop(index, answer), *_block_delta(index, delta, answer))
    match delta["type"]:
        case "text_delta":
            pieces.append(delta["text"])
            return (StreamChunk(delta["text"]),)
        case "thinking_delta":
            pieces.append(delta["thinking"])
            return (StreamChunk(reasoning=delta["thinking"]),)
        case "input_json_delta":
            pieces.append(piece := delta["partial_json"])
            if piece and block["type"] == "tool_use":  # not a tool of the provider's own
                return (StreamChunk(tool_call=ToolCallDelta(index, arguments=piece)),)
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case _:  # a signature, the summary of a compaction: each comes whole
            block |= {name: value for name, value in delta.items() if name != "type" and value is not None}
    return ()


def _block_type(delta: dict[str, Any]) -> str:
    """The type of the block that a piece belongs to. Raises ServerError for arguments of a call without a name."""
    match delta["type"]:
        case "thinking_delta" | "signature_delta":
            return "thinking"
        case "text_delta" | "citations_delta":
            return "text"
    raise provider_error(f"the server sent a {delta['type']} without the start of its block")


def _block_stop(index: int, answer: Answer) -> Iterator[Part]:
    if index not in answer.blocks:
        return
    place, block, pieces = answer.blocks.pop(index)
    text, kind = "".join(pieces), block["type"]
    if kind in ("text", "thinking"):
        block[kind] = (block.get(kind) or "") + text
    elif text.strip():
        block["input"] = fit_arguments(text)
    elif kind == "tool_use":  # the input came whole, or there is none
        yield StreamChunk(tool_call=ToolCallDelta(index, arguments=json.dumps(block.setdefault("input", {}))))
    yield TurnUpdate(item=block, position=place)


def _container(told: Mapping[str, Any]) -> Iterator[Part]:
    """The container in which the provider ran code: the next request of the conversation names it."""
    container = mapping(told.get("container")).get("id")
    if container:
        yield TurnUpdate(item={"container": container}, position=-1)


def _update(told: Mapping[str, Any], answer: Answer, finish: str | None = None) -> TurnUpdate:
    usage = mapping(told.get("usage"))
    counts = decode_usage(usage, answer.counts)
    answer.counts |= {name: number for name, number in _counts(usage).items() if number}
    return TurnUpdate(model=told.get("model"), finish=finish, usage=counts)


def decode_response(response: dict[str, Any]) -> Iterator[Part]:
    """The parts of a whole answer, in the order of its blocks."""
    raise_reported(response)
    answer = Answer()
    for index, block in enumerate(response.get("content") or ()):
        yield from _block_start(index, block, answer)
        yield from _block_stop(index, answer)
    yield from _container(response)
    yield _update(response, answer, response.get("stop_reason"))


def decode_usage(usage: Mapping[str, Any], earlier: Mapping[str, int] = MappingProxyType({})) -> dict[str, int]:
    """The counts of a `usage` object, as far as given; `input_tokens` leaves out what the cache served or took in.

    A compaction is billed like an answer and is not in the totals, while the iterations of type `message` are.
    `earlier` are the message's own counts so far: a later zero hides none.
    """
    counts = _counts(usage)
    iterations = usage.get("iterations")
    for iteration in iterations if isinstance(iterations, list) else ():
        if mapping(iteration).get("type") == "compaction":
            for name, number in _counts(iteration).items():
                counts[name] = (counts.get(name) or earlier.get(name, 0)) + number
    return counts


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    return known(
        {
            "input_tokens_uncached": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cache_read_tokens": usage.get("cache_read_input_tokens"),
            "cache_write_tokens": usage.get("cache_creation_input_tokens"),
            "reasoning_tokens": mapping(usage.get("output_tokens_details")).get("thinking_tokens"),
        }
    )
