"""Values in one line that tells what matters, for prompts, logs and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_CHARS = 60  # of a text


def cut(value: object) -> str:
    """The repr of a value, of a long one only its beginning."""
    if isinstance(value, str) and len(value) > MAX_CHARS:
        return repr(value[: MAX_CHARS - 1] + "…")
    text = repr(value)
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"


def line(kind: str, *texts: str, **fields: object) -> str:
    """`Kind('text', field=value)`, without the texts and fields that are empty."""
    shown = [cut(text) for text in texts if text]
    shown += [f"{name}={cut(value)}" for name, value in fields.items() if value]
    return f"{kind}({', '.join(shown)})"


def names(calls: Iterable[object]) -> list[str]:
    """The names of tool calls."""
    return [getattr(call, "name", "") for call in calls]


def total_tokens(metadata: Mapping[str, object] | None) -> object:
    """The tokens of a run, of its metadata."""
    tokens = (metadata or {}).get("tokens")
    return tokens.get("total_tokens") if isinstance(tokens, Mapping) else None
