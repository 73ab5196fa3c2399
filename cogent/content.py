"""Images and files: what a message or a tool's result holds besides text.

A source is a path, bytes or an http(s) URL. Files are read when a run begins, not when
the value is made; nothing is ever fetched from a URL, which goes to the provider as it
is. All errors here are ConfigurationErrors, and none of them shows a URL.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from cogent.errors import ConfigurationError
from cogent.json_values import UnsendableError, check_text
from cogent.media_types import UNKNOWN_TYPE, Kind, detect_media_type, kind_of
from cogent.validation import shown

MAX_FILE_BYTES = 50 * 1024 * 1024
"""The largest file that is read, and the most bytes of one Image or File."""

MediaSource = str | os.PathLike[str] | bytes

SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://|https?:|data:", re.IGNORECASE)
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+_-]*/[a-z0-9][a-z0-9.+_-]*")
NOT_IN_URLS = re.compile(r"[\s\x00-\x1f\x7f]")
SEPARATORS = os.sep + (os.altsep or "")  # of the parts of a path
TEXT_SEPARATOR = "\n"  # between the texts of a list, where they become one text

# About what models count; only used where a provider gives no figures.
TOKENS_OF_IMAGE = 1_000
TOKENS_OF_PAGE = 2_000
BYTES_OF_PAGE = 50_000
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, repr=False)
class _Media:
    """What Image and File have in common."""

    source: MediaSource
    media_type: str | None = None
    optional: bool = field(default=False, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        name = type(self).__name__
        _check_source(self.source, name)
        media_type = _checked_media_type(self.media_type, name)
        if media_type is None and isinstance(self.source, bytes):
            media_type = detect_media_type(self.source)
        object.__setattr__(self, "media_type", media_type)

    @property
    def data(self) -> bytes | None:
        """The bytes; None for a URL, and for a file that was not read yet."""
        return self.source if isinstance(self.source, bytes) else None

    @property
    def url(self) -> str | None:
        """The URL; None for bytes and for a file."""
        return self.source if is_url(self.source) else None

    @property
    def is_read(self) -> bool:
        """Whether there is no file left to read."""
        return self.data is not None or self.url is not None

    def __repr__(self) -> str:
        shown_type = f", {self.media_type!r}" if self.media_type else ""
        return f"{type(self).__name__}({_shown_source(self)}{shown_type})"


@dataclass(frozen=True, slots=True, repr=False)
class Image(_Media):
    """A picture for the model: `Image("photo.png")`, `Image(data)`, `Image(url)`.

    `media_type`, like "image/png", is read from the first bytes where it is not given;
    of a URL it is not known. Raises ConfigurationError for what is no picture. One that
    a tool returns may be `optional`: a model that cannot take it is told so in words,
    instead of a ConfigurationError that ends the run.

    >>> agent = Agent("guide", ScriptedModel("A bridge."))
    >>> print(agent.run_sync(["What is this?", Image("https://example.org/photo.png")]))
    A bridge.
    """

    def __post_init__(self) -> None:
        _Media.__post_init__(self)
        if self.media_type is None or kind_of(self.media_type) == "image":
            return
        if self.media_type == UNKNOWN_TYPE:
            raise ConfigurationError(
                "the bytes of an Image are of no known format: say which one by "
                'media_type="image/..."'
            )
        raise ConfigurationError(
            f"an Image holds a picture; this is {self.media_type}: make it a File"
        )


@dataclass(frozen=True, slots=True, repr=False)
class File(_Media):
    """A document for the model: `File("invoice.pdf")`, `File(data, name="notes.txt")`.

    `media_type` is read from the content where it is not given; of a URL it is not
    known. `name` is what the model reads, by default the last part of the path or URL.
    `optional` is as for an Image.

    >>> File(b"Buy milk.", name="notes.txt").media_type
    'text/plain'
    """

    name: str | None = None

    def __post_init__(self) -> None:
        _Media.__post_init__(self)
        if self.name is None:
            object.__setattr__(self, "name", _name_of(self))
        elif not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(
                "the name of a File is a string that is not empty; "
                f"got {shown(self.name)}"
            )
        else:
            _check_name(self.name)


Media = Image | File
ContentPart = str | Image | File
"""One entry of a message that is a list."""


def is_url(source: object) -> TypeGuard[str]:
    """Whether it is a URL and no path, be it one that can be used or not."""
    return isinstance(source, str) and SCHEME.match(source) is not None


# Checks


def _check_source(source: object, name: str) -> None:
    if isinstance(source, bytes):
        _check_data(source, f"the bytes of {_with_article(name)}")
    elif is_url(source):
        _check_url(source, name)
    elif isinstance(source, str | os.PathLike):
        if not isinstance(os.fspath(source), str) or not os.fspath(source):
            raise ConfigurationError(f"the path of {_with_article(name)} is empty")
    else:
        raise ConfigurationError(
            f"the source of {_with_article(name)} is a path, bytes or a URL; "
            f"got {type(source).__name__}"
        )


def _check_data(data: bytes, what: str) -> None:
    if not data:
        raise ConfigurationError(f"{what}: there is nothing in it (0 bytes)")
    _check_size(len(data), what)


def _check_size(size: int, what: str) -> None:
    if size > MAX_FILE_BYTES:
        raise ConfigurationError(
            f"{what}: {size:,} bytes are more than cogent.content.MAX_FILE_BYTES "
            f"({MAX_FILE_BYTES:,})"
        )


def _check_url(url: str, name: str) -> None:
    """Raise ConfigurationError unless a provider could fetch from the URL.

    The URL is in no message: it may hold a password where nobody looks for one.
    """
    from urllib.parse import urlsplit  # imported here: it makes `import cogent` slower

    of = f"the URL of {_with_article(name)}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise ConfigurationError(f"{of} is no valid URL") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigurationError(
            f"{of} begins with {parts.scheme}: ; only http: and https: can be given. "
            "Pass a path or bytes"
        )
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"{of} has a user name or a password, which the provider would see: "
            "pass bytes"
        )
    if NOT_IN_URLS.search(url) or not parts.hostname or port == 0:
        raise ConfigurationError(f"{of} is no valid URL")
    try:
        check_text(url)
    except UnsendableError as error:
        raise ConfigurationError(f"{of} {error}") from None


def _checked_media_type(given: object, name: str) -> str | None:
    """The media type in lower case, without parameters like `charset`."""
    if given is None:
        return None
    if isinstance(given, str):
        media_type = given.partition(";")[0].strip().lower()
        if MEDIA_TYPE.fullmatch(media_type):
            return media_type
    raise ConfigurationError(
        f'the media_type of {_with_article(name)} is a string like "image/png"; '
        f"got {shown(given)}"
    )


def _check_name(name: str) -> None:
    try:
        check_text(name)
    except UnsendableError as error:
        raise ConfigurationError(f"the name of a File {error}") from None


def _with_article(name: str) -> str:
    return f"an {name}" if name == "Image" else f"a {name}"


# What is shown of a source


def _shown_source(media: _Media) -> str:
    if isinstance(media.source, bytes):
        return f"<{len(media.source):,} bytes>"
    if media.url is None:
        return repr(os.fspath(media.source))
    from urllib.parse import urlsplit

    parts = urlsplit(media.url)
    query = "?…" if parts.query else ""  # the key of a signed URL stands there
    return repr(f"{parts.scheme}://{parts.netloc}{parts.path}{query}")


def _name_of(media: _Media) -> str | None:
    """The last part of the path or of the URL; None for bytes."""
    if isinstance(media.source, bytes):
        return None
    if media.url is not None:
        from urllib.parse import unquote, urlsplit

        return unquote(urlsplit(media.url).path).rpartition("/")[2] or None
    name = os.path.basename(os.fspath(media.source).rstrip(SEPARATORS))
    # A name in another encoding than the system's has characters that JSON cannot hold.
    return name.encode("utf-8", "replace").decode() or None


def describe(media: Media) -> str:
    """How a message names the value: by its name, or by what it is."""
    if isinstance(media, File) and media.name:
        return f"the file {shown(media.name)}"
    return "the image" if isinstance(media, Image) else "the file"


# Reading


def read(media: Media) -> Media:
    """The same with the bytes of its file; a URL and bytes stay as they are.

    Blocks while it reads. Raises ConfigurationError for a file that cannot be used.
    """
    if media.is_read:
        return media
    assert not isinstance(media.source, bytes)
    path = os.fspath(media.source)
    data = _read_file(path)
    try:
        return replace(media, source=data)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path!r}: {error}") from None


def read_all(parts: Sequence[ContentPart]) -> list[ContentPart]:
    """The parts with the bytes of their files. Blocks, and raises what `read` does."""
    return [part if isinstance(part, str) else read(part) for part in parts]


def _read_file(path: str) -> bytes:
    try:
        status = os.stat(path)
        _check_file(path, status)
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # it may have grown meanwhile
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {path!r}") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path!r} cannot be read: {reason}") from None
    _check_data(data, repr(path))
    return data


def _check_file(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{path!r} is a directory, not a file")
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISFIFO(status.st_mode):
        raise ConfigurationError(f"{path!r} is neither a file nor a pipe")
    _check_size(status.st_size, repr(path))


# What lists of parts say


def text_of(parts: Sequence[ContentPart]) -> str:
    """The texts among the parts as one text."""
    return TEXT_SEPARATOR.join(part for part in parts if isinstance(part, str))


def has_media(parts: Sequence[ContentPart]) -> bool:
    """Whether there is anything but text."""
    return any(not isinstance(part, str) for part in parts)


def media_kind(media: Media) -> Kind | None:
    """What it holds; None where nobody knows: a URL whose type was not given."""
    if media.media_type is not None:
        return kind_of(media.media_type)
    return "image" if isinstance(media, Image) else None


def estimate_tokens(media: Media) -> int:
    """About how many tokens a model counts for it."""
    kind = media_kind(media)
    if kind == "image":
        return TOKENS_OF_IMAGE
    size = len(media.data or b"")
    if kind == "text":
        return size // BYTES_PER_TOKEN
    return max(1, size // BYTES_OF_PAGE) * TOKENS_OF_PAGE
