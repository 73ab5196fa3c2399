"""A plain request says that it wants no stream, and a server that streams all the same is read and paid once."""

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import answer, whole

from cogent import Response, tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def ask(wire: Wire, server: Loopback, *replies: Reply) -> Response:
    """The response of a plain run that gets these replies, and may ask three times."""
    server.reply(*replies)
    return await answer(wire.agent(server, model={"max_retries": 2}, tools=[add]))


async def test_a_plain_request_asks_for_no_stream(wire: Wire, server: Loopback) -> None:
    """Some servers stream unless they are told not to. Gemini's requests say it by their path."""
    await ask(wire, server, whole(wire, "Hello", streaming=False))
    (request,) = server.requests
    if wire.provider == "gemini":
        assert request.path.partition("?")[0].endswith(":generateContent")
    else:
        assert request.json["stream"] is False


@pytest.mark.parametrize(
    "mime", ["text/event-stream", "application/json", "text/plain"]
)
async def test_a_stream_that_nobody_asked_for_is_the_answer(
    wire: Wire, server: Loopback, mime: str
) -> None:
    """The events are read like those of a stream that was asked for, with one request for each turn."""
    if wire.provider == "gemini":
        pytest.skip("its paths differ, so that no server takes one for the other")
    streams = [
        wire.send.tool_calls(("call_1", "add", '{"a": 1, "b": 2}')),
        wire.send.text("It ", "is 3."),
    ]
    response = await ask(
        wire,
        server,
        *[Reply(b"".join(stream), content_type=mime) for stream in streams],
    )
    assert response.content == "It is 3."
    assert [call.result.content for call in response.tool_calls if call.result] == ["3"]
    assert response.turns[-1].usage.input_tokens == 11
    assert len(server.requests) == 2
