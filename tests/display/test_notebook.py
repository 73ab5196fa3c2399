"""Runs in the cells of a real kernel, shown and stopped."""

import json
import sys
import time
from collections.abc import Iterator

import pytest
from conftest import WIRES
from support.kernel import Cell, Kernel, running_kernel
from support.loopback import Loopback, Reply
from support.media import PNG

from cogent import Response, StreamChunk
from cogent.content import File, Image
from cogent.display.document import Document
from cogent.display.live import MIN_SECONDS_BETWEEN_UPDATES, LiveScreen
from cogent.display.view import View
from cogent.sources import Source

LIMIT = 100  # Seconds until a test counts as hanging.
pytestmark = pytest.mark.slow

CHAT = next(wire for wire in WIRES if wire.name == "openai-chat")
SETUP = """
import asyncio
from cogent import Agent, Model, tool

@tool
def look_up(word: str) -> str:
    "Look a word up."
    return f"{{word}}: <script>alert(2)</script>"

agent = Agent("t", Model("openai-chat:m", base_url="{url}/v1", api_key="k"), tools=[look_up])
"""


@pytest.fixture(scope="module")
def notebook(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Kernel, Loopback]]:
    """A kernel with an agent, and the server that the agent asks."""
    folder = tmp_path_factory.mktemp("kernel")
    with Loopback() as server, running_kernel(folder) as kernel:
        cell = kernel.run(SETUP.format(url=server.url))
        assert cell.outputs == []
        yield kernel, server


def text(*deltas: str, **how: object) -> Reply:
    """A whole answer."""
    return Reply(CHAT.send.text(*deltas), **how)


def silent(*deltas: str) -> Reply:
    """An answer of which no more comes than this."""
    return Reply(CHAT.send.text(*deltas)[: len(deltas) + 1], end="stall")


def test_a_run_is_one_output(notebook: tuple[Kernel, Loopback]) -> None:
    """What is stored is one output with all of the run; as the cell's value the response shows nothing more."""
    kernel, server = notebook
    call = ("call_1", "look_up", json.dumps({"word": "rot"}))
    server.reply(
        Reply(CHAT.send.tool_calls(call, text="I look.", reasoning="Which <b>?")),
        text("It is ", "**red**, not <script>alert(1)</script>."),
    )
    cell = kernel.run('await agent.run_stream("Go").show()')
    shown = cell.markdown
    assert len(cell.outputs) == 1
    assert shown.startswith("<details><summary>Reasoning</summary><pre")
    assert "I look.\n\n<details><summary>Tool: <code>look" in shown
    assert "done" in shown and "It is **red**, not &lt;script>alert(1)" in shown
    assert "<script" not in shown and "<b>" not in shown
    assert "36 tokens" in shown.splitlines()[-1] and " s</small>" in shown
    plain = cell.outputs[0]["data"]["text/plain"]
    assert '[look_up(word="rot"): done' in plain
    assert "<script>alert(1)</script>." in plain


def test_the_response_is_shown_in_other_cells(
    notebook: tuple[Kernel, Loopback],
) -> None:
    """`show()` returns the response, which a later cell shows as Markdown without tags."""
    kernel, server = notebook
    server.reply(text("**Blue** <script>."))
    kernel.run('response = await agent.run_stream("Go").show()')
    cell = kernel.run("response")
    assert cell.outputs[0]["data"]["text/markdown"] == "**Blue** &lt;script>."


def test_an_error_is_shown_and_raised(notebook: tuple[Kernel, Loopback]) -> None:
    """What came stays, marked as failed; a stream that was read cannot be shown again."""
    kernel, server = notebook
    server.reply(Reply(CHAT.send.text("Half ", "of it")[:2], end="close"))
    cell = kernel.run('stream = agent.run_stream("Go")\nawait stream.show()')
    assert cell.error == "StreamInterrupted"
    assert cell.markdown.startswith("Half")
    assert "failed &#40;StreamInterrupted" in cell.markdown
    assert kernel.run("await stream.show()").error == "ConfigurationError"


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are no signals there")
@pytest.mark.parametrize(
    "code",
    [
        "await stream.show()",
        'async for chunk in stream: print(chunk.content, end="", flush=True)',
        "while True: print((await anext(stream)).content, flush=True)",
    ],
    ids=["show", "for", "anext"],
)
def test_the_stop_button_stops_a_silent_model(
    code: str, notebook: tuple[Kernel, Loopback]
) -> None:
    """While the cell waits, an interrupt closes the connection; the partial is kept, and the next cell works."""
    kernel, server = notebook
    server.reply(silent("Once ", "upon"))
    cell = Cell()
    started = kernel.start(f'stream = agent.run_stream("Go")\n{code}')
    kernel.until(started, cell, "upon")
    time.sleep(0.3)  # the loop sleeps, and has nothing to wake for
    pressed = time.monotonic()
    kernel.interrupt()
    assert server.requests[-1].wait_disconnected(LIMIT)
    kernel.finish(started, cell)
    # 0.3 s on a quiet machine; without a run that wakes its loop it never ends.
    assert cell.ended - pressed < LIMIT
    assert cell.error == "CancelledError"
    if code == "await stream.show()":
        assert cell.markdown.startswith("Once upon\n\n<small>")
        assert cell.markdown.endswith("stopped</small>")
    code = 'print(stream.response.content, "|", await agent.run("Go on"))'
    server.forget()
    server.reply(
        Reply(CHAT.send.plain_text("The end."), content_type="application/json")
    )
    assert kernel.run(code).text == "Once upon | The end.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are no signals there")
