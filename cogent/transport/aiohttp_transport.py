"""httpx and httpx2 over aiohttp, whose parser is in C: an event that comes alone costs
about a third less.

The SDKs have adapters too, but not all of them, and those call a refused connection a
time-out. This one is a transport as httpx describes them (`AsyncBaseTransport`), the
same for both; which of them is meant is an argument. Proxies, redirects, cookies and
compression stay with httpx. It imports aiohttp, so that only `http_clients` imports it.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from multidict import istr
from yarl import URL

# What httpx sends by itself, or not at all.
NO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
MAX_HEADER_BYTES = 65536
MAX_FRAMING_BYTES = 1024 * 1024  # in which a body does not grow
MAX_BYTES_AT_ONCE = 1024 * 1024  # of a request's body
MAX_BYTES_PER_READ = 32768
SWITCHING_PROTOCOLS = 101
KEEPALIVE_SECONDS = 5.0  # as httpx keeps a connection that is idle

# The classes of httpx by those of aiohttp; the first that fits is it.
ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "ConnectTimeout"),
    (aiohttp.ServerTimeoutError, "ReadTimeout"),
    (aiohttp.ClientConnectorError, "ConnectError"),
    (aiohttp.ClientSSLError, "ConnectError"),
    (aiohttp.ServerDisconnectedError, "RemoteProtocolError"),
    (aiohttp.ClientPayloadError, "RemoteProtocolError"),
    (aiohttp.ClientResponseError, "RemoteProtocolError"),
    (HttpProcessingError, "RemoteProtocolError"),
    (aiohttp.InvalidURL, "UnsupportedProtocol"),
    (aiohttp.ClientConnectionError, "ReadError"),
    (aiohttp.ClientError, "ReadError"),
    (OSError, "ReadError"),
    (ValueError, "LocalProtocolError"),  # a header that cannot be sent
)
KINDS_OF_ERRORS = tuple(kind for kind, _ in ERRORS)


class AiohttpTransport:
    """Requests of one event loop; it opens nothing before the first."""

    def __init__(self, httpx: Any, context: ssl.SSLContext) -> None:
        self._httpx = httpx
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request of httpx; its response, of which only the head was read."""
        if self._session is None:
            self._session = self._open_session()
        limits = request.extensions.get("timeout", {})
        with _errors_of(self._httpx):
            response = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=_decoded(request.headers.raw),
                data=_body_to_send(await request.aread()),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=limits.get("connect"), sock_read=limits.get("read")
                ),
            )
        if response.status == SWITCHING_PROTOCOLS:
            response.close()
            raise self._httpx.RemoteProtocolError(
                "the server switches to a protocol that nobody asked for"
            )
        return self._httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_body_class(self._httpx)(self._httpx, response),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (response.reason or "").encode(),
            },
        )

    def _open_session(self) -> aiohttp.ClientSession:
        connector = _Connector(
            ssl=self._context,
            limit=0,
            keepalive_timeout=KEEPALIVE_SECONDS,
            resolver=aiohttp.ThreadedResolver(),  # the system's, as httpx has it
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=NO_HEADERS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            response_class=_Response,
        )
        # A client that is dropped is closed without a warning, as those of httpx are.
        weakref.finalize(self, _close_from_any_thread, session)
        return session

    async def aclose(self) -> None:
        """Close all connections without waiting: the event loop may end just now."""
        if self._session is not None:
            _close_at_once(self._session)
        self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _close_from_any_thread(session: aiohttp.ClientSession) -> None:
    """Close it in the thread of its event loop, as long as that runs."""
    loop = _connector_of(session).event_loop
    if loop.is_running():
        with suppress(RuntimeError):  # that loop has just ended
            loop.call_soon_threadsafe(_close_at_once, session)
    else:
        _close_at_once(session)


def _close_at_once(session: aiohttp.ClientSession) -> None:
    """Close all connections; of a connector without any, `close()` waits for nothing."""
    connector = _connector_of(session)
    connector.abort_all()
    closing = connector.close()
    with suppress(StopIteration):
        closing.send(None)
    closing.close()


def _connector_of(session: aiohttp.ClientSession) -> _Connector:
    assert isinstance(session.connector, _Connector)
    return session.connector


def _body_to_send(body: bytes) -> bytes | BytesIO | None:
    """A large body as a file, of which aiohttp writes one piece after the other; it
    warns of large bytes.
    """
    return BytesIO(body) if len(body) > MAX_BYTES_AT_ONCE else body or None


