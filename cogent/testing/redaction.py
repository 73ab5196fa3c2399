"""What a recording leaves out: keys, wherever they stand, and most headers."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cogent.errors import ConfigurationError
from cogent.testing.recording import Exchange, read_body
from cogent.transport.keys import HEADER, key_forms, secrets_in

KEY = "[key]"
REQUEST_HEADERS = re.compile(
    r"accept|content-type|anthropic-(version|beta)|openai-beta"
)
RESPONSE_HEADERS = re.compile(
    r"content-(type|encoding)|location|retry-after(-ms)?|x-should-retry"
    r"|(x-)?request-id|(x|anthropic)-ratelimit-.*"
)
# Of values in a request's body that are secrets, as those of MCP servers.
FIELDS = re.compile(
    r"authorization|cookie|password|(client[-_]?)?secret"
    r"|(x[-_])?api[-_]?key|(access|auth|bearer)[-_]?token",
    re.IGNORECASE,
)
INFLATED = 47  # gzip or zlib, whichever it is


class Secrets:
    """The secrets of one request, and texts and bytes without them."""

    def __init__(self, request: Any, body: Any) -> None:
        headers = dict(request.headers)
        parts = urlsplit(str(request.url))
        query = dict(parse_qsl(parts.query))
        found = {*secrets_in(headers), *secrets_in(query), *_fields(body)}
        found.update(filter(None, (headers.get("cookie"), parts.password)))
        self._forms = sorted(key_forms(found), key=len, reverse=True)
        pattern = b"|".join(re.escape(form.encode()) for form in self._forms)
        self._pattern = re.compile(pattern) if self._forms else None

    def text(self, text: str) -> str:
        """The text without the secrets."""
        for form in self._forms:
            text = text.replace(form, KEY)
        return text

    def json(self, value: Any) -> Any:
        """The value without the secrets."""
        if not self._forms:
            return value
        return json.loads(self.text(json.dumps(value, ensure_ascii=False)))

    def pieces(self, pieces: Sequence[bytes]) -> list[bytes]:
        """The pieces of a body without the secrets, which may begin in one piece and end
        in another.
        """
        whole = b"".join(pieces)
        spans = [] if self._pattern is None else list(self._pattern.finditer(whole))
        if not spans:
            return list(pieces)
        cleaned = []
        start = 0
        for piece in pieces:
            end = start + len(piece)
            cleaned.append(_clean(whole, start, end, [found.span() for found in spans]))
            start = end
        return cleaned

    def inflated(self, pieces: Sequence[bytes], coding: str) -> list[bytes] | None:
        """A compressed body as it is without compression, if a secret is in it; None if
        there is none.

        Raises ConfigurationError for a compression in which nobody can look.
        """
        if self._pattern is None:
            return None
        try:
            body = zlib.decompressobj(INFLATED).decompress(b"".join(pieces))
        except zlib.error as error:
            raise ConfigurationError(
                f"an answer came compressed ({coding}), and so is not recorded: "
                "there may be a key in it"
            ) from error
        return self.pieces([body]) if self._pattern.search(body) else None


def clean_request(request: Any, content: bytes) -> tuple[Exchange, Secrets]:
    """A request with this body as it is recorded and compared, and its secrets."""
    body, is_json = read_body(content)
    secrets = Secrets(request, body if is_json else None)
    if is_json:
        body = secrets.json(body)
    else:
        (body,) = secrets.pieces([body])
    exchange = Exchange(
        request.method,
        secrets.text(clean_url(str(request.url))),
        kept_headers(request.headers, REQUEST_HEADERS),
        body,
        is_json,
    )
    return exchange, secrets


def _clean(
    whole: bytes, start: int, end: int, spans: Iterable[tuple[int, int]]
) -> bytes:
    """The bytes from `start` to `end`, where the word for a key stands at the beginning
    of each span.
    """
    cleaned = b""
    place = start
    for begin, stop in spans:
        if stop <= start or begin >= end:
            continue
        if begin >= start:
            cleaned += whole[place:begin] + KEY.encode()
        place = min(stop, end)
    return cleaned + whole[place:end]


def clean_url(url: str) -> str:
    """The address without keys and passwords."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = [
        (name, KEY if HEADER.search(name) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    text = urlencode(query, safe="[]:/,")
    return parts._replace(netloc=host, query=text, fragment="").geturl()


def kept_headers(headers: Mapping[str, str], wanted: re.Pattern[str]) -> dict[str, str]:
    """Those headers that a recording keeps."""
    return {
        name.lower(): value
        for name, value in headers.items()
        if wanted.fullmatch(name.lower())
    }


def _fields(value: Any) -> Iterable[str]:
    """The values in a request's body that are secrets by their names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str) and FIELDS.fullmatch(name):
                yield inner.rpartition(" ")[2]
            else:
                yield from _fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner)