@pytest.mark.parametrize(
    "code", ["stream.show()", "for chunk in stream: print(chunk.content, flush=True)"]
)
def test_the_stop_button_stops_a_call_that_blocks(
    code: str, notebook: tuple[Kernel, Loopback]
) -> None:
    """Without `await` it is a KeyboardInterrupt, and otherwise the same."""
    kernel, server = notebook
    server.forget()
    server.reply(silent("Once ", "upon"))
    cell = Cell()
    started = kernel.start(f'stream = agent.stream_sync("Go")\n{code}')
    kernel.until(started, cell, "upon")
    kernel.interrupt()
    assert server.requests[-1].wait_disconnected(LIMIT)
    kernel.finish(started, cell)
    assert cell.error == "KeyboardInterrupt"
    if code == "stream.show()":
        assert cell.markdown.startswith("Once upon\n\n<small>")
        assert cell.markdown.endswith("stopped</small>")
    server.reply(text("The ", "end."))
    shown = kernel.run('agent.stream_sync("Go on").show().content')
    assert len(shown.outputs) == 2 and shown.markdown.startswith("The end.\n\n<small>")
    assert kernel.run("print(stream.response.content)").text == "Once upon\n"


@pytest.mark.parametrize(
    "code", ['await agent.run("Go")', 'agent.run_sync("Go")'], ids=["async", "sync"]
)
def test_a_plain_run_stops_too(code: str, notebook: tuple[Kernel, Loopback]) -> None:
    """A run waits like a stream, and an interrupt reaches it like one."""
    kernel, server = notebook
    server.forget()
    server.reply(Reply(b"{", content_type="application/json", end="stall"))
    started = kernel.start(code)
    deadline = time.monotonic() + LIMIT
    while not server.requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    kernel.interrupt()
    assert server.requests[0].wait_disconnected(LIMIT)
    assert kernel.finish(started).error in ("CancelledError", "KeyboardInterrupt")


# The document and how often it is sent


class Pages:
    """Keeps what would be shown."""

    code_as_html = False

    def __init__(self) -> None:
        self.pages: list[str] = []

    def show(self, markdown: str, text: str) -> None:
        self.pages.append(markdown)

    def settle(self) -> None:
        pass


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def end_of(content: str = "") -> Response:
    """A response that has ended."""
    return Response(content, "stop", {"model": "m"}, [], [], [])


@pytest.mark.parametrize("tokens_a_second", [50, 20_000])
def test_what_is_sent_grows_with_the_text(tokens_a_second: int) -> None:
    """At most twenty updates a second, and of a very long answer no more text a second than of a short one."""
    pages, clock = Pages(), Clock()
    screen = LiveScreen(pages, clock)
    count = 20_000
    for number in range(count):
        screen.take(StreamChunk(f"word{number % 10}" + "\n\n" * (number % 50 == 0)))
        clock.now += 1 / tokens_a_second
    screen.end(end_of(), None)
    seconds = count / tokens_a_second
    assert len(pages.pages) <= seconds / MIN_SECONDS_BETWEEN_UPDATES + 3
    assert sum(map(len, pages.pages)) < 450_000 * seconds + 3 * len(pages.pages[-1])
    assert "word9" in pages.pages[-1]


def test_all_kinds_of_chunks_have_a_place() -> None:
    """Sources are links but for addresses that run; images come once the run has ended; files are links."""
    view = View()
    document = Document(view)
    for chunk in (
        StreamChunk("See."),
        StreamChunk(source=Source(url="https://a.example/?q=<b>", title="A <i> page")),
        StreamChunk(source=Source(url="javascript:alert(1)", title="Bad")),
        StreamChunk(file=Image(PNG)),
        StreamChunk(file=File(b"%PDF-1.7", name="plan.pdf")),
        StreamChunk(metadata={"output_retry": ["too short"]}),
    ):
        view.take(chunk)
    early = document.markdown(has_ended=False)
    assert "base64" not in early and "image&#47;png&#44; 16 bytes" in early
    view.end(end_of(), None)
    page = document.markdown(has_ended=True)
    assert '<img src="data:image&#47;png;base64,iVBORw0KGgo' in page
    assert (
        '<a href="data:application&#47;pdf;base64,' in page and "plan&#46;pdf" in page
    )
    assert "A &#60;i&#62; page</a>" in page and "<li>Bad</li>" in page
    assert "javascript" not in page
    assert "tries again" in document.text()
