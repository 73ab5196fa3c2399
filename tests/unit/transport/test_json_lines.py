"""Lines of JSON, as Ollama sends them: whole lines for the SDK, and errors behind what came before them."""

import json

import pytest

from cogent.transport.json_lines import JsonLines
from cogent.transport.reported import ReportedError

LINES = ['{"a": "x\u2028y"}\n', '{"b": "日本"}\r\n', '{"c": 3}\n']
BODY = "".join(LINES).encode()


def test_usual_lines_are_not_touched() -> None:
    """Whole lines without anything odd are passed on as the same object."""
    lines = b'{"a": 1}\n{"b": 2}\n'
    assert JsonLines().feed(lines) is lines


def test_a_cut_anywhere_changes_nothing() -> None:
    """Wherever the bytes are cut in two, the SDK gets the same values in whole lines."""
    for cut in range(len(BODY) + 1):
        body = JsonLines()
        passed_on = [body.feed(BODY[:cut]), body.feed(BODY[cut:]), body.end()]
        assert all(piece.endswith(b"\n") for piece in passed_on if piece)
        lines = b"".join(passed_on).decode().splitlines()
        assert [json.loads(line) for line in lines] == list(map(json.loads, LINES))
        assert not body.is_cut


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "not ended"])
def test_an_error_is_raised_behind_the_lines_before_it(end: bytes) -> None:
    """The SDK gets the lines before an error, which itself is raised; nothing is read after it."""
    body = JsonLines()
    assert body.feed(b'{"a": 1}\n{"error": "busy"}' + end) == b'{"a": 1}\n'
    with pytest.raises(ReportedError) as raised:
        body.end()
    assert raised.value.body == {"error": "busy"} and body.is_over


def test_the_word_error_in_an_answer_is_no_error() -> None:
    """A line that only speaks of errors is passed on."""
    body = JsonLines()
    line = b'{"message": {"content": "\\"error\\""}}\n'
    assert body.feed(line) + body.end() == line


def test_a_line_without_its_end_is_cut() -> None:
    """What is left at the end is given to the SDK, which says what is wrong with it."""
    body = JsonLines()
    assert body.feed(b'{"a": 1}\n{"b"') == b'{"a": 1}\n'
    assert body.is_cut and body.end() == b'{"b"'
