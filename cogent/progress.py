"""A bar that shows how many runs have ended: by tqdm, else by rich, else a plain line.

All write to stderr, so that a program's own output stays clean.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from time import monotonic
from typing import Any, Protocol

SECONDS_BETWEEN_LINES = 0.1


class Progress(Protocol):
    """What shows how far many runs are."""

    def advance(self, *, failed: bool) -> None:
        """One more has ended."""

    def close(self) -> None:
        """No more come."""


def open_progress(title: str | None, total: int | None) -> Progress:
    """A bar with this title, or nothing where there is no title."""
    if title is None:
        return _Nothing()
    for kind in (_TqdmBar, _RichBar):
        try:
            return kind(title, total)
        except ImportError:
            continue
    return _Line(title, total)


class _Nothing:
    def advance(self, *, failed: bool) -> None:
        pass

    def close(self) -> None:
        pass


class _TqdmBar:
    def __init__(self, title: str, total: int | None) -> None:
        with warnings.catch_warnings():  # it warns where a notebook has no widgets
            warnings.simplefilter("ignore")
            tqdm: Any = import_module("tqdm.auto").tqdm
            self._bar = tqdm(total=total, desc=title)
        self._failed = 0

    def advance(self, *, failed: bool) -> None:
        if failed:
            self._failed += 1
            self._bar.set_postfix(failed=self._failed, refresh=False)
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


class _RichBar:
    def __init__(self, title: str, total: int | None) -> None:
        progress: Any = import_module("rich.progress")
        console: Any = import_module("rich.console")
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[failed]}"),
            progress.TimeRemainingColumn(),
            console=console.Console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=total, failed="")
        self._failed = 0
        self._bar.start()

    def advance(self, *, failed: bool) -> None:
        self._failed += failed
        text = f"{self._failed} failed" if self._failed else ""
        self._bar.update(self._task, advance=1, failed=text)

    def close(self) -> None:
        self._bar.stop()


class _Line:
    """A line that a terminal shows anew each time, and a file gets once, at the end."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._total = total
        self._ended = 0
        self._failed = 0
        self._is_terminal = sys.stderr.isatty()
        self._written_at = 0.0

    def advance(self, *, failed: bool) -> None:
        self._ended += 1
        self._failed += failed
        now = monotonic()
        if self._is_terminal and now - self._written_at > SECONDS_BETWEEN_LINES:
            self._written_at = now
            self._write("")

    def close(self) -> None:
        self._write("\n")

    def _write(self, end: str) -> None:
        start = "\r" if self._is_terminal else ""
        of = "" if self._total is None else f" of {self._total}"
        failed = f", {self._failed} failed" if self._failed else ""
        text = f"{start}{self._title}: {self._ended}{of}{failed}{end}"
        print(text, end="", file=sys.stderr, flush=True)
