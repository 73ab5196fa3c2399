"""Chat Completions that hold more than text and calls of functions, streamed and plain, with fields of one's own."""

from collections.abc import Sequence

from .chat_completions import CHUNK, DONE, _envelope
from .common import Answer, Json, encode, event


def stream(
    *deltas: Json, end: Json | None = None, each: Json | None = None, **choice: object
) -> list[bytes]:
    """The events of these deltas.

    `each` are fields of every chunk, `end` those of the last one, `choice` those of the last one's choice.
    """
    chunks = [_chunk({"delta": delta, "finish_reason": None}, each) for delta in deltas]
    last = {"delta": {}, "finish_reason": "stop", **choice}
    return [*chunks, _chunk(last, {**(each or {}), **(end or {})}), DONE]


def _chunk(choice: Json, fields: Json | None) -> bytes:
    chunk = _envelope(Answer(), CHUNK) | {"choices": [{"index": 0, **choice}]}
    return event(chunk | (fields or {}))


def chunk_without_choice(**fields: object) -> bytes:
    """A chunk that has these fields, and no choice."""
    return event(_envelope(Answer(), CHUNK) | {"choices": []} | fields)


def plain(message: Json, fields: Json | None = None, **choice: object) -> bytes:
    """The answer of this message in one piece, with these fields."""
    whole = {"index": 0, "message": {"role": "assistant", **message}}
    whole |= {"finish_reason": "stop", **choice}
    body = _envelope(Answer(), "chat.completion") | {"choices": [whole]}
    return encode(body | (fields or {}))


def url_citation(url: str, start: int, end: int, **fields: object) -> Json:
    """A citation as OpenAI and OpenRouter write it."""
    citation = {"url": url, "start_index": start, "end_index": end, **fields}
    return {"type": "url_citation", "url_citation": citation}


def image(url: str) -> Json:
    """A picture as OpenRouter writes it."""
    return {"type": "image_url", "image_url": {"url": url}, "index": 0}


def texts(*pieces: str) -> Sequence[Json]:
    """Deltas of text."""
    return [{"content": piece} for piece in pieces]
