"""A run in a terminal: text as it comes, and what is no text of the answer dimmed.

Where `rich` is installed it draws the Markdown, each block once it has ended, as a
terminal cannot take back what has scrolled off its screen. Until then one line below
shows the end of the block that still comes.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Protocol, TextIO

from cogent.chunks import StreamChunk
from cogent.display.blocks import Block, Blocks
from cogent.display.printable import encodable, one_line, printable, shorten
from cogent.display.view import Call, Made, Note, Text, View
from cogent.messages import Response

DIM = "\x1b[2m"
NORMAL = "\x1b[0m"
CLEAR_LINE = "\r\x1b[K"
NO_WRAP = "\x1b[?7l"
WRAP = "\x1b[?7h"
MAX_RESULT_LINES = 3  # of what a tool gave


class Drawer(Protocol):
    """What knows how Markdown looks in a terminal."""

    def draw(self, text: str, columns: int) -> str:
        """The lines of a block of Markdown."""
        ...

    def last_cells(self, text: str, columns: int) -> str:
        """As much of the end of a text as stands in so many columns."""
        ...


class TerminalScreen:
    """Writes a run to a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._view = View()
        self._has_style = _allows_style()
        self._at_line_start = True
        self._has_written = False
        self._entry: object = None  # that was written last
        self._reported: dict[str, str] = {}  # the state of each call that was written
        drawer = _find_drawer() if self._has_style else None
        self._prose: _Prose = _Raw(self) if drawer is None else _Drawn(self, drawer)

    def take(self, chunk: StreamChunk) -> None:
        """Write the chunk."""
        entry = self._view.take(chunk)
        match entry:
            case Text(is_reasoning=False):
                self._begin(entry)
                self._prose.add(chunk.content)
            case Text():
                self._begin_reasoning(entry)
                self.write(self._dimmed(printable(chunk.reasoning)))
            case Made():
                self._remark(f"[{entry.describe()}]")
            case Note():
                self._remark(f"[{entry.text}]")
            case Call(result=None):
                pass  # written when its arguments are whole
            case Call():
                self._write_call(entry)
        if chunk.finish_reason is not None:
            self._write_calls()
        self._out.flush()

    def end(self, response: Response[Any], error: BaseException | None) -> None:
        """Write what is left, the sources, and the figures."""
        self._view.end(response, error)
        self._write_calls()
        self._end_entry()
        for number, source in enumerate(self._view.sources, 1):
            words = filter(None, [source.title, source.url])
            self._line(f"[{number}] {one_line(' '.join(words) or 'a source')}")
        if self._view.footer:
            self._line(self._view.footer)
        self._out.flush()

    def settle(self) -> None:
        """All is written."""

    # What the writers of text use

    @property
    def columns(self) -> int:
        """The width of the terminal now."""
        return shutil.get_terminal_size().columns

    def write(self, text: str) -> None:
        """Write text that is printable already."""
        if text:
            self._out.write(encodable(text, self._out))
            self._at_line_start = text.removesuffix(NORMAL).endswith("\n")
            self._has_written = True

    def control(self, codes: str) -> None:
        """Write codes that leave the place in the text as it is."""
        self._out.write(encodable(codes, self._out))
        self._out.flush()

    # Pieces of a run

    def _begin(self, entry: object) -> None:
        """Go to a new paragraph, unless the entry only goes on."""
        if entry is self._entry:
            return
        self._end_entry()
        if self._has_written:
            self.write("\n")
        self._entry = entry

    def _begin_reasoning(self, entry: Text) -> None:
        if entry is not self._entry:
            self._begin(entry)
            self.write("" if self._has_style else "[reasoning] ")

    def _end_entry(self) -> None:
        if isinstance(self._entry, Text) and not self._entry.is_reasoning:
            self._prose.close()
        if not self._at_line_start:
            self.write("\n")
        self._entry = None

    def _remark(self, text: str) -> None:
        self._end_entry()
        self._line(text)

    def _line(self, text: str) -> None:
        self.write(self._dimmed(text) + "\n")

    def _write_calls(self) -> None:
        for entry in self._view.entries:
            if isinstance(entry, Call):
                self._write_call(entry)

    def _write_call(self, call: Call) -> None:
        """Write the call if its state is news."""
        if self._reported.get(call.id) == call.state:
            return
        self._reported[call.id] = call.state
        self._remark(f"[{call.heading()}: {call.state_text()}]")
        if call.result is not None:
            limit = self.columns * MAX_RESULT_LINES - len("  ")
            self._line("  " + shorten(one_line(call.result.content), limit))

    def _dimmed(self, text: str) -> str:
        return f"{DIM}{text}{NORMAL}" if self._has_style and text else text


class _Prose(Protocol):
    """How the text of an answer is written."""

    def add(self, text: str) -> None:
        """Write the next piece."""

    def close(self) -> None:
        """The text has ended, or is interrupted."""


class _Raw:
    """Writes the text as it comes."""

    def __init__(self, screen: TerminalScreen) -> None:
        self._screen = screen

    def add(self, text: str) -> None:
        self._screen.write(printable(text))

    def close(self) -> None:
        pass


class _Drawn:
    """Draws each block of Markdown when it has ended."""

    def __init__(self, screen: TerminalScreen, drawer: Drawer) -> None:
        self._screen = screen
        self._drawer = drawer
        self._blocks = Blocks()
        self._has_drawn = False
        self._preview = ""  # the end of the block that still comes

    def add(self, text: str) -> None:
        self._preview += printable(text)
        ended = self._blocks.feed(text)
        if ended:
            self._write(ended)
            self._preview = self._blocks.rest.text
        self._show_preview()

    def close(self) -> None:
        self._write(self._blocks.close())
        self._blocks = Blocks()
        self._has_drawn = False

    def _write(self, blocks: list[Block]) -> None:
        self._screen.control(CLEAR_LINE)
        for block in blocks:
            if self._has_drawn and not block.follows_item:
                self._screen.write("\n")
            self._screen.write(self._drawer.draw(block.text, self._screen.columns))
            self._has_drawn = True

    def _show_preview(self) -> None:
        """Show the end of the block in one line, which is taken back later."""
        columns = self._screen.columns - 1
        self._preview = self._preview[-columns:]
        shown = self._drawer.last_cells(one_line(self._preview), columns)
        self._screen.control(f"{CLEAR_LINE}{NO_WRAP}{DIM}{shown}{NORMAL}{WRAP}")


def _allows_style() -> bool:
    """Whether the user wants more than plain text: https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _find_drawer() -> Drawer | None:
    """What draws Markdown, where `rich` is installed."""
    try:
        from cogent.display.drawing import RichDrawer
    except ImportError:
        return None
    return RichDrawer()
