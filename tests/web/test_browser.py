"""The page of `examples/web` in a real Chromium."""

import shutil
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from conftest import WIRES
from support.example_app import example_app
from support.loopback import Loopback, Reply
from support.media import square
from support.proxies import PROXIES, behind, installed
from support.scene import refusal
from support.served import LIMIT, served
from support.timed_runs import paced
from support.web_app import web_app
from support.wire import responses_beside as beside

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs the package playwright"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

OPENAI = WIRES[0]
SOON = LIMIT * 1000  # milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests of the file."""
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        running.close()


@pytest.fixture
def way() -> str:
    """What stands between the browser and the app; a test may take others."""
    return "direct"


every_way = pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(not installed(name), reason=f"{name} is missing"),
        )
        for name in ("direct", *PROXIES)
    ],
)


@pytest.fixture
def open_page(browser: Any, server: Loopback, way: str) -> Iterator[Callable[..., Any]]:
    """Opens the page; an error in its script fails the test."""
    errors: list[str] = []
    with ExitStack() as stack:
        port = stack.enter_context(example_app(server))
        front = stack.enter_context(behind(way, port))
        url = f"http://127.0.0.1:{front}/"

        def open(**settings: Any) -> Any:
            context = browser.new_context(**settings)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(SOON)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(url)
            return page

        yield open
    assert errors == []


def say(page: Any, words: str) -> None:
    """Type and send."""
    page.get_by_label("Your message").fill(words)
    page.keyboard.press("Enter")


def unfinished(*deltas: str) -> list[bytes]:
    return OPENAI.send.error_event("", None, "", after=deltas)[:-1]


def text(*deltas: str) -> Reply:
    return Reply(OPENAI.send.text(*deltas))


MAIL = '{"to": "ada@example.org", "subject": "Late", "text": "Ten minutes."}'


@every_way
def test_tokens_are_seen_one_by_one(open_page: Any, server: Loopback) -> None:
    """Each is on the page before the model has sent the next; Markdown becomes elements, HTML stays text."""
    words = ("# Title\n", "**Once**", " upon\n", "<img src=x onerror=boom()>")
    gate = threading.Semaphore(0)
    server.reply(Reply(paced(OPENAI.send.text(*words), *words), gate=gate))
    page = open_page()
    say(page, "Go")
    page.locator(".answer h3", has_text="Title").wait_for()
    assert page.get_by_text("Once").count() == 0
    gate.release()
    page.locator(".answer strong", has_text="Once").wait_for()
    for _ in range(20):
        gate.release()
    page.get_by_text("<img src=x").wait_for()
    page.locator(".figures").wait_for()


@every_way
def test_stop_reaches_the_provider(open_page: Any, server: Loopback) -> None:
    """The button stops the model, what was seen stays, and the next question knows it."""
    server.reply(Reply(unfinished("Half an"), end="stall"), text("Yes."))
    page = open_page()
    say(page, "Go")
    page.get_by_text("Half an").wait_for()
    page.get_by_role("button", name="Stop").click()
    assert server.requests[0].wait_disconnected(LIMIT)
    page.get_by_text("Stopped.", exact=True).wait_for()
    say(page, "Still there?")
    page.get_by_text("Yes.").wait_for()
    sent = server.requests[1].json["input"]
    assert [item["role"] for item in sent] == ["user", "assistant", "user"]
    assert "Half an" in str(sent[1])


@every_way
def test_a_closed_tab_stops_the_model(open_page: Any, server: Loopback) -> None:
    """Also one that has seen nothing yet."""
    server.reply(Reply(unfinished(), end="stall"))
    page = open_page()
    say(page, "Go")
    deadline = time.monotonic() + LIMIT
    while not server.requests and time.monotonic() < deadline:
        page.wait_for_timeout(10)
    page.close()
    assert server.requests[0].wait_disconnected(LIMIT)


@every_way
def test_an_error_is_shown_and_can_be_asked_again(
    open_page: Any, server: Loopback
) -> None:
    """What came stays under a message that says why; "Again" gives the whole answer."""
    body = OPENAI.send.error_event("it broke", "server_error", "server_error", ["Hal"])
    server.reply(Reply(body), text("The whole."))
    page = open_page()
    say(page, "Go")
    page.get_by_role("alert").get_by_text("it broke").wait_for()
    assert page.get_by_text("Hal", exact=True).is_visible()
    page.get_by_role("button", name="Again").click()
    page.get_by_text("The whole.").wait_for()
    assert page.get_by_role("alert").count() == 0


