"""What a tool returns, as the text, Images and Files that the model reads."""

from __future__ import annotations

import json
import types
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Collection, ItemsView, KeysView, ValuesView
from dataclasses import dataclass, field

from cogent.content import ContentPart, File, Image, text_of
from cogent.json_values import LONE_SURROGATE

# Pydantic does not know these; a deque it knows in its newer versions.
WRITTEN_AS_LISTS = (KeysView, ValuesView, ItemsView, UserList, deque)
OTHER_SEQUENCES = (tuple, set, frozenset, *WRITTEN_AS_LISTS)
MAPPINGS = (dict, UserDict, ChainMap, types.MappingProxyType)
# What is read step by step has one of these methods.
STEPS = ("__next__", "__anext__", "__aiter__")
SCALARS = frozenset({str, int, float, bool, type(None), bytes})
VOWELS = tuple("aeiouAEIOU")
MAX_DEPTH = 300  # pydantic refuses what is nested more deeply
MAX_RANGE_LENGTH = 10_000  # numbers of a range that are written one by one


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool gave: its text, and all parts where there is more than text.

    A tool that returns one says by `is_error` whether the model reads an error.
    """

    text: str
    parts: list[ContentPart] = field(default_factory=list)
    is_error: bool = False


def to_output(value: object) -> ToolOutput:
    """What the model reads of a value: an Image or File alone or in a list stays one.

    What else is in such a list becomes text; a ToolOutput is what it is. Raises what
    `to_text` does.
    """
    if isinstance(value, ToolOutput):
        return value
    parts = _content_parts(value)
    if not parts:
        return ToolOutput(to_text(value))
    return ToolOutput(text_of(parts), parts)


def _content_parts(value: object) -> list[ContentPart]:
    """The parts of a value with Images or Files; empty for any other value."""
    if isinstance(value, Image | File):
        return [value]
    if not isinstance(value, list | tuple):
        return []
    if not any(isinstance(part, Image | File) for part in value):
        return []
    return [part if isinstance(part, Image | File) else to_text(part) for part in value]


def to_text(value: object) -> str:
    """A string as it is, anything else as JSON.

    What has no JSON form is its `str`; NaN and Infinity are null. Raises TypeError for
    an iterator, wherever in the value it is; nothing of it is read. Raises TypeError
    also for an Image or a File somewhere in it, and ValueError for a value that
    contains itself or is nested too deeply.
    """
    if isinstance(value, str):
        return _encodable(value)
    if type(value) not in SCALARS:
        _refuse_unwritable(value)
    from pydantic_core import PydanticSerializationError, to_json

    try:
        written = to_json(
            value, bytes_mode="base64", inf_nan_mode="null", fallback=_replacement
        )
    except PydanticSerializationError:
        # It may have been a lone surrogate; anything else fails here as well.
        written = to_json(_without_surrogates(value), inf_nan_mode="null")
    return written.decode()


def _without_surrogates(value: object) -> object:
    from pydantic_core import to_jsonable_python

    plain = to_jsonable_python(value, bytes_mode="base64", fallback=_replacement)
    text = json.dumps(plain, ensure_ascii=False)
    return json.loads(_encodable(text))


def _encodable(text: str) -> str:
    """The text with a question mark for each lone surrogate: no request carries one."""
    if text.isascii():
        return text
    return LONE_SURROGATE.sub("?", text)


def _refuse_unwritable(value: object, depth: int = 0) -> None:
    if _is_iterator(type(value)):
        kind = _with_article(type(value))
        raise TypeError(
            f"it returned {kind}, which is read step by step; return a list instead"
        )
    if isinstance(value, Image | File):
        raise TypeError(
            f"it returned {_with_article(type(value))} inside of another value; "
            "return it alone or in a list with texts"
        )
    if depth > MAX_DEPTH:
        return
    parts = _parts(value)
    if SCALARS.issuperset(map(type, parts)):  # true for most of a large result
        return
    for part in parts:
        if type(part) not in SCALARS:
            _refuse_unwritable(part, depth + 1)


def _is_iterator(kind: type) -> bool:
    if kind in (list, dict):
        return False
    return any(hasattr(kind, name) for name in STEPS)


def _parts(value: object) -> Collection[object]:
    """What the value consists of, as far as it is written into the JSON."""
    if isinstance(value, list):
        return value
    if isinstance(value, MAPPINGS):
        return value.values()
    if isinstance(value, OTHER_SEQUENCES):
        return value
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return [getattr(value, name, None) for name in fields]
    if hasattr(type(value), "__pydantic_fields__"):
        extra = getattr(value, "__pydantic_extra__", None) or {}
        named = vars(value)
        return [*named.values(), *extra.values()]
    return ()


def _with_article(kind: type) -> str:
    name = kind.__name__
    article = "an" if name.startswith(VOWELS) else "a"
    return f"{article} {name}"


def _replacement(value: object) -> object:
    """What is written for a value that pydantic does not know."""
    if isinstance(value, WRITTEN_AS_LISTS):
        return list(value)
    if isinstance(value, MAPPINGS):
        return dict(value)
    if isinstance(value, range) and len(value) <= MAX_RANGE_LENGTH:
        return list(value)
    number = _number(value)
    if number is None:
        return _str(value)
    return number


def _number(value: object) -> object:
    """The number in a number of numpy, or what is like it; None for anything else."""
    item = getattr(value, "item", None)
    if item is None or getattr(value, "shape", None) != ():
        return None
    number: object = item()
    if type(number) in SCALARS:
        return number
    return None


def _str(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # the user's own __str__
        return f"<{type(value).__name__}>"
