"""A loopback HTTP/1.1 server that sends queued replies and breaks off in the ways that networks do."""

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import responses as reason_phrases
from itertools import accumulate, chain, count, pairwise, repeat
from pathlib import Path
from typing import Any, Literal, Self

_GRACE = 0.02  # Seconds from the last byte to a reset, which may overtake bytes that the client has not read.
# The certificate of the server, for localhost and 127.0.0.1, with its key; and who signed it.
_CERTIFICATE = Path(__file__).with_name("loopback_server.pem")
AUTHORITY = Path(__file__).with_name("loopback_authority.pem")
_GATE_POLL = 0.005  # Seconds between two looks at a gate.
_FOREVER_PAUSE = (
    0.01  # Seconds between the pieces of an endless body whose reply names no pause.
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the server: what it sends, how fast, in which pieces and how it ends."""

    body: bytes | str | Sequence[bytes | str] = b""
    """The pieces of a sequence are sent one by one."""
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    """Seconds before the response head."""
    pause: float = 0
    """Seconds between two pieces."""
    split: int | Sequence[int] | None = None
    """Cut the body anew, into pieces of so many bytes or at these offsets."""
    truncate: int | None = None
    """Send only so many bytes of the body."""
    end: Literal["clean", "close", "reset", "stall"] = "clean"
    """Finish the body; close the socket, reset it, or go silent with the body unfinished."""
    forever: bool = False
    """Repeat the last piece until the client leaves."""
    framing: Literal["chunked", "length"] | None = None
    """By default a content-length for JSON and for every status but 200, else chunks."""
    raw: bytes | None = None
    """Sent instead of a head, whatever it is; the body then goes out as it stands, in no chunks."""
    more: Iterable[bytes] = ()
    """Pieces that follow the body without a pause and are made as they are sent; no content-length counts them."""
    gate: threading.Semaphore | None = None
    """Each piece but the first is sent when the test has released this once more."""

    @property
    def chunked(self) -> bool:
        """Whether the body goes out in chunks rather than under a content-length."""
        if self.raw is not None:
            return False
        if self.framing is None:
            return self.forever or (
                self.status == 200 and "json" not in self.content_type
            )
        return self.framing == "chunked"

    def pieces(self) -> list[bytes]:
        """The body as it is sent, after truncation and cutting."""
        whole = self._whole()
        body = b"".join(whole)
        if self.split is None:
            cuts: Iterable[int] = accumulate(map(len, whole))
        elif isinstance(self.split, int):
            cuts = range(self.split, len(body), self.split)
        else:
            cuts = self.split
        body = body[: self.truncate]
        bounds = [0, *(cut for cut in cuts if cut < len(body)), len(body)]
        # Empty pieces are dropped: an empty chunk would end the body.
        return [body[start:stop] for start, stop in pairwise(bounds) if start < stop]

    def head(self) -> bytes:
        """The status line and the headers."""
        if self.raw is not None:
            return self.raw
        fields = {"content-type": self.content_type, **self.headers}
        if self.chunked:
            fields["transfer-encoding"] = "chunked"
        else:
            # A body that breaks off must have promised more bytes than it sends.
            promised = self.pieces() if self.end == "clean" else self._whole()
            fields["content-length"] = str(sum(map(len, promised)))
        lines = [f"HTTP/1.1 {self.status} {reason_phrases.get(self.status, '')}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def _whole(self) -> list[bytes]:
        parts = [self.body] if isinstance(self.body, bytes | str) else self.body
        return [part.encode() if isinstance(part, str) else part for part in parts]


@dataclass(slots=True)
class Recorded:
    """One request as it arrived, and what became of its answer."""

    method: str
    path: str
    headers: dict[str, str]
    """With lower-case names."""
    body: bytes
    connection: int
    """The number of the TCP connection, the same for requests that shared one."""
    arrived: float = field(default_factory=time.monotonic)
    sent: int = 0
    """Bytes of the answer's body that were given to the connection so far."""
    disconnected: float | None = None
    """When the client was seen to close the connection; None if it never did, or if the server closed it."""
    _left: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def wait_disconnected(self, timeout: float) -> bool:
        """Wait until the client has closed the connection; False if it has not within the timeout."""
        return self._left.wait(timeout)

    def _disconnect(self) -> None:
        self.disconnected = time.monotonic()
        self._left.set()


class Loopback:
    """A server in a thread with an event loop of its own, so that sync and async tests can use it alike.

    With `tls` it speaks HTTPS; whoever is to trust it needs the certificate in AUTHORITY.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self.url = ""
        self._tls = _server_context() if tls else None
        self.requests: list[Recorded] = []
        self._replies: deque[Reply] = deque()
        self._connections: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="loopback", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut all connections and stop the server; harmless when it has stopped already."""
        with suppress(RuntimeError):  # The loop is closed already.
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def reply(self, *replies: Reply) -> None:
        """Queue answers: the n-th request gets the n-th of them."""
        self._replies.extend(replies)

    def forget(self) -> None:
        """Drop what was asked and what is still to be answered."""
        self.requests.clear()
        self._replies.clear()

    def watched_by(self, watch: Callable[[asyncio.AbstractEventLoop], None]) -> None:
        """Have the server's event loop call this with itself."""
        self._loop.call_soon_threadsafe(watch, self._loop)

    @property
    def open_connections(self) -> int:
        """How many TCP connections are open now, idle ones included."""
        return len(self._connections)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            # A task that fails ends the group and with it the thread, which reports it to the test.
            async with asyncio.TaskGroup() as group:
                # Unlike asyncio.start_server, a plain accept loses no socket that arrives during the stop.
                self._loop.add_reader(listener, self._accept, listener, group)
                scheme = "http" if self._tls is None else "https"
                self.url = "{}://{}:{}".format(scheme, *listener.getsockname())
                self._started.set()
                await self._stop.wait()
                self._loop.remove_reader(listener)
                for task in self._connections:
                    task.cancel()

    def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        client, _ = listener.accept()
        # Each piece must leave by itself and at once.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = group.create_task(self._serve(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # A task that is cancelled before it begins has no other chance to close the socket.
        task.add_done_callback(lambda _: client.close())

    async def _serve(self, client: socket.socket) -> None:
        """Read all the time while another task answers, so that a client that leaves is seen at once."""
        try:
            reader, writer = await _open(client, self._tls)
        except OSError:  # The client does not trust the certificate, or has left.
            return
        number = next(self._numbers)
        requests: list[Recorded] = []
        inbox: asyncio.Queue[tuple[Recorded, Reply]] = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as group:
                answering = group.create_task(_answer(inbox, writer))
                # Either error says that the client left.
                with suppress(asyncio.IncompleteReadError, ConnectionError):
                    while True:
                        request = await _read(reader, number)
                        requests.append(request)
                        self.requests.append(request)
                        inbox.put_nowait((request, self.next_reply(request)))
                # The task ends by itself only after it has closed the connection.
                left = not answering.done()
                answering.cancel()
        finally:
            # Unlike close(), abort() does not wait for a client that has stopped reading.
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()
        # A test that has waited for the disconnect must not find the connection counted as open.
        self._connections.discard(asyncio.current_task())
        for request in requests if left else ():
            request._disconnect()

    def next_reply(self, request: Recorded) -> Reply:
        """The answer to a request; a server that decides by what was asked overrides this."""
        if self._replies:
            return self._replies.popleft()
        message = f"No reply is queued for {request.method} {request.path}."
        body = json.dumps(
            {
                "error": {
                    "message": message,
                    "type": "no_reply",
                    "param": None,
                    "code": None,
                }
            }
        )
        # The SDKs would retry a 500 and record requests that the test did not make.
        return Reply(body, 500, "application/json", {"x-should-retry": "false"})


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_CERTIFICATE)
    return context


