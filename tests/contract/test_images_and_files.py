"""Images and files: what goes in, as every provider's server sees it."""

import asyncio
import json
import os
import sys
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.media import (
    MP3,
    PDF,
    PNG,
    TEXT,
    UNKNOWN,
    WEBP,
    Seen,
    seen_parts,
    sent_messages,
)

from cogent import (
    Agent,
    ConfigurationError,
    File,
    Image,
    Message,
    ModelTimeout,
    Response,
    StreamChunk,
    Tool,
    ToolCall,
    ToolError,
    tool,
)

both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)
NO_PDF = ("groq", "ollama")
CALL = ("call_7", "look", "{}")
URL = "https://example.org/cat.png"


def reply(wire: Wire, streaming: bool, text: str = "A cat.") -> Reply:
    """An answer of this text."""
    if streaming:
        return Reply(wire.send.text(text), content_type=wire.mime)
    return Reply(wire.send.plain_text(text), content_type="application/json")


def calls(wire: Wire, *asked: Any) -> Reply:
    """An answer that asks for tools."""
    return Reply(wire.send.tool_calls(*asked), content_type=wire.mime)


async def ask(
    agent: Agent, message: Any, streaming: bool = True, **more: Any
) -> Response:
    """The response of one run."""
    async with agent:
        if not streaming:
            return await agent.run(message, **more)
        stream = agent.run_stream(message, **more)
        async for _ in stream:
            pass
        return stream.response


async def run(
    wire: Wire,
    server: Loopback,
    message: Any,
    *tools: Any,
    streaming: bool = True,
    **more: Any,
) -> Response:
    """The response of one run of an agent of this provider."""
    return await ask(wire.agent(server, tools=tools), message, streaming, **more)


def in_order(wire: Wire, *parts: Seen) -> list[Seen]:
    """The parts as a provider's message has them: Ollama's has one text, then images."""
    if wire.provider != "ollama":
        return list(parts)
    text = "\n".join(str(value) for kind, value in parts if kind == "text")
    return [("text", text), *[part for part in parts if part[0] == "image"]]


# In a message


@both_ways
async def test_a_message_holds_texts_and_images_in_order(
    server: Loopback, wire: Wire, streaming: bool, tmp_path: Path
) -> None:
    """The server gets each text and image where it stood in the list, by bytes and by path."""
    path = tmp_path / "second.dat"
    path.write_bytes(WEBP)
    server.reply(reply(wire, streaming))
    message = ["Compare", Image(PNG), "with", Image(path), "please."]
    response = await run(wire, server, message, streaming=streaming)
    [sent] = sent_messages(server.requests[0].json)
    assert seen_parts(sent) == in_order(
        wire,
        ("text", "Compare"),
        ("image", PNG),
        ("text", "with"),
        ("image", WEBP),
        ("text", "please."),
    )
    asked = response.messages[0]
    assert asked.content == "Compare\nwith\nplease."
    assert asked.parts == ["Compare", Image(PNG), "with", Image(WEBP), "please."]


async def test_a_pdf_goes_as_a_file(server: Loopback, wire: Wire) -> None:
    """Its bytes arrive where the API takes PDF files; elsewhere nothing is sent."""
    server.reply(reply(wire, streaming=True))
    message = ["What does it cost?", File(PDF, name="bill.pdf")]
    if wire.name in NO_PDF:
        with pytest.raises(ConfigurationError) as refused:
            await run(wire, server, message)
        assert f"{wire.provider} takes no PDF files" in str(refused.value)
        assert "'bill.pdf'" in str(refused.value)
        assert server.requests == []
        return
    await run(wire, server, message)
    [sent] = sent_messages(server.requests[0].json)
    assert seen_parts(sent) == [("text", "What does it cost?"), ("file", PDF)]


