"""Google's Gemini API, and Vertex AI where the SDK's environment variables ask for it.

All settings of a request are fields of the SDK's `config`, so `extra` is merged into
that. An answer goes back part by part, thought signatures included; only the deltas of
a text are joined, and a part with a signature stays by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from google import genai
from google.genai import types
from google.genai.errors import APIError
from pydantic import ValidationError

from cogent.errors import AuthenticationError, ConfigurationError, ModelError
from cogent.json_values import Json
from cogent.messages import Message, ToolCall
from cogent.providers import Answer, Events, OutputWay, Request, encoder
from cogent.providers._gemini_client import SDK_READER, make_client
from cogent.providers.formats import gemini_text
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.gemini_contents import bypass_sdk_models
from cogent.providers.formats.gemini_decoder import StreamDecoder
from cogent.providers.formats.gemini_parts import ACCEPTED, encode_media, encode_parts
from cogent.providers.formats.output_schema import GEMINI, in_dialect
from cogent.providers.formats.parts import parts_to_send
from cogent.providers.formats.past_sdk import PastSdk
from cogent.providers.formats.settings import TOOL_CHOICES, add_settings, system_texts
from cogent.run.finish import FinishWords
from cogent.run.history import mend_items
from cogent.run.outputs import Output
from cogent.transport.answers import (
    close_generator_chain,
    read_first,
    watch_stream,
)
from cogent.transport.error_body import decoded, read_report
from cogent.transport.errors import error_body
from cogent.transport.exchange import present_exchange
from cogent.transport.reported import ErrorReport, ReportedError
from cogent.transport.requests import request_of

if TYPE_CHECKING:
    from cogent.tools import Tool

__all__ = ["SDK_READER", "make_client"]

FINISH_WORDS: FinishWords = {
    **ANY_SERVER,
    "blocked": "content_filter",  # the prompt was; the reason follows after a colon
}
ERROR_CODES: Mapping[str, type[ModelError]] = {"API_KEY_INVALID": AuthenticationError}
DELAY = re.compile(r"(\d+(\.\d+)?)s")
# Google's stand-in for the signature of a call that Gemini did not make itself; Gemini
# 3 refuses a call without one.
NO_SIGNATURE = b"skip_thought_signature_validator"
OLD_MODELS = re.compile(r"(models/)?gemini-[12](\.|-|$)")
SIGNED_TEXT = {"text", "thought_signature"}


class Config(types.GenerateContentConfig):
    """The SDK's settings, with a field that they lack and that
    `generate_content_stream` looks for at each event.

    To find that there is none costs pydantic 3 µs.
    """

    include_all_fields: ClassVar[None] = None


make_decoder = StreamDecoder


async def open_stream(sdk: genai.Client, request: Request, arguments: Json) -> Events:
    """Ask for a stream; the SDK sends the request only when the first event is read."""
    arguments = _past_sdk_models(request, arguments)
    iterator: Any = await sdk.aio.models.generate_content_stream(**arguments)
    with _explaining_arguments():
        first = await read_first(iterator)
    events = PastSdk(iterator, gemini_text)
    exchange = present_exchange()
    if exchange is not None and exchange.response is not None:
        watch_stream(exchange.response, SDK_READER).shorten = events.shorten
    return Events(events, partial(close_generator_chain, iterator), first=first)


async def ask(sdk: genai.Client, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer at once."""
    arguments = _past_sdk_models(request, arguments)
    with _explaining_arguments():
        return await sdk.aio.models.generate_content(**arguments), {}


def _past_sdk_models(request: Request, arguments: Json) -> Json:
    """The arguments as they cost less; a user's own client may have an `extra_body`
    that those of a request would replace.
    """
    is_own_client = request.model.client is not None
    return arguments if is_own_client else bypass_sdk_models(arguments)


def decode_response(body: types.GenerateContentResponse) -> Iterator[Output]:
    """The parts of a whole answer."""
    decoder = StreamDecoder()
    yield from decoder.decode(body)
    yield from decoder.close()


# Errors