async def _open(
    client: socket.socket, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The streams of a socket that was accepted, after the handshake of TLS if there is one."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, protocol = await loop.connect_accepted_socket(
        lambda: asyncio.StreamReaderProtocol(reader), client, ssl=tls
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _read(reader: asyncio.StreamReader, connection: int) -> Recorded:
    """The next request of a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = start.split(" ")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    if "transfer-encoding" in headers:
        raise NotImplementedError("requests must have a content-length")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Recorded(method, path, headers, body, connection)


async def _answer(
    inbox: asyncio.Queue[tuple[Recorded, Reply]], writer: asyncio.StreamWriter
) -> None:
    """Answer the requests of a connection in turn, until a reply or the client asks to close it."""
    # So that drain() returns once the system has all bytes; with TLS it would never return.
    if writer.get_extra_info("sslcontext") is None:
        writer.transport.set_write_buffer_limits(0)
    try:
        while True:
            request, reply = await inbox.get()
            await _send(request, reply, writer)
            if reply.end == "reset":
                await asyncio.sleep(_GRACE)
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                writer.transport.abort()
                return
            if (
                reply.end == "close"
                or request.headers.get("connection", "").lower() == "close"
            ):
                writer.close()
                return
    except (
        OSError
    ):  # The client left: the reading task sees it too and cancels this one.
        await asyncio.Event().wait()


async def _pass(gate: threading.Semaphore) -> None:
    """Wait until another thread releases the gate; a task can be cancelled meanwhile, unlike a thread."""
    while not gate.acquire(blocking=False):  # noqa: ASYNC110 (it is released in another thread)
        await asyncio.sleep(_GATE_POLL)


async def _send(request: Recorded, reply: Reply, writer: asyncio.StreamWriter) -> None:
    """Send one reply, up to the point where it ends the connection if it does."""
    await asyncio.sleep(reply.delay)
    writer.write(reply.head())
    pieces = reply.pieces()
    endless = repeat(pieces[-1]) if reply.forever else ()
    pause = reply.pause or (_FOREVER_PAUSE if reply.forever else 0)
    for index, piece in enumerate(chain(pieces, endless, reply.more)):
        if 0 < index < len(pieces) or reply.forever:
            await asyncio.sleep(pause)
        if index > 0 and reply.gate is not None:
            await _pass(reply.gate)
        # Counted first, so that a client that has read it all never finds a smaller number.
        request.sent += len(piece)
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
        await writer.drain()
    if reply.end == "clean" and reply.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    if reply.end == "stall":
        await asyncio.Event().wait()
