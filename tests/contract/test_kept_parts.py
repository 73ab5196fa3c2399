"""What a message is made of besides its text: shown, kept, and sent back to the server that made it."""

import json
from typing import Any

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.scene import answer
from support.wire.common import event

from cogent import Agent, ModelError, tool

RAN: list[str] = []
both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)


@tool
def search(query: str) -> str:
    """Search."""
    RAN.append(query)
    return "found"


def named(name: str) -> Any:
    """The wire of this name."""
    return next(wire for wire in WIRES if wire.name == name)


def chat_reply(
    *deltas: dict[str, Any], streaming: bool = True, finish: str = "stop"
) -> Reply:
    """A chat answer of these deltas; plain, the last one is the message."""
    choices = [{"index": 0, "delta": delta} for delta in deltas] + [
        {"delta": {}, "finish_reason": finish}
    ]
    if streaming:
        return Reply(
            b"".join(event({"choices": [choice]}) for choice in choices)
            + b"data: [DONE]\n\n"
        )
    body = {"choices": [{"message": deltas[-1], "finish_reason": finish}]}
    return Reply(json.dumps(body), content_type="application/json")


async def converse(
    server: Loopback,
    name: str,
    first: Reply,
    second: Reply,
    streaming: bool = True,
    **model: Any,
) -> Any:
    """Two runs, the second with the history of the first; returns the first response and the second request."""
    server.reply(first, second)
    agent: Agent = named(name).agent(
        server, stream=streaming, tools=[search], model=model
    )
    async with agent:
        response = await agent.run("Go")
        await agent.run("And?", history=response.messages)

    return response, server.requests[-1].json


EMPTY_CALLS = [
    {"index": 0, "id": None, "function": {"name": None, "arguments": None}},
    {"index": -1, "id": "", "function": {"name": "", "arguments": ""}},
    {},
    {"function": None},
    None,
]


@both_ways
@pytest.mark.parametrize("name", ["openai-chat", "azure-chat", "groq"])
@pytest.mark.parametrize("call", EMPTY_CALLS, ids=json.dumps)
async def test_an_empty_piece_opens_no_call(
    server: Loopback, name: str, call: Any, streaming: bool
) -> None:
    """A piece of a call without id, name and arguments is none, and no tool runs."""
    server.reply(
        chat_reply({"content": "Hello.", "tool_calls": [call]}, streaming=streaming)
    )
    async with named(name).agent(server, stream=streaming, tools=[search]) as agent:
        response = await agent.run("Go")
    assert (response.content, response.finish_reason, response.tool_calls) == (
        "Hello.",
        "stop",
        [],
    )


THINKING = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Let me "}]},
    {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "see."}],
        "closed": True,
    },
]
SUMMARY = [
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Let me ", "signature": ""}],
    },
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "see.", "signature": "sig"}],
    },
]
PLAIN = [
    {"type": "reasoning", "text": "Let me "},
    {"type": "reasoning", "text": "see."},
]
SENT = {
    "Mistral": (
        THINKING,
        {
            "type": "thinking",
            "thinking": [{"type": "text", "text": "Let me see."}],
            "closed": True,
        },
    ),
    "Databricks": (
        SUMMARY,
        {
            "type": "reasoning",
            "summary": [
                {"type": "summary_text", "text": "Let me see.", "signature": "sig"}
            ],
        },
    ),
    "text": (PLAIN, {"type": "reasoning", "text": "Let me see."}),
}


@pytest.mark.parametrize("who", SENT)
async def test_reasoning_in_a_content_list_is_shown_and_sent_back(
    server: Loopback, who: str
) -> None:
    """Reasoning parts of a content list are reasoning, and go back in the form in which they came, pieces joined."""
    pieces, joined = SENT[who]
    first = chat_reply(
        *({"content": [piece]} for piece in pieces), {"content": "Hello."}
    )
    response, asked = await converse(
        server, "openai-chat", first, chat_reply({"content": "Bye."})
    )
    assert (response.content, response.messages[-1].reasoning) == (
        "Hello.",
        "Let me see.",
    )
    assert asked["messages"][1]["content"] == [
        joined,
        {"type": "text", "text": "Hello."},
    ]


async def test_parts_of_a_plain_answer_stay_apart(server: Loopback) -> None:
    """Parts of a whole message are not joined; one without text is kept, and a string is text."""
    hidden = {"type": "redacted_thinking", "data": "xyz"}
    content = [PLAIN[0], PLAIN[1], hidden, "Hel", {"type": "text", "text": "lo."}]
    first = chat_reply({"content": content}, streaming=False)
    response, asked = await converse(
        server,
        "openai-chat",
        first,
        chat_reply({"content": "Bye."}, streaming=False),
        streaming=False,
    )
    assert (response.content, response.messages[-1].reasoning) == (
        "Hello.",
        "Let me see.",
    )
    assert asked["messages"][1]["content"] == [
        PLAIN[0],
        PLAIN[1],
        hidden,
        {"type": "text", "text": "Hello."},
    ]


