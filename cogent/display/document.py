"""A run as one Markdown document and as plain text, for notebooks.

What is no text of the answer stands in HTML that every notebook shows: `<details>` that
are folded, one line of HTML each. Everything of a model or a tool in it is in entities.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cogent.content import Image
from cogent.display.blocks import Block, Blocks
from cogent.display.printable import printable, shorten
from cogent.display.safe_markdown import entities, safe_markdown
from cogent.display.view import Call, Entry, Made, Note, Text, View
from cogent.sources import Source

MAX_RESULT_CHARS = 20_000
PRE = '<pre style="white-space: pre-wrap">'


@dataclass(slots=True, eq=False)
class _Prose:
    """The Markdown of one text; blocks that have ended are made safe once."""

    code_as_html: bool
    taken: int = 0  # pieces of the text
    blocks: Blocks = field(default_factory=Blocks)
    done: list[str] = field(default_factory=list)

    def markdown(self, text: Text) -> str:
        new = "".join(text.pieces[self.taken :])
        self.taken = len(text.pieces)
        for block in self.blocks.feed(new):
            self._add(block, self.done)
        whole = self.done.copy()
        if self.blocks.rest.text:
            self._add(self.blocks.rest, whole)
        return "".join(whole).strip("\n")

    def _add(self, block: Block, to: list[str]) -> None:
        gap = "\n" if block.follows_item else "\n\n"
        markdown = safe_markdown(block.text, code_as_html=self.code_as_html)
        to.append(gap + markdown)


class Document:
    """Writes what a view shows."""

    def __init__(self, view: View, *, code_as_html: bool = False) -> None:
        self._view = view
        self._code_as_html = code_as_html
        self._prose: dict[int, _Prose] = {}  # by place
        self._has_ended = False

    def markdown(self, *, has_ended: bool) -> str:
        """The Markdown. Images are in it once the run has ended, as they are large."""
        self._has_ended = has_ended
        parts = [self._entry(*placed) for placed in enumerate(self._view.entries)]
        if self._view.sources:
            parts.append(_sources(self._view.sources))
        if self._view.footer:
            parts.append(f"<small>{entities(self._view.footer)}</small>")
        return "\n\n".join(filter(None, parts))

    def text(self) -> str:
        """The same as plain text."""
        view = self._view
        parts = [_PLAIN[type(entry)](entry).strip("\n") for entry in view.entries]
        parts += [f"[{n}] {_plain_source(s)}" for n, s in enumerate(view.sources, 1)]
        parts.append(view.footer)
        return "\n\n".join(filter(None, parts))

    def _entry(self, place: int, entry: Entry) -> str:
        match entry:
            case Text(is_reasoning=False):
                new = _Prose(self._code_as_html)
                return self._prose.setdefault(place, new).markdown(entry)
            case Text():
                return _details("Reasoning", f"{PRE}{entities(entry.text)}</pre>")
            case Call():
                return _call(entry)
            case Made():
                return self._made(entry)
            case Note():
                return f"<small>{entities(entry.text)}</small>"

    def _made(self, made: Made) -> str:
        address = _address(made) if self._has_ended else None
        if address is None:
            return f"<small>[{entities(made.describe())}]</small>"
        if isinstance(made.file, Image):
            return f'<img src="{address}" alt="{entities(made.describe())}">'
        return f'<a href="{address}">{entities(made.describe())}</a>'


def _address(made: Made) -> str | None:
    """What a page can load the file from."""
    if made.file.data is not None:
        data = base64.b64encode(made.file.data).decode("ascii")
        media_type = entities(made.file.media_type or "application/octet-stream")
        return f"data:{media_type};base64,{data}"
    return _web_address(made.file.url)


def _web_address(url: str | None) -> str | None:
    if url is None or not url.lower().startswith(("http://", "https://")):
        return None
    return entities(url)


def _details(summary: str, inside: str) -> str:
    return f"<details><summary>{summary}</summary>{inside}</details>"


def _call(call: Call) -> str:
    summary = f"<code>{entities(call.heading())}</code> {entities(call.state_text())}"
    inside = f"{PRE}{entities(call.arguments_text())}</pre>"
    if call.result is not None:
        result = shorten(call.result.content, MAX_RESULT_CHARS)
        inside += f"{PRE}{entities(result)}</pre>"
    return _details(f"Tool: {summary}", inside)


def _sources(sources: list[Source]) -> str:
    links = [f"<li>{_link(source)}</li>" for source in sources]
    return f"Sources:\n\n<ol>{''.join(links)}</ol>"


def _link(source: Source) -> str:
    label = entities(source.title or source.url or source.quote or "a source")
    address = _web_address(source.url)
    return label if address is None else f'<a href="{address}">{label}</a>'


def _plain_source(source: Source) -> str:
    words = [source.title or "", source.url or ""]
    return printable(" ".join(filter(None, words)) or source.quote or "a source")


def _plain_text(text: Text) -> str:
    return "" if text.is_reasoning else printable(text.text)


def _plain_call(call: Call) -> str:
    line = f"[{call.heading()}: {call.state_text()}]"
    if call.result is None:
        return line
    return f"{line}\n{printable(shorten(call.result.content, MAX_RESULT_CHARS))}"


_PLAIN: dict[type, Callable[[Any], str]] = {
    Text: _plain_text,
    Call: _plain_call,
    Made: lambda made: f"[{made.describe()}]",
    Note: lambda note: f"[{note.text}]",
}
