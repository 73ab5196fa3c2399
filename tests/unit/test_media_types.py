"""What bytes are is told by the bytes."""

import pytest
from support.media import (
    BMP,
    DOCX,
    GIF,
    HEIC,
    JPEG,
    MP3,
    MP4,
    PDF,
    PNG,
    TEXT,
    UNKNOWN,
    WAV,
    WEBP,
    archive,
)

from cogent.media_types import decode_text, detect_media_type, kind_of

OFFICE = "application/vnd.openxmlformats-officedocument"
TYPES = [
    (PNG, "image/png"),
    (JPEG, "image/jpeg"),
    (GIF, "image/gif"),
    (WEBP, "image/webp"),
    (BMP, "image/bmp"),
    (HEIC, "image/heic"),
    (b"II*\x00rest", "image/tiff"),
    (PDF, "application/pdf"),
    (WAV, "audio/wav"),
    (MP3, "audio/mpeg"),
    (b"\xff\xfb\x90\x00", "audio/mpeg"),
    (b"OggS\x00", "audio/ogg"),
    (b"fLaC\x00", "audio/flac"),
    (MP4, "video/mp4"),
    (b"\x1a\x45\xdf\xa3\x01", "video/webm"),
    (DOCX, f"{OFFICE}.wordprocessingml.document"),
    (archive("[Content_Types].xml", "xl/a.xml"), f"{OFFICE}.spreadsheetml.sheet"),
    (archive("[Content_Types].xml", "ppt/a"), f"{OFFICE}.presentationml.presentation"),
    (archive("a.txt"), "application/zip"),
    (archive("mimetype"), "application/zip"),
    (b"PK\x03\x04damaged", "application/zip"),
    (TEXT, "text/plain"),
    (b"BMW is a brand", "text/plain"),
    (b"\xef\xbb\xbfwith a mark", "text/plain"),
    ("Grüße".encode("utf-16"), "text/plain"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text/plain"),
    (b"\x1b[1mbold\x1b[0m\f", "text/plain"),
    ("Grüße".encode("latin-1"), "application/octet-stream"),
    (b"\xff\xfe\x00", "application/octet-stream"),
    (b"RIFF\x00\x00\x00\x00????", "application/octet-stream"),
    (b"a text with a \x00 in it", "application/octet-stream"),
    (UNKNOWN, "application/octet-stream"),
]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [pytest.param(*case, id=f"{place}-{case[1]}") for place, case in enumerate(TYPES)],
)
def test_the_first_bytes_tell_the_type(data: bytes, media_type: str) -> None:
    """Each format is known by its own mark, text by being text, and the rest is unknown."""
    assert detect_media_type(data) == media_type


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/png", "image"),
        ("image/svg+xml", "image"),
        ("application/pdf", "pdf"),
        ("text/csv", "text"),
        ("application/json", "text"),
        ("application/ld+json", "text"),
        ("application/msword", "document"),
        ("application/epub+zip", "document"),
        ("audio/wav", "audio"),
        ("video/mp4", "video"),
        ("application/zip", "other"),
        ("application/octet-stream", "other"),
    ],
)
def test_a_media_type_has_a_kind(media_type: str, kind: str) -> None:
    """The kind of content follows from the media type alone."""
    assert kind_of(media_type) == kind


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_decoded_without_its_mark(encoding: str) -> None:
    """UTF-8 and UTF-16 give the same text, with a byte order mark and without."""
    assert decode_text("Grüße".encode(encoding)) == "Grüße"
