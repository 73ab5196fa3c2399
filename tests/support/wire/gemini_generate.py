"""The Gemini generateContent format: https://ai.google.dev/api/generate-content."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from .common import (
    Answer,
    Builders,
    Json,
    as_filtered,
    cut,
    encode,
    event,
)

# What the API says with each of its status words: https://cloud.google.com/apis/design/errors.
CODES = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
FINISH = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}
SIGNATURE = "c2lnbmF0dXJlIG9mIHRoZSB0aG91Z2h0cw=="


def blocked(reason: str = "SAFETY") -> bytes:
    """The only event of an answer to a prompt that was refused, and its body without streaming."""
    return encode(
        {
            "promptFeedback": {"blockReason": reason},
            "usageMetadata": {"promptTokenCount": 11},
        }
    )


def error_event(
    message: str, code: str | None, type: str, after: Sequence[str] = ()
) -> list[bytes]:
    """The events of an answer that fails inside a 200, after these deltas of text."""
    begun = [_event(Answer(), [{"text": delta}]) for delta in after]
    # The error is no event: it stands there as the JSON of an HTTP error's body, on several lines.
    return [
        *begun,
        json.dumps({"error": _error(message, code, type)}, indent=2).encode() + b"\n",
    ]


def error_body(message: str, code: str | None, type: str) -> bytes:
    """The body of an HTTP error status."""
    return encode({"error": _error(message, code, type)})


def _error(message: str, code: str | None, type: str) -> Json:
    error: Json = {
        "code": CODES.get(type.upper(), 500),
        "message": message,
        "status": type,
    }
    if code:
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": code,
            "domain": "googleapis.com",
        }
        error["details"] = [info]
    return error


def _stream(answer: Answer) -> list[bytes]:
    said = [_event(answer, [part]) for part in _parts(answer)]
    # The newer models end with an empty text, which has the signature of an answer without calls.
    signed = (
        {} if answer.calls or not answer.encrypted else {"thoughtSignature": SIGNATURE}
    )
    return [
        *said,
        _event(answer, [{"text": "", **signed}], FINISH[answer.finish or "stop"]),
    ]


def parts(*parts: Json, finish: str = "STOP", **candidate: Any) -> list[bytes]:
    """The events of an answer of these parts, one in each; the last has the candidate's further fields."""
    begun = [_body(Answer(), [part], None) for part in parts]
    end = _body(Answer(), [{"text": ""}], finish)
    end["candidates"][0] |= candidate
    return [event(body) for body in (*begun, end)]


def plain_parts(*parts: Json, finish: str = "STOP", **candidate: Any) -> bytes:
    """The body of the same answer without streaming, where the texts that follow each other are one."""
    joined: list[Json] = []
    for part in parts:
        if joined and part.keys() == joined[-1].keys() == {"text"}:
            joined[-1] = {"text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    body = _body(Answer(), joined, finish)
    body["candidates"][0] |= candidate
    return encode(body)


def _event(answer: Answer, parts: Sequence[Json], finish: str | None = None) -> bytes:
    # Google ends its lines with CR LF.
    return event(_body(answer, parts, finish)).replace(b"\n", b"\r\n")


def _plain(answer: Answer) -> bytes:
    pieces = {"pieces": 1, "deltas": ["".join(answer.spoken)] if answer.spoken else []}
    whole = Answer(
        **{name: getattr(answer, name) for name in answer.__slots__} | pieces
    )
    return encode(_body(whole, list(_parts(whole)), FINISH[answer.finish or "stop"]))


def _parts(answer: Answer) -> Iterator[Json]:
    for piece in cut(answer.reasoning, answer.pieces):
        yield {"text": piece, "thought": True}
    for piece in answer.spoken:
        yield {"text": piece}
    for place, (id, name, arguments) in enumerate(answer.calls):
        call = {
            "functionCall": {
                "id": id,
                "name": name,
                "args": json.loads(arguments or "{}"),
            }
        }
        yield (
            call
            if place or not answer.encrypted
            else {**call, "thoughtSignature": SIGNATURE}
        )


def _body(answer: Answer, parts: Sequence[Json], finish: str | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    body: Json = {
        "candidates": [candidate],
        "modelVersion": answer.model,
        "responseId": _id(answer),
    }
    return body | {"usageMetadata": _usage(answer)} if answer.usage else body


def _id(answer: Answer) -> str:
    """The same for one content, streamed or not."""
    return f"{crc32(repr((''.join(answer.spoken), answer.reasoning, answer.calls)).encode()):08x}"


def _usage(answer: Answer) -> Json:
    spent, made = answer.usage or (0, 0)
    usage: Json = {
        "promptTokenCount": spent,
        "candidatesTokenCount": made - answer.reasoning_tokens,
        "totalTokenCount": spent + made,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": spent}],
    }
    # Counts that are 0 are left out.
    if answer.cached:
        usage["cachedContentTokenCount"] = answer.cached
    if answer.reasoning_tokens:
        usage["thoughtsTokenCount"] = answer.reasoning_tokens
    return usage


_builders = Builders(_stream, _plain, as_filtered)
text = _builders.text
plain_text = _builders.plain_text
tool_calls = _builders.tool_calls
plain_tool_calls = _builders.plain_tool_calls
reasoning = _builders.reasoning
plain_reasoning = _builders.plain_reasoning
refusal = _builders.refusal
plain_refusal = _builders.plain_refusal