@both_ways
async def test_a_url_goes_as_a_url(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """Where the API takes URLs it gets this one; elsewhere the error says to pass bytes."""
    server.reply(reply(wire, streaming))
    if wire.provider == "ollama":
        with pytest.raises(ConfigurationError, match=r"ollama takes no URL .*bytes"):
            await run(wire, server, ["Look", Image(URL)], streaming=streaming)
        assert server.requests == []
        return
    await run(wire, server, ["Look", Image(URL)], streaming=streaming)
    [sent] = sent_messages(server.requests[0].json)
    assert seen_parts(sent) == [("text", "Look"), ("image", URL)]


async def test_the_model_can_read_a_text_file(server: Loopback, wire: Wire) -> None:
    """A text file goes as a file where the API has files of text, else as marked text."""
    server.reply(reply(wire, streaming=True))
    await run(wire, server, ["Sum up", File(TEXT, name='a"b.txt')])
    [sent] = sent_messages(server.requests[0].json)
    marked = f'<file name="a&quot;b.txt">\n{TEXT.decode()}\n</file>'
    as_file: list[Seen] = [("text", "Sum up"), ("file", TEXT)]
    as_text = in_order(wire, ("text", "Sum up"), ("text", marked))
    has_files = wire.name in ("openai", "anthropic", "gemini")
    assert seen_parts(sent) == (as_file if has_files else as_text)


async def test_a_list_of_texts_is_sent_as_one_text(
    server: Loopback, wire: Wire
) -> None:
    """Without images and files a list is what a string would be; the message keeps the list."""
    server.reply(*[reply(wire, streaming=True)] * 2)
    response = await run(wire, server, ["One", "Two"])
    await run(wire, server, "One\nTwo")
    assert server.requests[0].json == server.requests[1].json
    assert response.messages[0].parts == ["One", "Two"]


async def test_empty_texts_are_left_out(server: Loopback, wire: Wire) -> None:
    """An empty string beside an image is no part, which some APIs refuse."""
    server.reply(reply(wire, streaming=True))
    await run(wire, server, ["", Image(PNG)])
    [sent] = sent_messages(server.requests[0].json)
    expected: list[Seen] = [("image", PNG)]
    assert seen_parts(sent) == in_order(wire, *expected)


@pytest.mark.parametrize("message", [["", " "], [], ()])
def test_a_list_without_anything_is_refused(message: Any) -> None:
    """A list of blank texts is an empty message."""
    with pytest.raises(ConfigurationError, match="the message is empty"):
        WIRES[0].agent(NOWHERE).run_stream(message)


class _Nowhere:
    url = "http://127.0.0.1:9"


NOWHERE: Any = _Nowhere()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (["Look", PNG], "entry 1 of the message must be .*; got bytes"),
        ([Path("a.png")], "entry 0 .*; got PosixPath"),
        (["Look", None], "got NoneType"),
        (["Look", ["nested"]], "got list"),
        (Image(PNG), r'write \["What is this\?", Image'),
        (File(PDF), r'write \["What is this\?", File'),
        ({"role": "user"}, "got dict"),
        (PNG, "got bytes"),
        (5, "got int"),
        (["\ud83d"], "entry 0 of the message cannot be sent"),
    ],
)
def test_what_is_no_message_is_refused_at_once(message: Any, words: str) -> None:
    """The error says which entry is wrong and what it may be, and shows no bytes."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        WIRES[0].agent(NOWHERE).run_stream(message)
    assert "PNG" not in str(refused.value)


# Files


@both_ways
async def test_a_file_that_cannot_be_used_ends_the_run_before_any_request(
    server: Loopback, wire: Wire, streaming: bool, tmp_path: Path
) -> None:
    """A directory, a missing or empty file, a text called .png, 100 MB: clear errors, and nothing is sent."""
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "text.png").write_bytes(TEXT)
    with (tmp_path / "large.pdf").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    for media, words in [
        (File(tmp_path), "is a directory"),
        (File(tmp_path / "missing.pdf"), "there is no file"),
        (File(tmp_path / "empty.pdf"), "0 bytes"),
        (Image(tmp_path / "text.png"), "text/plain"),
        (File(tmp_path / "large.pdf"), "MAX_FILE_BYTES"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            await run(wire, server, ["Look", media], streaming=streaming)
    assert server.requests == []


async def test_a_file_is_read_when_the_run_begins(
    server: Loopback, tmp_path: Path
) -> None:
    """Not when the stream is made, and once: later runs have what the first one read."""
    wire = WIRES[0]
    path = tmp_path / "cat.png"

    async def go() -> Response:
        agent = wire.agent(server)
        stream = agent.run_stream(["Look", Image(path)])
        path.write_bytes(PNG)
        async for _ in stream:
            pass
        path.unlink()
        return await agent.run("And now?", history=stream.response.messages)

    server.reply(reply(wire, True), reply(wire, False))
    await go()
    first, second = (sent_messages(request.json) for request in server.requests)
    assert second[0] == first[0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the pipes of POSIX")
@pytest.mark.parametrize("how", ["message", "sync tool", "async tool"])
async def test_files_are_read_off_the_event_loop(
    server: Loopback, tmp_path: Path, how: str
) -> None:
    """While a read waits, here for a pipe, the loop goes on: it is the loop that fills the pipe."""
    wire = WIRES[0]
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def look() -> Image:
        return Image(path)

    async def look_async() -> Image:
        return Image(path)

    def fill() -> None:
        threading.Thread(target=path.write_bytes, args=(PNG,), daemon=True).start()

    asyncio.get_running_loop().call_later(0.1, fill)
    if how == "message":
        server.reply(reply(wire, True))
        await run(wire, server, ["Look", Image(path)])
    else:
        function = look if how == "sync tool" else look_async
        server.reply(calls(wire, CALL), reply(wire, True))
        await run(wire, server, "Look", tool(name="look")(function))
    assert _shown(PNG) in server.requests[-1].body.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs the pipes of POSIX")
def test_a_read_that_never_ends_holds_up_nothing(
    server: Loopback, tmp_path: Path
) -> None:
    """The run's time-out ends it, and the event loop ends without waiting for the thread."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def go() -> None:
        agent = WIRES[0].agent(server, timeout=0.1)
        with pytest.raises(ModelTimeout, match="took longer than"):
            await agent.run(["Look", Image(path)])

    asyncio.run(go())
    assert server.requests == []
    path.write_bytes(PNG)  # lets the thread end


