"""Text of a model as a terminal may show it, without what a terminal would obey."""

from __future__ import annotations

import re
from typing import TextIO

CONTROL_PICTURES = 0x2400  # the visible signs for control characters: ␀, ␁, ...
DELETE_PICTURE = 0x2421
ALLOWED = "\n\t"

# A terminal takes the characters from 0x80 to 0x9f for control sequences too.
_SIGNS: dict[int, int | None] = {
    **{
        code: CONTROL_PICTURES + code
        for code in range(0x20)
        if chr(code) not in ALLOWED
    },
    0x7F: DELETE_PICTURE,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}
_LINE_ENDS = re.compile(r"\r\n?")


def printable(text: str) -> str:
    """The text with a visible sign in the place of each control character.

    Line ends and tabs stay; a carriage return, which would go back to the beginning of
    the line, becomes a line end.

    >>> printable("red: \\x1b[31m")
    'red: ␛[31m'
    """
    if text.isprintable():
        return text
    if "\r" in text:
        text = _LINE_ENDS.sub("\n", text)
    return text.translate(_SIGNS)


def one_line(text: str) -> str:
    """The text in one line, for errors and headings."""
    return " ".join(printable(text).split())


def shorten(text: str, limit: int) -> str:
    """At most so many characters of a text; an ellipsis stands for the rest."""
    if len(text) <= limit:
        return text
    return text[: limit - 1] + "…"


def encodable(text: str, out: TextIO) -> str:
    """The text with a question mark for what the encoding of the file cannot hold."""
    encoding = getattr(out, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding, "replace")
