"""Google's Gemini API, and Vertex AI where the SDK's environment variables ask for it.

All settings of a request are fields of the SDK's `config`, so `extra` is merged into that. An answer goes back part by
part, thought signatures included; only the deltas of a text are joined, and a part with a signature stays by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from itertools import groupby
from traceback import clear_frames, walk_tb
from typing import Any, ClassVar

from google import genai
from google.genai import types
from google.genai.errors import APIError
from pydantic import ValidationError

from cogent.chunks import StreamChunk, ToolCallDelta, TurnUpdate
from cogent.errors import ConfigurationError, ModelError, StreamInterrupted
from cogent.messages import Message, ToolCall
from cogent.providers import Part, Request, encoder
from cogent.providers._gemini_client import close_client, make_client, read_error
from cogent.providers.formats.counts import known
from cogent.run.history import mend_items
from cogent.transport.answers import cut
from cogent.transport.error_body import read_report
from cogent.transport.errors import broken_off, error_body, name_address, provider_error, retry_after

__all__ = ["close_client", "complete", "make_client", "stream"]

# Google's stand-in for the signature of a call that Gemini did not make itself; Gemini 3 refuses a call without one.
NO_SIGNATURE = b"skip_thought_signature_validator"
JSON_PATH = re.compile(r"(?:\.|\[')([^.'\[\]]+)|\[(\d+)\]")
NO_CANDIDATE = types.Candidate()
TEXT_ONLY = {"text"}
SIGNED_TEXT = {"text", "thought_signature"}
# What the SDK raises, and what it fails with at an error that has another form than Google's.
SDK_ERRORS = (APIError, TypeError, AttributeError)


class Config(types.GenerateContentConfig):
    """The SDK's settings, with what it looks for in them at each event: a miss costs 3 µs."""

    include_all_fields: ClassVar[None] = None


async def stream(client: genai.Client, request: Request) -> AsyncGenerator[Part, None]:
    """Ask, and yield what comes as it comes."""
    arguments = encode_request(request)
    try:
        events = await client.aio.models.generate_content_stream(**arguments)
    except ValidationError as error:
        _check_encoded(error)
        raise
    answer = Answer()
    try:
        async for event in events:
            for part in answer.decode_event(event):
                yield part
        for part in answer.end():
            yield part
    except Exception as error:  # whatever it was, the SDK does not close the answer in which it came
        opened_streams = _opened_streams(error)
        clear_frames(error.__traceback__)  # lets go of the SDK's generators, which then end one after the other
        for opened_stream in opened_streams:
            await opened_stream.aclose()
        if broken_off(error.__cause__):
            raise StreamInterrupted("the answer broke off in the middle of an event") from error
        if isinstance(error, ValidationError):
            _check_encoded(error)
        if isinstance(error, SDK_ERRORS):
            raise _translate(error) from error
        raise
    finally:
        await cut(events)


async def complete(client: genai.Client, request: Request) -> Iterable[Part]:
    """Ask for the whole answer at once."""
    arguments = encode_request(request)
    try:
        response = await client.aio.models.generate_content(**arguments)
    except ValidationError as error:
        _check_encoded(error)
        raise
    except SDK_ERRORS as error:
        raise _translate(error) from error
    answer = Answer()
    return [*answer.decode_event(response), *answer.end()]


def _check_encoded(error: ValidationError) -> None:
    """Raise ConfigurationError if it was not the answer that the SDK's types do not fit, but the request."""
    if error.title != types.GenerateContentResponse.__name__:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"history or extra cannot be made into a request: {where}: {first['msg']}") from None


def _opened_streams(error: Exception) -> list[Any]:
    """The HTTP responses that the SDK was reading when it failed."""
    holders = [value for frame, _ in walk_tb(error.__traceback__) for value in frame.f_locals.values()]
    streams = [getattr(holder, "response_stream", None) for holder in [*holders, getattr(error, "response", None)]]
    return [stream for stream in streams if hasattr(stream, "aclose")]


def _translate(error: Exception) -> ModelError:
    """The error as ours; what is no APIError is the SDK stumbling over an answer that is not as it expects."""
    if not isinstance(error, APIError):
        return provider_error("the server sent what cannot be read: it is not in Gemini's format")
    response: Any = error.response
    status = getattr(response, "status_code", error.code)
    headers = getattr(response, "headers", {})
    body = error_body(error, status)
    if body is None and read_report(error.details).words:  # without words, the SDK names only the status
        body = error.details
    told = read_error(body if body is not None else "", status)
    if told.retry_after is None:
        told.retry_after = retry_after(headers)
    told.code = told.code or str(error.code)
    told.request_id = headers.get("x-request-id")
    name_address(told, response)
    return told