# What a provider does not take


@pytest.mark.parametrize(
    ("name", "media", "words"),
    [
        ("openai", File(MP3), "openai takes no audio: the file is audio/mpeg"),
        ("openai", Image(b"II*\x00"), "openai takes images of the types image/gif, "),
        ("openai", File(UNKNOWN), "openai takes no files of this type"),
        (
            "openai-chat",
            File("https://a.b/c.pdf"),
            "openai-chat takes no URL for files",
        ),
        ("azure", File(b"{\\rtf1"), "azure takes no office documents"),
        ("azure-chat", File(b"{\\rtf1"), "azure takes no office documents"),
        ("anthropic", File(MP3), "anthropic takes no audio"),
        (
            "anthropic",
            File("https://a.b/c", "text/plain"),
            "anthropic takes no URL for text files: pass bytes",
        ),
        ("anthropic", Image(b"II*\x00"), "the image is image/tiff"),
        ("anthropic", File(b"caf\xe9", "text/plain"), "neither UTF-8 nor UTF-16"),
        ("gemini", Image(b"GIF89a"), "gemini takes images of the types image/heic"),
        ("gemini", File(b"{\\rtf1"), "gemini takes no office documents"),
        ("groq", File(PDF), "groq takes no PDF files"),
        ("ollama", File(PDF), "ollama takes no PDF files"),
        ("ollama", File("https://a.b/c"), "ollama takes no URL for files: pass bytes"),
    ],
)
async def test_what_a_provider_does_not_take_is_refused(
    server: Loopback, name: str, media: Any, words: str
) -> None:
    """The error names the provider and the kind, and no request is made."""
    wire = next(wire for wire in WIRES if wire.name == name)
    with pytest.raises(ConfigurationError) as refused:
        await run(wire, server, ["Look", media])
    assert words in str(refused.value)
    assert server.requests == []


