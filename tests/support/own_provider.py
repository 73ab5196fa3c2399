"""A provider as a user writes one, outside of the package: a server that is made up, asked without an SDK.

Each line of its answers is a JSON object: `{"say": "Hel"}`, `{"do": "search", "with": {...}, "as": "t1"}`,
`{"over": "fine", "cost": [11, 7]}`, or `{"wrong": "It broke.", "kind": "bad_luck"}`. A `ticket` in a line has to
go back with the answer.
"""

import json
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Any

import httpx2

from cogent import (
    ConfigurationError,
    Message,
    Model,
    Overloaded,
    StreamChunk,
    Timeout,
    ToolCallDelta,
)
from cogent.providers import Answer, Client, Events, Request
from cogent.run.outputs import FinishWord, Item, Output, TokenCounts
from cogent.transport.answers import client_settings
from cogent.transport.event_stream import SdkReader
from cogent.transport.reported import ReportedError

Json = dict[str, Any]

SDK_READER = SdkReader(json_lines=True)
FINISH_WORDS = {"fine": "stop", "too much": "length"}
ERROR_CODES = {"bad_luck": Overloaded}


def make_client(model: Model, timeout: Timeout) -> Client:
    """An HTTP client with the user's key."""
    key = model.api_key or os.environ.get("ECHO_KEY")
    if not isinstance(key, str):
        raise ConfigurationError("no API key: set ECHO_KEY")
    address = model.base_url or "http://localhost:7777"
    settings = client_settings(httpx2, timeout, address, SDK_READER)
    settings["headers"]["x-key"] = key
    http = httpx2.AsyncClient(base_url=address, **settings)
    return Client(http, address, (key,), http.aclose)


def encode_request(request: Request) -> Json:
    """What is posted."""
    lines = [encode_message(message) for message in request.history()]
    can = [tool.name for tool in request.tools]
    return {"model": request.model.name, "lines": lines, "can": can}


def encode_message(message: Message) -> Json:
    """One entry of the conversation."""
    encoded: Json = {"by": message.role, "text": message.content}
    if message.tool_calls:
        encoded["do"] = [[call.id, call.name] for call in message.tool_calls]
    if message.tool_call_id:
        encoded["for"] = message.tool_call_id
    return encoded | {key: item[key] for item in message.items for key in item}


async def open_stream(
    http: httpx2.AsyncClient, request: Request, arguments: Json
) -> Events:
    """Ask for a stream."""
    question = http.build_request("POST", "/talk", json={**arguments, "stream": True})
    response = await http.send(question, stream=True)
    if response.is_error:
        await response.aread()
        response.raise_for_status()
    lines = read_lines(response)
    return Events(lines, partial(close, response, lines), response)


async def close(response: httpx2.Response, lines: Any) -> None:
    """Leave a stream, wherever it is."""
    await response.aclose()
    await lines.aclose()


async def read_lines(response: httpx2.Response) -> AsyncIterator[str]:
    """The lines of an answer."""
    async for line in response.aiter_lines():
        yield line


async def ask(http: httpx2.AsyncClient, request: Request, arguments: Json) -> Answer:
    """Ask for the whole answer: all lines in a list."""
    response = await http.post("/talk", json={**arguments, "stream": False})
    response.raise_for_status()
    return response.json(), response.headers


class LineDecoder:
    """Decodes the lines of one answer."""

    is_complete = False

    def decode(self, line: str) -> Iterable[Output]:
        """What a line says."""
        return decode_line(json.loads(line))

    def close(self) -> Iterable[Output]:
        """Nothing is held back."""
        return ()


make_decoder = LineDecoder


def decode_line(said: Json) -> Iterator[Output]:
    """What one line says."""
    if "wrong" in said:
        raise ReportedError({"message": said["wrong"], "code": said.get("kind")})
    if "say" in said:
        yield StreamChunk(said["say"])
    if "do" in said:
        arguments = json.dumps(said["with"])
        call = ToolCallDelta(0, said["as"], said["do"], arguments)
        yield StreamChunk(tool_call=call)
    if "ticket" in said:
        yield Item({"ticket": said["ticket"]})
    if "over" in said:
        read, made = said["cost"]
        yield TokenCounts({"input_tokens": read, "output_tokens": made})
        yield FinishWord(said["over"])


def decode_response(body: Any) -> Iterator[Output]:
    """All lines at once."""
    for said in body["lines"]:
        yield from decode_line(said)