async def test_text_between_reasoning_stays_there(server: Loopback) -> None:
    """The parts of a content list go back in the order in which they came."""
    text = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]
    pieces = [PLAIN[0], text[0], PLAIN[1], text[1]]
    first = chat_reply(*({"content": [piece]} for piece in pieces))
    response, asked = await converse(
        server, "openai-chat", first, chat_reply({"content": "Bye."})
    )
    assert (response.content, response.messages[-1].reasoning) == (
        "Hello.",
        "Let me see.",
    )
    assert asked["messages"][1]["content"] == pieces


@both_ways
async def test_a_picture_in_a_content_list_goes_back(
    server: Loopback, streaming: bool
) -> None:
    """A part that is neither text nor reasoning is kept as it came."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [
        {"type": "text", "text": "Look: "},
        picture,
        {"type": "text", "text": "nice."},
    ]
    first = chat_reply({"content": content}, streaming=streaming)
    response, asked = await converse(
        server,
        "openai-chat",
        first,
        chat_reply({"content": "Bye."}),
        streaming=streaming,
    )
    assert response.content == "Look: nice."
    assert asked["messages"][1]["content"] == content


@both_ways
async def test_a_list_of_texts_goes_back_as_text(
    server: Loopback, streaming: bool
) -> None:
    """A content list that holds only text is sent as the text that it is."""
    first = chat_reply(
        {"content": ["Hel", {"type": "text", "text": "lo."}, 7]}, streaming=streaming
    )
    response, asked = await converse(
        server,
        "openai-chat",
        first,
        chat_reply({"content": "Bye."}),
        streaming=streaming,
    )
    assert asked["messages"][1]["content"] == response.content == "Hello."


@both_ways
@pytest.mark.parametrize("name", ["openai-chat", "azure-chat", "groq"])
@pytest.mark.parametrize(
    "call",
    [{}, {"name": None, "arguments": None}, {"name": "", "arguments": ""}],
    ids=json.dumps,
)
async def test_an_empty_function_call_is_none(
    server: Loopback, name: str, call: Any, streaming: bool
) -> None:
    """The older field for a single call opens none where it holds nothing."""
    server.reply(
        chat_reply({"content": "Hello.", "function_call": call}, streaming=streaming)
    )
    response = await run_once(server, name, streaming)
    assert (response.content, response.finish_reason, response.tool_calls) == (
        "Hello.",
        "stop",
        [],
    )


async def run_once(server: Loopback, name: str, streaming: bool) -> Any:
    """The response of one run with a tool."""
    return await answer(named(name).agent(server, stream=streaming, tools=[search]))


@both_ways
async def test_an_empty_call_of_gemini_is_none(
    server: Loopback, streaming: bool
) -> None:
    """A call without a name, an id and arguments is none."""
    parts = [{"text": "Hello."}, {"functionCall": {}}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    whole = Reply(json.dumps(body), content_type="application/json")
    server.reply(Reply(event(body)) if streaming else whole)
    response = await run_once(server, "gemini", streaming)
    assert (response.content, response.finish_reason, response.tool_calls) == (
        "Hello.",
        "stop",
        [],
    )


@both_ways
async def test_an_empty_call_of_ollama_is_none(
    server: Loopback, streaming: bool
) -> None:
    """A call without a name and arguments is none."""
    message = {
        "role": "assistant",
        "content": "Hello.",
        "tool_calls": [{"function": {"name": "", "arguments": {}}}],
    }
    body = {"model": "m", "message": message, "done": True, "done_reason": "stop"}
    server.reply(Reply(json.dumps(body) + "\n", content_type="application/x-ndjson"))
    response = await run_once(server, "ollama", streaming)
    assert (response.content, response.finish_reason, response.tool_calls) == (
        "Hello.",
        "stop",
        [],
    )


# Anthropic


def anthropic_reply(*events: dict[str, Any]) -> Reply:
    """A stream of these events and its end."""
    return Reply(
        b"".join(
            event(data, name=data["type"])
            for data in (*events, {"type": "message_stop"})
        )
    )


def text_delta(text: str) -> dict[str, Any]:
    """A piece of text in block 0."""
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }


CONTAINER = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "container": {"id": "container_1"}},
}


@pytest.mark.parametrize(
    ("model", "sent"), [({}, "container_1"), ({"extra": {"container": "mine"}}, "mine")]
)
async def test_a_container_is_named_in_the_next_request(
    server: Loopback, model: dict[str, Any], sent: str
) -> None:
    """The container of a turn with provider-run code goes with the next request, unless the user names another."""
    answer = anthropic_reply(text_delta("Hello."), CONTAINER)
    response, asked = await converse(
        server, "anthropic", answer, anthropic_reply(text_delta("Bye.")), **model
    )
    assert asked["container"] == sent
    assert asked["messages"][1]["content"] == [{"type": "text", "text": "Hello."}]
    assert response.content == "Hello."


async def test_a_container_of_a_plain_answer(server: Loopback) -> None:
    """A plain answer names its container beside its content."""
    body = {
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "container": {"id": "container_1"},
    }
    answer = Reply(json.dumps(body), content_type="application/json")
    _, asked = await converse(server, "anthropic", answer, answer, streaming=False)
    assert asked["container"] == "container_1"


@pytest.mark.parametrize(
    "stop", [(), ({"type": "content_block_stop", "index": 0},)], ids=["no stop", "stop"]
)
async def test_blocks_without_their_start(
    server: Loopback, stop: tuple[dict[str, Any], ...]
) -> None:
    """Compatible servers leave out the events that announce a block: its pieces say what it is."""
    thought = {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "thinking_delta", "thinking": "Hm."},
    }
    answer = anthropic_reply(text_delta("Hel"), text_delta("lo."), *stop, thought)
    response, _ = await converse(
        server, "anthropic", answer, anthropic_reply(text_delta("Bye."))
    )
    assert (response.content, response.messages[-1].reasoning) == ("Hello.", "Hm.")


async def test_arguments_without_the_start_of_their_call(server: Loopback) -> None:
    """Arguments of a call that was never named are the server's fault, which is told."""
    piece = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": "{}"},
    }
    with pytest.raises(ModelError, match="without the start of its block"):
        await converse(server, "anthropic", anthropic_reply(piece), anthropic_reply())
    assert RAN == []