async def test_an_image_in_a_file_is_an_image(server: Loopback, wire: Wire) -> None:
    """The content decides, not the class: `File` of a picture goes as the API's image."""
    server.reply(reply(wire, streaming=True))
    await run(wire, server, ["Look", File(PNG, name="cat.png")])
    [sent] = sent_messages(server.requests[0].json)
    assert seen_parts(sent)[-1] == ("image", PNG)


# In the result of a tool


def results_in(wire: Wire, body: Any) -> list[list[Seen]]:
    """What each result of a request holds; what follows chat's results is the last."""
    messages = sent_messages(body)
    if wire.provider == "anthropic":
        return [seen_parts(block) for block in messages[-1]["content"]]
    if wire.provider == "gemini":
        return [seen_parts(part) for part in messages[-1]["parts"]]
    asked = next(
        place
        for place, message in reversed(list(enumerate(messages)))
        if message.get("role") == "assistant" or message.get("type") == "function_call"
    )
    return [seen_parts(message) for message in messages[asked + 1 :]]


def is_chat(wire: Wire) -> bool:
    """Whether it speaks Chat Completions, whose results have text alone."""
    return wire.name in ("openai-chat", "azure-chat", "groq")


@pytest.mark.parametrize("how", ["thread", "loop", "async"])
@pytest.mark.parametrize("shape", ["alone", "list", "tuple"])
async def test_a_tool_returns_an_image(
    server: Loopback, sdk_wire: Wire, shape: str, how: str
) -> None:
    """An image goes back as the API has it in results; chat has it in a message after them."""
    wire = sdk_wire
    value: Any = {
        "alone": Image(PNG),
        "list": ["A cat:", Image(PNG), {"legs": 4}],
        "tuple": ("A cat:", Image(PNG)),
    }[shape]

    async def look_async() -> Any:
        return value

    function = look_async if how == "async" else lambda: value
    look = tool(name="look", run_in_thread=how == "thread")(function)
    server.reply(calls(wire, CALL), reply(wire, True))
    response = await run(wire, server, "Look", look)
    parts: dict[str, list[Seen]] = {
        "alone": [("image", PNG)],
        "list": [("text", "A cat:"), ("image", PNG), ("text", '{"legs":4}')],
        "tuple": [("text", "A cat:"), ("image", PNG)],
    }
    text = "\n".join(str(said) for kind, said in parts[shape] if kind == "text")
    sent = results_in(wire, server.requests[1].json)
    if is_chat(wire):
        source: Seen = ("text", "From the tool 'look' (call 'call_7'):")
        first: Seen = ("text", text or "See the next message.")
        assert sent == [[first], [source, ("image", PNG)]]
    elif wire.provider == "gemini":
        assert sent == [[("text", text), ("image", PNG)]]
    else:
        assert sent == [in_order(wire, *parts[shape])]
    result = response.tool_calls[0].result
    assert result is not None and result.content == text and not result.is_error
    assert response.messages[2].parts == result.parts
    assert [part for part in result.parts if not isinstance(part, str)] == [Image(PNG)]


