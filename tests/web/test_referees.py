"""The official clients of AG-UI and of Vercel's AI SDK read real answers of every kind."""

import asyncio
import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import WIRES
from pydantic import BaseModel
from support import sent
from support.loopback import Loopback, Reply
from support.media import PNG
from support.ports import START_SECONDS
from support.served import LIMIT, served
from support.web_app import SECRET, web_app
from support.wire import responses_beside as beside

from cogent import Agent, Image, Source, Tool, ToolCall, ToolResult, tool
from cogent.testing import Finish, ScriptedModel

NODE = Path(__file__).parent / "node"
OPENAI = WIRES[0]
Json = dict[str, Any]

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(
        not (NODE / "node_modules").is_dir(),
        reason="the clients are not installed: npm install --prefix tests/web/node",
    ),
]


class City(BaseModel):
    """A typed answer."""

    name: str
    size: int


@tool
def weather(city: str) -> Json:
    """The weather in a city."""
    return {"city": city, "sky": "rain"}


@tool
def fail() -> str:
    """Fail."""
    raise ValueError("no luck")


paid: list[int] = []


@tool(approval=True)
def pay(amount: int) -> str:
    """Pay an amount."""
    paid.append(amount)
    return f"paid {amount}"


where = Tool.from_schema("where", "Where the page is.", {"type": "object"}, None)
TOOLS = [weather, fail, pay, where]


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    paid.clear()


