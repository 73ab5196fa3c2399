"""A server in a process of its own that answers at once, with bytes made once: a benchmark must not wait for it.

It listens on two ports, one of them with TLS.

The model's name says what the answer is: `text-2000` streams so many deltas of text, `text-2000-1` with so few events
in a chunk of HTTP, `text-100-4-50` with so many milliseconds between its chunks, `call-1000` calls a tool with its
arguments in so many pieces. A request that holds the tool's result is answered with the text that ends a round trip,
and one that asks for no stream with a plain body. `GET /most` tells how many answers were under way at once, each on a
connection of its own, since it was last asked.
"""

import asyncio
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.request import urlopen

from answers import RESULT, ROUND_TRIP, words

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.wire import (
    anthropic_messages,
    chat_completions,
    gemini_generate,
    mistral_chat,
    ollama_chat,
    openai_responses,
)

SUPPORT = Path(__file__).parents[1] / "support"
CERTIFICATE = SUPPORT / "loopback_server.pem"
AUTHORITY = SUPPORT / "loopback_authority.pem"
WIRES = {
    "/responses": openai_responses,
    "/openai/v1/chat/completions": chat_completions,
    "/v1/chat/completions": mistral_chat,
    "/chat/completions": chat_completions,
    "/v1/messages": anthropic_messages,
    ":streamGenerateContent?alt=sse": gemini_generate,
    ":generateContent": gemini_generate,
    "/api/chat": ollama_chat,
}
EVENTS_PER_CHUNK = 64
MARK = "<delta>"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STREAMED = re.compile(rb'"stream": ?true')
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PLAIN_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
)


def text_events(wire: Any, deltas: list[str]) -> list[bytes]:
    """What `wire.text(*deltas)` makes, in linear time: the deltas are written into copies of one event."""
    events = wire.text(MARK)
    place = next(place for place, event in enumerate(events) if MARK.encode() in event)
    pieces = [(events[place], delta) for delta in deltas] + [
        (event, "".join(deltas)) for event in events[place + 1 :]
    ]
    return events[:place] + [
        event.replace(MARK.encode(), text.encode()) for event, text in pieces
    ]


@lru_cache
def answer(path: str, name: str, streamed: bool) -> tuple[list[bytes], float]:
    """The whole answer of a model, HTTP and all, in the pieces that are written one by one, and the pause between."""
    kind, count, *rest = name.split("-")
    wire = next(wire for end, wire in WIRES.items() if path.endswith(end))
    call = "call_1", "measure", json.dumps({"asked": "".join(words(int(count)))})
    if not streamed:
        body = (
            wire.plain_text(*words(int(count)))
            if kind == "text"
            else wire.plain_tool_calls(call)
        )
        return [PLAIN_HEAD % len(body) + body], 0.0
    events = (
        text_events(wire, words(int(count)))
        if kind == "text"
        else wire.tool_calls(call, pieces=int(count))
    )
    size, pause = (*map(int, rest), *(EVENTS_PER_CHUNK, 0)[len(rest) :])
    chunks = [
        b"".join(events[start : start + size]) for start in range(0, len(events), size)
    ] + [b""]
    pieces = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    pieces[0] = HEAD + pieces[0]
    return (pieces, pause / 1000) if pause else ([b"".join(pieces)], 0.0)


class Connection(asyncio.Protocol):
    """Any number of requests, one after the other."""

    answered: ClassVar[set["Connection"]] = set()
    most: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.received = b""

    def connection_lost(self, _: Exception | None) -> None:
        Connection.answered.discard(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, mark, rest = self.received.partition(b"\r\n\r\n")
        length = int(found[1]) if (found := LENGTH.search(head)) else 0
        if not mark or len(rest) < length:
            return
        self.received = rest[length:]
        method, path, _ = head.decode().split(" ", 2)
        if method == "POST":
            self.post(path, rest[:length])
        else:
            told = b"%d" % Connection.most
            Connection.most = len(Connection.answered)
            self.transport.write(PLAIN_HEAD % len(told) + told)

    def post(self, path: str, body: bytes) -> None:
        """Answer a question."""
        Connection.answered.add(self)
        Connection.most = max(Connection.most, len(Connection.answered))
        in_path = path.rpartition("/")[2].partition(":")[0]
        name = (
            f"text-{ROUND_TRIP}"
            if RESULT.encode() in body
            else json.loads(body).get("model", in_path)
        )
        streamed = STREAMED.search(body) is not None or ":streamGenerateContent" in path
        self.write(*answer(path, name, streamed))

    def write(self, pieces: list[bytes], pause: float, place: int = 0) -> None:
        """Write the pieces from a place on, with a pause after each."""
        if self.transport.is_closing():
            return
        self.transport.write(pieces[place])
        if place + 1 < len(pieces):
            asyncio.get_running_loop().call_later(
                pause, self.write, pieces, pause, place + 1
            )
        else:
            Connection.answered.discard(self)


class Addresses(NamedTuple):
    """Where the server is asked without and with TLS; AUTHORITY has signed its certificate."""

    plain: str
    tls: str


@contextmanager
def started() -> Iterator[Addresses]:
    """The addresses of a server that runs as long as the context."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, __file__], text=True, **pipes) as process:
        assert process.stdout is not None
        yield Addresses(*process.stdout.readline().split())


def most_at_once(url: str) -> int:
    """How many answers were under way at once since this was last asked."""
    with urlopen(f"{url}/most") as told:
        return int(told.read())


async def serve() -> None:
    """Serve until whoever started the server closes the pipe, or dies."""
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    ports = []
    for tls in (None, context):
        server = await loop.create_server(
            Connection, "127.0.0.1", 0, backlog=2048, ssl=tls
        )
        ports.append(server.sockets[0].getsockname()[1])
    print(f"http://127.0.0.1:{ports[0]} https://127.0.0.1:{ports[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