def _decoded(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    # One string for all requests that are open, as each keeps its headers.
    return [
        (_header_name(name), sys.intern(value.decode("latin-1")))
        for name, value in headers
    ]


@lru_cache(maxsize=256)
def _header_name(name: bytes) -> str:
    """The name as aiohttp keeps it; of another string it would make one for itself."""
    return istr(name.decode("latin-1"))


class _Connector(aiohttp.TCPConnector):
    """Opens connections that have a guard, and can close them at once."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._guards: weakref.WeakSet[_Guard] = weakref.WeakSet()
        self.event_loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(MAX_BYTES_PER_READ))

    async def connect(self, *args: Any, **more: Any) -> Any:
        connection = await super().connect(*args, **more)
        transport = connection.transport
        if transport is not None:
            guard = transport.get_protocol()
            if not isinstance(guard, _Guard):
                guard = _Guard(guard, transport, self._buffer)
                transport.set_protocol(guard)
                self._guards.add(guard)
            guard.begin()
        return connection

    def abort_all(self) -> None:
        """Close all connections, unless their loop has ended and they with it."""
        if not self.event_loop.is_closed():
            for guard in list(self._guards):
                guard.abort()


class _Guard(asyncio.BufferedProtocol):
    """Stands before the protocol of a connection, and closes it where aiohttp lets pass
    what a server may not send: bytes between two answers, which would begin the next
    one, and sizes and extensions of chunks without end.

    All guards of a client read into one buffer, `buffer`, one after the other.
    """

    def __init__(self, inner: Any, transport: Any, buffer: memoryview) -> None:
        self._inner = inner
        self._transport = transport
        self._buffer = buffer
        self._is_lost = False
        self._is_asked = False
        self._content: aiohttp.StreamReader | None = None
        self._body_bytes = 0
        self._framing_bytes = 0

    def begin(self) -> None:
        """A request is under way."""
        self._is_asked, self._content, self._framing_bytes = True, None, 0

    def watch(self, content: aiohttp.StreamReader) -> None:
        """The head of its answer has come; `content` is the rest."""
        self._content, self._body_bytes = content, 0
        content.on_eof(self._end)

    def abort(self) -> None:
        """Close the connection at once, and let aiohttp know at once."""
        self._transport.abort()
        self.connection_lost(None)

    def _end(self) -> None:
        self._is_asked, self._content = False, None

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._is_asked:
            self._transport.abort()
            return
        self._inner.data_received(bytes(self._buffer[:nbytes]))
        if self._content is None:
            return
        body_bytes = self._content.total_bytes
        if body_bytes != self._body_bytes:
            self._body_bytes, self._framing_bytes = body_bytes, 0
            return
        self._framing_bytes += nbytes
        if self._framing_bytes > MAX_FRAMING_BYTES:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        content = self._content
        self._inner.connection_lost(exc)
        # After bytes that are no HTTP aiohttp lets the reader wait.
        if content is not None and not content.is_eof() and not content.exception():
            content.set_exception(aiohttp.ClientPayloadError("the connection ended"))

    def eof_received(self) -> None:
        self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Wait for the head; the guard of the connection watches over the rest."""
        transport = connection.transport
        await super().start(connection)
        if transport is not None:
            guard = transport.get_protocol()
            guard.watch(self.content)
            if self.status == SWITCHING_PROTOCOLS:
                # Without a body, it would be taken for the next request already.
                guard.abort()
        return self


class _Body:
    """The bytes of a response as they come; leaving early closes the connection."""

    def __init__(self, httpx: Any, response: aiohttp.ClientResponse) -> None:
        self._httpx = httpx
        self._response = response
        self._error: Exception | None = None  # to be raised next

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._error is not None:
            raise self._error
        try:
            data = await self._response.content.read(MAX_BYTES_PER_READ)
        except asyncio.CancelledError:
            # Whoever keeps the response, a traceback say, would keep the connection.
            self._response.close()
            raise
        except KINDS_OF_ERRORS as error:
            data = self._take_last(error)
        if not data:
            raise StopAsyncIteration
        return data

    def _take_last(self, error: Exception) -> bytes:
        """What had come before an error, which is raised after that."""
        translated = _translate(self._httpx, error)
        if isinstance(error, aiohttp.ClientError):
            # With an error known, aiohttp does not give what had come before it.
            content = self._response.content
            content.set_exception(None)  # type: ignore[arg-type]  # back to none
            rest = content.read_nowait()
            if rest:
                self._error = translated
                return rest
        raise translated

    async def aclose(self) -> None:
        self._response.close()  # what was read to its end has let its connection go


@lru_cache
def _body_class(httpx: Any) -> Any:
    return type("Body", (_Body, httpx.AsyncByteStream), {})


@contextmanager
def _errors_of(httpx: Any) -> Iterator[None]:
    try:
        yield
    except KINDS_OF_ERRORS as error:
        translated = _translate(httpx, error)
        raise translated from translated.__cause__


def _translate(httpx: Any, error: Exception) -> Exception:
    """The error of httpx, or httpx2, that stands for one of aiohttp."""
    name = next(name for kind, name in ERRORS if isinstance(error, kind))
    cause = _reason(error)
    translated: Exception = getattr(httpx, name)(str(cause))
    translated.__cause__ = cause
    return translated


def _reason(error: Exception) -> Exception:
    """The system's error that kept a connection from being made; the words of aiohttp's
    speak of TLS whatever it was.
    """
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return error.certificate_error
        case aiohttp.ClientConnectorError():
            return error.os_error
    return error
