"""The SSL context of the HTTP clients: loading its certificates takes up to 40 ms of
CPU, so that it is done once and not for each client.

A loop has clients of its own, so that without this `asyncio.run` for each request would
load them for each request.
"""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from cogent.errors import ConfigurationError

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")

Source = tuple[object, ...]
"""What a context was made from; it holds as long as this stays the same."""


@dataclass
class _ThreadContexts(threading.local):
    # For each thread, as httpcore writes to a context before each connection.
    by_client: dict[str, tuple[Source, ssl.SSLContext]] = field(default_factory=dict)


_contexts = _ThreadContexts()


def shared_context(httpx: Any) -> ssl.SSLContext:
    """The default context of an HTTP client, httpx or httpx2, as the environment says
    now.

    It is not to be changed. Raises ConfigurationError if the certificates cannot be
    read.
    """
    name, source = httpx.__name__, _source()
    known = _contexts.by_client.get(name)
    if known is not None and known[0] == source:
        return known[1]
    try:
        context: ssl.SSLContext = httpx.create_ssl_context()
    except OSError as error:
        raise ConfigurationError(
            f"the certificates of SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error}"
        ) from error
    _contexts.by_client[name] = (source, context)
    return context


def _source() -> Source:
    variables = [os.environ.get(name) for name in VARIABLES]
    file = variables[0] or ssl.get_default_verify_paths().openssl_cafile
    try:
        state = os.stat(file)
    except OSError:
        return (*variables, file)
    return (*variables, file, state.st_mtime_ns, state.st_size, state.st_ino)
