"""What a server sends as text, made fit to be printed, stored and sent on.

JSON may escape a character beyond U+FFFF as two surrogates, and some servers cut their
answers between the two. Half a character cannot be printed, sent or written to a file,
nor can JSON hold NaN. The functions here replace both.
"""

from __future__ import annotations

import json

from cogent.json_values import LONE_SURROGATE, Json


def require_str(value: object) -> str:
    """The value itself.

    Raises TypeError if it is no string: a decoder passes on whatever a server sent.
    """
    if not isinstance(value, str):
        raise TypeError(f"a string was expected; got {type(value).__name__}")
    return value


def fix_surrogates(text: str) -> str:
    """The text with halves of a character joined, and U+FFFD for each half alone."""
    if text.isascii() or LONE_SURROGATE.search(text) is None:
        return text
    data = text.encode("utf-16-le", "surrogatepass")
    return data.decode("utf-16-le", "replace")


def fix_json(value: Json) -> Json:
    """The object with every string in it fixed, and null for NaN and Infinity.

    An object that is nested too deeply stays as it is.
    """
    try:
        text = _encode(value)
    except RecursionError:
        return value
    if "NaN" in text or "Infinity" in text or LONE_SURROGATE.search(text):
        value = _decode_lenient(fix_surrogates(text))
    return value


def join_surrogates(carry: dict[object, str], key: object, piece: object) -> str:
    """The next piece of the text `key`, fixed.

    Half a character at its end stays in `carry` for the piece after it.
    """
    text = carry.pop(key, "") + require_str(piece)
    last = text[-1]
    if "\ud800" <= last <= "\udbff":
        carry[key] = last
        text = text[:-1]
    return fix_surrogates(text)


def json_object(text: str) -> Json | None:
    """The JSON object that the text is, fixed; None if it is no such."""
    value = _parsed(text)
    if isinstance(value, dict):
        return fix_json(value)
    return None


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


def _null(word: str) -> None:
    """NaN and Infinity are no numbers in JSON."""


# Made once: json.loads and json.dumps would make one for each text.
_decode = json.JSONDecoder(parse_constant=_refuse).decode
_decode_lenient = json.JSONDecoder(parse_constant=_null).decode
_encode = json.JSONEncoder(ensure_ascii=False).encode
