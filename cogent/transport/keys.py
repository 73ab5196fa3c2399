"""API keys are sent to their provider and shown nowhere: a server may repeat one in
whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from itertools import chain
from traceback import clear_frames
from typing import Any

from cogent.errors import ModelError
from cogent.transport.requests import request_of

HEADER = re.compile("key|token|auth|secret", re.IGNORECASE)  # names of headers that do
MIN_KEY_CHARS = 8  # below this a "key" is a placeholder, and looking for it would blank out ordinary words


def keep_secret(
    raised: ModelError, error: BaseException, keys: Sequence[str], request: Any = None
) -> None:
    """Take keys out of an error that is raised, and drop its causes, `error` and those
    behind it, if they show one.

    The keys are those given, and those in the headers of requests that failed: of
    `request`, and of those that the errors keep.
    """
    errors = _chain(error)
    headers = [*map(_headers, errors)]
    if request is not None:
        headers.append(request.headers)
    secrets = set(keys).union(*map(secrets_in, headers))
    for sent in headers:
        _blank(sent)
    is_kept = not secrets.isdisjoint(chain.from_iterable(map(secrets_in, headers)))
    forms = key_forms(secrets)
    if not forms:
        return
    if is_kept or any(_shows(one, forms) for one in errors):
        raised.__cause__ = raised.__context__ = None
    raised.args = (_without(str(raised.args[0]), forms),)
    if raised.code:
        raised.code = _without(raised.code, forms)
    if raised.request_id:
        raised.request_id = _without(raised.request_id, forms)


def key_forms(secrets: Iterable[str]) -> set[str]:
    """All forms in which these keys may stand in a text, of those that are long enough
    to be looked for.
    """
    keys = [secret for secret in secrets if len(secret) >= MIN_KEY_CHARS]
    return {form for key in keys for form in _forms(key)}


def _forms(key: str) -> tuple[str, ...]:
    """The key as it may stand in a text: as it is, in an address, in a page, in JSON."""
    from html import escape
    from json import dumps
    from urllib.parse import quote

    return key, quote(key, safe=""), escape(key), dumps(key)[1:-1]


def _shows(error: BaseException, forms: set[str]) -> bool:
    text = f"{error} {error.args!r} {vars(error)!r}"
    return any(form in text for form in forms)


def _without(text: str, forms: set[str]) -> str:
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "[key]")
    return text


def forget_locals(error: BaseException) -> None:
    """Empty the frames that an error came through, and those of its causes: tools that
    print tracebacks show locals.

    The frames of SDKs and HTTP clients hold the key. Frames that still run, which are
    the caller's, keep them.
    """
    for one in _chain(error):
        clear_frames(one.__traceback__)


def _chain(error: BaseException) -> list[BaseException]:
    found = [error]
    for one in found:
        behind = [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):  # of the attempts to connect, say
            behind += one.exceptions
        found += [
            e
            for e in behind
            if e is not None and not any(e is known for known in found)
        ]
    return found


def secrets_in(headers: Mapping[str, str]) -> list[str]:
    """The secrets in the headers of a request."""
    return [
        str(value).rpartition(" ")[2]
        for name, value in headers.items()
        if HEADER.search(name)
    ]


def _blank(headers: Mapping[str, str]) -> None:
    """Take the secrets out of a request that an SDK's error keeps: it has been sent,
    and is not sent again. aiohttp lets nobody change its headers.
    """
    if not isinstance(headers, MutableMapping):
        return
    for name in [name for name in headers if HEADER.search(name)]:
        headers[name] = "[key]"


def _headers(error: BaseException) -> Mapping[str, str]:
    try:
        request = request_of(getattr(error, "response", None))
        request = request or getattr(error, "request", None)
    except RuntimeError:  # the HTTP clients' own, where no request is known
        return {}
    headers: Mapping[str, str] = getattr(request, "headers", {})
    return headers
