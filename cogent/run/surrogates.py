"""What a server sends as text, made fit to be printed, stored and sent on.

JSON may escape a character beyond U+FFFF as two surrogates, and some servers cut their answers between the two. Half a
character cannot be printed, sent or written to a file: none leaves this room, nor does a number that is none in JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any

HALF = re.compile("[\ud800-\udfff]")


def string(value: object) -> str:
    """The value itself. Raises TypeError if it is no string: a decoder passes on whatever a server sent."""
    if not isinstance(value, str):
        raise TypeError(f"a string was expected; got {type(value).__name__}")
    return value


def mended(text: str) -> str:
    """The text with halves that belong together joined, and U+FFFD for each that is alone."""
    if text.isascii() or HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mended_json(value: Any) -> Any:
    """The same for every string in a JSON value, and null for numbers that only Python has.

    A value that is nested too deeply stays as it is.
    """
    try:
        text = _encode(value)
    except RecursionError:
        return value
    if "NaN" in text or "Infinity" in text or HALF.search(text):
        return json.loads(mended(text), parse_constant=lambda _: None)
    return value


def joined(halves: dict[object, str], text: object, of: object) -> str:
    """The next piece of a text, mended; a half at its end is kept in `halves` for the next piece of the same text."""
    whole = halves.pop(of, "") + string(text)
    if "\ud800" <= whole[-1] <= "\udbff":
        whole, halves[of] = whole[:-1], whole[-1]
    return mended(whole)


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is, mended; None if it is no such."""
    value = _parsed(text)
    return mended_json(value) if isinstance(value, dict) else None


def is_json_object(text: str) -> bool:
    """Whether the text is a JSON object."""
    return isinstance(_parsed(text), dict)


def _parsed(text: str) -> object:
    """The value of a JSON text; None if it is no JSON."""
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode  # json.loads would make a decoder for each text
_encode = json.JSONEncoder(ensure_ascii=False).encode
