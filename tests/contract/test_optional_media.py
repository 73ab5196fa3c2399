"""What a tool gave and a provider does not take: an error that ends the run, or, where it is optional, words."""

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from conftest import WIRES, Wire
from support import sent
from support.loopback import Loopback, Reply
from support.media import MP3, UNKNOWN, WAV
from support.scene import read

from cogent import Agent, ConfigurationError, File, Image, Response, tool
from cogent.mcp import MCP

MCP_SCRIPT = str(Path(__file__).parents[1] / "support" / "mcp_script.py")
CALL = ("call_7", "look", "{}")
WORDS = "The tool answered with {}, which this model cannot take."


def answers(wire: Wire, server: Loopback) -> None:
    """The model calls the tool, and says something about its result."""
    for body in (wire.send.tool_calls(CALL), wire.send.text("I see.")):
        server.reply(Reply(body, content_type=wire.mime))


def results(wire: Wire, server: Loopback) -> list[Any]:
    """The results in the last request."""
    return [text for _, text in sent.read(wire, server.requests[-1].json).results]


async def test_the_model_reads_what_it_cannot_be_given(
    server: Loopback, wire: Wire
) -> None:
    """Beside the texts of the result, which the caller has whole; without `optional` the run ends by an error."""
    unknown = File(UNKNOWN, name="a.bin", optional=True)
    answers(wire, server)
    look = tool(name="look")(lambda: ["Here:", unknown])
    _, response = await read(wire.agent(server, tools=[look]))
    words = WORDS.format("the file 'a.bin' (application/octet-stream)")
    assert results(wire, server) == [f"Here:\n{words}"]
    assert response.content == "I see."
    assert response.tool_calls[0].result.parts == ["Here:", unknown]

    answers(wire, server)
    look = tool(name="look")(lambda: ["Here:", File(UNKNOWN, name="a.bin")])
    with pytest.raises(ConfigurationError, match="takes no files of this type"):
        await read(wire.agent(server, tools=[look]))


async def test_the_sound_of_an_mcp_server_does_not_end_the_run(
    server: Loopback,
) -> None:
    """A model without ears reads what it was; one that hears gets it later, also from a conversation that was kept."""
    openai = WIRES[0]
    gemini = next(wire for wire in WIRES if wire.name == "gemini")
    audio = {
        "type": "audio",
        "data": b64encode(WAV).decode(),
        "mimeType": "audio/wav",
    }
    listed = {"name": "look", "inputSchema": {"type": "object", "properties": {}}}
    script = {"pages": [[listed]], "results": {"look": {"content": [audio]}}}
    answers(openai, server)
    async with MCP.stdio(sys.executable, MCP_SCRIPT, json.dumps(script)) as tools:
        _, response = await read(openai.agent(server, tools=tools.tools))
    assert results(openai, server) == [WORDS.format("audio/wav")]
    result = response.tool_calls[0].result
    assert (result.parts, result.content) == ([File(WAV, "audio/wav")], "")
    kept = Response.from_dict(json.loads(json.dumps(response.to_dict())))

    server.reply(Reply(openai.send.text("A dog."), content_type=openai.mime))
    await read(openai.agent(server), "What was it?", history=kept.messages)
    assert results(openai, server) == [WORDS.format("audio/wav")]
    server.reply(Reply(gemini.send.text("A dog."), content_type=gemini.mime))
    await read(gemini.agent(server), "What was it?", history=kept.messages)
    assert b64encode(WAV) in server.requests[-1].body


async def test_an_answer_of_another_model_knows_it_too(server: Loopback) -> None:
    """Where the first model of a list fails, the next one gets what it takes."""
    chat = next(wire for wire in WIRES if wire.name == "openai-chat")
    groq = next(wire for wire in WIRES if wire.name == "groq")
    server.reply(
        Reply(chat.send.tool_calls(CALL)),
        Reply(b"{}", 500, "application/json"),
        Reply(groq.send.text("A dog.")),
    )
    look = tool(name="look")(lambda: File(MP3, optional=True))
    models = [wire.model(server, max_retries=0) for wire in (chat, groq)]
    _, response = await read(Agent("a", models, tools=[look]))
    assert b64encode(MP3) in server.requests[1].body
    assert results(groq, server) == [WORDS.format("audio/mpeg")]
    assert response.metadata["provider"] == "groq"


def test_a_value_says_whether_it_is_optional() -> None:
    """In JSON too; two of the same content are equal either way."""
    image = Image("https://example.org/a.png", optional=True)
    assert image == Image("https://example.org/a.png") and image.optional
    assert not File(b"a").optional
