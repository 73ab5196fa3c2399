"""Markdown of a model for a page that would run what it holds.

Notebooks trust the outputs of their own cells: HTML in the Markdown of an output runs its
scripts. What is text in a model's answer stays text here: no tag of it reaches the page,
and no link but to the web and to mail. Fenced code stays as it is, as renderers never
take it for HTML; a code span with a tag becomes a `<code>` of its own, in entities.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cogent.display.blocks import Fences
from cogent.display.printable import printable

_SAFE_TARGET = r"(?:https?://|mailto:|\#|[^\s:&\\<()]*(?:[\s)/?\#]|$))"
_SPECIAL = re.compile(
    r"""
    \\[\\`]                                           # escaped: no code begins
    | \\?<(?=[A-Za-z/!?])                             # a tag
    | (?<!`)(?P<run>`+)(?!`)(?P<code>.+?)(?<!`)(?P=run)(?!`)
    | `+                                              # marks without a partner
    | \](?P<mark>[(:])(?=[ \t\n]*(?!"""
    + _SAFE_TARGET
    + r""")\S)
    | \\(?=href\b)                                    # a link in mathematics
    """,
    re.VERBOSE | re.DOTALL,
)
_CODE_OR_TAG = re.compile(
    r"\\[\\`<]|(?<!`)(?P<run>`+)(?!`).+?(?<!`)(?P=run)(?!`)|`+|(?P<tag><)",
    re.DOTALL,
)
_HARMLESS = re.compile(r"[^<\]\\]*")
_ENTITIES = {
    code: f"&#{code};"
    for code in range(128)
    if not chr(code).isalnum() and chr(code) != " "
}


def entities(text: str) -> str:
    """The text as HTML that no renderer of Markdown or of mathematics changes.

    It has no line end, so that it may stand anywhere in Markdown.

    >>> entities("a<b")
    'a&#60;b'
    """
    return printable(text).translate(_ENTITIES)


def safe_markdown(text: str) -> str:
    """The Markdown without HTML and without links that could run anything.

    >>> safe_markdown("<b>not bold</b>, **bold**")
    '&lt;b>not bold&lt;/b>, **bold**'
    """
    return _edit_prose(text, _make_safe)


def escape_tags(text: str) -> str:
    """The Markdown with its tags as text, for a renderer that leaves tags out."""
    return _edit_prose(text, _escape_tags)


def _edit_prose(text: str, edit: Callable[[str], str]) -> str:
    """The Markdown with this done to each paragraph of it; code stays as it is."""
    parts: list[str] = []
    prose: list[str] = []
    fences = Fences()
    for line in printable(text).split("\n"):
        if fences.is_code(line):
            _add_prose(prose, edit, parts)
            parts.append(line)
        elif line.strip():
            prose.append(line)
        else:  # no code span goes on after an empty line
            _add_prose(prose, edit, parts)
            parts.append("")
    _add_prose(prose, edit, parts)
    return "\n".join(parts)


def closed_markdown(text: str) -> str:
    """The safe Markdown, with the end of a block of code that is still open."""
    fences = Fences()
    for line in printable(text).split("\n"):
        fences.is_code(line)
    end = f"\n{fences.fence}" if fences.fence else ""
    return safe_markdown(text) + end


def _add_prose(prose: list[str], edit: Callable[[str], str], parts: list[str]) -> None:
    if prose:
        parts.append(edit("\n".join(prose)))
        prose.clear()


def _make_safe(prose: str) -> str:
    return _SPECIAL.sub(_as_text, prose)


def _escape_tags(prose: str) -> str:
    return _CODE_OR_TAG.sub(lambda found: "\\<" if found["tag"] else found[0], prose)


def _as_text(found: re.Match[str]) -> str:
    whole = found[0]
    if whole.endswith("<"):
        return "&lt;"
    if found["mark"]:
        return f"]&#{ord(found['mark'])};"
    if found["code"] is not None and not _HARMLESS.fullmatch(found["code"]):
        return f"<code>{entities(found['code'].strip())}</code>"
    if whole == "\\":
        return "&#92;"
    return whole
