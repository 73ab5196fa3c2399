"""Which provider takes what: the table of the README, and that each of its cells is so.

Each part that is sent is held against the SDK's own types of a request.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ollama
import pytest
from anthropic.types import ContentBlockParam
from anthropic.types.tool_result_block_param import Content as ResultBlockParam
from conftest import WIRES, Wire
from google.genai import types as gemini
from groq.types.chat import ChatCompletionContentPartParam as GroqPartParam
from openai.types.chat import ChatCompletionContentPartParam
from openai.types.responses import (
    ResponseFunctionCallOutputItemParam,
    ResponseInputContentParam,
)
from pydantic import TypeAdapter
from support.loopback import Loopback, Reply
from support.media import DOCX, MP3, MP4, PDF, PNG, TEXT, sent_messages

from cogent import Agent, ConfigurationError, File, Image, tool

README = Path(__file__).parents[2] / "README.md"
HEADING = "## Images and files"

YES = "✔"
AS_TEXT = "as text"
SAMPLES: dict[str, Image | File] = {
    "image": Image(PNG),
    "URL of an image": Image("https://example.org/cat.png"),
    "PDF": File(PDF, name="a.pdf"),
    "URL of a PDF": File("https://example.org/a.pdf"),
    "text": File(TEXT, name="a.txt"),
    "office": File(DOCX, name="a.docx"),
    "audio": File(MP3, name="a.mp3"),
    "video": File(MP4, name="a.mp4"),
}
NO_IMAGE = "takes no images"
NO_PDF = "takes no PDF files"
NO_OFFICE = "takes no office documents"
NO_AUDIO = "takes no audio"
NO_VIDEO = "takes no video"
NO_FILE_URL = "takes no URL for files: pass bytes"
NO_IMAGE_URL = "takes no URL for images: pass bytes"

# A row has ✔, "as text", or the words of the error, in the order of the samples.
MATRIX: dict[str, tuple[str, ...]] = {
    "openai": (YES, YES, YES, YES, YES, YES, NO_AUDIO, NO_VIDEO),
    "openai-chat": (YES, YES, YES, NO_FILE_URL, AS_TEXT, NO_OFFICE, YES, NO_VIDEO),
    "azure": (YES, YES, YES, YES, AS_TEXT, NO_OFFICE, NO_AUDIO, NO_VIDEO),
    "azure-chat": (YES, YES, YES, NO_FILE_URL, AS_TEXT, NO_OFFICE, YES, NO_VIDEO),
    "anthropic": (YES, YES, YES, YES, YES, NO_OFFICE, NO_AUDIO, NO_VIDEO),
    "gemini": (YES, YES, YES, YES, YES, NO_OFFICE, YES, YES),
    "groq": (YES, YES, NO_PDF, NO_FILE_URL, AS_TEXT, NO_OFFICE, NO_AUDIO, NO_VIDEO),
    "mistral": (YES, YES, YES, YES, AS_TEXT, NO_OFFICE, NO_AUDIO, NO_VIDEO),
    "ollama": (
        YES,
        NO_IMAGE_URL,
        NO_PDF,
        NO_FILE_URL,
        AS_TEXT,
        NO_OFFICE,
        NO_AUDIO,
        NO_VIDEO,
    ),
    "local": (
        NO_IMAGE,
        NO_IMAGE,
        NO_PDF,
        NO_FILE_URL,
        AS_TEXT,
        NO_OFFICE,
        NO_AUDIO,
        NO_VIDEO,
    ),
}
NAMES = {"azure-chat": "`azure` with `api_version`"}


def markdown() -> list[str]:
    """The rows of the README's table."""
    header = ["", *SAMPLES]
    rows = [
        [NAMES.get(name, f"`{name}`"), *(cell.removeprefix("takes ") for cell in cells)]
        for name, cells in MATRIX.items()
    ]
    rule = "|---" * len(header) + "|"
    return [_line(header), rule, *map(_line, rows)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


@pytest.mark.skipif(
    HEADING not in README.read_text("utf-8"), reason="the README has no such section"
)
def test_the_readme_says_what_is_tested_here() -> None:
    """The README's table has the rows of this file."""
    section = README.read_text("utf-8").split(HEADING)[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    assert table == markdown()


def test_every_provider_has_a_row() -> None:
    """No provider is left out."""
    assert {wire.name for wire in WIRES} <= MATRIX.keys()


# Each cell

EXPECTED = [
    pytest.param(wire, kind, cell, id=f"{wire.name}-{kind}")
    for wire in WIRES
    for kind, cell in zip(SAMPLES, MATRIX[wire.name], strict=True)
]


async def read_on(agent: Agent, message: Any) -> None:
    """One streamed run to its end."""
    async with agent:
        async for _ in agent.run_stream(message):
            pass


@pytest.mark.parametrize(("wire", "kind", "cell"), EXPECTED)
async def test_each_cell_is_so(
    server: Loopback, wire: Wire, kind: str, cell: str
) -> None:
    """✔ arrives as the API's own part, "as text" among the text, and anything else is refused unsent."""
    server.reply(Reply(wire.send.text("Yes."), content_type=wire.mime))
    message = ["Look", SAMPLES[kind]]
    if cell not in (YES, AS_TEXT):
        with pytest.raises(ConfigurationError) as refused:
            await read_on(wire.agent(server), message)
        assert f"{wire.provider} {cell}" in str(refused.value)
        assert server.requests == []
        return
    await read_on(wire.agent(server), message)
    [sent] = sent_messages(server.requests[0].json)
    as_text = TEXT.decode().strip() in str(sent.get("content"))
    assert as_text == (
        cell == AS_TEXT or (wire.provider, kind) == ("anthropic", "text")
    )
    check_message(wire, sent)


@pytest.mark.parametrize("kind", SAMPLES)
async def test_what_the_local_model_takes(kind: str) -> None:
    """A model inside the process reads text alone, text files included."""
    cell = MATRIX["local"][list(SAMPLES).index(kind)]
    agent = Agent("reader", "local")
    if cell == AS_TEXT:
        stream = agent.run_stream(["Say yes.", SAMPLES[kind]])
        async for chunk in stream:
            if chunk.content:
                break
        await agent.aclose()
        return
    with pytest.raises(ConfigurationError) as refused:
        await read_on(agent, ["Look", SAMPLES[kind]])
    assert f"local {cell}" in str(refused.value)


@pytest.mark.parametrize("kind", ["image", "URL of an image", "PDF", "text"])
async def test_a_result_holds_what_the_sdk_allows_there(
    server: Loopback, wire: Wire, kind: str
) -> None:
    """What a tool returns goes as the API's own part in a result, or in the message after it."""
    cell = MATRIX[wire.name][list(SAMPLES).index(kind)]
    if cell not in (YES, AS_TEXT):
        pytest.skip("refused, as in a message")
    look = tool(name="look")(lambda: ["Here:", SAMPLES[kind]])
    call = wire.send.tool_calls(("call_7", "look", "{}"))
    server.reply(
        Reply(call, content_type=wire.mime),
        Reply(wire.send.text("Yes."), content_type=wire.mime),
    )
    await read_on(wire.agent(server, tools=[look]), "Look")
    check_result(wire, sent_messages(server.requests[1].json)[-1])


# The SDKs' own types


def _typed(kind: Any) -> Callable[[Any], None]:
    """A check by a TypedDict of the SDK: it holds, and knows each key that is sent."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def check(part: Any) -> None:
        assert adapter.validate_python(part) == part

    return check


_check_responses = _typed(ResponseInputContentParam)
_check_responses_result = _typed(ResponseFunctionCallOutputItemParam)
_check_chat = _typed(ChatCompletionContentPartParam)
_check_groq = _typed(GroqPartParam)
_check_messages = _typed(ContentBlockParam)
_check_messages_result = _typed(ResultBlockParam)


def _check_mistral(part: Any) -> None:
    from mistralai.client.models import ContentChunk

    TypeAdapter(ContentChunk).validate_python(part)


PART_CHECKS: dict[str, Callable[[Any], object]] = {
    "openai": _check_responses,
    "openai-chat": _check_chat,
    "azure": _check_responses,
    "azure-chat": _check_chat,
    "anthropic": _check_messages,
    "gemini": gemini.Part.model_validate,
    "groq": _check_groq,
    "mistral": _check_mistral,
}
RESULT_CHECKS: dict[str, Callable[[Any], object]] = {
    **PART_CHECKS,
    "openai": _check_responses_result,
    "azure": _check_responses_result,
    "anthropic": _check_messages_result,
    "gemini": gemini.FunctionResponsePart.model_validate,
}


def check_message(wire: Wire, message: Any) -> None:
    """Hold each part of a message against the SDK's types."""
    if wire.provider == "ollama":
        images = [ollama.Image(value=image) for image in message.get("images", ())]
        ollama.Message.model_validate({**message, "images": images})
        return
    parts = message.get("content", message.get("parts"))
    if isinstance(parts, list):
        for part in parts:
            PART_CHECKS[wire.name](part)


def check_result(wire: Wire, message: Any) -> None:
    """Hold each part of a result against the SDK's types."""
    match message:
        case {"type": "function_call_output", "output": parts}:
            pass
        case {"content": [{"type": "tool_result", "content": parts}]}:
            pass
        case {"parts": [{"functionResponse": {"parts": parts}}]}:
            pass
        case _:
            check_message(wire, message)
            return
    assert isinstance(parts, list)
    for part in parts:
        RESULT_CHECKS[wire.name](part)
