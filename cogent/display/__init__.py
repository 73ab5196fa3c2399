"""A run on the screen that there is: a notebook, a terminal, or none.

`await stream.show()` is the way in. In a notebook the answer is one output that grows;
in a terminal it is text with dimmed remarks; elsewhere it is the plain text.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Protocol

from cogent.chunks import StreamChunk
from cogent.errors import ConfigurationError
from cogent.messages import Response
from cogent.type_variables import Out

if TYPE_CHECKING:
    from cogent.stream import AgentStream

READ_BEFORE = (
    "this stream was read already, and show() shows a run from its beginning: "
    "`stream.response` has what came"
)


class Screen(Protocol):
    """What shows a run."""

    def take(self, chunk: StreamChunk) -> None:
        """Show the next chunk."""

    def end(self, response: Response[Any], error: BaseException | None) -> None:
        """Show that the run has ended; `error` is why, if not by itself."""

    def settle(self) -> None:
        """Called at last in the thread of a caller without asyncio."""


async def show(stream: AgentStream[Out], screen: Screen | None = None) -> Response[Out]:
    """Read the stream to its end, show it, and return its response.

    Raises what reading raises, after what came is shown as stopped or failed, and
    ConfigurationError for a stream that was read already.
    """
    if stream._was_begun:
        raise ConfigurationError(READ_BEFORE)
    shown_on = screen or find_screen()
    try:
        async for chunk in stream:
            shown_on.take(chunk)
    except (asyncio.CancelledError, KeyboardInterrupt) as interrupt:
        shown_on.end(stream.response, interrupt)
        # A notebook would show every frame of the run, which say nothing here.
        raise interrupt.with_traceback(None)  # noqa: B904  # it is the same one
    except Exception as error:  # whatever it is, it is shown and raised on
        shown_on.end(stream.response, error)
        raise
    return _end(shown_on, stream.response)


def _end(screen: Screen, response: Response[Out]) -> Response[Out]:
    """The run has ended by itself."""
    screen.end(response, None)
    response._shown_in_cell = cell_number()
    return response


def find_screen() -> Screen:
    """The screen of this program. Only what is loaded already can be one."""
    if _in_marimo():
        from cogent.display.live import LiveScreen, MarimoOutput

        return LiveScreen(MarimoOutput())
    if in_notebook():
        from cogent.display.live import IPythonOutput, LiveScreen

        return LiveScreen(IPythonOutput())
    if is_terminal(sys.stdout):
        from cogent.display.terminal import TerminalScreen

        return TerminalScreen(sys.stdout)
    from cogent.display.plain import PlainScreen

    return PlainScreen(sys.stdout)


def in_notebook() -> bool:
    """Whether the code runs in an IPython that is not one of a terminal."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    shell = get_ipython()
    return shell is not None and not isinstance(shell, TerminalInteractiveShell)


def cell_number() -> int | None:
    """The number of the cell that runs in IPython; None outside of it."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    return None if shell is None else shell.execution_count


def _in_marimo() -> bool:
    if "marimo" not in sys.modules:
        return False
    import marimo  # pyright: ignore[reportMissingImports]

    return bool(marimo.running_in_notebook())


def is_terminal(out: Any) -> bool:
    """Whether the file is a terminal; a stand-in for a file may not know."""
    isatty = getattr(out, "isatty", None)
    return isatty is not None and bool(isatty())
