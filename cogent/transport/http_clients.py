"""Which HTTP client is below httpx, or httpx2: aiohttp where it is installed.

It imports aiohttp, so that it is imported only with a provider's SDK.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any
from urllib.request import getproxies

from cogent.errors import ConfigurationError

try:
    from cogent.transport import aiohttp_transport
except ImportError:  # not installed, or too old
    aiohttp_transport = None  # type: ignore[assignment]


def transports(
    httpx: Any, context: ssl.SSLContext, http: str | None, direct: Iterable[str]
) -> dict[str, Any]:
    """The settings of an HTTP client that say over what it sends; `http` is what
    `Model(http=...)` chose, `direct` are hosts that are asked without a proxy.

    What goes through a proxy of the environment goes over httpx itself, which knows
    more kinds of them. Raises ConfigurationError.
    """
    wants_aiohttp = _uses_aiohttp(http)
    if aiohttp_transport is None or not wants_aiohttp:
        return {"mounts": _mounts(direct, None)}
    transport = aiohttp_transport.AiohttpTransport(httpx, context)
    if _has_proxies():
        return {"mounts": _mounts(direct, transport)}
    return {"transport": transport}


def _uses_aiohttp(http: str | None) -> bool:
    if http == "aiohttp" and aiohttp_transport is None:
        raise ConfigurationError(
            'http="aiohttp" needs the package: pip install "cogent-ai[aiohttp]"'
        )
    return http != "httpx" and aiohttp_transport is not None


def _has_proxies() -> bool:
    """Whether the environment, or the system, names a proxy, as httpx reads it."""
    return any(address for kind, address in getproxies().items() if kind != "no")


def _mounts(hosts: Iterable[str], transport: Any) -> dict[str, Any]:
    return {f"all://{host}": transport for host in hosts}
