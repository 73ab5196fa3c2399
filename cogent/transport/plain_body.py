"""Bodies of answers that are no streams of events, and how large an answer may be.

A whole answer is passed on as it is, up to a limit. The page of an error or of a
redirect is cut where nobody reads on, and is put into UTF-8: its status must reach the
caller whatever its bytes are.
"""

from __future__ import annotations

import codecs

from cogent.errors import ServerError

MB = 1024 * 1024
MAX_EVENT_BYTES = 64 * MB
MAX_ANSWER_BYTES = 256 * MB  # of an answer that is no stream
MAX_PAGE_BYTES = MB  # an error's message is far shorter


def check_size(size: int, limit: int = MAX_EVENT_BYTES) -> None:
    """Raise ServerError for an event, or a whole answer, of more bytes than that."""
    if size > limit:
        raise ServerError(
            f"the server sends more than {limit // MB} MB in one piece",
            status=200,
            retryable=False,
        )


class WholeBody:
    """An answer that is read at once."""

    is_over = False
    is_cut = False

    def __init__(self) -> None:
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        self._size += len(data)
        check_size(self._size, MAX_ANSWER_BYTES)
        return data

    def end(self) -> bytes:
        """Nothing is held back."""
        return b""


class ErrorPage:
    """The body of an error or of a redirect.

    Google's SDK fails at one that is no UTF-8, and the error's status is lost.
    """

    is_cut = False

    def __init__(self, *, names_charset: bool) -> None:
        self.is_over: bool = False
        self._size = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._names_charset = names_charset

    def feed(self, data: bytes) -> bytes:
        """The same text in UTF-8."""
        self._size += len(data)
        self.is_over = self._size > MAX_PAGE_BYTES
        if self.is_over:
            return b""
        if self._names_charset:  # the HTTP client then replaces what is none of it
            return data
        return self._decoder.decode(data).encode()

    def end(self) -> bytes:
        """Nothing is held back but half a character."""
        return b""
