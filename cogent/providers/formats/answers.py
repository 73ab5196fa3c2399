"""Read what a provider's SDK gives for a request: what the OpenAI SDK and those made
after its pattern share.

The SDKs differ in the class of their streams (`stream_type`), and in whether `parse` is
to be awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from itertools import chain
from typing import Any

from cogent.json_values import Json
from cogent.providers.formats.chat_decoder import StreamDecoder
from cogent.run.outputs import Output
from cogent.transport.answers import (
    close_stainless_stream,
    expect_complete_body,
    is_event_stream,
    request_id_update,
    watch_stream,
)
from cogent.transport.event_stream import SdkReader
from cogent.transport.requests import require_json_object

DecodeEvent = Callable[[Any], Iterable[Output]]
DecodeResponse = Callable[[Json], Iterable[Output]]


async def stream_chat(
    ask: Callable[[], Awaitable[Any]], stream_type: Any, reader: SdkReader
) -> AsyncGenerator[Output, None]:
    """Ask for a streamed chat completion, and yield what comes as it comes; `ask` gives
    the SDK's raw response.
    """
    raw = await ask()
    check_end = expect_complete_body(raw.http_response, reader)
    events = await _parse(raw, stream_type[object])
    decoder = StreamDecoder()
    try:
        yield watch_stream(raw.http_response, reader)
        async for event in events:
            for part in decoder.decode(event):
                yield part
        check_end()
    finally:
        await close_stainless_stream(events)


async def read_whole(
    client: Any,
    raw: Any,
    stream_type: Any,
    decode_event: DecodeEvent,
    decode_response: DecodeResponse,
) -> Iterable[Output]:
    """The parts of an answer that was asked for at once.

    Some servers stream whatever they are asked for.
    """
    if is_event_stream(raw.http_response):
        events = stream_type[object](
            cast_to=object, response=raw.http_response, client=client
        )
        return [part async for event in events for part in decode_event(event)]
    body = require_json_object(await _parse(raw, object))
    return chain((request_id_update(raw.headers),), decode_response(body))


async def _parse(raw: Any, to: Any) -> Any:
    parsed = raw.parse(to=to)
    return await parsed if inspect.isawaitable(parsed) else parsed
