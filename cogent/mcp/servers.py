"""Where a server is, and how the package `mcp` is connected to it."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TextIO
from urllib.parse import urlsplit

from cogent.errors import ConfigurationError

# Where certificates are: a program that fetches something needs it behind some proxies.
CERTIFICATES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
MAX_LINES = 5  # of a program's messages that an error shows
MAX_LINE_CHARS = 300
HIDDEN = "***"
CONNECT_SECONDS = 30.0
READ_SECONDS = 300.0  # that an HTTP answer may be silent


class Server(Protocol):
    """One kind of server."""

    is_program: ClassVar[bool]

    @property
    def name(self) -> str:
        """What errors and reprs call it."""
        ...

    def connect(self, messages: Messages) -> Any:
        """What `mcp.Client` takes for a transport, as a context manager."""
        ...

    def secrets(self) -> Iterable[str]:
        """What no message may show."""
        ...


class Messages:
    """What a server said beside the protocol: the last lines that its program wrote to
    stderr, or the last HTTP status of an error.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MAX_LINES)

    def read(self, source: TextIO) -> None:
        """Read until the program has ended; runs in a thread."""
        with source:
            for line in source:
                self.add(line)

    def add(self, line: str) -> None:
        """Keep a line."""
        self._lines.append(line.rstrip()[:MAX_LINE_CHARS])

    def text(self) -> str:
        """The lines, without empty ones."""
        return "\n".join(line for line in list(self._lines) if line)


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A program that speaks over its stdin and stdout."""

    is_program: ClassVar[bool] = True

    command: str
    args: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    cwd: str | None

    @property
    def name(self) -> str:
        """The command, without its arguments, which may hold keys."""
        return self.command

    def secrets(self) -> Iterable[str]:
        """The values that the program gets by its environment."""
        return self.env.values()

    @asynccontextmanager
    async def connect(self, messages: Messages) -> AsyncIterator[Any]:
        """The pipes to the program. Raises OSError if it cannot be run."""
        from mcp import StdioServerParameters, stdio_client

        certificates = {
            name: os.environ[name] for name in CERTIFICATES if name in os.environ
        }
        parameters = StdioServerParameters(
            command=self.command,
            args=list(self.args),
            env=certificates | self.env,
            cwd=self.cwd,
        )
        reading, writing = os.pipe()
        source = os.fdopen(reading, "r", encoding="utf-8", errors="replace")
        threading.Thread(target=messages.read, args=(source,), daemon=True).start()
        with os.fdopen(writing, "w") as errlog:
            async with stdio_client(parameters, errlog) as streams:
                errlog.close()  # the program has its own end of it
                yield streams


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server at a URL."""

    is_program: ClassVar[bool] = False

    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The URL without user, password and query, which may hold keys."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}"

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ConfigurationError("the URL of an MCP server begins with http(s)://")

    def secrets(self) -> Iterable[str]:
        """The headers' values, and what the URL holds of such."""
        parts = urlsplit(self.url)
        return [*self.headers.values(), parts.query, parts.password or ""]

    @asynccontextmanager
    async def connect(self, messages: Messages) -> AsyncIterator[Any]:
        """The streams of an HTTP client with the headers."""
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        async def note_error(response: httpx2.Response) -> None:
            if response.is_error:
                messages.add(f"HTTP {response.status_code} {response.reason_phrase}")

        timeout = httpx2.Timeout(CONNECT_SECONDS, read=READ_SECONDS)
        hooks = {"response": [note_error]}
        async with (
            httpx2.AsyncClient(
                headers=self.headers, timeout=timeout, event_hooks=hooks
            ) as client,
            streamable_http_client(self.url, http_client=client) as streams,
        ):
            yield streams


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with stars for each secret, and for what follows `Bearer ` in one."""
    for secret in secrets:
        for shown in (secret, secret.rpartition(" ")[2]):
            if len(shown) > 3:
                text = text.replace(shown, HIDDEN)
    return text
