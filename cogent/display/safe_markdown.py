"""Markdown of a model for a page that would run what it holds.

Notebooks trust the outputs of their own cells: HTML in the Markdown of an output runs its
scripts. What is text in a model's answer stays text here: no tag of it reaches the page,
and no link but to the web and to mail. Fenced code stays as it is, as renderers never
take it for HTML; a code span with a tag becomes a `<code>` of its own, in entities.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cogent.display.blocks import Fences, Line
from cogent.display.printable import printable

Edit = Callable[[str], str]

_SAFE_TARGET = r"(?:https?://|mailto:|\#|[^\s:&\\<()]*(?:[\s)/?\#]|$))"
_SPECIAL = re.compile(
    r"""
    \\[\\`]                                           # escaped: no code begins
    | \\?<(?=[A-Za-z/!?])                             # a tag
    | (?<!`)(?P<run>`+)(?!`)(?P<code>.+?)(?<!`)(?P=run)(?!`)
    | `+                                              # marks without a partner
    | \](?P<mark>[(:])(?=[ \t\n]*(?:$|(?!"""
    + _SAFE_TARGET
    + r""")\S))
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


def safe_markdown(text: str, *, code_as_html: bool = False) -> str:
    """The Markdown without HTML and without links that could run anything.

    A block of code that is still open is closed. `code_as_html` is for renderers with
    rules of their own for fences.

    >>> safe_markdown("<b>not bold</b>, **bold**")
    '&lt;b>not bold&lt;/b>, **bold**'
    """
    return _edit_prose(text, _make_safe, _as_html if code_as_html else _as_it_is)


def escape_tags(text: str) -> str:
    """The Markdown with its tags as text, for a renderer that leaves tags out."""
    return _edit_prose(text, _escape_tags, _as_it_is)


def _edit_prose(text: str, edit: Edit, edit_code: Edit) -> str:
    """The Markdown with these done to each paragraph, and to each block of code."""
    fences = Fences()
    parts: list[str] = []
    group: list[Line] = []  # the lines of a paragraph, or of a block of code

    def end_group() -> None:
        if group:
            edit_group = edit_code if group[0].is_code else edit
            parts.append(edit_group("\n".join(line.text for line in group)))
            group.clear()

    for given in printable(text).split("\n"):
        for line in fences.read(given):
            if line.begins_code or (not line.is_code and _ends_paragraph(line, group)):
                end_group()
            group.append(line)
    if fences.marks:
        group.append(Line(fences.end, is_code=True))
    end_group()
    return "\n".join(parts)


def _ends_paragraph(line: Line, group: list[Line]) -> bool:
    """Whether no code span goes on to this line, which is no code."""
    return not line.text.strip() or (bool(group) and group[0].is_code)


def _as_it_is(code: str) -> str:
    return code


def _as_html(code: str) -> str:
    """Fenced code as HTML in one line."""
    opening, *lines = code.split("\n")
    indent = " " * (len(opening) - len(opening.lstrip()))
    inside = "\n".join(line.removeprefix(indent) for line in lines[:-1])
    return f"\n<pre><code>{entities(inside)}</code></pre>\n"


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
