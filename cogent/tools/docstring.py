"""What a docstring tells a model: about the function and about its parameters."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from docstring_parser import DocstringStyle

IDENTIFIER = re.compile(r"[^\W\d]\w*")
UNDERLINE = re.compile(r"-{3,}\s*")

# How a section about parameters or results begins in each style. Every other section is
# part of the description.
FIELD = re.compile(
    r"[:@](arg|argument|attribute|except|exception|key|keyword|param|parameter"
    r"|raises?|returns?|rtype|type|yields?|ytype)\b.*"
)
SECTION_STARTS = {
    "REST": FIELD,
    "EPYDOC": FIELD,
    "GOOGLE": re.compile(
        r"(Args|Arguments|Attributes|Except|Exceptions|Parameters|Params"
        r"|Raises|Returns|Yields):\s*"
    ),
    "NUMPYDOC": re.compile(
        r"((Other )?(Args|Arguments|Parameters|Params)|Attributes?"
        r"|Raises?|Receives?|Returns?|Warns?|Yields?)\s*"
    ),
}


class Documentation(NamedTuple):
    """The description of a function, and those of its parameters by their names."""

    description: str
    parameters: dict[str, str]


def read_docstring(docstring: str) -> Documentation:
    """Read a docstring of any usual style, from which the indentation was taken off."""
    from docstring_parser import parse

    parsed = parse(docstring)
    parameters: dict[str, str] = {}
    for entry in parsed.params:
        for name in _names(entry.arg_name):
            parameters[name] = entry.description or ""
    return Documentation(_description(docstring, parsed.style), parameters)


def _names(entry: str) -> list[str]:
    """The parameters that an entry describes, like `- query`, `**query**` or `x, y`."""
    parts = entry.split(",")
    return [match[0] for match in map(IDENTIFIER.search, parts) if match]


def _description(docstring: str, style: DocstringStyle | None) -> str:
    """The docstring without its sections about parameters and results."""
    style_name = "REST" if style is None else style.name
    section_start = SECTION_STARTS[style_name]
    lines = docstring.split("\n")
    kept: list[str] = []
    is_kept = True
    for line, next_line in pairwise([*lines, ""]):
        if _begins_section(line, next_line, style_name):
            is_kept = section_start.fullmatch(line) is None
        if is_kept:
            kept.append(line)
    return "\n".join(kept).strip()


def _begins_section(line: str, next_line: str, style_name: str) -> bool:
    if style_name == "NUMPYDOC":
        return UNDERLINE.fullmatch(next_line) is not None
    return line != "" and not line[0].isspace()