# Ours to theirs


@encoder
def encode_request(request: Request) -> dict[str, Any]:
    """The arguments of `generate_content`."""
    model = request.model
    system = [request.instructions, *(message.content for message in request.messages if message.role == "system")]
    settings: dict[str, Any] = {"max_output_tokens": model.max_tokens, "temperature": model.temperature}
    settings["system_instruction"] = [text for text in system if text is not None] or None
    config = {name: value for name, value in settings.items() if value is not None}
    config |= {"automatic_function_calling": {"disable": True}, **model.extra}
    tools = [
        {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.parameters}
        for tool in request.tools
    ]
    if tools:
        config["tools"] = [{"function_declarations": tools}, *model.extra.get("tools", ())]
    try:
        checked = Config(**config)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise ConfigurationError(f"the Gemini SDK does not take these settings: {'; '.join(wrong)}") from None
    contents = _encode_messages(request.history(_is_reasoning))
    return {"model": model.name, "contents": contents, "config": checked}


def _encode_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation; the results of a turn's calls go in one message, with the ids that the calls came with."""
    contents: list[dict[str, Any]] = []
    ids: set[str | None] = set()
    for role, group in groupby(messages, key=lambda message: message.role):
        if role == "tool":
            contents.append({"role": "user", "parts": [_encode_result(m, ids) for m in group]})
            continue
        for message in group if role != "system" else ():
            own = mend_items(message.items, message.tool_calls, _call_id, _mend_call) if message.items else None
            parts = list(_encode_parts(message)) if own is None else own
            ids |= {(part.get("function_call") or {}).get("id") for part in parts}
            if parts:
                contents.append({"role": "model" if role == "assistant" else "user", "parts": parts})
    return contents


def _encode_parts(message: Message) -> Iterator[dict[str, Any]]:
    if message.content:
        yield {"text": message.content}
    for place, call in enumerate(message.tool_calls):
        part: dict[str, Any] = {"function_call": {"id": call.id, "name": call.name, "args": call.arguments}}
        yield part if place else {**part, "thought_signature": NO_SIGNATURE}


def _call_id(part: dict[str, Any]) -> object:
    call = part.get("function_call")
    return None if call is None else call.get("id") or ""


def _mend_call(part: dict[str, Any], call: ToolCall) -> dict[str, Any]:
    mended = {**part["function_call"], "name": call.name}
    if mended.get("id"):  # the API is not given an id that it did not give
        mended["id"] = call.id
    return {**part, "function_call": mended}


def _is_reasoning(part: dict[str, Any]) -> bool:
    """Whether the part says nothing: a thought, or an empty text, which may have a signature."""
    return bool(part.get("thought")) or (part.keys() <= SIGNED_TEXT and not part.get("text"))


def _encode_result(message: Message, ids: set[str | None]) -> dict[str, Any]:
    result: dict[str, Any] = {"id": message.tool_call_id} if message.tool_call_id in ids else {}
    result["name"] = message.name
    return {"function_response": {**result, "response": {"error" if message.is_error else "output": message.content}}}


# Theirs to ours


