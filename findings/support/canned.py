"""A server on the loopback that gives each request the same answer, and a report of what was expected and seen."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Answers every POST with `pieces`, `pause` seconds apart."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        pieces: Sequence[bytes],
        content_type: str,
        status: int,
        headers: dict[str, str],
        pause: float,
    ):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pieces, self.content_type, self.status = pieces, content_type, status
        self.headers, self.pause = headers, pause
        self.requests: list[bytes] = []
        self.request_headers: list[dict[str, str]] = []
        self.connections: set[tuple[str, int]] = set()
        self.sent = 0  # pieces that were given to a connection which was still open
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        server.requests.append(
            self.rfile.read(int(self.headers.get("content-length", 0)))
        )
        server.request_headers.append(
            {name.lower(): value for name, value in self.headers.items()}
        )
        server.connections.add(self.client_address)
        self.send_response(server.status)
        self.send_header("content-type", server.content_type)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in server.pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            server.sent += 1
            time.sleep(server.pause)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(
    *pieces: bytes,
    content_type: str = "text/event-stream",
    status: int = 200,
    headers: dict[str, str] | None = None,
    pause: float = 0,
) -> Iterator[Server]:
    """A server whose every answer is these pieces."""
    server = Server(pieces, content_type, status, headers or {}, pause)
    server.handle_error = lambda *_: None  # a client that leaves is no error
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def report(expected: object, seen: object, described: object) -> None:
    """Print both; exit with 1 if what was seen is not what this finding describes."""
    print(f"Expected: {expected}")
    print("Seen:", *_lines(seen), sep="\n  ")
    if seen != described:
        print("Changed; this finding describes:", *_lines(described), sep="\n  ")
        sys.exit(1)


def _lines(value: object) -> list[str]:
    if not isinstance(value, dict):
        return [repr(value)]
    return [
        f"{name if isinstance(name, str) else ', '.join(name)}: {one!r}"
        for name, one in value.items()
    ]
