"""The code samples of the documentation run as they are written there."""

import ast
import asyncio
import inspect
import json
import re
import sys
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Recorded, Reply
from support.wire import chat_completions, openai_responses

from cogent import Agent, Response
from cogent.testing import record

README = Path(__file__).parents[2] / "README.md"
FENCED = re.compile(
    r"^[ \t]*(```+|~~~+)[ \t]*(.*?)\n(.*?)^[ \t]*\1", re.MULTILINE | re.DOTALL
)
ARGUMENTS = {
    "string": "Rome",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}
TOOL_FAILED = re.compile(
    rb"The tool '\w+' (failed|did not end)|The arguments (do not fit|are not)"
)


def execute(
    source: str, names: dict[str, Any], file: str = "<sample>", line: int = 1
) -> None:
    """Execute code as a notebook does, where `await` and `async for` may stand at the top."""
    code = compile(
        "\n" * (line - 1) + source,
        file,
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    _finish(eval(code, names))


def execute_block(source: str, names: dict[str, Any], line: int) -> None:
    """Execute a block of the README, and the functions that it leaves to the reader to call."""
    execute(source, names, str(README), line)
    for name in _uncalled(ast.parse(source)):
        _finish(names[name]())


def blocks(markdown: str) -> Iterator[tuple[int, str]]:
    """The line and the code of each Python block, also in lists and under the language's other names."""
    for found in FENCED.finditer(markdown):
        if found[2].lower().startswith(("py", "ipython")):
            yield markdown.count("\n", 0, found.start(3)) + 1, textwrap.dedent(found[3])


def _finish(value: object) -> None:
    if inspect.iscoroutine(value):
        asyncio.run(value)


def _uncalled(tree: ast.Module) -> Iterator[str]:
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in tree.body:
        if (
            not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or node.decorator_list
        ):
            continue
        if node.name not in used and not any(vars(node.args).values()):
            yield node.name


class AnyModel(Loopback):
    """A model server that calls every tool it is offered once and then answers, whatever it is asked."""

    def next_reply(self, request: Recorded) -> Reply:
        asked = request.json
        responses = request.path.endswith("/responses")
        wire = openai_responses if responses else chat_completions
        said = asked["input" if responses else "messages"]
        answered = any(
            "call_id" in entry or entry.get("role") == "tool" for entry in said
        )
        prefix = "" if asked.get("stream") else "plain_"
        tools = [tool for tool in asked.get("tools", ()) if tool["type"] == "function"]
        if tools and not answered:
            body = getattr(wire, f"{prefix}tool_calls")(*map(_call, tools))
        else:
            body = getattr(wire, f"{prefix}text")("A short ", "answer.")
        return Reply(
            body,
            content_type="text/event-stream"
            if asked.get("stream")
            else "application/json",
        )


def _call(tool: dict[str, Any]) -> tuple[str, str, str]:
    function = tool.get("function", tool)
    kinds = function["parameters"].get("properties", {})
    arguments = {
        name: ARGUMENTS[kinds[name]["type"]]
        for name in function["parameters"].get("required", ())
    }
    return f"call_{function['name']}", function["name"], json.dumps(arguments)


@pytest.fixture(
    params=[wire for wire in WIRES if wire.provider.startswith("openai")],
    ids=lambda wire: wire.name,
)
def wire(request: pytest.FixtureRequest) -> Wire:
    """The providers whose server OPENAI_BASE_URL names."""
    return request.param


@pytest.fixture
def model(wire: Wire, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model string, as it stands in the documentation, whose provider is the loopback server."""
    use(server, monkeypatch)
    return "gpt-5.4" if wire.provider == "openai" else f"{wire.provider}:gpt-5.4"


@pytest.fixture
def agent(model: str) -> Agent:
    return Agent(name="writer", model=model)


def use(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the server the user's provider, by environment variables."""
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")


def sample(source: str, **names: Any) -> dict[str, Any]:
    """Execute a sample; gives the names that it leaves."""
    execute(textwrap.dedent(source), names)
    return names


def test_a_researcher_with_a_tool(
    wire: Wire, server: Loopback, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first sample prints the text around the tool call in one stream, and `run` gives a response."""
    server.reply(
        Reply(
            wire.send.tool_calls(
                ("call_1", "search", '{"query": "AI news"}'), text="Let me look."
            )
        ),
        Reply(wire.send.text("Much ", "happened.")),
        Reply(wire.send.plain_text("Nothing new."), content_type="application/json"),
    )
    source = """
        from cogent import Agent, tool

        @tool
        def search(query: str) -> str:
            \"""Search for information.\"""
            return f"Results for: {query}"

        agent = Agent(name="researcher", model="gpt-5.4", tools=[search])

        async for chunk in agent.run_stream("Search for AI news and summarize"):
            print(chunk.content, end="", flush=True)
            if chunk.finish_reason == "tool_calls":
                print("\\n[Tool calling...]")

        response = await agent.run("Search for AI news")     # Response
        """
    names = sample(source.replace("gpt-5.4", model))
    assert capsys.readouterr().out == "Let me look.\n[Tool calling...]\nMuch happened."
    assert isinstance(names["response"], Response)
    assert str(names["response"]) == "Nothing new."
    assert b"Results for: AI news" in server.requests[1].body
    assert len(server.requests) == 3


def test_collecting_the_text(wire: Wire, server: Loopback, agent: Agent) -> None:
    """The contents of the chunks, joined, are the text, and no chunk's content spoils the join."""
    server.reply(Reply(wire.send.text("Once ", "upon ", "a time.")))
    names = sample(
        """
        full = []
        async for chunk in agent.run_stream("Write a story"):
            full.append(chunk.content)
        story = "".join(full)
        """,
        agent=agent,
    )
    assert names["story"] == "Once upon a time."


def test_reading_the_final_metadata(
    wire: Wire, server: Loopback, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """The final chunk tells which model answered and what it cost, once."""
    server.reply(Reply(wire.send.text("Yes", ".", usage=(12, 3))))
    sample(
        """
        async for chunk in agent.run_stream("Is it true?"):
            if chunk.is_final and chunk.metadata:
                print(chunk.metadata.get("model"))
                print(chunk.metadata.get("tokens"))
        """,
        agent=agent,
    )
    name, tokens = capsys.readouterr().out.splitlines()
    assert name == "gpt-test"
    counts = ast.literal_eval(tokens)
    assert (
        counts["input_tokens"],
        counts["output_tokens"],
        counts["total_tokens"],
    ) == (12, 3, 15)


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_noticing_an_answer_that_was_too_long(
    wire: Wire,
    server: Loopback,
    agent: Agent,
    capsys: pytest.CaptureFixture[str],
    finish: Any,
) -> None:
    """An answer cut by the token limit ends with "length", and a whole one does not."""
    server.reply(Reply(wire.send.text("Once ", "upon", finish=finish)))
    sample(
        """
        async for chunk in agent.run_stream("Write a story"):
            print(chunk.content, end="", flush=True)
            if chunk.finish_reason == "length":
                print("[cut off]")
        """,
        agent=agent,
    )
    assert capsys.readouterr().out == (
        "Once upon[cut off]\n" if finish == "length" else "Once upon"
    )


def test_noticing_tool_calls(
    wire: Wire, server: Loopback, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each turn that asks for tools is announced once, before its tools start."""
    calls = [
        (f"call_{city}", "visit", json.dumps({"city": city}))
        for city in ("Rome", "Oslo")
    ]
    server.reply(
        Reply(wire.send.tool_calls(*calls)),
        Reply(wire.send.tool_calls(("call_Bonn", "visit", '{"city": "Bonn"}'))),
        Reply(wire.send.text("Home.")),
    )
    sample(
        """
        from cogent import Agent, tool

        @tool
        def visit(city: str) -> str:
            print("visiting")
            return city

        agent = Agent(name="traveller", model=model, tools=[visit])
        async for chunk in agent.run_stream("Go and see"):
            if chunk.finish_reason == "tool_calls":
                print("[Tool calling...]")
            print(chunk.content, end="")
        """,
        model=model,
    )
    assert capsys.readouterr().out.split() == [
        *("[Tool", "calling...]", "visiting", "visiting"),
        *("[Tool", "calling...]", "visiting", "Home."),
    ]


CATCHING = """
    try:
        async for chunk in agent.run_stream("Write a story"):
            print(chunk.content, end="", flush=True)
    except Exception as e:
        print(f"\\nError: {e}")
    """


def test_catching_an_error_in_the_middle(
    wire: Wire, server: Loopback, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the model fails midway the text so far is printed, and the error is caught around the loop."""
    server.reply(
        Reply(
            wire.send.error_event(
                "it broke", "server_error", "server_error", after=("Once ", "upon")
            )
        )
    )
    sample(CATCHING, agent=agent)
    text, error = capsys.readouterr().out.splitlines()
    assert text == "Once upon"
    assert error.startswith("Error: ") and "it broke" in error


def test_catching_an_error_at_the_start(
    wire: Wire, server: Loopback, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused key is caught around the loop too, and the message never holds the key."""
    refused = wire.send.error_body(
        "Incorrect API key provided: test-key.",
        "invalid_api_key",
        "invalid_request_error",
    )
    server.reply(Reply(refused, 401, "application/json"))
    sample(CATCHING, agent=agent)
    text, error = capsys.readouterr().out.splitlines()
    assert text == ""
    assert error.startswith("Error: ") and "Incorrect API key" in error
    assert "test-key" not in error


@pytest.mark.parametrize("end", ["close", "clean"])
def test_catching_a_stream_that_is_cut(
    wire: Wire,
    server: Loopback,
    agent: Agent,
    capsys: pytest.CaptureFixture[str],
    end: Any,
) -> None:
    """A stream that breaks off midway, even in good order, is an error and not the end of the story."""
    begun = wire.send.error_event("", None, "", after=("Once ", "upon"))[:-1]
    server.reply(Reply(begun, end=end))
    sample(CATCHING, agent=agent)
    text, error = capsys.readouterr().out.splitlines()
    assert text == "Once upon"
    assert error.startswith("Error: ")


def test_one_response(wire: Wire, server: Loopback, agent: Agent) -> None:
    """`await agent.run(...)` gives the content, why it ended and what it cost."""
    server.reply(
        Reply(wire.send.plain_text("Paris", "."), content_type="application/json")
    )
    names = sample(
        'response = await agent.run("What is the capital of France?")', agent=agent
    )
    response = names["response"]
    assert (response.content, response.finish_reason) == ("Paris.", "stop")
    assert response.metadata["tokens"]["output_tokens"] == 7


def play_recorded(source: str, names: dict[str, Any], file: Path) -> None:
    """Record an answer, and run the functions of a block that replay one."""
    with record(file):
        asyncio.run(names["agent"].run("What is 1 + 2?"))
    for node in ast.parse(source).body:
        if isinstance(node, ast.AsyncFunctionDef) and node.args.args:
            asyncio.run(names[node.name](file))


def test_the_blocks_of_the_readme(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every Python block of the README runs, one after the other, and no tool in them fails."""
    text = README.read_text("utf-8")
    found = list(blocks(text))
    assert found or not text.strip()
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    with AnyModel() as server:
        use(server, monkeypatch)
        for line, source in found:
            execute_block(source, vars(main), line)
            if "replay(" in source:
                play_recorded(source, vars(main), tmp_path / "sum.jsonl")
        assert not [
            request.body
            for request in server.requests
            if TOOL_FAILED.search(request.body)
        ]


MARKDOWN = """# A README
```python
first = 1
```
```
not Python
```
1. In a list:

   ```Python title="x"
   async def second():
       1 / 0
   ```
~~~py
third = await nothing()
~~~
"""


def test_python_blocks_are_found_wherever_they_stand() -> None:
    """Blocks in lists, with other fences and other spellings count; other languages do not."""
    assert list(blocks(MARKDOWN)) == [
        (3, "first = 1\n"),
        (11, "async def second():\n    1 / 0\n"),
        (15, "third = await nothing()\n"),
    ]


def test_a_block_that_fails_is_shown_at_its_line_of_the_readme() -> None:
    """A function that a block only defines is called as well, and an error in it points into the README."""
    line, source = list(blocks(MARKDOWN))[1]
    with pytest.raises(ZeroDivisionError) as raised:
        execute_block(source, {}, line)
    place = traceback.extract_tb(raised.tb)[-1]
    assert (place.filename, place.lineno) == (str(README), 12)