@contextmanager
def _explaining_arguments() -> Iterator[None]:
    """Raise ConfigurationError if it is not the answer that the SDK's types do not fit,
    but the request.
    """
    try:
        yield
    except ValidationError as error:
        if error.title == types.GenerateContentResponse.__name__:
            raise
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationError(
            f"history or extra cannot be made into a request: {_dotted(first['loc'])}: {first['msg']}"
        ) from None


def _dotted(location: Iterable[int | str]) -> str:
    return ".".join(map(str, location))


def read_error(error: Exception) -> ErrorReport | None:
    """What Google said: the most specific code, and the time to wait, stand among the
    error's details.
    """
    if isinstance(error, ReportedError):
        return _report(error.body, error.status)
    if isinstance(error, APIError):
        return _read_api_error(error)
    if isinstance(error, TypeError | AttributeError):
        return ErrorReport("the server sent an answer that is not in Gemini's format")
    return None


def _read_api_error(error: APIError) -> ErrorReport:
    response: Any = error.response
    status = getattr(response, "status_code", error.code)
    body = error_body(error, status)
    # Without words, the SDK names only the status.
    if body is None and read_report(error.details).words:
        body = error.details
    report = _report(body, status)
    if not read_report(body).codes:
        report.code = report.code or str(error.code)
    report.headers = getattr(response, "headers", {})
    # Of an error amid a stream the SDK keeps its own response, around that of the HTTP
    # client, which it leaves open unless that is aiohttp.
    inner = getattr(response, "response_stream", None)
    report.response = inner if hasattr(inner, "aclose") else None
    report.request = request_of(inner or response)
    return report


def _report(body: object, status: int) -> ErrorReport:
    infos: Json = {}
    for info in _details(body):
        infos |= info
    delay = DELAY.fullmatch(str(infos.get("retryDelay")))
    return ErrorReport(
        body,
        status,
        code=infos.get("reason"),
        retry_after=float(delay[1]) if delay else None,
    )


def _details(body: object) -> list[Json]:
    body = decoded(body)
    while isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    if not isinstance(details, list):
        return []
    return [info for info in details if isinstance(info, dict)]


# Encode


@encoder
def encode_request(request: Request) -> Json:
    """The arguments of `generate_content`."""
    config = _make_config(request)
    check = ACCEPTED.check_for(request.model.provider)
    messages = request.history(_is_reasoning, with_parts=True, check_media=check)
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
    settings: Json = {"automatic_function_calling": {"disable": True}}
    system = system_texts(request)
    if system:
        settings["system_instruction"] = system
    add_settings(settings, model, max_tokens="max_output_tokens")
    if request.tools:
        tools = [_encode_tool(tool) for tool in request.tools]
        declared = {"function_declarations": tools}
        settings["tools"] = [declared, *model.extra.get("tools", ())]
    if request.tool_choice is not None:
        calling = _encode_choice(request.tool_choice)
        settings["tool_config"] = {"function_calling_config": calling}
    if request.output is not None:
        settings["response_mime_type"] = "application/json"
        settings["response_json_schema"] = in_dialect(request.output.schema, GEMINI)
    return settings


def _encode_choice(choice: str) -> Json:
    if choice in TOOL_CHOICES:
        return {"mode": "ANY" if choice == "required" else "NONE"}
    return {"mode": "ANY", "allowed_function_names": [choice]}


def output_way(request: Request, is_streamed: bool) -> OutputWay:
    """With the API's own mode, which models before Gemini 3 do not have together with
    tools, and not for a schema that it does not take.
    """
    assert request.output is not None
    own_tools = request.model.extra.get("tools")
    is_old = OLD_MODELS.match(request.model.name) is not None
    if is_old and request.tools and not own_tools:
        return "tool"
    takes_no_schema = is_old and own_tools
    if takes_no_schema or in_dialect(request.output.schema, GEMINI) is None:
        return "instructions"
    return "mode"


def _encode_tool(tool: Tool[..., Any]) -> Json:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters_json_schema": tool.parameters,
    }


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
