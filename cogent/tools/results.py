"""What a tool returns, as the text that the model reads."""

from __future__ import annotations

import json
import types
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Collection, ItemsView, KeysView, ValuesView

VIEWS = (KeysView, ValuesView, ItemsView)
OTHER_SEQUENCES = (tuple, set, frozenset, deque, UserList, *VIEWS)
OTHER_MAPPINGS = (UserDict, ChainMap, types.MappingProxyType)
STEPS = ("__next__", "__anext__", "__aiter__")  # what is read step by step has one of them
SCALARS = frozenset({str, int, float, bool, type(None), bytes})
MAX_DEPTH = 300  # pydantic refuses what is nested more deeply
MAX_RANGE = 10_000  # numbers of a range that are written one by one


def to_text(value: object) -> str:
    """A string as it is, anything else as JSON. What has no JSON form is its `str`; NaN and Infinity are null.

    Raises TypeError for an iterator, wherever in the value it is; nothing of it is read. Raises ValueError for a value
    that contains itself or is nested too deeply.
    """
    if isinstance(value, str):
        return _encodable(value)
    if type(value) not in SCALARS:
        _refuse_iterators(value)
    from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

    try:
        written = to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=_stand_in)
    except PydanticSerializationError:  # it may have been a lone surrogate; anything else fails here as well
        plain = to_jsonable_python(value, bytes_mode="base64", fallback=_stand_in)
        plain = json.loads(_encodable(json.dumps(plain, ensure_ascii=False)))
        written = to_json(plain, inf_nan_mode="null")
    return written.decode()


def _encodable(text: str) -> str:
    """The text with a question mark for each lone surrogate, which no request can carry."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _refuse_iterators(value: object, depth: int = 0) -> None:
    kind = type(value)
    if kind is not list and kind is not dict and any(hasattr(kind, name) for name in STEPS):
        raise TypeError(f"it returned {_named(kind)}, which is read step by step; return a list instead")
    parts = _parts(value)
    if depth > MAX_DEPTH or SCALARS.issuperset(map(type, parts)):  # the latter holds for most of a large result
        return
    for part in parts:
        if type(part) not in SCALARS:
            _refuse_iterators(part, depth + 1)


def _parts(value: object) -> Collection[object]:
    """What the value consists of, as far as it is written into the JSON."""
    kind = type(value)
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list):
        return value
    if isinstance(value, OTHER_MAPPINGS):
        return value.values()
    if isinstance(value, OTHER_SEQUENCES):
        return value
    slots = getattr(kind, "__dataclass_fields__", None)
    if slots is not None:
        return [getattr(value, name, None) for name in slots]
    if hasattr(kind, "__pydantic_fields__"):
        return [*vars(value).values(), *(getattr(value, "__pydantic_extra__", None) or {}).values()]
    return ()


def _named(kind: type) -> str:
    article = "an" if kind.__name__[:1].lower() in "aeiou" else "a"
    return f"{article} {kind.__name__}"


def _stand_in(value: object) -> object:
    """What is written for a value that pydantic does not know."""
    if isinstance(value, (*VIEWS, UserList)):
        return list(value)
    if isinstance(value, OTHER_MAPPINGS):
        return dict(value)
    if isinstance(value, range) and len(value) <= MAX_RANGE:
        return list(value)
    if getattr(value, "shape", None) == ():  # a number of numpy, or what is like it
        number: object = value.item() if hasattr(value, "item") else None
        if type(number) in SCALARS and number is not None:
            return number
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # the user's own __str__
        return f"<{type(value).__name__}>"
