"""An ASGI app on a real socket, and what its clients read."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import uvicorn

LIMIT = 30
"""Seconds that a web client waits for anything."""


@contextmanager
def served(app: Any, **settings: Any) -> Iterator[int]:
    """Serve the app by uvicorn in a thread; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    options = {"log_config": None, "timeout_graceful_shutdown": 1, **settings}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="uvicorn"
    )
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    name: str
    data: Any
    """What its JSON says; None where it is no JSON."""
    id: str = ""


def events(response: HTTPResponse) -> Iterator[Event]:
    """The events of an answer as they arrive."""
    name, id, data = "", "", []
    while line := response.readline():
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            id = value
        elif field == "data":
            data.append(value)
        elif not line.strip() and data:
            yield Event(name, as_json("\n".join(data)), id)
            name, id, data = "", "", []


def as_json(text: str) -> Any:
    """The value of a JSON text; None for any other."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def ask(
    web: HTTPConnection,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
) -> HTTPResponse:
    """Send a question, by POST if it has a body; the head of the answer has arrived."""
    if body is None:
        web.request("GET", path, headers=headers or {})
    else:
        written = body if isinstance(body, str | bytes) else json.dumps(body)
        head = {"Content-Type": "application/json", **(headers or {})}
        web.request("POST", path, written, head)
    return web.getresponse()