ENDED_AND_OPEN = """() => {
    const data = JSON.stringify({kind: "ServerError", message: "it broke", retryable: true});
    const bytes = new TextEncoder().encode(`event: failed\\ndata: ${data}\\n\\n`);
    const ask = window.fetch;
    window.fetch = async () => {
        window.fetch = ask;
        return new Response(new ReadableStream({ start: (body) => body.enqueue(bytes) }));
    };
}"""


def test_an_answer_is_over_when_its_end_was_said(
    open_page: Any, server: Loopback
) -> None:
    """Also where the connection stays open, as a proxy may keep it: one can ask again, and once."""
    server.reply(text("The whole."))
    page = open_page()
    page.evaluate(ENDED_AND_OPEN)
    say(page, "Go")
    page.get_by_role("alert").get_by_text("it broke").wait_for()
    page.get_by_role("button", name="Stop").wait_for(state="hidden")
    page.get_by_role("button", name="Again").click()
    page.get_by_text("The whole.").wait_for()
    assert len(server.requests) == 1


@every_way
def test_a_cut_is_shown_as_such(browser: Any, server: Loopback, way: str) -> None:
    """Where the server goes away in mid-answer the page says that this is not the whole."""
    server.reply(Reply(unfinished("Half"), end="stall"))
    context = browser.new_context()
    with ExitStack() as stack:
        app = ExitStack()
        front = stack.enter_context(behind(way, app.enter_context(example_app(server))))
        with app:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{front}/")
            say(page, "Go")
            page.get_by_text("Half").wait_for()
        page.get_by_role("alert").get_by_text("connection broke").wait_for()
    context.close()


def test_a_reload_asks_nothing_again(open_page: Any, server: Loopback) -> None:
    """The conversation is there again, and goes on where it was; half an answer is shown as such."""
    server.reply(text("A river."), Reply(unfinished("The s"), end="stall"))
    page = open_page()
    say(page, "Name one.")
    page.locator(".figures").wait_for()
    page.reload()
    page.get_by_text("A river.").wait_for()
    say(page, "Where to?")
    page.get_by_text("The s").wait_for()
    page.reload()
    page.get_by_role("alert").get_by_text("connection broke").wait_for()
    assert len(server.requests) == 2
    sent = server.requests[1].json["input"]
    assert [item["role"] for item in sent] == ["user", "assistant", "user"]


def test_an_event_source_asks_once(browser: Any, server: Loopback) -> None:
    """It connects again by itself after the end, learns to stop, and the model is asked once."""
    server.reply(text("Hi"))
    with served(web_app(OPENAI.agent(server))) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/missing/page")
        state = page.evaluate(
            """() => new Promise((resolve) => {
              const source = new EventSource("/sse");
              source.onerror = () => source.readyState === 2 && resolve("closed");
            })"""
        )
        page.close()
    assert state == "closed" and len(server.requests) == 1


def test_a_mail_is_approved_by_keyboard_alone(open_page: Any, server: Loopback) -> None:
    """The call waits with its arguments; Enter on the focused button runs it once."""
    server.reply(
        Reply(OPENAI.send.tool_calls(("c1", "send_mail", MAIL))), text("Sent.")
    )
    page = open_page(viewport={"width": 390, "height": 844})
    say(page, "Send it")
    page.get_by_role("heading", name="May send_mail run?").wait_for()
    page.get_by_text("ada@example.org").wait_for()
    approve = page.get_by_role("button", name="Approve")
    playwright.expect(approve).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_text("Sent.").wait_for()
    output = server.requests[1].json["input"][-1]["output"]
    assert "is on its way to ada@example.org" in output
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, "nothing sticks out of a small screen"


def test_a_tool_runs_in_the_page(open_page: Any, server: Loopback) -> None:
    """The model asks for the time, the page has it."""
    server.reply(
        Reply(OPENAI.send.tool_calls(("c1", "local_time", "{}"))), text("Noon.")
    )
    page = open_page(timezone_id="Asia/Tokyo")
    say(page, "What time is it?")
    page.get_by_text("Noon.").wait_for()
    assert "Asia/Tokyo" in server.requests[1].json["input"][-1]["output"]


def attach(page: Any, data: bytes) -> None:
    """Choose a file by the button for images."""
    file = {"name": "a.png", "mimeType": "image/png", "buffer": data}
    page.locator("#file").set_input_files(file)


