"""What a server says of an error, read from whatever it sends.

Servers put the words under `error`, `detail`, `errors`, `message` and other names, as a
string, an object or a list, as JSON inside a string, or as a web page. Nothing here
knows a provider, and nothing here decides what an error means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_DEPTH = 8
MAX_ITEMS = 10  # of a list of errors

# Where the words may be, in the order in which they are joined.
WORDS = (
    "error",
    "title",
    "message",
    "Message",
    "error_message",
    "errorMessage",
    "errorMsg",
    "error_msg",
    "msg",
    "detail",
    "error_description",
    "description",
    "errors",
)
CODES = (
    "code",
    "type",
    "status",
    "error_code",
    "errorCode",
    "error_type",
    "status_code",
    "statusCode",
)
INNER = ("error", "detail", "message", "errors", "error_message")
NO_CODES = {
    "error",
    "errors",
    "fail",
    "failed",
    "about:blank",
}  # say only that this is an error
# Names that an answer has, and an error has not.
ANSWER = {
    "choices",
    "candidates",
    "output",
    "content",
    "usage",
    "usageMetadata",
    "promptFeedback",
    "response",
    "delta",
}
ONLY_ERRORS = ("errors", "detail", "error_message", "errorMessage", "error_msg")

# The first event of a stream of events, which gateways send with the status of an error
# too.
EVENT = re.compile(r"\s*(?:event:[^\r\n]*(?:\r\n|\r|\n))?data:[ ]?([{\[][^\r\n]*)")
CODE = re.compile(r"[A-Za-z][A-Za-z0-9]*([_.][A-Za-z0-9]+)+")
PAGE = re.compile(r"<(!doctype|html|head|body)\b", re.IGNORECASE)
TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Report:
    """What a server says of an error: `words` for people, and `codes`, the most
    specific first.
    """

    words: str
    codes: tuple[str, ...]


def read_report(body: object) -> Report:
    """The words and codes of an error's body: a decoded JSON value, or text."""
    body = decoded(body)
    words = ": ".join(_distinct(_words(body, 0)))
    codes = tuple(dict.fromkeys(_codes(body, 0)))
    if not words and isinstance(body, Mapping | list) and body and not codes:
        words = json.dumps(body, ensure_ascii=False, default=str)
    return Report(words, codes)


def is_error(value: object) -> bool:
    """Whether a JSON value, where an answer or a piece of one is expected, reports an
    error instead.
    """
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, Mapping):
        return False
    if value.get("error"):
        return True
    if value.keys() & ANSWER:
        return False
    return _is_named_error(value) or _is_flat_error(value)


def _is_named_error(value: Mapping[object, object]) -> bool:
    """Whether this says that it is an error, or has what only errors have."""
    if "error" in (value.get("object"), value.get("type")):
        return True
    return any(value.get(name) for name in ONLY_ERRORS)


def _is_flat_error(value: Mapping[object, object]) -> bool:
    """Whether this is `{"message": "...", "code": ...}`, without anything around it."""
    return isinstance(value.get("message"), str) and (
        "type" not in value or value.keys() & set(CODES) != {"type"}
    )


def decoded(body: object) -> object:
    """The JSON value that a text holds; anything else as it is."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if isinstance(body, str):
        event = EVENT.match(body)
        body = event[1] if event else body
    if isinstance(body, str) and body.lstrip()[:1] in ("{", "[", '"'):
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return body
    return body


def _words(value: object, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    value = decoded(value)
    if isinstance(value, str):
        text = _page_text(value) if PAGE.search(value[:1000]) else value.strip()
        if text:
            yield text
    elif isinstance(value, list):
        items = (
            ": ".join(_distinct(_words(item, depth + 1))) for item in value[:MAX_ITEMS]
        )
        yield from filter(None, ["; ".join(filter(None, items))])
    elif isinstance(value, Mapping):
        yield from _words_of_object(value, depth)


def _words_of_object(value: Mapping[object, object], depth: int) -> Iterator[str]:
    place = value.get("loc")
    if isinstance(place, list):  # in the request, as FastAPI says it
        yield ".".join(map(str, place))
    found = [text for name in WORDS for text in _words(value.get(name), depth + 1)]
    yield from found
    yield from _words_of_relayed_error(value, depth)
    if not found and depth:
        yield from _words_by_field(value, depth)


def _words_by_field(value: Mapping[object, object], depth: int) -> Iterator[str]:
    """The errors by the name of the field that they are about."""
    for field, inner in value.items():
        listed = list(_words(inner, depth + 1)) if isinstance(inner, list) else []
        if listed:
            yield f"{field}: {'; '.join(listed)}"


def _words_of_relayed_error(
    value: Mapping[object, object], depth: int
) -> Iterator[str]:
    """The error of the server behind a router (OpenRouter)."""
    metadata = value.get("metadata")
    if isinstance(metadata, Mapping):
        yield from _words(metadata.get("raw"), depth + 1)


def _distinct(texts: Iterator[str]) -> list[str]:
    """The texts without those that are part of another."""
    kept: list[str] = []
    for text in texts:
        if any(text in other for other in kept):
            continue
        kept = [other for other in kept if other not in text]
        kept.append(text)
    return kept


def _page_text(page: str) -> str:
    """The title of a web page, or its text.

    Not cut here: half a key could not be found and taken out.
    """
    from html import unescape  # not at the top, as it is slow to import

    title = TITLE.search(page)
    return " ".join(unescape(TAG.sub(" ", title[2] if title else page)).split())


def _codes(value: object, depth: int) -> Iterator[str]:
    value = decoded(value)
    if isinstance(value, list) and value:
        value = value[0]
    if depth > MAX_DEPTH or not isinstance(value, Mapping):
        return
    for name in INNER:
        inner = value.get(name)
        # The types in FastAPI's list of details are those of pydantic.
        if name != "detail" or not isinstance(inner, list):
            yield from _codes(inner, depth + 1)
    yield from _own_codes(value)
    # Azure's, which says the same in more detail.
    yield from _codes(value.get("innererror"), depth + 1)


def _own_codes(value: Mapping[object, object]) -> Iterator[str]:
    error = value.get("error")
    if isinstance(error, str) and CODE.fullmatch(error):
        yield error
    for name in CODES:
        code = value.get(name)
        if _is_code(code):
            yield str(code)


def _is_code(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    return str(value).lower() not in NO_CODES