async def test_images_of_parallel_calls_follow_all_results(
    server: Loopback, wire: Wire
) -> None:
    """No message stands between the results of a turn, and each image is told to be of its call."""

    @tool
    def look(place: int) -> list[Any]:
        return [f"Place {place}", Image(PNG if place == 1 else WEBP)]

    @tool
    def wait() -> str:
        return "waited"

    asked = [
        ("call_1", "look", '{"place": 1}'),
        ("call_2", "wait", "{}"),
        ("call_3", "look", '{"place": 2}'),
    ]
    server.reply(calls(wire, *asked), reply(wire, True))
    await run(wire, server, "Look", look, wait)
    sent = results_in(wire, server.requests[1].json)
    if is_chat(wire):
        assert sent[:3] == [
            [("text", said)] for said in ("Place 1", "waited", "Place 2")
        ]
        [images] = sent[3:]
        assert images == [
            ("text", "From the tool 'look' (call 'call_1'):"),
            ("image", PNG),
            ("text", "From the tool 'look' (call 'call_3'):"),
            ("image", WEBP),
        ]
    else:
        one, two, three = sent
        assert (one[-1], two, three[-1]) == (
            ("image", PNG),
            [("text", "waited")],
            ("image", WEBP),
        )


async def test_what_a_tool_cannot_return_is_told_to_the_model(
    server: Loopback, sdk_wire: Wire, tmp_path: Path
) -> None:
    """A missing file, or an image inside of a dict, is the tool's error, in words without the folder."""

    @tool
    def missing() -> Image:
        return Image(tmp_path / "cat.png")

    @tool
    def nested() -> dict[str, Any]:
        return {"image": Image(PNG)}

    asked = [("call_1", "missing", "{}"), ("call_2", "nested", "{}")]
    server.reply(calls(sdk_wire, *asked), reply(sdk_wire, True))
    response = await run(sdk_wire, server, "Look", missing, nested)
    first, second = (call.result for call in response.tool_calls)
    assert first is not None and second is not None
    assert first.is_error and "there is no file 'cat.png'" in first.content
    assert second.is_error and "it returned an Image inside" in second.content
    assert not first.parts and str(tmp_path) not in str(server.requests[1].json)


async def test_a_tool_with_on_error_raise_raises_for_its_file(
    server: Loopback, tmp_path: Path
) -> None:
    """`on_error="raise"` holds for a file that cannot be read too."""
    wire = WIRES[0]
    look = tool(name="look", on_error="raise")(lambda: File(tmp_path / "bill.pdf"))
    server.reply(calls(wire, CALL))
    with pytest.raises(ToolError, match="there is no file"):
        await run(wire, server, "Look", look)


async def test_a_result_that_the_provider_does_not_take_ends_the_run(
    server: Loopback,
) -> None:
    """It is the program's mistake, not the model's: an error that names provider and kind."""
    wire = next(wire for wire in WIRES if wire.provider == "ollama")
    look = tool(name="look")(lambda: File(PDF, name="bill.pdf"))
    server.reply(calls(wire, CALL))
    with pytest.raises(ConfigurationError, match="ollama takes no PDF files") as ended:
        await run(wire, server, "Look", look)
    assert len(server.requests) == 1
    assert ended.value.partial is not None
    assert len(ended.value.partial.messages) == 3


async def test_the_chunk_of_a_result_has_its_parts(
    server: Loopback, sdk_wire: Wire
) -> None:
    """Who reads the stream gets the image; the chunk survives JSON."""
    look = tool(name="look")(lambda: ["A cat:", Image(PNG)])
    server.reply(calls(sdk_wire, CALL), reply(sdk_wire, True))

    async def results() -> list[StreamChunk]:
        async with sdk_wire.agent(server, tools=[look]) as agent:
            return [
                chunk async for chunk in agent.run_stream("Go") if chunk.tool_result
            ]

    [chunk] = await results()
    assert chunk.tool_result is not None and chunk.content == ""
    assert chunk.tool_result.parts == ["A cat:", Image(PNG)]
    assert StreamChunk.from_dict(json.loads(json.dumps(chunk.to_dict()))) == chunk


# Results from elsewhere


