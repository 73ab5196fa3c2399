"""What `show()` writes to a terminal and to a pipe."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply

from cogent import ConfigurationError, RateLimited, StreamChunk, ToolResult
from cogent.content import Image
from cogent.display.terminal import TerminalScreen
from cogent.messages import Response
from cogent.sources import Source

if sys.platform == "win32":
    pytest.skip("needs the terminals of POSIX", allow_module_level=True)

from support.media import PNG
from support.terminal import Terminal, in_terminal

pytestmark = pytest.mark.slow

LIMIT = 100  # Seconds; a program takes a few.
CHAT = next(wire for wire in WIRES if wire.name == "openai-chat")
LONG = "\n\n".join(f"Paragraph **{n}** of many." for n in range(40))
ANSWER = f"""# Colours

A `List<int>` and a <b>tag</b>.

- red
- green

```python
print("blue")
```

Escapes: \x1b]0;owned\x07 &#27;[2J \x9b2J, 日本語のテキスト。

{LONG}
"""
PROGRAM = """
import asyncio, sys
from cogent import Agent, Model, tool

@tool
def look_up(word: str) -> str:
    "Look a word up."
    return f"{word}: \\x1b[31mred"

if sys.argv[2] == "without rich":
    sys.modules["rich"] = None

agent = Agent("t", Model("openai-chat:m", base_url=sys.argv[1]), tools=[look_up])
response = asyncio.run(agent.run_stream("Go").show())
assert response.tool_calls[0].result.content.endswith("red")
"""


def replies(answer: str = ANSWER) -> list[Reply]:
    """A turn that thinks and calls a tool, and one that answers."""
    call = ("call_1", "look_up", json.dumps({"word": "rot"}))
    pieces = [answer[start : start + 9] for start in range(0, len(answer), 9)]
    return [
        Reply(CHAT.send.tool_calls(call, text="I look.", reasoning="Which word?")),
        Reply(CHAT.send.text(*pieces)),
    ]


@cache
def shown(how: str = "with rich", columns: int = 80, **variables: str) -> Terminal:
    """What a terminal shows after the program has run in it; each kind is run once."""
    with Loopback() as server:
        server.reply(*replies())
        return finished(server, how, columns, variables)


def finished(
    server: Loopback, how: str, columns: int, variables: dict[str, str]
) -> Terminal:
    """A terminal in which the program has ended well."""
    names = ("NO_COLOR", "TERM", "COLUMNS", "LINES", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    env = kept | {"OPENAI_API_KEY": "key"} | variables
    command = [sys.executable, "-W", "error", "-c", PROGRAM, f"{server.url}/v1", how]
    with in_terminal(command, env, columns) as terminal:
        assert terminal.finish() == 0, terminal.raw
        return terminal


def test_markdown_is_drawn_by_rich() -> None:
    """Blocks look as Markdown is meant, in order, once each, also where they are longer than the screen."""
    terminal = shown()
    text = terminal.text
    assert " • red\n • green\n" in text
    assert "A List<int> and a <b>tag</b>." in text
    assert "Paragraph 0 of many." in text and "Paragraph 39 of many." in text
    assert all(text.count(f"Paragraph {n} of many.") == 1 for n in range(40))
    assert '[look_up(word="rot"): done' in text
    assert text.splitlines()[-1].startswith("gpt-test · 36 tokens (22 in, 14 out) · ")
    order = ["Which word?", "I look.", "look_up", "Colours", "日本語", "Paragraph 0"]
    assert sorted(order, key=text.index) == order


def test_what_is_no_answer_is_dimmed() -> None:
    """Reasoning, tools and figures are dimmed; the answer is not."""
    raw = shown("without rich").raw
    dimmed = [part.split("\x1b[0m")[0] for part in raw.split("\x1b[2m")[1:]]
    assert "Which word?" in "".join(dimmed)
    assert any(part.startswith("[look_up(") for part in dimmed)
    assert any(part.startswith("gpt-test · ") for part in dimmed)
    assert not any("Paragraph" in part or "I look." in part for part in dimmed)


@pytest.mark.parametrize("how", ["with rich", "without rich"])
def test_nothing_of_a_model_controls_the_terminal(how: str) -> None:
    """Escapes in the text, in entities of Markdown and in results of tools are shown, not obeyed."""
    raw = shown(how).raw
    assert "\x1b]0;owned" not in raw and "\x1b[31mred" not in raw
    assert "\x1b[2J" not in raw and "\x9b" not in raw
    assert "␛]0;owned␇" in raw and "␛[31mred" in raw


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_codes_where_none_are_wanted(
    variables: dict[str, str],
) -> None:
    """With NO_COLOR or in a dumb terminal there is no escape at all, and the text comes as it is."""
    terminal = shown(**variables)
    assert "\x1b" not in terminal.raw
    assert "Paragraph **39** of many." in terminal.text
    assert "[reasoning] Which word?" in terminal.text


def test_twenty_columns_are_enough() -> None:
    """A narrow terminal gets all of it, nothing wider than it is, and no leftovers of what came first."""
    terminal = shown(columns=20)
    words = " ".join(terminal.text.split())
    assert all(words.count(f"Paragraph {n} of") == 1 for n in range(40))
    assert "• red • green" in words and "日本語のテキス" in words


def test_a_pipe_gets_the_text_alone(server: Loopback) -> None:
    """What another program reads is the content, unchanged."""
    server.reply(*replies())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"{server.url}/v1", "with rich"],
        env={**os.environ, "OPENAI_API_KEY": "key", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == "I look." + ANSWER


class Screen:
    """A file that says it is a terminal."""

    encoding = "ascii"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        text.encode("ascii")
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def end_of(metadata: dict[str, object] | None = None) -> Response:
    """A response that has ended."""
    return Response("", "stop", dict(metadata or {"model": "m"}), [], [], [])


def test_sources_files_and_calls_that_the_provider_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that is no text has a line: a file, a call of the provider's, each source once, how it ended."""
    monkeypatch.setenv("NO_COLOR", "1")
    out = Screen()
    screen = TerminalScreen(out)  # type: ignore[arg-type]
    result = ToolResult("s1", "web_search", "3 pages", provider_executed=True)
    source = Source(url="https://a.example/x", title="A page")
    for chunk in (
        StreamChunk(tool_result=result),
        StreamChunk("Naïve."),
        StreamChunk(source=source),
        StreamChunk(source=source),
        StreamChunk(file=Image(PNG)),
    ):
        screen.take(chunk)
    screen.end(end_of(), RateLimited("slow down"))
    assert out.text.splitlines() == [
        "[web_search(): done]",
        "  3 pages",
        "",
        "Na?ve.",
        "[image/png, 16 bytes]",
        "[1] A page https://a.example/x",
        "m ? failed (RateLimited)",
    ]


async def test_a_stream_that_was_read_cannot_be_shown(server: Loopback) -> None:
    """show() shows a run from its beginning, and says so of one that was read."""
    server.reply(Reply(CHAT.send.text("Waves.")))
    async with CHAT.agent(server) as agent:
        stream = agent.run_stream("Go")
        async for _ in stream:
            pass
        with pytest.raises(ConfigurationError, match=r"was read already.*response"):
            await stream.show()


def test_no_screen_is_imported_before_it_is_needed() -> None:
    """`import cogent` loads neither the display nor what it draws with."""
    code = "import sys, cogent; print([m for m in sys.modules if 'display' in m or m == 'rich'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "[]"
