"""The public surface, name by name: what `tests/unit/public_surface.txt` holds.

`uv run python tests/support/surface.py` writes that file anew. A line that goes or changes is a break for users and
belongs into the changelog.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

MODULES = ("cogent", "cogent.testing", "cogent.providers", "cogent.run.outputs")
"""Those whose names users may rely on; the last two are for those who add a provider."""
FILE = Path(__file__).parents[1] / "unit" / "public_surface.txt"


def surface() -> list[str]:
    """All lines, in order."""
    return [line for name in MODULES for line in of_module(name)]


def of_module(name: str) -> Iterator[str]:
    """The public names of a module: those of its `__all__`, or those that it defines itself."""
    module = importlib.import_module(name)
    own = [
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name
    ]
    for key in sorted(getattr(module, "__all__", own)):
        yield from of_name(f"{name}.{key}", getattr(module, key))


def of_name(path: str, value: Any) -> Iterator[str]:
    """A name with its signature, and the members of a class."""
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        yield f"class {path}({bases})"
        for line in sorted(members(value)):
            yield f"    {line}"
    elif callable(value):
        yield f"{kind_of(value)} {path}{signature(value)}"
    else:
        yield f"{path}: {type(value).__name__}"


def members(kind: type) -> Iterator[str]:
    """What users see of a class: what it and its bases of this library define."""
    seen: set[str] = set()
    if "__init__" in vars(kind) or not issubclass(kind, Exception):
        yield f"__init__{signature(kind)}"
    for base in kind.__mro__:
        if not base.__module__.startswith("cogent"):
            continue
        for name, value in {**vars(base), **annotations(base)}.items():
            if not name.startswith("_") and name not in seen:
                seen.add(name)
                yield of_member(name, value)


def annotations(base: type) -> dict[str, Any]:
    """The attributes that a class declares, with their types."""
    return {
        name: f"attribute {name}: {shown}"
        for name, shown in inspect.get_annotations(base).items()
    }


def of_member(name: str, value: Any) -> str:
    """One attribute, property or method."""
    match value:
        case str() if value.startswith("attribute "):
            return value
        case property():
            return f"property {name}{signature(value.fget)}"
        case classmethod() | staticmethod():
            kind = type(value).__name__
            return f"{kind} {name}{signature(value.__func__)}"
        case FunctionType():
            return f"{kind_of(value)} {name}{signature(value)}"
    return f"attribute {name}"


def kind_of(function: Any) -> str:
    """Whether it has to be awaited."""
    return "async def" if inspect.iscoroutinefunction(function) else "def"


def signature(function: Any) -> str:
    """The parameters and the result; nothing where Python knows none."""
    try:
        text = str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(...)"
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)  # types are strings
    return re.sub(r"<(function [\w.<>]+) at 0x\w+>", r"<\1>", text)


if __name__ == "__main__":
    FILE.write_text("\n".join([*surface(), ""]), "utf-8")