async def test_a_pending_call_is_answered_with_an_image(
    server: Loopback, wire: Wire, tmp_path: Path
) -> None:
    """`results` takes what a tool may return, files included."""
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    asked = Message("assistant", tool_calls=[ToolCall("call_1", "look", {})])
    server.reply(reply(wire, True))
    history = [Message("user", "Go"), asked]
    response = await run(
        wire, server, None, history=history, results={"call_1": ["It:", Image(path)]}
    )
    assert results_in(wire, server.requests[0].json)[-1][-1] == ("image", PNG)
    assert response.messages[2].parts == ["It:", Image(PNG)]


async def test_responses_takes_images_for_its_own_calls(server: Loopback) -> None:
    """A screenshot answers a computer call, a list a custom tool; a shell has text alone."""
    wire = WIRES[0]
    items: list[dict[str, Any]] = [
        {"type": "computer_call", "id": "i1", "call_id": "c1", "action": {}},
        {"type": "custom_tool_call", "id": "i2", "call_id": "c2", "input": "x"},
    ]
    pending = [
        ToolCall(item["call_id"], "own", {}, type=item["type"]) for item in items
    ]
    asked = Message("assistant", tool_calls=pending, provider="openai", items=items)
    history = [Message("user", "Go"), asked]
    results = {"c1": Image(PNG), "c2": ["Look", Image(PNG)]}
    server.reply(reply(wire, True))
    await run(wire, server, None, history=history, results=results)
    first, second = sent_messages(server.requests[0].json)[-2:]
    assert first["output"]["type"] == "computer_screenshot"
    assert first["output"]["image_url"].startswith("data:image/png;base64,")
    assert second["type"] == "custom_tool_call_output"
    assert seen_parts(second) == [("text", "Look"), ("image", PNG)]

    shell = {"type": "shell_call", "id": "i1", "call_id": "c1", "action": {}}
    call = ToolCall("c1", "shell_call", {}, type="shell_call")
    asked = Message("assistant", tool_calls=[call], provider="openai", items=[shell])
    with pytest.raises(ConfigurationError, match="answer to a shell_call"):
        await run(
            wire,
            server,
            None,
            history=[Message("user", "Go"), asked],
            results={"c1": Image(PNG)},
        )


# History


@pytest.fixture
async def conversation(server: Loopback, wire: Wire) -> AsyncIterator[Response]:
    """A run with an image in the message, and one in a tool's result."""
    look = tool(name="look")(lambda: ["A cat:", Image(PNG)])
    server.reply(calls(wire, CALL), reply(wire, True))
    yield await run(wire, server, ["Look", Image(WEBP), "please"], look)


@pytest.mark.parametrize("form", ["messages", "dicts", "response"])
async def test_a_history_is_sent_again_exactly(
    server: Loopback, wire: Wire, conversation: Response, form: str
) -> None:
    """The next run begins with the same messages, also after they were stored as JSON."""
    stored = json.loads(json.dumps(conversation.to_dict()))
    history: Any = {
        "messages": conversation.messages,
        "dicts": stored["messages"],
        "response": Response.from_dict(stored).messages,
    }[form]
    server.reply(reply(wire, True))
    look = tool(name="look")(lambda: None)
    await run(wire, server, "And now?", look, history=history)
    before, after = (sent_messages(one.json) for one in server.requests[1:])
    assert after[: len(before)] == before


def test_a_response_survives_json(conversation: Response) -> None:
    """What was written is read back as an equal response, results and parts included."""
    written = json.loads(json.dumps(conversation.to_dict()))
    again = Response.from_dict(written)
    assert written["version"] == 1
    assert again == conversation
    assert again.messages[0].parts == ["Look", Image(WEBP), "please"]
    assert again.tool_calls[0].result == again.messages[1].tool_calls[0].result
    assert Response.from_dict(again.to_dict()).to_dict() == written


