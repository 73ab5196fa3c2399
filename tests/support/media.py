"""Small files of each kind, and the messages that hold them."""

import io
import struct
import zipfile
import zlib
from base64 import b64decode, urlsafe_b64decode
from typing import Any

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
JPEG = b"\xff\xd8\xff\xe0" + bytes(8)
GIF = b"GIF89a" + bytes(8)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "
BMP = b"BM\x46\x00\x00\x00" + bytes(8)
HEIC = b"\x00\x00\x00\x18ftypheic" + bytes(8)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
MP3 = b"ID3\x04\x00" + bytes(8)
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(8)
TEXT = "Rechnung: 12 €\n".encode()
UNKNOWN = b"\x00\x01\x02\x03"


def archive(*names: str) -> bytes:
    """A ZIP archive of files with these names, each of which holds its own name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name in names:
            zipped.writestr(
                zipfile.ZipInfo(name), name
            )  # at no time of day: the same bytes always
    return file.getvalue()


def square(red: int, green: int, blue: int, opacity: int = 255) -> bytes:
    """A PNG of 8 by 8 pixels of this color, which a browser can show."""
    rows = (b"\0" + bytes((red, green, blue, opacity)) * 8) * 8
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 8, 8, 8, 6, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    data = PNG[:8]
    for kind, body in parts.items():
        checksum = zlib.crc32(kind + body)
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return data


DOCX = archive("[Content_Types].xml", "word/document.xml")


Seen = tuple[str, str | bytes]
"""What a request holds at one place: "text", "image" or "file", and what of it."""


def sent_messages(body: Any) -> list[Any]:
    """The conversation of a request in any format."""
    return body.get("input") or body.get("contents") or body["messages"]


def seen_parts(message: Any) -> list[Seen]:
    """What a message or a result holds, read from any format."""
    result = message.get("functionResponse")
    if result is not None:
        parts = [_seen(part) for part in result.get("parts", ())]
        return [("text", result["response"]["output"]), *parts]
    content = message.get("content", message.get("parts", message.get("output", "")))
    if isinstance(content, str):
        images = [("image", b64decode(image)) for image in message.get("images", ())]
        return [("text", content), *images]
    return [_seen(part) for part in content]


def _seen(part: Any) -> Seen:
    match part:
        case {"text": text}:
            return "text", text
        case {"image_url": {"url": url}} | {"image_url": url}:
            return "image", _data_of(url)
        case {"file": {"file_data": url}} | {"file_data": str(url)}:
            return "file", _data_of(url)
        case {"document_url": url}:
            return "file", _data_of(url)
        case {"file_url": url}:
            return "file", url
        case {"input_audio": {"data": data}}:
            return "file", b64decode(data)
        case {"type": kind, "source": source}:
            return "image" if kind == "image" else "file", _data_of_source(source)
        case {"inlineData": data} | {"inline_data": data}:
            kind = "image" if data["mime_type"].startswith("image/") else "file"
            return kind, urlsafe_b64decode(data["data"])
        case {"fileData": file} | {"file_data": file}:
            url = file.get("fileUri") or file["file_uri"]
            kind = "image" if url.endswith("png") else "file"
            return kind, url
    raise AssertionError(f"an unknown part: {part}")


def _data_of(url: str) -> str | bytes:
    head, found, data = url.partition(";base64,")
    return b64decode(data) if found and head.startswith("data:") else url


def _data_of_source(source: Any) -> str | bytes:
    match source:
        case {"type": "base64", "data": data}:
            return b64decode(data)
        case {"type": "text", "data": text}:
            return str(text).encode()
        case {"type": "url", "url": url}:
            return str(url)
    raise AssertionError(f"an unknown source: {source}")