@contextmanager
def app_for(
    server: Loopback, secret: str | None = SECRET, **settings: Any
) -> Iterator[str]:
    """The address of an app whose agent has tools of every kind."""
    agent = OPENAI.agent(server, **{"tools": TOOLS, **settings})
    with served(web_app(agent, secret=secret, partial=True)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def app_of(*answers: object, **settings: Any) -> Iterator[str]:
    """The address of an app whose agent has a script for a model."""
    agent = Agent("scripted", ScriptedModel(*answers), **settings)
    with served(web_app(agent)) as port:
        yield f"http://127.0.0.1:{port}"


async def play(script: str, order: Json) -> list[Json]:
    """What the client in Node makes of a conversation, step by step."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", str(NODE / script)],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 0 and done.stdout, done.stderr
    return list(json.loads(done.stdout))


async def ag_ui(url: str, *steps: Json, tools: Any = ()) -> list[Json]:
    """A conversation through `@ag-ui/client`."""
    order = {"url": f"{url}/ag_ui", "tools": list(tools), "steps": list(steps)}
    return await play("ag_ui.mjs", order)


async def vercel(url: str, *steps: Json) -> list[Json]:
    """A conversation through `ai`."""
    return await play("vercel.mjs", {"url": f"{url}/vercel", "steps": list(steps)})


def says(text: str, id: str = "u1") -> Json:
    """A step of an AG-UI conversation: the user says something."""
    return {"messages": [{"id": id, "role": "user", "content": text}]}


def sends(text: str) -> Json:
    """A step of a conversation of the AI SDK: the user says something."""
    return {"send": {"text": text}}


def kinds(outcome: Json) -> list[str]:
    """The types of AG-UI events, without repetitions."""
    types = [event["type"] for event in outcome["events"]]
    return [kind for n, kind in enumerate(types) if n == 0 or types[n - 1] != kind]


def parts(outcome: Json, message: int = -1) -> list[Json]:
    """The parts of a message of the AI SDK."""
    return list(outcome["messages"][message]["parts"])


def text(*deltas: str) -> Reply:
    return Reply(OPENAI.send.text(*deltas))


def calls(*calls: tuple[str, str, str], **more: Any) -> Reply:
    return Reply(OPENAI.send.tool_calls(*calls, **more))


def failing(*deltas: str) -> Reply:
    body = OPENAI.send.error_event("it broke", "server_error", "server_error", deltas)
    return Reply(body)


def cut(*deltas: str) -> Reply:
    """An answer that breaks off."""
    body = OPENAI.send.error_event("", None, "", after=deltas)[:-1]
    return Reply(body, end="reset")


BESIDE = [
    "Once.",
    Source("https://example.org/rivers", "Rivers"),
    Source(title="a.pdf"),
    Image(PNG, "image/png"),
    " Twice.",
]
BY_PROVIDER = [
    ToolCall("p1", "search", {"query": "news"}, provider_executed=True),
    ToolResult("p1", "search", "none", provider_executed=True),
    "No news.",
]
CUT_SHORT = ["Looking.", ToolCall("c1", "weather", {"city": "Oslo"}), Finish("length")]
OSLO = ("c1", "weather", '{"city": "Oslo"}')
ROME = ("c2", "weather", '{"city": "Rome"}')


async def test_ag_ui_reads_text_reasoning_and_parallel_tools(server: Loopback) -> None:
    """The verifier accepts every event, and the messages are those of the run."""
    reasoned = OPENAI.send.reasoning("Let me think.", "Hello.")
    server.reply(Reply(reasoned), calls(OSLO, ROME, text="Looking."), text("Rain."))
    with app_for(server) as url:
        first, second = await ag_ui(url, says("Hi"), says("Weather?", "u2"))
    assert first["error"] is None and second["error"] is None
    assert kinds(first)[0] == "RUN_STARTED" and kinds(first)[-1] == "RUN_FINISHED"
    reasoning, answer = first["messages"][-2:]
    assert (reasoning["role"], reasoning["content"]) == ("reasoning", "Let me think.")
    assert (answer["role"], answer["content"]) == ("assistant", "Hello.")
    asked, *results, end = second["messages"][-4:]
    assert asked["content"] == "Looking."
    called = [call["function"]["arguments"] for call in asked["toolCalls"]]
    assert list(map(json.loads, called)) == [{"city": "Oslo"}, {"city": "Rome"}]
    assert {result["toolCallId"] for result in results} == {"c1", "c2"}
    assert end["content"] == "Rain."
    assert second["events"][-1]["usage"][0]["provider"] == "openai"


async def test_ag_ui_sends_the_conversation_back_with_the_providers_items(
    server: Loopback,
) -> None:
    """What was signed of a run comes back with its messages, each once, and stands for them."""
    server.reply(calls(OSLO), text("Rain."), text("Bye."))
    with app_for(server) as url:
        await ag_ui(url, says("Weather?"), says("Thanks", "u2"))
    sent = server.requests[-1].json["input"]
    shapes = [item.get("role") or item["type"] for item in sent]
    assert shapes == [
        "user",
        "function_call",
        "function_call_output",
        "assistant",
        "user",
    ]
    assert "id" in sent[1] and "id" in sent[3]


@pytest.mark.parametrize("reply", [failing("Once"), cut("Once")], ids=["error", "cut"])
async def test_ag_ui_sees_an_error_as_such(server: Loopback, reply: Reply) -> None:
    """RUN_ERROR is the last event, also with a text open."""
    server.reply(reply)
    with app_for(server) as url:
        [outcome] = await ag_ui(url, says("Hi"))
    end = outcome["events"][-1]
    assert end["type"] == "RUN_ERROR"
    assert end["code"] in ("ServerError", "StreamInterrupted")
    assert end["metadata"] == {"retryable": True}


async def test_ag_ui_stops_the_model(server: Loopback) -> None:
    """`abortRun` reaches the provider."""
    body = OPENAI.send.error_event("", None, "", after=["Once"])[:-1]
    server.reply(Reply(body, end="stall"))
    with app_for(server) as url:
        await ag_ui(url, {**says("Hi"), "stopAfter": "TEXT_MESSAGE_CONTENT"})
        assert server.requests[0].wait_disconnected(LIMIT)


@pytest.mark.parametrize("approved", [True, False])
async def test_ag_ui_interrupts_for_an_approval(
    server: Loopback, approved: bool
) -> None:
    """The run ends with an interrupt; its answer resumes it, and the tool runs or does not."""
    server.reply(calls(("c1", "pay", '{"amount": 7}')), text("Well."))
    answer = {"approved": approved, "reason": "too much"}
    resume = [{"interruptId": "c1", "status": "resolved", "payload": answer}]
    with app_for(server) as url:
        first, second = await ag_ui(url, says("Pay"), {"resume": resume})
    outcome = first["events"][-1]["outcome"]
    assert outcome["type"] == "interrupt"
    assert outcome["interrupts"][0]["toolCallId"] == "c1"
    assert second["error"] is None and second["messages"][-1]["content"] == "Well."
    assert paid == ([7] if approved else [])
    result = second["messages"][-2]["content"]
    assert result == ("paid 7" if approved else "Not approved: too much")
    assert server.requests[1].json["input"][-1]["output"] == result


TWO_PAYMENTS = (("c1", "pay", '{"amount": 7}'), ("c2", "pay", '{"amount": 90}'))


def check_third_request(server: Loopback) -> None:
    """The model is sent the whole conversation, each call with its result right after it."""
    body = server.requests[2].json
    written = sent.read(OPENAI, body)
    assert [call[0] for call in written.calls] == ["c1", "c2"]
    assert written.results == [("c1", "paid 7"), ("c2", "Not approved: too much")]
    said = [item.get("role") or item["type"] for item in body["input"]]
    assert said == [
        "user",
        "reasoning",
        "assistant",
        *["function_call"] * 2,
        *["function_call_output"] * 2,
        "assistant",
        "user",
    ]
    assert body["input"][1]["encrypted_content"]


async def test_ag_ui_goes_on_after_an_approved_and_a_rejected_call(
    server: Loopback,
) -> None:
    """The next question has both, with their results and the provider's own items."""
    server.reply(
        calls(*TWO_PAYMENTS, text="Looking.", reasoning="Let me see."),
        text("Well."),
        text("Bye."),
    )
    answers = {
        "c1": {"approved": True},
        "c2": {"approved": False, "reason": "too much"},
    }
    resume = [
        {"interruptId": id, "status": "resolved", "payload": answer}
        for id, answer in answers.items()
    ]
    with app_for(server) as url:
        first, second, third = await ag_ui(
            url, says("Pay"), {"resume": resume}, says("Bye", "u2")
        )
    assert [one["error"] for one in (first, second, third)] == [None] * 3
    assert paid == [7]
    assert third["messages"][-1]["content"] == "Bye."
    check_third_request(server)


async def test_vercel_keeps_the_reason_of_a_no_without_a_signature(
    server: Loopback,
) -> None:
    """It is in the part of the page, for each question that follows."""
    server.reply(calls(("c1", "pay", '{"amount": 7}')), text("Well."), text("Bye."))
    answer = {"id": "c1", "approved": False, "reason": "too much"}
    with app_for(server, None) as url:
        *_, third = await vercel(url, sends("Pay"), {"approve": answer}, sends("Bye"))
    assert third["status"] == "ready" and paid == []
    written = sent.read(OPENAI, server.requests[2].json)
    assert written.results == [("c1", "Not approved: too much")]


async def test_vercel_goes_on_after_an_approved_and_a_rejected_call(
    server: Loopback,
) -> None:
    """The next question has both, with their results and the provider's own items."""
    server.reply(
        calls(*TWO_PAYMENTS, text="Looking.", reasoning="Let me see."),
        text("Well."),
        text("Bye."),
    )
    answers = [
        {"id": "c1", "approved": True},
        {"id": "c2", "approved": False, "reason": "too much"},
    ]
    with app_for(server) as url:
        first, second, third = await vercel(
            url, sends("Pay"), {"approve": answers}, sends("Bye")
        )
    assert [one["status"] for one in (first, second, third)] == ["ready"] * 3
    assert paid == [7]
    states = [p["state"] for p in parts(second) if p["type"] == "tool-pay"]
    assert states == ["output-available", "output-denied"]
    assert parts(third)[-1]["text"] == "Bye."
    check_third_request(server)


async def test_ag_ui_runs_a_tool_of_the_page(server: Loopback) -> None:
    """A front-end tool that only the page knows: asked for, run there, and its result read by the model."""
    server.reply(calls(("c1", "color", "{}")), text("Blue."))
    color = {"name": "color", "description": "The page's color", "parameters": {}}
    result = {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "blue"}
    with app_for(server) as url:
        first, second = await ag_ui(
            url, says("Which color?"), {"messages": [result]}, tools=[color]
        )
    assert first["events"][-1]["outcome"]["pendingToolCallIds"] == ["c1"]
    assert second["messages"][-1]["content"] == "Blue."
    assert server.requests[1].json["input"][-1]["output"] == "blue"


async def test_ag_ui_has_a_typed_answer(server: Loopback) -> None:
    """The value so far as a custom event, and the value itself as the run's result."""
    server.reply(text('{"name": "Os', 'lo", "size": 7}'))
    with app_for(server, output_type=City, tools=()) as url:
        [outcome] = await ag_ui(url, says("A city"))
    custom = [
        event["value"] for event in outcome["events"] if event["type"] == "CUSTOM"
    ]
    assert custom[-1] == outcome["events"][-1]["result"] == {"name": "Oslo", "size": 7}


async def test_ag_ui_has_sources_and_files() -> None:
    """Each a custom event, in its place; the text around them is one message."""
    with app_of(BESIDE) as url:
        [outcome] = await ag_ui(url, says("Hi"))
    assert outcome["error"] is None
    custom = [event for event in outcome["events"] if event["type"] == "CUSTOM"]
    assert [event["name"] for event in custom] == ["source", "source", "file"]
    assert custom[0]["value"] == {
        "url": "https://example.org/rivers",
        "title": "Rivers",
    }
    assert custom[1]["value"] == {"title": "a.pdf"}
    assert custom[2]["value"]["media_type"] == "image/png"
    assert outcome["messages"][-1]["content"] == "Once. Twice."


async def test_ag_ui_reads_calls_that_nobody_runs_here() -> None:
    """One that the provider ran has its result; one that was cut off is closed, and the run ends well."""
    with app_of(BY_PROVIDER, CUT_SHORT, tools=[weather]) as url:
        first, second = await ag_ui(url, says("News?"), says("Weather?", "u2"))
    assert first["error"] is None and second["error"] is None
    asked, result, answer = first["messages"][-3:]
    assert [call["id"] for call in asked["toolCalls"]] == ["p1"]
    assert (result["toolCallId"], result["content"]) == ("p1", "none")
    assert answer["content"] == "No news."
    assert second["events"][-1]["metadata"] == {"finishReason": "length"}


async def test_vercel_reads_text_reasoning_and_parallel_tools(server: Loopback) -> None:
    """The chat ends ready, with the parts of the run in their order."""
    reasoned = OPENAI.send.reasoning("Let me think.", "Hello.")
    error = ("c3", "fail", "{}")
    server.reply(Reply(reasoned), calls(OSLO, error, text="Looking."), text("Rain."))
    with app_for(server) as url:
        first, second = await vercel(url, sends("Hi"), sends("Weather?"))
    assert (first["status"], second["status"]) == ("ready", "ready")
    assert [(part["type"], part.get("text")) for part in parts(first)] == [
        ("step-start", None),
        ("reasoning", "Let me think."),
        ("text", "Hello."),
    ]
    shapes = [(part["type"], part.get("state")) for part in parts(second)]
    assert shapes == [
        ("step-start", None),
        ("text", "done"),
        ("tool-weather", "output-available"),
        ("tool-fail", "output-error"),
        ("step-start", None),
        ("text", "done"),
    ]
    assert parts(second)[2]["input"] == {"city": "Oslo"}
    assert parts(second)[2]["output"] == {"city": "Oslo", "sky": "rain"}
    assert second["ended"]["finishReason"] == "stop"
    assert second["messages"][-1]["metadata"]["tokens"]["total_tokens"] > 0
    assert "id" in server.requests[-1].json["input"][1], "the signed items came back"


@pytest.mark.parametrize("reply", [failing("Once"), cut("Once")], ids=["error", "cut"])
async def test_vercel_sees_an_error_as_such(server: Loopback, reply: Reply) -> None:
    """The chat is in error, with the text so far; asking again gives the whole."""
    server.reply(reply, text("Once upon."))
    with app_for(server) as url:
        first, second = await vercel(url, sends("Hi"), {"regenerate": True})
    assert first["status"] == "error" and first["ended"]["isError"]
    assert parts(first)[-1]["text"] == "Once"
    assert first["data"][-1]["data"]["retryable"] is True
    assert second["status"] == "ready" and parts(second)[-1]["text"] == "Once upon."


async def test_vercel_stops_the_model(server: Loopback) -> None:
    """`stop` reaches the provider."""
    body = OPENAI.send.error_event("", None, "", after=["Once"])[:-1]
    server.reply(Reply(body, end="stall"))
    with app_for(server) as url:
        [outcome] = await vercel(url, {**sends("Hi"), "stopAfter": "Once"})
        assert server.requests[0].wait_disconnected(LIMIT)
    assert outcome["ended"]["isAbort"]


@pytest.mark.parametrize("approved", [True, False])
async def test_vercel_asks_for_an_approval(server: Loopback, approved: bool) -> None:
    """The answer goes on in the same message, and the tool runs or does not."""
    server.reply(calls(("c1", "pay", '{"amount": 7}')), text("Well."), text("Bye."))
    answer = {"id": "c1", "approved": approved, "reason": "too much"}
    with app_for(server) as url:
        first, second, third = await vercel(
            url, sends("Pay"), {"approve": answer}, sends("Bye")
        )
    assert parts(first)[-1]["state"] == "approval-requested"
    assert first["ended"]["finishReason"] == "tool-calls"
    assert second["status"] == "ready" and len(second["messages"]) == 2
    shapes = [(part["type"], part.get("state")) for part in parts(second)]
    ended = "output-available" if approved else "output-denied"
    assert shapes[1:] == [
        ("tool-pay", ended),
        ("step-start", None),
        ("text", "done"),
    ]
    assert paid == ([7] if approved else [])
    output = server.requests[1].json["input"][-1]["output"]
    assert output == ("paid 7" if approved else "Not approved: too much")
    assert third["status"] == "ready"
    sent = server.requests[2].json["input"]
    assert [item.get("role") or item["type"] for item in sent] == [
        "user",
        "function_call",
        "function_call_output",
        "assistant",
        "user",
    ]


@pytest.mark.parametrize("secret", [SECRET, None], ids=["signed", "plain"])
async def test_vercel_runs_a_tool_of_the_page(
    server: Loopback, secret: str | None
) -> None:
    """A tool without a function: run by the page, its result read by the model."""
    server.reply(calls(("c1", "where", "{}")), text("Oslo."))
    output = {"tool": "where", "toolCallId": "c1", "output": {"city": "Oslo"}}
    with app_for(server, secret) as url:
        first, second = await vercel(url, sends("Where?"), {"output": output})
    assert parts(first)[-1]["state"] == "input-available"
    assert parts(second)[-1]["text"] == "Oslo." and len(second["messages"]) == 2
    sent = server.requests[1].json["input"][-1]
    assert json.loads(sent["output"]) == {"city": "Oslo"}


async def test_vercel_has_a_typed_answer(server: Loopback) -> None:
    """The value as a data part that is filled while the answer comes."""
    server.reply(text('{"name": "Os', 'lo", "size": 7}'))
    with app_for(server, output_type=City, tools=()) as url:
        [outcome] = await vercel(url, sends("A city"))
    assert outcome["status"] == "ready"
    [value] = [part for part in parts(outcome) if part["type"] == "data-output"]
    assert value["data"] == {"name": "Oslo", "size": 7}


async def test_vercel_has_sources_and_files() -> None:
    """Each a part that the page knows; a source without a URL is a document."""
    with app_of(BESIDE) as url:
        [outcome] = await vercel(url, sends("Hi"))
    assert outcome["status"] == "ready"
    by_type = {part["type"]: part for part in parts(outcome)}
    assert by_type["source-url"]["url"] == "https://example.org/rivers"
    assert by_type["source-url"]["title"] == "Rivers"
    assert by_type["source-document"]["title"] == "a.pdf"
    assert by_type["file"]["mediaType"] == "image/png"
    data = b64encode(PNG).decode()
    assert by_type["file"]["url"] == f"data:image/png;base64,{data}"
    said = [part["text"] for part in parts(outcome) if part["type"] == "text"]
    assert said == ["Once.", " Twice."]


PAGE = {
    "type": "url_citation",
    "url": "https://example.org/cats",
    "title": "Cats",
    "start_index": 0,
    "end_index": 6,
}


def drawn() -> Reply:
    """A picture that the provider made, and a text with a citation."""
    said = beside.message(beside.part("A cat.", PAGE))
    return Reply(beside.stream(beside.image_generation(PNG), said))


async def test_vercel_goes_on_after_a_providers_sources_and_files(
    server: Loopback,
) -> None:
    """They are parts of the page's message, which comes back, and the provider gets its own items again."""
    server.reply(drawn(), text("Red."))
    with app_for(server) as url:
        first, second = await vercel(url, sends("Draw"), sends("Which color?"))
    assert (first["status"], second["status"]) == ("ready", "ready")
    by_type = {part["type"]: part for part in parts(first)}
    assert by_type["source-url"]["url"] == PAGE["url"]
    assert by_type["file"]["url"].startswith("data:image/png;base64,")
    assert by_type["tool-image_generation"]["providerExecuted"] is True
    assert parts(second)[-1]["text"] == "Red."
    check_items_after_drawing(server)


async def test_ag_ui_goes_on_after_a_providers_sources_and_files(
    server: Loopback,
) -> None:
    """They are custom events, and the provider gets its own items again."""
    server.reply(drawn(), text("Red."))
    with app_for(server) as url:
        first, second = await ag_ui(url, says("Draw"), says("Which color?", "u2"))
    assert first["error"] is None and second["error"] is None
    custom = [event for event in first["events"] if event["type"] == "CUSTOM"]
    assert [event["name"] for event in custom] == ["file", "source"]
    assert custom[1]["value"]["url"] == PAGE["url"]
    check_items_after_drawing(server)


def check_items_after_drawing(server: Loopback) -> None:
    """What the second request holds."""
    items = server.requests[1].json["input"]
    kinds = [item.get("role") or item["type"] for item in items]
    assert kinds == ["user", "image_generation_call", "assistant", "user"]


async def test_vercel_reads_calls_that_nobody_runs_here() -> None:
    """One that the provider ran has its result; one that was cut off is in error, and the chat is ready."""
    with app_of(BY_PROVIDER, CUT_SHORT, tools=[weather]) as url:
        first, second = await vercel(url, sends("News?"), sends("Weather?"))
    assert (first["status"], second["status"]) == ("ready", "ready")
    [by_provider] = [p for p in parts(first) if p["type"] == "tool-search"]
    assert by_provider["state"] == "output-available"
    assert by_provider["providerExecuted"] is True and by_provider["output"] == "none"
    [cut_off] = [p for p in parts(second) if p["type"] == "tool-weather"]
    assert cut_off["state"] == "output-error"
    assert cut_off["errorText"].startswith("Not executed")
    assert second["ended"]["finishReason"] == "length"
