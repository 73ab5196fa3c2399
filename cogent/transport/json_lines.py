"""A body of JSON lines, as Ollama sends it.

- The SDK is given whole lines: it waits for them, so nothing is delayed.
- The SDK ends a line at characters that JSON may have in a string as they are: they are
  escaped.
- An error is raised behind the lines that came before it.
"""

from __future__ import annotations

from cogent.transport.error_events import find_error, may_be_error
from cogent.transport.plain_body import check_size
from cogent.transport.reported import ReportedError

LINE_SEPARATORS = str.maketrans(
    {"\x85": r"\u0085", "\u2028": r"\u2028", "\u2029": r"\u2029"}
)


class JsonLines:
    """One such body as it comes in; see `Body` for what it shares with others."""

    def __init__(self) -> None:
        self.is_over: bool = False
        self._unfinished = bytearray()  # what came since the last line end
        self._failure: ReportedError | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the body ended in the middle of a line."""
        return bool(self._unfinished.strip())

    def feed(self, data: bytes) -> bytes:
        """What the SDK is to be given of the lines that are whole with these bytes."""
        if not self._unfinished and data.endswith(b"\n"):
            return self._readable(data)
        self._unfinished += data
        line_end = data.rfind(b"\n")
        if line_end < 0:
            check_size(len(self._unfinished))
            return b""
        end = len(self._unfinished) - len(data) + line_end + 1
        whole = bytes(self._unfinished[:end])
        del self._unfinished[:end]
        return self._readable(whole)

    def end(self) -> bytes:
        """What the SDK is to be given of the last line.

        Raises the error that the server reported.
        """
        rest = b""
        if self._failure is None:
            rest = self._readable(bytes(self._unfinished))
        if self._failure is not None:
            raise self._failure
        return rest

    def _readable(self, lines: bytes) -> bytes:
        """The lines up to the first error, as the SDK reads them."""
        if may_be_error(lines):
            lines = self._before_error(lines)
        if lines.isascii():
            return lines
        return lines.decode(errors="replace").translate(LINE_SEPARATORS).encode()

    def _before_error(self, lines: bytes) -> bytes:
        before = []
        for line in lines.splitlines(keepends=True):
            self._failure = find_error(line)
            if self._failure is not None:
                self.is_over = True
                break
            before.append(line)
        return b"".join(before)
