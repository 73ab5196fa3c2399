"""Google's Gemini API, and Vertex AI where the SDK's environment variables ask for it.

All settings of a request are fields of the SDK's `config`, so `extra` is merged into
that. An answer goes back part by part, thought signatures included; only the deltas of
a text are joined, and a part with a signature stays by itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from itertools import groupby
from traceback import clear_frames, walk_tb
from typing import Any, ClassVar

from google import genai
from google.genai import types
from google.genai.errors import APIError
from pydantic import ValidationError

from cogent.errors import ConfigurationError, ModelError, StreamInterrupted
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.providers import Request, encoder
from cogent.providers._gemini_client import (
    SDK_READER,
    close_client,
    make_client,
    read_error,
)
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.gemini_decoder import StreamDecoder
from cogent.providers.formats.gemini_parts import encode_media, encode_parts
from cogent.providers.formats.parts import parts_to_send
from cogent.run.finish import FinishWords
from cogent.run.history import mend_items
from cogent.run.outputs import Output
from cogent.transport.answers import close_generator_chain
from cogent.transport.error_body import read_report
from cogent.transport.errors import (
    broken_off,
    error_body,
    name_address,
    provider_error,
    retry_after,
)

__all__ = ["SDK_READER", "close_client", "complete", "make_client", "stream"]

FINISH_WORDS: FinishWords = {
    **ANY_SERVER,
    "blocked": "content_filter",  # the prompt was; the reason follows after a colon
}

# Google's stand-in for the signature of a call that Gemini did not make itself; Gemini
# 3 refuses a call without one.
NO_SIGNATURE = b"skip_thought_signature_validator"
SIGNED_TEXT = {"text", "thought_signature"}
# What the SDK raises, and what it fails with at an error that has another form than
# Google's.
SDK_ERRORS = (APIError, TypeError, AttributeError)


class Config(types.GenerateContentConfig):
    """The SDK's settings, with a field that they lack and that
    `generate_content_stream` looks for at each event.

    To find that there is none costs pydantic 3 µs.
    """

    include_all_fields: ClassVar[None] = None


async def stream(
    client: genai.Client, request: Request
) -> AsyncGenerator[Output, None]:
    """Ask, and yield what comes as it comes."""
    events = await _open(client, request)
    decoder = StreamDecoder()
    try:
        async for event in events:
            for part in decoder.decode(event):
                yield part
        for part in decoder.close():
            yield part
    except (
        Exception
    ) as error:  # whatever it was, the SDK does not close the answer in which it came
        await _close_opened_streams(error)
        if broken_off(error.__cause__):
            raise StreamInterrupted(
                "the answer broke off in the middle of an event"
            ) from error
        if isinstance(error, ValidationError):
            _check_encoded(error)
        if isinstance(error, SDK_ERRORS):
            raise translate_error(error) from error
        raise
    finally:
        await close_generator_chain(events)


async def _open(client: genai.Client, request: Request) -> Any:
    arguments = encode_request(request)
    try:
        return await client.aio.models.generate_content_stream(**arguments)
    except ValidationError as error:
        _check_encoded(error)
        raise


async def complete(client: genai.Client, request: Request) -> Iterable[Output]:
    """Ask for the whole answer at once."""
    arguments = encode_request(request)
    try:
        response = await client.aio.models.generate_content(**arguments)
    except ValidationError as error:
        _check_encoded(error)
        raise
    except SDK_ERRORS as error:
        raise translate_error(error) from error
    decoder = StreamDecoder()
    return [*decoder.decode(response), *decoder.close()]


# Errors


def _check_encoded(error: ValidationError) -> None:
    """Raise ConfigurationError if it was not the answer that the SDK's types do not
    fit, but the request.
    """
    if error.title == types.GenerateContentResponse.__name__:
        return
    first = error.errors(include_url=False, include_input=False)[0]
    place = _dotted(first["loc"])
    raise ConfigurationError(
        f"history or extra cannot be made into a request: {place}: {first['msg']}"
    ) from None


def _dotted(location: Iterable[int | str]) -> str:
    return ".".join(map(str, location))


async def _close_opened_streams(error: Exception) -> None:
    opened_streams = _opened_streams(error)
    clear_frames(
        error.__traceback__
    )  # lets go of the SDK's generators, which then end one after the other
    for opened_stream in opened_streams:
        await opened_stream.aclose()


def _opened_streams(error: Exception) -> list[Any]:
    """The HTTP responses that the SDK was reading when it failed."""
    holders: list[object] = []
    for frame, _ in walk_tb(error.__traceback__):
        holders += frame.f_locals.values()
    holders.append(getattr(error, "response", None))
    streams = [getattr(holder, "response_stream", None) for holder in holders]
    return [stream for stream in streams if hasattr(stream, "aclose")]


def translate_error(error: Exception) -> ModelError:
    """The ModelError of what the SDK raised; what is no APIError is the SDK failing at
    an answer it does not expect.
    """
    if not isinstance(error, APIError):
        return provider_error(
            "the server sent what cannot be read: it is not in Gemini's format"
        )
    response: Any = error.response
    status = getattr(response, "status_code", error.code)
    headers = getattr(response, "headers", {})
    body = error_body(error, status)
    if (
        body is None and read_report(error.details).words
    ):  # without words, the SDK names only the status
        body = error.details
    translated = read_error(body if body is not None else "", status)
    if translated.retry_after is None:
        translated.retry_after = retry_after(headers)
    translated.code = translated.code or str(error.code)
    translated.request_id = headers.get("x-request-id")
    name_address(translated, response)
    return translated


# Encode


@encoder
def encode_request(request: Request) -> Json:
    """The arguments of `generate_content`."""
    config = _make_config(request)
    messages = request.history(_is_reasoning)
    contents = _encode_messages(messages, request.model.provider)
    return {"model": request.model.name, "contents": contents, "config": config}


def _make_config(request: Request) -> Config:
    settings = _encode_settings(request)
    try:
        return Config(**settings)
    except ValidationError as error:
        wrong = [
            f"{_dotted(one['loc'])}: {one['msg']}"
            for one in error.errors(include_input=False)
        ]
        raise ConfigurationError(
            f"the Gemini SDK does not take these settings: {'; '.join(wrong)}"
        ) from None


def _encode_settings(request: Request) -> Json:
    model = request.model
    settings: Json = {}
    if model.max_tokens is not None:
        settings["max_output_tokens"] = model.max_tokens
    if model.temperature is not None:
        settings["temperature"] = model.temperature
    system = _system_texts(request)
    if system:
        settings["system_instruction"] = system
    settings["automatic_function_calling"] = {"disable": True}
    settings |= model.extra
    tools = [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters_json_schema": tool.parameters,
        }
        for tool in request.tools
    ]
    if tools:
        settings["tools"] = [
            {"function_declarations": tools},
            *model.extra.get("tools", ()),
        ]
    return settings


def _system_texts(request: Request) -> list[str]:
    texts = [
        message.content for message in request.messages if message.role == "system"
    ]
    if request.instructions is not None:
        texts.insert(0, request.instructions)
    return texts


def _encode_messages(messages: Sequence[Message], provider: str) -> list[Json]:
    """The conversation; the results of a turn's calls go in one message, with the ids
    that the calls came with.
    """
    contents: list[Json] = []
    ids: set[str | None] = set()
    for role, group in groupby(messages, key=lambda message: message.role):
        if role == "tool":
            results = [_encode_result(message, ids, provider) for message in group]
            contents.append({"role": "user", "parts": results})
        elif role != "system":
            for message in group:
                parts = _encode_message(message, provider)
                ids |= _ids_of_calls(parts)
                if parts:
                    contents.append(
                        {
                            "role": "model" if role == "assistant" else "user",
                            "parts": parts,
                        }
                    )
    return contents


def _encode_message(message: Message, provider: str) -> list[Json]:
    if message.items:
        own = mend_items(message.items, message.tool_calls, _call_id, _mend_call)
        if own is not None:
            return own
    parts = parts_to_send(message)
    return encode_parts(parts, provider) or list(_encode_neutral(message))


def _encode_neutral(message: Message) -> Iterator[Json]:
    if message.content:
        yield {"text": message.content}
    for place, call in enumerate(message.tool_calls):
        part: Json = {
            "function_call": {"id": call.id, "name": call.name, "args": call.arguments}
        }
        if place == 0:
            part["thought_signature"] = NO_SIGNATURE
        yield part


def _ids_of_calls(parts: Iterable[Json]) -> set[str | None]:
    calls = [part.get("function_call") or {} for part in parts]
    return {call.get("id") for call in calls}


def _call_id(part: Json) -> object:
    call = part.get("function_call")
    if call is None:
        return None
    return call.get("id") or ""


def _mend_call(part: Json, call: ToolCall) -> Json:
    mended = {**part["function_call"], "name": call.name}
    if mended.get("id"):  # the API is not given an id that it did not give
        mended["id"] = call.id
    return {**part, "function_call": mended}


def _is_reasoning(part: Json) -> bool:
    """Whether the part says nothing: a thought, or an empty text, which may have a
    signature.
    """
    if part.get("thought"):
        return True
    return part.keys() <= SIGNED_TEXT and not part.get("text")


def _encode_result(message: Message, ids: set[str | None], provider: str) -> Json:
    """The result of a call, which has an id only if the call came with one."""
    kind = "error" if message.is_error else "output"
    result: Json = {"name": message.name, "response": {kind: message.content}}
    media = encode_media(parts_to_send(message), provider)
    if media:
        result["parts"] = media
    if message.tool_call_id in ids:
        result["id"] = message.tool_call_id
    return {"function_response": result}
