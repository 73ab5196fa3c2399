"""What values look like at a prompt: one line that tells what matters, and no key."""

from importlib.metadata import version

import pytest
from IPython.core.oinspect import Inspector

import cogent
from cogent import Agent, Message, Model, Tool, ToolCall, tool
from cogent.testing import ScriptedModel

LONG = "word " * 100


@tool
def search(query: str, limit: int = 3) -> str:
    """Search for information.

    More is said here.
    """
    return f"{limit} results for {query}"


def test_a_run_in_reprs() -> None:
    """The stream, its chunks, the response and its messages say in a line each what they are."""
    model = ScriptedModel([ToolCall("c1", "search", {"query": "x"})], LONG)
    stream = Agent("writer", model, tools=[search]).stream_sync("Hi")
    assert repr(stream) == "<SyncStream of scripted:model, not begun: ''>"
    chunks = list(map(repr, stream))
    response = stream.response
    shown = [*chunks, repr(stream), repr(response), *map(repr, response.messages)]
    assert all(len(line) < 260 and "\n" not in line for line in shown)
    assert "finish_reason='tool_calls'" in chunks[1]
    assert "ended by 'stop'" in repr(stream)
    assert "turns=2, tool_calls=['search']" in repr(response)
    assert repr(response.messages[1]) == "Message('assistant', tool_calls=['search'])"


async def test_a_stopped_stream_says_so() -> None:
    """A stream that was left is shown as stopped, with what came."""
    stream = Agent("writer", ScriptedModel(["Hel", "lo"])).run_stream("Hi")
    async for _ in stream:
        break
    assert repr(stream) == "<AgentStream of scripted:model, stopped: 'Hel'>"


def test_a_tool_shows_its_parameters() -> None:
    """A tool is shown as its call, with the first line of what it does."""
    assert repr(search) == "<Tool search(query, limit): 'Search for information.'>"
    schema = {"type": "object", "properties": {"x": {"type": "number"}}}
    assert (
        repr(Tool.from_schema("add", "Add.", schema, None)) == "<Tool add(x): 'Add.'>"
    )


def test_no_repr_has_a_key() -> None:
    """Neither an agent's nor a stream's repr holds its API key."""
    agent = Agent("a", Model("openai:m", api_key="sk-secret"))
    assert "secret" not in repr(agent) + repr(agent.run_stream("Hi"))


def test_long_texts_are_cut() -> None:
    """A long message is one line of a bearable length."""
    assert repr(Message("user", LONG)).endswith("…')")
    assert len(repr(Message("user", LONG))) < 90


@pytest.mark.parametrize("name", cogent.__all__)
def test_every_public_name_has_a_text_of_its_own(name: str) -> None:
    """What a notebook shows for a name is its own docstring, with the options by name."""
    found = getattr(cogent, name)
    info = Inspector(theme_name="nocolor").info(found, oname=name)
    assert info["docstring"] and info["docstring"] != (type(found).__doc__ or "")
    if name in ("tool", "Agent", "Model", "Tool"):
        signature = info["init_definition"] or info["definition"]
        assert "**" not in signature, signature


def test_the_version_is_that_of_the_package() -> None:
    """`cogent.__version__` is what the installed package says."""
    assert cogent.__version__ == version("cogent-ai")