def test_an_image_reaches_the_model(open_page: Any, server: Loopback) -> None:
    """It is shown, sent as an image beside the text, and still there for the next question."""
    server.reply(text("A square."), text("Red."))
    page = open_page()
    attach(page, square(255, 0, 0))
    page.get_by_alt_text("The attached image").wait_for()
    say(page, "What is this?")
    page.get_by_text("A square.").wait_for()
    assert page.get_by_alt_text("The image you sent").is_visible()
    [asked] = server.requests[0].json["input"]
    said, image = asked["content"]
    assert said == {"type": "input_text", "text": "What is this?"}
    head, _, data = image["image_url"].partition(",")
    assert (image["type"], head) == ("input_image", "data:image/jpeg;base64")
    assert b64decode(data).startswith(b"\xff\xd8")
    assert not page.get_by_alt_text("The attached image").is_visible()
    say(page, "Which color?")
    page.get_by_text("Red.").wait_for()
    assert server.requests[1].json["input"][0] == asked


def test_a_transparent_image_is_seen_on_white(open_page: Any) -> None:
    """The page sends a JPEG, which would show black."""
    page = open_page()
    attach(page, square(0, 0, 0, opacity=0))
    page.get_by_alt_text("The attached image").wait_for()
    color = page.evaluate(
        """async () => {
          const image = document.getElementById("preview");
          await image.decode();
          const pencil = document.createElement("canvas").getContext("2d");
          pencil.drawImage(image, 0, 0);
          return [...pencil.getImageData(2, 2, 1, 1).data];
        }"""
    )
    assert color == [255, 255, 255, 255]


def test_a_file_that_is_no_image_is_told_so(open_page: Any, server: Loopback) -> None:
    """Nothing is attached, and the question goes without it."""
    server.reply(text("Hello."))
    page = open_page()
    attach(page, b"no image")
    page.get_by_role("alert").get_by_text(
        "no image that the browser can read"
    ).wait_for()
    say(page, "Hi")
    page.get_by_text("Hello.").wait_for()
    assert page.get_by_role("alert").count() == 0
    assert b"input_image" not in server.requests[0].body


def test_what_a_model_refuses_does_not_spoil_the_next_question(
    open_page: Any, server: Loopback
) -> None:
    """An image for a model that takes none would be refused for the rest of the conversation."""
    no = refusal(OPENAI, 400, message="This model takes no images.", code="invalid")
    server.reply(no, text("Hello."))
    page = open_page()
    attach(page, square(255, 0, 0))
    page.get_by_alt_text("The attached image").wait_for()
    say(page, "What is this?")
    page.get_by_role("alert").get_by_text("takes no images").wait_for()
    say(page, "Hi")
    page.get_by_text("Hello.").wait_for()
    assert len(server.requests[1].json["input"]) == 1
    assert b"input_image" not in server.requests[1].body


def test_sources_and_pictures_are_on_the_page(open_page: Any, server: Loopback) -> None:
    """What a provider cites is a link, what it made is shown; also after a reload."""
    cited = {
        "type": "url_citation",
        "url": "https://example.org/cats",
        "title": "Cats",
        "start_index": 0,
        "end_index": 6,
    }
    made = beside.image_generation(square(255, 0, 0))
    said = beside.message(beside.part("A cat.", cited))
    server.reply(Reply(beside.stream(made, said)))
    page = open_page()
    say(page, "Draw")
    for _ in range(2):
        page.locator(".figures").wait_for()
        picture = page.get_by_alt_text("An image that the model made")
        assert picture.evaluate("image => image.naturalWidth") == 8
        link = page.get_by_role("list", name="Sources").get_by_role("link", name="Cats")
        assert link.get_attribute("href") == cited["url"]
        page.reload()


def test_a_typed_answer_fills_a_card(open_page: Any, server: Loopback) -> None:
    """Its fields are on the card as they come."""
    words = ('{"name": "Lis', 'bon", "country": "Portugal", "summary": "Old.", ')
    rest = '"population": 545000, "sights": ["Belém"]}'
    gate = threading.Semaphore(0)
    said = (*words, rest)
    server.reply(Reply(paced(OPENAI.send.text(*said), *said), gate=gate))
    page = open_page()
    page.get_by_role("button", name="Lisbon as a card").click()
    page.get_by_role("heading", name="Lis", exact=True).wait_for()
    for _ in range(20):
        gate.release()
    page.get_by_role("heading", name="Lisbon").wait_for()
    page.get_by_text("Portugal · 545,000 people").wait_for()
    assert page.get_by_text("Belém").is_visible()
