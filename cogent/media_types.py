"""The media type of bytes by what is in them, and the kind of a media type.

A file's name says nothing here: a text that is called `photo.png` is a text.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Literal

Kind = Literal["image", "pdf", "text", "document", "audio", "video", "other"]

UNKNOWN_TYPE = "application/octet-stream"
PDF = "application/pdf"
TEXT = "text/plain"
ZIP = "application/zip"
OFFICE = "application/vnd.openxmlformats-officedocument."

# The first bytes of a file, for formats that have a mark of their own there.
FIRST_BYTES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", PDF),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
)
# The four bytes at place 8 of a RIFF file, and of one whose first box is "ftyp".
RIFF_FORMATS = {
    b"WEBP": "image/webp",
    b"WAVE": "audio/wav",
    b"AVI ": "video/x-msvideo",
}
BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"M4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
# The folder of an office document's content, inside of its ZIP archive.
OFFICE_FOLDERS = {
    "word/": f"{OFFICE}wordprocessingml.document",
    "xl/": f"{OFFICE}spreadsheetml.sheet",
    "ppt/": f"{OFFICE}presentationml.presentation",
}

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# No text holds these: all below a blank but tab, line ends, form feed and escape.
CONTROL_BYTES = bytes([*range(9), 11, *range(14, 27), *range(28, 32)])
CONTROL_CHARACTERS = re.compile(f"[{re.escape(CONTROL_BYTES.decode())}]")

FAMILIES: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}
TEXT_TYPES = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    }
)
DOCUMENT_TYPES = frozenset(
    {
        "application/epub+zip",
        "application/msword",
        "application/rtf",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.presentation",
        *OFFICE_FOLDERS.values(),
    }
)


def detect_media_type(data: bytes) -> str:
    """The media type of these bytes; `application/octet-stream` where nothing tells."""
    for first, media_type in FIRST_BYTES:
        if data.startswith(first):
            return media_type
    container_type = _type_of_container(data)
    if container_type is not None:
        return container_type
    if data.startswith(b"BM") and data[6:10] == bytes(4):
        return "image/bmp"
    return TEXT if _is_text(data) else UNKNOWN_TYPE


def kind_of(media_type: str) -> Kind:
    """What a media type stands for; what is none of the known kinds is "other"."""
    family = media_type.partition("/")[0]
    if family in FAMILIES:
        return FAMILIES[family]
    if media_type == PDF:
        return "pdf"
    if media_type in DOCUMENT_TYPES:
        return "document"
    is_text = family == "text" or media_type in TEXT_TYPES
    if is_text or media_type.endswith(("+json", "+xml")):
        return "text"
    return "other"


def decode_text(data: bytes) -> str:
    """The text in UTF-8, or in UTF-16 with a byte order mark; without the mark.

    Raises UnicodeDecodeError.
    """
    encoding = "utf-16" if data.startswith(UTF_16_MARKS) else "utf-8-sig"
    return data.decode(encoding)


def _is_text(data: bytes) -> bool:
    is_utf_16 = data.startswith(UTF_16_MARKS)
    if not is_utf_16 and len(data.translate(None, CONTROL_BYTES)) < len(data):
        return False
    try:
        text = decode_text(data)
    except UnicodeDecodeError:
        return False
    return not is_utf_16 or CONTROL_CHARACTERS.search(text) is None


def _type_of_container(data: bytes) -> str | None:
    """The media type of a format that holds others; None for any other bytes."""
    if data.startswith(b"RIFF"):
        return RIFF_FORMATS.get(data[8:12], UNKNOWN_TYPE)
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12], "video/mp4")
    if data.startswith(b"PK\x03\x04"):
        return _type_of_archive(data)
    return None


def _type_of_archive(data: bytes) -> str:
    """The media type of a ZIP archive: office documents are such."""
    from zipfile import BadZipFile, ZipFile  # slow to import, and rarely needed

    try:
        with ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
            if names[:1] == ["mimetype"]:  # OpenDocument and EPUB begin with this
                return _declared_type(archive.open("mimetype").read(100))
    except (BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError):
        return ZIP  # damaged, encrypted, or packed in a way that Python does not know
    for folder, media_type in OFFICE_FOLDERS.items():
        if any(name.startswith(folder) for name in names):
            return media_type
    return ZIP


def _declared_type(declared: bytes) -> str:
    media_type = declared.decode("ascii", "replace").strip()
    return media_type if media_type in DOCUMENT_TYPES else ZIP