async def test_blocks_that_share_an_index(server: Loopback) -> None:
    """Blocks that all have index 0, and no start, are all kept, and go back in their order."""
    thought = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "Hm."},
    }
    stop = {"type": "content_block_stop", "index": 0}
    answer = anthropic_reply(
        thought, text_delta("One."), stop, text_delta("Two."), stop
    )
    response, asked = await converse(
        server, "anthropic", answer, anthropic_reply(text_delta("Bye."))
    )
    assert (response.content, response.messages[-1].reasoning) == ("One.Two.", "Hm.")
    kept = [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "One."},
        {"type": "text", "text": "Two."},
    ]
    assert asked["messages"][1]["content"] == kept


@pytest.mark.parametrize("stops", [True, False], ids=["stopped", "not stopped"])
async def test_calls_that_share_an_index(server: Loopback, stops: bool) -> None:
    """Calls that all have index 0 are all run, and go back in their order, also where no block is stopped."""
    RAN.clear()
    events: list[dict[str, Any]] = []
    for query in ("a", "b"):
        block = {"type": "tool_use", "id": query, "name": "search", "input": {}}
        arguments = {
            "type": "input_json_delta",
            "partial_json": json.dumps({"query": query}),
        }
        events.append(
            {"type": "content_block_start", "index": 0, "content_block": block}
        )
        events.append({"type": "content_block_delta", "index": 0, "delta": arguments})
        events += [{"type": "content_block_stop", "index": 0}] * stops
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    server.reply(anthropic_reply(*events, end), anthropic_reply(text_delta("Bye.")))
    await run_once(server, "anthropic", True)
    assert sorted(RAN) == ["a", "b"]
    sent = server.requests[-1].json["messages"][1]["content"]
    assert [(block["id"], block["input"]) for block in sent] == [
        ("a", {"query": "a"}),
        ("b", {"query": "b"}),
    ]


async def test_a_container_is_not_named_to_another_server(server: Loopback) -> None:
    """A container belongs to the server that made it."""
    with Loopback() as other:
        server.reply(anthropic_reply(text_delta("Hello."), CONTAINER))
        other.reply(anthropic_reply(text_delta("Bye.")))

        async with named("anthropic").agent(server, stream=True) as agent:
            response = await agent.run("Go")
        async with named("anthropic").agent(other, stream=True) as agent:
            await agent.run("And?", history=response.messages)
        assert "container" not in other.requests[0].json


@both_ways
async def test_a_turn_that_is_continued_names_its_container(
    server: Loopback, streaming: bool
) -> None:
    """The request that continues a paused turn names the container of that turn."""
    pause = {"stop_reason": "pause_turn", "container": {"id": "container_1"}}
    events = [text_delta("Hel"), {"type": "message_delta", "delta": pause}]
    whole = json.dumps({"content": [{"type": "text", "text": "Hel"}], **pause})
    last = json.dumps(
        {"content": [{"type": "text", "text": "lo."}], "stop_reason": "end_turn"}
    )
    if streaming:
        server.reply(
            anthropic_reply(*events), anthropic_reply(text_delta("lo."), CONTAINER)
        )
    else:
        server.reply(
            *(Reply(body, content_type="application/json") for body in (whole, last))
        )
    response = await run_once(server, "anthropic", streaming)
    assert response.content == "Hello."
    assert server.requests[1].json["container"] == "container_1"
