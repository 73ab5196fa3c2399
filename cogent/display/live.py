"""A run in a notebook: one output that grows, and at the end holds the whole answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from cogent.chunks import StreamChunk
from cogent.display.document import Document
from cogent.display.view import View
from cogent.messages import Response
from cogent.run.event_loop import running_loop_if_any

MIN_SECONDS_BETWEEN_UPDATES = 0.05
# Each update sends the whole output again. A long one is sent less often, so that a
# second costs no more than for a short one, and an answer costs by its time.
MAX_CHARS_PER_SECOND = 400_000


class Output(Protocol):
    """What shows the document, each time in the place of the one before.

    `code_as_html` says that its Markdown has rules of its own for fenced code.
    """

    code_as_html: bool

    def show(self, markdown: str, text: str) -> None:
        """Show this document; `text` is for front ends without Markdown."""

    def settle(self) -> None:
        """Show the last one again, if it could not be shown from another thread."""


class LiveScreen:
    """Shows a run as one output, at most twenty times a second."""

    def __init__(
        self, output: Output, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._output = output
        self._clock = clock
        self._view = View()
        self._document = Document(self._view, code_as_html=output.code_as_html)
        self._next_update = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, chunk: StreamChunk) -> None:
        """Show the chunk now or soon."""
        self._view.take(chunk)
        if self._timer is not None:
            return
        wait = self._next_update - self._clock()
        if wait <= 0:
            self._update()
            return
        loop = running_loop_if_any()
        if loop is not None:
            self._timer = loop.call_later(wait, self._update)

    def end(self, response: Response[Any], error: BaseException | None) -> None:
        """Show the run as it ended."""
        self._stop_timer()
        self._view.end(response, error)
        markdown = self._document.markdown(has_ended=True)
        self._output.show(markdown, self._document.text())

    def settle(self) -> None:
        """Called at last in the thread of a caller without asyncio."""
        self._output.settle()

    def _update(self) -> None:
        self._stop_timer()
        markdown = self._document.markdown(has_ended=False)
        self._output.show(markdown, self._document.text())
        pause = max(MIN_SECONDS_BETWEEN_UPDATES, len(markdown) / MAX_CHARS_PER_SECOND)
        self._next_update = self._clock() + pause

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class IPythonOutput:
    """A display of IPython that is updated in place, in Jupyter, VS Code and Colab."""

    code_as_html = False

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, markdown: str, text: str) -> None:
        """Show this document."""
        from IPython.display import display

        bundle = {"text/markdown": markdown, "text/plain": text}
        if self._handle is None:
            show: Any = display  # it has no types
            self._handle = show(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def settle(self) -> None:
        """IPython shows what any thread gives it."""


class MarimoOutput:
    """The output of the cell that runs in marimo, which only the cell's thread has."""

    code_as_html = True

    def __init__(self) -> None:
        self._markdown = ""

    def show(self, markdown: str, text: str) -> None:
        """Show this document."""
        self._markdown = markdown
        self.settle()

    def settle(self) -> None:
        """Show the last document; from another thread nothing comes of it."""
        import marimo  # pyright: ignore[reportMissingImports]

        marimo.output.replace(marimo.md(self._markdown))
