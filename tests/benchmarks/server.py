"""A server in a process of its own that answers at once, with bytes made once: a benchmark must not wait for it.

The model's name says what the answer is: `text-2000` streams so many deltas of text, `text-2000-1` with so few events
in a chunk of HTTP, `call-1000` calls a tool with its arguments in so many pieces. A request that holds the tool's
result is answered with the text that ends a round trip.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.wire import anthropic_messages, chat_completions, gemini_generate, ollama_chat, openai_responses

WIRES = {
    "/responses": openai_responses,
    "/chat/completions": chat_completions,
    "/v1/messages": anthropic_messages,
    ":streamGenerateContent?alt=sse": gemini_generate,
    "/api/chat": ollama_chat,
}
EVENTS_PER_CHUNK = 64
ROUND_TRIP = 10  # deltas of the text after a tool's result
MARK = "<delta>"
RESULT = "The result of"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def words(count: int) -> list[str]:
    """The deltas of a text."""
    return [f" word{number}" for number in range(count)]


def result(asked: str) -> str:
    """What the tool returns, and what tells a request that holds it from the one before."""
    return f"{RESULT} {len(asked)} characters"


def text_events(wire: Any, deltas: list[str]) -> list[bytes]:
    """What `wire.text(*deltas)` makes, in linear time: the deltas are written into copies of one event."""
    events = wire.text(MARK)
    place = next(place for place, event in enumerate(events) if MARK.encode() in event)
    pieces = [(events[place], delta) for delta in deltas] + [(event, "".join(deltas)) for event in events[place + 1 :]]
    return events[:place] + [event.replace(MARK.encode(), text.encode()) for event, text in pieces]


@lru_cache
def answer(path: str, name: str) -> bytes:
    """The whole answer of a model, HTTP and all."""
    kind, count, *rest = name.split("-")
    wire = next(wire for end, wire in WIRES.items() if path.endswith(end))
    if kind == "text":
        events = text_events(wire, words(int(count)))
    else:
        call = "call_1", "measure", json.dumps({"asked": "".join(words(int(count)))})
        events = wire.tool_calls(call, pieces=int(count))
    size = int(rest[0]) if rest else EVENTS_PER_CHUNK
    pieces = [b"".join(events[start : start + size]) for start in range(0, len(events), size)] + [b""]
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


class Handler(BaseHTTPRequestHandler):
    """Any number of requests on a connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:  # the standard library's own name
        body = self.rfile.read(int(self.headers["content-length"]))
        in_path = self.path.rpartition("/")[2].partition(":")[0]
        name = f"text-{ROUND_TRIP}" if RESULT.encode() in body else json.loads(body).get("model", in_path)
        self.wfile.write(answer(self.path, name))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def started() -> Iterator[str]:
    """The address of a server that runs as long as the context."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, __file__], text=True, **pipes) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        print("http://{}:{}".format(*server.server_address), flush=True)
        sys.stdin.read()  # Until whoever started the server closes the pipe, or dies.
