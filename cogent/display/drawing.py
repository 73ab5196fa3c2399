"""Markdown drawn by `rich`, which need not be installed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console
from rich.markdown import Markdown

from cogent.display.printable import printable
from cogent.display.safe_markdown import escape_tags

_STYLES = re.compile(r"\x1b\[[0-9;]*m")


class RichDrawer:
    """Draws blocks of Markdown for a terminal."""

    def draw(self, text: str, columns: int) -> str:
        """The lines of the block, without empty ones around it."""
        markdown = Markdown(escape_tags(printable(text)), hyperlinks=False)
        _remove_controls(markdown.parsed)
        console = Console(width=columns, force_terminal=True, highlight=False)
        with console.capture() as captured:
            console.print(markdown)
        lines = captured.get().split("\n")
        while lines and _is_blank(lines[-1]):
            del lines[-1]
        while lines and _is_blank(lines[0]):
            del lines[0]
        return "".join(f"{line.rstrip()}\n" for line in lines)

    def last_cells(self, text: str, columns: int) -> str:
        """As much of the end of the text as stands in so many columns."""
        while cell_len(text) > columns:
            text = text[1:]
        return text


def _is_blank(line: str) -> bool:
    return not _STYLES.sub("", line).strip()


def _remove_controls(tokens: Iterable[Token]) -> None:
    """Make printable what Markdown itself has decoded: `&#27;` is an escape."""
    for token in tokens:
        token.content = printable(token.content)
        _remove_controls(token.children or ())
