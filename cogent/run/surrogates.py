"""What a server sends as text, made fit to be printed, stored and sent on.

JSON may escape a character beyond U+FFFF as two surrogates, and some servers cut their
answers between the two. Half a character cannot be printed, sent or written to a file:
none leaves this module, nor does a number that JSON has not.
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
    """The text with halves that belong together joined, and U+FFFD for each that is
    alone.
    """
    if text.isascii() or LONE_SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def fix_json(value: Json) -> Json:
    """The object with the same done to every string in it, and null for numbers that
    only Python has.

    An object that is nested too deeply stays as it is.
    """
    try:
        text = _encode(value)
    except RecursionError:
        return value
    if "NaN" in text or "Infinity" in text or LONE_SURROGATE.search(text):
        value = json.loads(fix_surrogates(text), parse_constant=lambda _: None)
    return value


def join_surrogates(carry: dict[object, str], key: object, piece: object) -> str:
    """The next piece of the text `key`, fixed; half a character at its end stays in
    `carry` for the piece after it.
    """
    text = carry.pop(key, "") + require_str(piece)
    if "\ud800" <= text[-1] <= "\udbff":
        carry[key] = text[-1]
        text = text[:-1]
    return fix_surrogates(text)


def json_object(text: str) -> Json | None:
    """The JSON object that the text is, fixed; None if it is no such."""
    value = _parsed(text)
    return fix_json(value) if isinstance(value, dict) else None


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


_decode = json.JSONDecoder(
    parse_constant=_refuse
).decode  # json.loads would make a decoder for each text
_encode = json.JSONEncoder(ensure_ascii=False).encode
