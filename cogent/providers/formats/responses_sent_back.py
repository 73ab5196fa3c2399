"""The items of a response as the next request takes them: as they came, with the texts
that were given.
"""

from __future__ import annotations

from cogent.json_values import Json
from cogent.providers.formats.responses_items import (
    LISTS,
    STRINGS,
    TEXT,
    OutputItem,
    texts_of,
)


def to_send_back(item: OutputItem) -> Json | None:
    """The item for the next request; None if it never came whole."""
    body = item.closed or _made_up(item)
    if body is None:
        return None
    body = dict(body)
    if item.call_id:
        body["call_id"] = item.call_id
        body["name"] = item.name
    given = item.given()
    if _has_text(body, given):
        return body
    if item.type in STRINGS:
        body[STRINGS[item.type].field] = given
        return body
    for name in LISTS:
        if item.parts_of(name):
            body[name] = _mended_parts(body.get(name), item, name)
    return body


def _made_up(item: OutputItem) -> Json | None:
    """The item where no event held it whole.

    Reasoning has none: its encrypted content may not be whole either.
    """
    begun = item.opened or {}
    if item.type == "message" and item.given():
        body = {"content": [], **begun, "type": "message", "role": "assistant"}
    elif item.type == "function_call":
        body = {**begun, "type": "function_call"}
    else:
        return None
    body["status"] = "completed"
    return body


def _has_text(body: Json, text: str) -> bool:
    """Whether the item has this text, in lists of parts as the API takes it."""
    for name in LISTS:
        if isinstance(body.get(name), str):
            return False
    texts = [part.text for part in texts_of(body)]
    return "".join(texts) == text


def _mended_parts(
    parts: object,
    item: OutputItem,
    name: str,
) -> list[Json]:
    mended = list(parts) if isinstance(parts, list) else []
    for index, part in item.parts_of(name):
        kind = part.kind
        known = mended[index] if index < len(mended) else {}
        if isinstance(known.get(kind.key), str):
            mended[index] = {**known, kind.key: part.text}
            continue
        added: Json = {"type": kind.part, kind.key: part.text}
        if kind is TEXT:
            added["annotations"] = []
        mended.append(added)
    return mended
