#!/usr/bin/env bash
# docstring-parser, Google style: text after a section, a section with a title that it does not know, and the first of
# two sections with one title are in no field of what it returns. An entry of a Markdown list under `Args:` gives the parameter the name "- query". Where
# docstrings are what a model is told of a tool, the model never sees these words.
source "$(dirname "$0")/support/setup.sh"
install docstring_parser==0.18.0
python <<'PYTHON'
from canned import report
from docstring_parser import compose, parse

parsed = parse(
    """Search the web.

    Args:
        - query: What to look for.

    Ask in English.

    Note:
        It is slow.

    Example:
        Rivers.

    Example:
        Lakes.
    """
)
WORDS = ("Ask in English.", "It is slow.", "Rivers.", "Lakes.")
text = compose(parsed) + str([vars(meta) for meta in parsed.meta])
seen = {word: word in text for word in WORDS} | {"name": parsed.params[0].arg_name}
described = {"Ask in English.": False, "It is slow.": False, "Rivers.": False, "Lakes.": True, "name": "- query"}
report("all four sentences, and a parameter named query", seen, described)
PYTHON
