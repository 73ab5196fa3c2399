"""The file of a recording: JSON lines, which people read too.

    {"cogent_recording": 1}
    {"request": 1, "method": "POST", "url": "https://...", "headers": {...}, "json": {...}}
    {"response": 1, "after": 0.41, "status": 200, "headers": {...}}
    {"response": 1, "after": 0.43, "text": "data: {...}\\n\\n"}
    {"response": 1, "after": 0.98, "end": "complete"}

Each line of a response belongs to the request of its number; `after` are the seconds
since that was sent. A piece of a body is `text` where its bytes are UTF-8, else
`base64`. The last line of a response is its `end`: "complete"; "left", where the client
closed it; or the error of the HTTP client. A request whose head never came has
no line but that. `base64` and `text` hold the body of a request, too, that is no JSON.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cogent.errors import ConfigurationError
from cogent.json_values import Json

VERSION = 1
COMPLETE = "complete"
LEFT = "left"  # by the client, or never answered


@dataclass(slots=True)
class Piece:
    """Bytes of a body, so many seconds after the request was sent."""

    after: float
    data: bytes


@dataclass(slots=True)
class Exchange:
    """One request, and what came of it."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any  # JSON values, where `is_json`; else bytes
    is_json: bool = True
    head_after: float = 0.0
    status: int | None = None  # None if no head came
    response_headers: dict[str, str] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    end: str = LEFT
    end_after: float = 0.0

    @property
    def size(self) -> int:
        """How many bytes the body of the response has."""
        return sum(len(piece.data) for piece in self.pieces)


def read_body(content: bytes) -> tuple[Any, bool]:
    """The body of a request, and whether it is JSON."""
    try:
        return json.loads(content), True
    except ValueError:
        return content, False


def write(path: Path, exchanges: list[Exchange]) -> None:
    """Write the file, in one step."""
    lines: list[Json] = [{"cogent_recording": VERSION}]
    for number, exchange in enumerate(exchanges, 1):
        lines += _lines(exchange, number)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(text, "utf-8")
    os.replace(unfinished, path)


def _lines(exchange: Exchange, number: int) -> Iterator[Json]:
    body = {"json": exchange.body} if exchange.is_json else _bytes(exchange.body)
    yield {
        "request": number,
        "method": exchange.method,
        "url": exchange.url,
        "headers": exchange.headers,
        **body,
    }
    if exchange.status is not None:
        yield {
            "response": number,
            "after": round(exchange.head_after, 6),
            "status": exchange.status,
            "headers": exchange.response_headers,
        }
    for piece in exchange.pieces:
        yield {
            "response": number,
            "after": round(piece.after, 6),
            **_bytes(piece.data),
        }
    yield {
        "response": number,
        "after": round(exchange.end_after, 6),
        "end": exchange.end,
    }


def _bytes(data: bytes) -> Json:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _data(line: Json) -> bytes:
    if "base64" in line:
        return b64decode(line["base64"], validate=True)
    text: str = line["text"]
    return text.encode()


def read(path: Path) -> list[Exchange]:
    """The exchanges of a file.

    Raises ConfigurationError, which says what is wrong with it and in which line.
    """
    exchanges: dict[int, Exchange] = {}
    for number, line in enumerate(_read_lines(path), 1):
        try:
            if number == 1:
                _check_version(line, path)
            else:
                _take(exchanges, line)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _damaged(path, number, f"{type(error).__name__}: {error}") from error
    if not exchanges:
        raise ConfigurationError(f"the recording {path} has no request in it")
    return list(exchanges.values())


def _read_lines(path: Path) -> Iterator[Any]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"the recording {path} cannot be read: {reason}"
        ) from error
    if not lines:
        raise ConfigurationError(f"the recording {path} is empty")
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise _damaged(path, number, f"it is no JSON ({error})") from error


def _damaged(path: Path, number: int, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the recording {path} is damaged at line {number}: {reason}"
    )


def _check_version(line: Json, path: Path) -> None:
    version = line.get("cogent_recording")
    if version is None:
        raise ConfigurationError(
            f'{path} is no recording: its first line is not {{"cogent_recording": 1}}'
        )
    if version != VERSION:
        raise ConfigurationError(
            f"the recording {path} has the form {version}, and this is read: {VERSION}; "
            "record it anew"
        )


def _take(exchanges: dict[int, Exchange], line: Json) -> None:
    """Enter a line."""
    if "request" in line:
        is_json = "json" in line
        body = line["json"] if is_json else _data(line)
        headers = dict(line["headers"])
        exchanges[line["request"]] = Exchange(
            str(line["method"]), str(line["url"]), headers, body, is_json
        )
        return
    exchange = exchanges[line["response"]]
    after = float(line["after"])
    if "status" in line:
        exchange.head_after = after
        exchange.status = int(line["status"])
        exchange.response_headers = dict(line["headers"])
    elif "end" in line:
        exchange.end_after = after
        exchange.end = str(line["end"])
    else:
        exchange.pieces.append(Piece(after, _data(line)))
