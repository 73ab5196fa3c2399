"""Ask through the SDKs that Stainless generates: those of OpenAI, Groq and Anthropic.

They differ in the class of their streams (`stream_type`), in the method that asks
(`create`, with raw response), and in whether `parse` is to be awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from cogent.json_values import Json
from cogent.providers import Answer, Events
from cogent.transport.answers import close_stainless_stream, is_event_stream
from cogent.transport.requests import require_json_object

Create = Callable[..., Awaitable[Any]]


async def open_stream(create: Create, stream_type: Any, arguments: Json) -> Events:
    """Ask for a stream."""
    raw = await create(**arguments)
    stream = await _parse(raw, stream_type[object])
    return Events(stream, partial(close_stainless_stream, stream), raw.http_response)


async def ask(sdk: Any, create: Create, stream_type: Any, arguments: Json) -> Answer:
    """Ask for the whole answer; some servers stream whatever they are asked for."""
    raw = await create(**arguments)
    response = raw.http_response
    if is_event_stream(response):
        events = stream_type[object](cast_to=object, response=response, client=sdk)
        return [event async for event in events]
    return require_json_object(await _parse(raw, object)), raw.headers


async def _parse(raw: Any, to: Any) -> Any:
    parsed = raw.parse(to=to)
    return await parsed if inspect.isawaitable(parsed) else parsed
