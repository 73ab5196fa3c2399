"""Where a block of Markdown ends, told while the text still comes.

A block is a paragraph, a heading, a fenced block of code, a table or an item of a list:
what can be drawn by itself, and does not change when more text comes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
_ITEM = re.compile(r" {0,1}([-*+]|\d{1,9}[.)])(\s|$)")
_LINE_ENDS = re.compile(r"\r\n?")


class Fences:
    """Tells the lines of fenced code from the others, line by line.

    Renderers of Markdown differ in where a fence ends. A line counts as code only where
    all of them agree: what a renderer might take for text is never called code.
    """

    def __init__(self) -> None:
        self._indent = 0
        self.fence: str = ""  # the marks that opened the code that is open

    def is_code(self, line: str) -> bool:
        """Whether this next line is code, or the first or last line around it."""
        if self.fence:
            if not line.strip():
                return True
            if _indent_of(line) >= self._indent:
                if self._closes(line):
                    self.fence = ""
                return True
            self.fence = ""  # the end of the list item that held the code
        opening = _FENCE.match(line)
        if opening is None:
            return False
        self._indent = len(opening[1])
        self.fence = opening[2]
        return True

    def _closes(self, line: str) -> bool:
        marks = line.strip()
        return marks.startswith(self.fence) and not marks.strip("`~ \t")


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


@dataclass(slots=True)
class Block:
    """The source of a block; `follows_item` says that it goes on a list."""

    text: str
    follows_item: bool = False


@dataclass(slots=True)
class Blocks:
    """Cuts a text that comes in pieces into blocks.

    `feed` and `close` return the blocks that have ended; `rest` is the one that still
    grows.
    """

    _pieces: list[str] = field(default_factory=list)  # of the line that still grows
    _lines: list[str] = field(default_factory=list)  # of the block that still grows
    _fences: Fences = field(default_factory=Fences)
    _is_item: bool = False
    _follows_item: bool = False
    _after_blank: bool = False

    @property
    def rest(self) -> Block:
        """The block that still grows."""
        text = "".join([*self._lines, *self._pieces])
        return Block(text.replace("\r", "\n"), self._follows_item)

    def feed(self, text: str) -> list[Block]:
        """Take in the next piece."""
        self._pieces.append(text)
        if "\n" not in text:
            return []
        whole = _LINE_ENDS.sub("\n", "".join(self._pieces))
        *lines, last = whole.split("\n")
        self._pieces = [last]
        ended: list[Block] = []
        for line in lines:
            self._add(line, ended)
        return ended

    def close(self) -> list[Block]:
        """The text has ended."""
        ended = self.feed("\n") if any(self._pieces) else []
        self._end(ended)
        return ended

    def _add(self, line: str, ended: list[Block]) -> None:
        was_code = bool(self._fences.fence)
        is_code = self._fences.is_code(line)
        if was_code and is_code:
            self._lines.append(line + "\n")
            self._after_code(ended)
            return
        if not line.strip():
            self._after_blank = True
            if self._lines:
                self._lines.append("\n")
            return
        if self._begins_block(line, is_code):
            self._begin(line, ended)
        self._after_blank = False
        self._lines.append(line + "\n")
        if _HEADING.match(line) and not self._is_item:
            self._end(ended)

    def _after_code(self, ended: list[Block]) -> None:
        self._after_blank = False
        if not self._fences.fence and not self._is_item:
            self._end(ended)

    def _begins_block(self, line: str, is_code: bool) -> bool:
        if self._is_item and _indent_of(line) >= 2:
            return False
        if self._is_item and _ITEM.match(line):
            return True
        heading = _HEADING.match(line) is not None
        return self._after_blank or is_code or heading or not self._lines

    def _begin(self, line: str, ended: list[Block]) -> None:
        was_item = self._is_item
        self._end(ended)
        self._is_item = _ITEM.match(line) is not None
        self._follows_item = was_item and self._is_item

    def _end(self, ended: list[Block]) -> None:
        text = "".join(self._lines).strip("\n")
        if text:
            ended.append(Block(text, self._follows_item))
        self._lines = []
        self._is_item = False
        self._follows_item = False
        self._after_blank = False
