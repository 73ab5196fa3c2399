"""What holds for every HTTP answer, whichever SDK reads it: where it may come from, how
it begins and how it is left.

The SDKs take an HTTP client with event hooks. All this is the same for httpx and
httpx2, whose classes the SDKs bring along, so that neither is imported here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cogent.errors import ServerError
from cogent.timeout import Timeout
from cogent.transport.body import AnswerBytes, content_type, wrap_body
from cogent.transport.event_stream import SdkReader
from cogent.transport.exchange import present_exchange
from cogent.transport.reported import raise_reported
from cogent.transport.requests import require_json_object
from cogent.transport.tape import note_request, present_tape
from cogent.transport.tls import shared_context

# Names of this machine in the form of the HTTP clients' patterns; nothing is bound.
THIS_MACHINE = (
    "localhost",
    "*.localhost",
    "127.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::]",
)
EVENT_STREAM = "text/event-stream"


def client_settings(
    httpx: Any,
    timeout: Timeout,
    address: str | None,
    reader: SdkReader,
    http: str | None = None,
) -> dict[str, Any]:
    """The arguments of an HTTP client of this library, httpx or httpx2; `reader` says
    what the SDK takes that reads its answers, `http` what `Model(http=...)` chose.

    What the environment says of proxies holds, but not for this machine's own
    addresses: no proxy stands between a process and a server beside it. `address` is
    the one that will be asked, as far as it is known.

    The number of connections has no limit: an agent has as many as it has streams, and
    with a limit the clients look through all that wait and all that are open whenever
    one of them changes.
    """
    context = shared_context(httpx)
    hosts = (*THIS_MACHINE, *_own_host(address or ""))
    chosen = _transport_settings(httpx, context, http, hosts)
    hooks = [note_request]
    # Over a transport of our own, which sees to it by itself, this hook sees nothing.
    if "transport" not in chosen:
        hooks.append(_reject_premature_response)
    return {
        "verify": context,
        "timeout": httpx.Timeout(timeout.read, connect=timeout.connect),
        "headers": {"accept-encoding": "identity"},
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=100),
        "event_hooks": {
            "request": hooks,
            "response": [_response_hook(reader, address)],
        },
        **chosen,
    }


def _transport_settings(
    httpx: Any, context: Any, http: str | None, hosts: Iterable[str]
) -> dict[str, Any]:
    """The settings that say what carries the client's requests."""
    from cogent.transport.http_clients import transports  # it imports aiohttp

    tape = present_tape()
    instead = None if tape is None else tape.transport(httpx)
    if instead is not None:
        return {"transport": instead}
    return transports(httpx, context, http, hosts)


def _own_host(address: str) -> list[str]:
    """The host of an address if it is one of this machine's: all of 127.0.0.0/8 is, and
    no pattern stands for it.
    """
    try:
        host = _split_address(address).hostname or ""
        own = ip_address(host).is_loopback
    except ValueError:  # a name
        return []
    return [f"[{host}]" if ":" in host else host] if own else []


def _split_address(address: str) -> SplitResult:
    """The parts of an address, which may lack its scheme."""
    return urlsplit(address if "://" in address else f"//{address}")


