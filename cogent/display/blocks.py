"""Where a block of Markdown ends, told while the text still comes.

A block is a paragraph, a heading, a fenced block of code, a table or an item of a list:
what can be drawn by itself, and does not change when more text comes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

_FENCE = re.compile(
    r"(?P<before> *(?:(?:[-*+]|\d{1,9}[.)]) +)*)"
    r"(?P<marks>`{3,}(?=[^`]*$)|~{3,})[ \t]*(?P<language>[\w.+#-]*)"
)
_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
_ITEM = re.compile(r" {0,1}([-*+]|\d{1,9}[.)])(\s|$)")
_LINE_ENDS = re.compile(r"\r\n?")
MAX_PLAIN_INDENT = 3  # where Markdown takes marks for a fence, whatever is around


class Line(NamedTuple):
    """A line as it is to be written.

    `is_code` says that every renderer takes it for fenced code or for the marks around
    it; code deep in lists does not count, as it may be a paragraph for some.
    """

    text: str
    is_code: bool = False
    begins_code: bool = False


class Fences:
    """Tells the lines of fenced code from the others, line by line.

    Renderers of Markdown differ in where a fence begins and ends. `read` gives the lines
    back in a form that all of them take alike: the first one with no more than the
    language, the last one with the marks of the first, and a last one where the item of
    a list ends that held the code.
    """

    def __init__(self) -> None:
        self._indent = 0
        self._is_plain = False
        self.marks: str = ""  # that opened the code that is open

    @property
    def end(self) -> str:
        """The line that would end the code that is open."""
        return " " * self._indent + self.marks

    def read(self, line: str) -> list[Line]:
        """What to write for the next line."""
        lines: list[Line] = []
        if self.marks:
            if self._holds(line):
                return [Line(line, self._is_plain)]
            lines.append(Line(self.end, self._is_plain))
            is_end = self._ends(line)
            self.marks = ""
            if is_end:
                return lines
        opening = _FENCE.match(line.expandtabs(4))
        if opening is None:
            return [*lines, Line(line)]
        self._indent = len(opening["before"])
        self._is_plain = self._indent <= MAX_PLAIN_INDENT and not opening[1].strip()
        self.marks = opening["marks"]
        return [*lines, Line(opening[0], self._is_plain, self._is_plain)]

    def _holds(self, line: str) -> bool:
        if not line.strip():
            return True
        return _indent_of(line) >= self._indent and not self._ends(line)

    def _ends(self, line: str) -> bool:
        marks = line.strip()
        return marks.startswith(self.marks) and not marks.strip("`~")


def _indent_of(line: str) -> int:
    line = line.expandtabs(4)
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
        was_open = bool(self._fences.marks)
        if not was_open and not line.strip():
            self._add_blank(ended)
            return
        for written in self._fences.read(line):
            self._add_line(written.text, was_open, ended)
            was_open = False

    def _add_blank(self, ended: list[Block]) -> None:
        if self._is_item:  # the next lines may go on with it
            self._lines.append("\n")
            self._after_blank = True
        else:
            self._end(ended)

    def _add_line(self, line: str, is_inside: bool, ended: list[Block]) -> None:
        """Take in a line; `is_inside` if fenced code was open before it."""
        is_open = bool(self._fences.marks)
        if not is_inside and self._begins_block(line, is_open):
            self._begin(line, ended)
        self._after_blank = False
        self._lines.append(line + "\n")
        is_whole = is_inside or _HEADING.match(line) is not None
        if is_whole and not is_open and not self._is_item:
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