@pytest.mark.parametrize("target", WIRES, ids=lambda wire: f"to-{wire.name}")
async def test_images_move_between_providers(
    server: Loopback, sdk_wire: Wire, target: Wire
) -> None:
    """A history with images in messages and results is taken by every other provider."""
    look = tool(name="look")(lambda: Image(PNG))
    server.reply(calls(sdk_wire, CALL), reply(sdk_wire, True), reply(target, True))
    response = await run(sdk_wire, server, ["Look", Image(WEBP)], look)
    await run(target, server, "Sure?", look, history=response.messages)
    sent = str(sent_messages(server.requests[2].json))
    for data in (PNG, WEBP):
        assert sent.count(_shown(data)) == 1


def _shown(data: bytes) -> str:
    return b64encode(data).decode()


async def test_a_history_may_be_written_by_hand(
    server: Loopback, sdk_wire: Wire
) -> None:
    """Parts are a documented form: a dict with a type, and bytes in base64 or a URL."""
    image = {"type": "image", "data": _shown(PNG)}
    history = [{"role": "user", "content": "Look", "parts": [image]}]
    server.reply(reply(sdk_wire, True))
    await run(sdk_wire, server, None, history=history)
    [sent] = sent_messages(server.requests[0].json)
    expected: list[Seen] = [("text", "Look"), ("image", PNG)]
    assert seen_parts(sent) == in_order(sdk_wire, *expected)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "user", "parts": 5, "content": ""}, "parts is a list"),
        ({"role": "user", "content": "", "parts": [{"type": "image"}]}, r"parts\[0\]"),
        ({"role": "user", "content": "A", "parts": ["B"]}, "different texts"),
        (
            {"role": "assistant", "content": "", "parts": [Image(PNG)]},
            "only user and tool messages have Images",
        ),
        ({"role": "user", "content": "A", "version": 2}, "version 2 of the JSON form"),
        (Message("user", "A", parts=["A", 5]), r"parts\[1\] is a string, an Image"),  # type: ignore[list-item]
        (Message("user", "A", parts=(Image(PNG),)), "parts is a list"),  # type: ignore[arg-type]
    ],
)
def test_a_history_with_wrong_parts_is_refused(message: Any, words: str) -> None:
    """The error says which entry is wrong, before any request."""
    with pytest.raises(ConfigurationError, match=f"entry 0: .*{words}"):
        WIRES[0].agent(NOWHERE).run_stream("Go", history=[message])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("text", "what its to_dict"),
        ({}, "not a response"),
        ({"version": 3}, "version 3 of the JSON form"),
    ],
)
def test_json_that_is_no_response_is_refused(data: Any, words: str) -> None:
    """Reading anything else is a clear error."""
    with pytest.raises(ConfigurationError, match=words):
        Response.from_dict(data)


# Cancelled runs


async def test_the_estimate_of_a_cancelled_run_knows_images(
    server: Loopback, wire: Wire
) -> None:
    """A run that was left before the provider gave figures counts an image as 1,000 tokens."""
    events = wire.send.text("Waves ", "roll ", "in.")

    async def leave(message: Any) -> dict[str, Any]:
        server.reply(Reply(events[:-1], content_type=wire.mime, end="stall"))
        async with wire.agent(server) as agent:
            stream = agent.run_stream(message)
            async for chunk in stream:
                if chunk.content:
                    break
            return stream.response.metadata["tokens"]

    text = await leave("Look")
    image = await leave(["Look", Image(PNG)])
    assert text["estimated"] and image["estimated"]
    known = wire.provider == "anthropic"  # which says what it read before it answers
    assert image["input_tokens"] - text["input_tokens"] == (0 if known else 1000)


def test_a_tool_from_elsewhere_is_unchanged() -> None:
    """A tool's own call gives what its function returns, an Image too."""
    look: Tool[[], Image] = tool(name="look")(lambda: Image(PNG))
    assert look() == Image(PNG)