async def _reject_premature_response(request: Any) -> None:
    """A request hook: an answer that had come before its question was sent is no answer
    to that.

    The HTTP clients keep what a server sends after the end of an answer, and take it
    for the next one. Only then is there an answer as soon as it is waited for, before
    the event loop has had its turn.
    """
    waited: list[bool] = []

    async def trace(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith("receive_response_headers.started"):
            asyncio.get_running_loop().call_soon(waited.append, True)
        elif event.endswith("receive_response_headers.complete") and not waited:
            raise ServerError(
                "an answer came before the request was sent", retryable=True
            )

    request.extensions["trace"] = trace


def _response_hook(
    reader: SdkReader, address: str | None
) -> Callable[[Any], Awaitable[None]]:
    """The one response hook: refuses redirects, watches over the bytes of the answer,
    and leaves the response to whoever asked.
    """

    async def on_response(response: Any) -> None:
        tape = present_tape()
        if tape is not None:
            tape.on_response(response)
        if response.has_redirect_location:
            raise _redirect_error(response, address)
        is_streamed = content_type(response) == EVENT_STREAM  # also if not asked for
        exchange = present_exchange()
        if exchange is not None:
            exchange.response = response
            is_streamed = is_streamed or exchange.is_streamed
        wrap_body(response, reader, is_streamed=is_streamed)

    return on_response


def _redirect_error(response: Any, address: str | None) -> ServerError:
    """The error for a redirect, with the `base_url` to give, where that is known.

    The HTTP clients take only the Authorization header off a request to another host,
    and most keys are in another. So no redirect is followed.
    """
    target = response.url.join(response.headers["location"])
    base_url = _base_url_for(target, response.url.path, address)
    advice = f"give base_url={base_url!r}" if base_url else "give its base_url"
    return ServerError(
        f"the server redirects to {_without_query(target)}, where nothing is sent: "
        f"if that is right, {advice}",
        status=response.status_code,
        retryable=False,
    )


def _base_url_for(target: Any, asked_path: str, address: str | None) -> str | None:
    """The base URL with which the target is asked: it ends with the path that the SDK
    adds to each. None if the target does not, or if it is not known what is added.
    """
    if address is None:
        return None
    added = asked_path.removeprefix(_split_address(address).path.rstrip("/"))
    if not target.path.endswith(added):
        return None
    return _without_query(target).removesuffix(added)


def _without_query(url: Any) -> str:
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))


def watch_stream(response: Any, reader: SdkReader) -> AnswerBytes:
    """The bytes of a streamed answer, which are looked at from here on, whoever made
    the client.

    A stream that is cut after its finish reason still lacks what follows, usage above
    all. The SDKs drop an unfinished last event silently and do not tell whether they
    saw `[DONE]`, so the response's own byte stream is asked.
    """
    return wrap_body(response, reader)


def is_event_stream(response: Any) -> bool:
    """Whether a response that was read whole is a stream of events, whatever it says it
    is.
    """
    return content_type(
        response
    ) == EVENT_STREAM or response.content.lstrip().startswith((b"data:", b"event:"))


def check_whole_body(response: Any) -> None:
    """Raise what stands in the place of a whole answer with status 200: an error, or
    something else than a JSON object.

    For SDKs that make an object of their own of each body, an empty one of these.
    Raises ValueError for what is no JSON, and says that it is.
    """
    if response.status_code != 200:
        return
    try:
        body = response.text
    except RuntimeError:  # the HTTP clients' own, where the body was not read
        return
    if "json" in content_type(response):
        body = json.loads(body)
    raise_reported(body)
    require_json_object(body)


async def read_first(events: AsyncIterator[Any]) -> list[Any]:
    """The first event, if there is one: some SDKs send the request only for that."""
    try:
        return [await anext(events)]
    except StopAsyncIteration:
        return []


async def close_stainless_stream(events: Any) -> None:
    """Close an SDK's stream, and end the generators behind it by reading on.

    Left to the garbage collector or the end of the loop, they would be closed all at
    once, each while another closes it, and the loop would complain. What is read of a
    closed stream is at most what had already come.
    """
    await events.close()
    # Reading a closed stream fails, and that is the end of it.
    with suppress(Exception):
        async for _ in events:
            pass


async def close_generator_chain(events: AsyncIterator[object]) -> None:
    """End an SDK's generators, and with them the connection of an answer that is not
    read to its end.

    Generators that hold each other in a circle have nothing else to close: closing the
    outermost closes no other before the garbage collector comes by. A read that is
    cancelled ends them all, beginning with the innermost.
    """
    interrupted, ended = False, False

    async def read() -> None:
        nonlocal ended
        ended = True
        ended = await anext(events, None) is None

    while not ended:
        reading = asyncio.ensure_future(read())
        # By then it waits, or has found what had already come.
        stop = asyncio.get_running_loop().call_soon(reading.cancel)
        while not reading.done():
            try:
                await asyncio.wait([reading])
            except asyncio.CancelledError:
                # Raised later: a loop that ends would find the generators half closed.
                interrupted = True
        stop.cancel()
        if not reading.cancelled() and reading.exception() is not None:
            break
    if interrupted:
        raise asyncio.CancelledError
