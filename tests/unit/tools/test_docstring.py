"""Docstrings of every usual style, read as the description of a function and of its parameters."""

import inspect

import pytest

from cogent.tools.docstring import read_docstring

STYLES = {
    "google": """Find pages.

    They are sorted.

    Args:
        query (str): What to find.
        limit: How many,
            at most.

    Returns:
        The pages.
    """,
    "numpy": """Find pages.

    They are sorted.

    Parameters
    ----------
    query : str
        What to find.
    limit : int, optional
        How many,
        at most.

    Returns
    -------
    list
        The pages.
    """,
    "sphinx": """Find pages.

    They are sorted.

    :param query: What to find.
    :type query: str
    :param int limit: How many,
        at most.
    :returns: The pages.
    """,
    "epydoc": """Find pages.

    They are sorted.

    @param query: What to find.
    @type query: str
    @param limit: How many,
        at most.
    @return: The pages.
    """,
}


@pytest.mark.parametrize("style", STYLES)
def test_a_docstring_of_each_style(style: str) -> None:
    """The sections about parameters and results are no part of the description."""
    found = read_docstring(inspect.cleandoc(STYLES[style]))
    assert found.description == "Find pages.\n\nThey are sorted."
    assert found.parameters == {
        "query": "What to find.",
        "limit": "How many,\nat most.",
    }


def test_other_sections_are_part_of_the_description() -> None:
    """What is about neither parameters nor results stays, also after such a section."""
    found = read_docstring("Find.\n\nArgs:\n    a: One.\n\nNotes:\n    Slow.")
    assert found.description == "Find.\n\nNotes:\n    Slow."
    assert found.parameters == {"a": "One."}


def test_an_entry_for_more_than_one_parameter() -> None:
    """Names are told from stars and dashes around them, and an entry may be for two."""
    found = read_docstring("Find.\n\nArgs:\n    *a, b: Both.\n    **c: More.")
    assert found.parameters == {"a": "Both.", "b": "Both.", "c": "More."}


def test_no_docstring_describes_nothing() -> None:
    """An empty docstring has no description and no parameters."""
    assert read_docstring("") == ("", {})