class Answer:
    """One answer as it comes in: its parts, to be sent back, and the arguments of a call that comes in pieces."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.calls = 0
        self.open: dict[str, Any] | None = None
        self.request_id: str | None = None

    def decode_event(self, event: types.GenerateContentResponse) -> Iterator[Part]:
        """The parts that an event stands for; only the first candidate counts."""
        candidate = _first(event.candidates or ())
        for part in (candidate.content and candidate.content.parts) or ():
            if part.function_call is not None:
                yield from self._decode_call(part)
            elif self._goes_on(part):
                yield StreamChunk(part.text or "")
            else:
                yield from self._decode_part(part)
        blocked = event.prompt_feedback and event.prompt_feedback.block_reason
        if self.request_id is None:
            headers = (event.sdk_http_response and event.sdk_http_response.headers) or {}
            self.request_id = headers.get("x-request-id") or event.response_id
        yield TurnUpdate(
            model=event.model_version,
            request_id=self.request_id,
            finish=f"blocked:{blocked.value}" if blocked else candidate.finish_reason and candidate.finish_reason.value,
            usage=decode_usage(event.usage_metadata) if event.usage_metadata else {},
        )

    def end(self) -> Iterator[Part]:
        """What can be told only at the end."""
        if self.open is not None:
            # Without its end it is no JSON, so that no tool runs with a part of its arguments.
            yield StreamChunk(tool_call=ToolCallDelta(self.calls - 1, arguments=json.dumps(self.open["args"])[:-1]))
        for item in self.items:
            yield TurnUpdate(item={**item, "text": "".join(item["text"])} if "text" in item else item)

    def _goes_on(self, part: types.Part) -> bool:
        """Whether this is but more of the text before, to which it is then added."""
        if part.model_fields_set != TEXT_ONLY or not part.text or not self.items or self.items[-1].keys() != TEXT_ONLY:
            return False
        self.items[-1]["text"].append(part.text)
        return True

    def _decode_part(self, part: types.Part) -> Iterator[Part]:
        if not part.model_fields_set <= {"text", "thought"}:
            self.items.append(part.to_json_dict() | ({} if part.text is None else {"text": [part.text]}))
        elif part.text:
            item: dict[str, Any] = {"thought": True} if part.thought else {}
            if not self.items or self.items[-1].keys() != item.keys() | {"text"}:
                self.items.append({**item, "text": []})
            self.items[-1]["text"].append(part.text)
        if part.text:
            yield StreamChunk(reasoning=part.text) if part.thought else StreamChunk(part.text)

    def _decode_call(self, part: types.Part) -> Iterator[Part]:
        call = part.function_call or types.FunctionCall()
        if call.name or (self.open is None and (call.id or call.args)):
            self._open_call(part, call)
        if self.open is None:
            return
        self.open["args"] = _with_arguments(self.open["args"], call)
        arguments = "" if call.will_continue else json.dumps(self.open["args"])
        if call.name or arguments:
            yield StreamChunk(tool_call=ToolCallDelta(self.calls - 1, call.id, call.name or "", arguments))
        if arguments:
            self.open = None

    def _open_call(self, part: types.Part, call: types.FunctionCall) -> None:
        self.calls += 1
        self.open = {"name": call.name or "", "args": {}}
        if call.id:
            self.open["id"] = call.id
        self.items.append({**part.to_json_dict(), "function_call": self.open})


def _first(candidates: Iterable[types.Candidate]) -> types.Candidate:
    for candidate in candidates:
        if not candidate.index:
            return candidate
    return NO_CANDIDATE


def _with_arguments(arguments: Any, call: types.FunctionCall) -> Any:
    """The arguments so far with those of this piece of the call, which come as an object or one by one with a path."""
    arguments = {**arguments, **(call.args or {})}
    for piece in call.partial_args or ():
        values = (piece.string_value, piece.number_value, piece.bool_value)
        value = next((value for value in values if value is not None), None)
        steps = [int(place) if place else name for name, place in JSON_PATH.findall(piece.json_path or "")]
        arguments = _put(arguments, steps, value)
    return arguments


def _put(node: Any, steps: list[Any], value: Any) -> Any:
    """The node with the value where the steps lead; texts at one place add up."""
    if not steps:
        return node + value if isinstance(node, str) and isinstance(value, str) else value
    step, *rest = steps
    if isinstance(step, str):
        return {**(node or {}), step: _put((node or {}).get(step), rest, value)}
    items = list(node or ())
    items += [None] * (step + 1 - len(items))
    items[step] = _put(items[step], rest, value)
    return items


def decode_usage(usage: types.GenerateContentResponseUsageMetadata) -> dict[str, int]:
    """The counts of an event, which are running totals.

    What the model read of its tools' results is not in `prompt_token_count`, nor are thoughts in
    `candidates_token_count`; the total says so where a server counts otherwise.
    """
    read = usage.prompt_token_count
    tools = usage.tool_use_prompt_token_count or 0
    written = _written_tokens(usage)
    counts: dict[str, int | None] = {
        "cache_read_tokens": usage.cached_content_token_count,
        "reasoning_tokens": usage.thoughts_token_count,
    }
    if read and usage.total_token_count == read + written:
        counts["input_tokens"] = read
    elif read is not None or tools:
        counts["input_tokens"] = (read or 0) + tools
    if written or read:
        counts["output_tokens"] = written
    return known(counts)


def _written_tokens(usage: types.GenerateContentResponseUsageMetadata) -> int:
    """The answer's tokens with its thoughts, which are in its own count where the total says so."""
    answer = usage.candidates_token_count or 0
    read = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
    if usage.total_token_count and usage.total_token_count == read + answer:
        return answer
    return answer + (usage.thoughts_token_count or 0)
