"""API keys are sent to their provider and shown nowhere: a server may repeat one in whatever it says."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from traceback import clear_frames
from typing import Any

from cogent.errors import ConfigurationError, ModelError

ATTRIBUTES = ("api_key", "auth_token")  # of a client, that hold a secret
HEADER = re.compile("key|token|auth|secret", re.IGNORECASE)  # names of headers that do
SHORTEST = 8  # below this a "key" is a placeholder, and looking for it would blank out ordinary words


def check_key(key: object) -> None:
    """Raise ConfigurationError for a key that no HTTP header takes; the HTTP clients' own errors would show it."""
    if isinstance(key, str) and not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ConfigurationError(
            "the API key has a character that cannot be sent, perhaps a line break at its end: strip() it"
        )


def check_client(client: object) -> None:
    """The same for a client's keys, which may come from the environment."""
    for name in ATTRIBUTES:
        check_key(getattr(client, name, None))


def keep_secret(told: ModelError, error: BaseException, client: object) -> None:
    """Take keys out of an error of ours, and drop its causes if they show one."""
    from html import escape
    from json import dumps
    from urllib.parse import quote

    chain = _chain(error)
    keys = {getattr(client, name, None) for name in ATTRIBUTES}.union(*map(_sent, chain))
    known = [key for key in keys if isinstance(key, str) and len(key) >= SHORTEST]
    forms = {form for key in known for form in (key, quote(key, safe=""), escape(key), dumps(key)[1:-1])}
    for one in chain:
        _blank_headers(one)
    shown = [f"{one} {one.args!r} {vars(one)!r}" for one in chain] if forms else []
    if any(form in text for text in shown for form in forms):
        told.__cause__ = told.__context__ = None
    for form in sorted(forms, key=len, reverse=True):
        told.args = (str(told.args[0]).replace(form, "[key]"),)
        told.code = told.code and told.code.replace(form, "[key]")
        told.request_id = told.request_id and told.request_id.replace(form, "[key]")


def forget_locals(error: BaseException) -> None:
    """Empty the frames that an error came through, and those of its causes: tools that print tracebacks show locals.

    The SDKs and HTTP clients hold the key in theirs. Frames that still run, which are the caller's, keep them.
    """
    for one in _chain(error):
        clear_frames(one.__traceback__)


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    for one in chain:
        behind = [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):  # of the attempts to connect, say
            behind += one.exceptions
        chain += [e for e in behind if e is not None and not any(e is known for known in chain)]
    return chain


def _sent(error: BaseException) -> set[str]:
    """The secrets in the headers of the request that failed."""
    return {str(value).rpartition(" ")[2] for name, value in _headers(error).items() if HEADER.search(name)}


def _blank_headers(error: BaseException) -> None:
    """Take the secrets out of the request that the SDK's error keeps: it has been sent, and is not sent again."""
    headers = _headers(error)
    for name in [name for name in headers if HEADER.search(name)]:
        headers[name] = "[key]"


def _headers(error: BaseException) -> MutableMapping[str, str]:
    try:
        request: Any = getattr(getattr(error, "response", None), "request", None) or getattr(error, "request", None)
    except RuntimeError:  # the HTTP clients' own, where no request is known
        return {}
    headers: MutableMapping[str, str] = getattr(request, "headers", {})
    return headers
