"""A program in a real terminal, and what its screen shows."""

import codecs
import fcntl
import os
import select
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyte

LIMIT = 100  # Seconds; a program takes a few.
SILENCE = 3  # Seconds without a word after which a key is typed again.


class Terminal:
    """The screen of a terminal with what has scrolled off it."""

    def __init__(
        self, process: subprocess.Popen[bytes], side: int, columns: int
    ) -> None:
        self._process = process
        self._side = side
        self._screen = pyte.HistoryScreen(columns, 24, history=1000)
        self._stream = pyte.Stream(self._screen)
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self.raw = ""
        """All that the program wrote."""
        self._seen = 0  # characters of it that were waited for

    @property
    def lines(self) -> list[str]:
        """All lines, also those above the screen, without blanks at their ends."""
        columns = range(self._screen.columns)
        above = [
            "".join(row[column].data for column in columns)
            for row in self._screen.history.top
        ]
        return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def text(self) -> str:
        """The lines down to the last that is not empty."""
        return "\n".join(self.lines).rstrip()

    def send(self, keys: str) -> None:
        """Type these."""
        os.write(self._side, keys.encode())

    def until(self, shown: str) -> None:
        """Read on until the program has written this, after what was waited for before."""
        while (place := self.raw.find(shown, self._seen)) < 0:
            assert self._read(), f"the program ended before {shown!r}: {self.raw!r}"
        self._seen = place + len(shown)

    def interrupt_until(self, shown: str) -> None:
        """Type Ctrl-C until the program has written this: readline misses one that comes while it draws."""
        while shown not in self.raw[self._seen :]:
            self.send("\x03")
            while shown not in self.raw[self._seen :] and self._has_more(SILENCE):
                assert self._read(), f"the program ended before {shown!r}"
        self.until(shown)

    def finish(self) -> int:
        """Read to the end of the program; returns its exit code."""
        while self._read():
            pass
        return self._process.wait(LIMIT)

    def _has_more(self, seconds: float) -> bool:
        return bool(select.select([self._side], [], [], seconds)[0])

    def _read(self) -> bool:
        if not self._has_more(LIMIT):
            raise AssertionError(f"nothing comes any more after {self.raw!r}")
        try:
            data = os.read(self._side, 65536)
        except OSError:  # the program has ended
            return False
        text = self._decode(data)
        self.raw += text
        self._stream.feed(text)
        return bool(data)


@contextmanager
def in_terminal(
    command: Sequence[str], env: Mapping[str, str], columns: int = 80
) -> Iterator[Terminal]:
    """Run a command in a terminal of its own."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal

    process = subprocess.Popen(
        command,
        env={**env, "TERM": env.get("TERM") or "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours, columns)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
