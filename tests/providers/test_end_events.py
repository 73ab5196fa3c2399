"""What comes only in an end event of a Responses stream counts, and what was streamed is what is sent back."""

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.scene import answer, body_of, read
from support.wire.common import encode, event

from cogent import Response, StreamChunk, tool
from cogent.providers.formats.responses_decoder import StreamDecoder
from cogent.run.turn import Turn

Json = dict[str, Any]
RESPONSES = [wire for wire in WIRES if wire.send.__name__.endswith("openai_responses")]
TEXT, REFUSAL, ARGUMENTS = "The answer is 4", "I cannot do that", '{"city": "Oslo"}'
THOUGHT, SUMMARY = "two and two", "**Adding**\n\nIt is a sum"


@pytest.fixture(params=RESPONSES, ids=lambda wire: wire.name)
def responses(request: pytest.FixtureRequest) -> Wire:
    """Each provider that speaks the Responses format."""
    return request.param


def message(*parts: Json, **more: Any) -> Json:
    """A message item with this content."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [*parts],
        **more,
    }


def said(text: str) -> Json:
    """A part with this text."""
    return {"type": "output_text", "text": text, "annotations": []}


MESSAGE = message(said(TEXT))
REFUSED = message({"type": "refusal", "refusal": REFUSAL})
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "weather",
    "arguments": ARGUMENTS,
}
SUMMARIZED = {
    "id": "rs_1",
    "type": "reasoning",
    "encrypted_content": "x",
    "summary": [{"type": "summary_text"}],
}
SUMMARIZED["summary"] = [{"type": "summary_text", "text": SUMMARY}]
THOUGHTFUL = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": THOUGHT}],
}


def at(item: Json, index: int = 0) -> Json:
    """The fields by which an event says which item and part it is about."""
    return {
        "item_id": item["id"],
        "output_index": index,
        "content_index": 0,
        "summary_index": 0,
    }


def events_of(item: Json) -> dict[str, list[Json]]:
    """The events of one item: each list alone says all that is in it."""
    opened = {**item, "status": "in_progress"}
    for field in ("content", "summary", "arguments"):
        if field in opened:
            opened[field] = "" if field == "arguments" else []
    if item["type"] == "function_call":
        part, key, name = (
            {"arguments": ARGUMENTS},
            "arguments",
            "function_call_arguments",
        )
    else:
        part = (item.get("content") or item["summary"])[0]
        key = "refusal" if part["type"] == "refusal" else "text"
        name = {"summary_text": "reasoning_summary_text"}.get(
            part["type"], part["type"]
        )
    part_name = "reasoning_summary_part" if "summary" in name else "content_part"
    middle, place = len(part[key]) // 2, at(item)
    deltas = (part[key][:middle], part[key][middle:])
    whole_part = [] if item["type"] == "function_call" else [part]
    return {
        "added": [
            {"type": "response.output_item.added", "output_index": 0, "item": opened}
        ],
        "delta": [
            {"type": f"response.{name}.delta", **place, "delta": delta}
            for delta in deltas
        ],
        "done": [{"type": f"response.{name}.done", **place, key: part[key]}],
        "part": [
            {"type": f"response.{part_name}.done", **place, "part": part}
            for part in whole_part
        ],
        "item": [
            {"type": "response.output_item.done", "output_index": 0, "item": item}
        ],
    }


def completed(*output: Json) -> Json:
    """The event that ends a response with this output."""
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    return {
        "type": "response.completed",
        "response": {
            "model": "m",
            "status": "completed",
            "output": output,
            "usage": usage,
        },
    }


def stream_of(*events: Json) -> Reply:
    """These events as a stream."""
    return Reply([event(data, data["type"]) for data in events])


@tool
def weather(city: str = "") -> str:
    """The weather in a city."""
    return f"rain in {city}"


async def run(
    wire: Wire, server: Loopback, *replies: Reply, **options: Any
) -> tuple[list[StreamChunk], Response]:
    """The chunks and the response of a streamed run that gets these replies."""
    server.reply(*replies)
    return await read(wire.agent(server, tools=[weather]), **options)


async def ask(wire: Wire, server: Loopback, body: bytes) -> Response:
    """The response of one plain request that is answered with this body."""
    server.reply(body_of(body))
    return await answer(wire.agent(server))


async def play(
    wire: Wire, server: Loopback, *events: Json
) -> tuple[list[StreamChunk], Response]:
    """The same for a run whose first answer is these events; after a call it ends with text."""
    called = any('"function_call' in json.dumps(data) for data in events)
    return await run(
        wire, server, stream_of(*events), *[Reply(wire.send.text("Done."))] * called
    )


async def sent_back(wire: Wire, server: Loopback, *events: Json) -> list[Json]:
    """The items that the next request sends of an answer that was these events."""
    _, response = await play(wire, server, *events)
    if len(server.requests) < 2:
        await run(
            wire, server, Reply(wire.send.text("Yes.")), history=response.messages
        )
    return [item for item in server.requests[1].json["input"] if "type" in item]


def turn_of(events: list[Json]) -> tuple[Turn, list[StreamChunk]]:
    """What the decoder and the accumulator make of these events."""
    decoder, turn, chunks = StreamDecoder(), Turn("1"), []
    for part in [part for data in events for part in decoder.decode(data)]:
        if not isinstance(part, StreamChunk):
            turn.update(part)
        elif turn.add(part):
            chunks.append(part)
    return turn, chunks


def subsets() -> Iterator[tuple[str, ...]]:
    """Every choice of the kinds of events that may hold a text."""
    kinds = ("added", "delta", "done", "part", "item", "completed")
    for size in range(1, len(kinds) + 1):
        yield from combinations(kinds, size)


def chosen(item: Json, kinds: tuple[str, ...]) -> list[Json]:
    """The item's events of these kinds, and an end that holds the item only if `completed` is one."""
    events = [
        data for kind, said in events_of(item).items() if kind in kinds for data in said
    ]
    return [*events, completed(*([item] if "completed" in kinds else []))]


@pytest.mark.parametrize(
    "kinds", [kinds for kinds in subsets() if kinds != ("added",)], ids="-".join
)
@pytest.mark.parametrize(
    ("item", "text", "reasoning"),
    [
        (MESSAGE, TEXT, ""),
        (REFUSED, REFUSAL, ""),
        (SUMMARIZED, "", SUMMARY),
        (THOUGHTFUL, "", THOUGHT),
    ],
    ids=["text", "refusal", "summary", "reasoning"],
)
def test_a_text_is_given_once_whichever_events_hold_it(
    item: Json, text: str, reasoning: str, kinds: tuple[str, ...]
) -> None:
    """Deltas, done events and end events say the same, and each alone is enough."""
    turn, chunks = turn_of(chosen(item, kinds))
    assert turn.content == text == "".join(chunk.content for chunk in chunks)
    assert turn.reasoning == reasoning == "".join(chunk.reasoning for chunk in chunks)
    assert turn.refused == (item is REFUSED)


@pytest.mark.parametrize(
    "kinds", [kinds for kinds in subsets() if "part" not in kinds], ids="-".join
)
def test_a_call_comes_once_whichever_events_hold_it(kinds: tuple[str, ...]) -> None:
    """A call and its arguments may come whole or in pieces, early or late."""
    turn, chunks = turn_of(chosen(CALL, kinds))
    (call,) = turn.calls()
    has_arguments = kinds != ("added",)
    assert call.arguments == ({"city": "Oslo"} if has_arguments else "")
    pieces = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert "".join(piece.arguments for piece in pieces) == (
        ARGUMENTS if has_arguments else ""
    )
    if {"added", "item", "completed"} & {*kinds}:
        assert (call.id, call.name) == ("call_1", "weather")


@pytest.mark.parametrize("kind", ["delta", "done", "part", "item", "completed"])
@pytest.mark.parametrize(
    ("item", "text", "reasoning"),
    [
        (MESSAGE, TEXT, ""),
        (REFUSED, REFUSAL, ""),
        (SUMMARIZED, "", SUMMARY),
        (THOUGHTFUL, "", THOUGHT),
    ],
    ids=["text", "refusal", "summary", "reasoning"],
)
async def test_one_kind_of_event_is_enough(
    responses: Wire, server: Loopback, item: Json, text: str, reasoning: str, kind: str
) -> None:
    """A user sees the answer of a server that sends only one of the events that may hold it."""
    chunks, response = await play(responses, server, *chosen(item, (kind,)))
    assert response.content == text == "".join(chunk.content for chunk in chunks)
    assert "".join(chunk.reasoning for chunk in chunks) == reasoning
    assert response.finish_reason == ("content_filter" if item is REFUSED else "stop")


@pytest.mark.parametrize(
    "kinds", [("added", "done"), ("item",), ("completed",)], ids="-".join
)
async def test_a_call_without_deltas_is_run(
    responses: Wire, server: Loopback, kinds: tuple[str, ...]
) -> None:
    """The tool runs with the arguments of the end event."""
    _, response = await play(responses, server, *chosen(CALL, kinds))
    (call,) = response.tool_calls
    assert call.result is not None and call.result.content == "rain in Oslo"
    assert response.content == "Done."


@pytest.mark.parametrize("form", ["done", "part", "item", "completed"])
async def test_a_second_part_that_is_only_in_an_end_event(
    responses: Wire, server: Loopback, form: str
) -> None:
    """Deltas of the first part do not hide a second one that came without."""
    item = message(said("First. "), said("Second."))
    second = {**at(item), "content_index": 1}
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": message()},
        {"type": "response.output_text.delta", **at(item), "delta": "First. "},
        *[{"type": "response.output_text.done", **second, "text": "Second."}]
        * (form == "done"),
        *[{"type": "response.content_part.done", **second, "part": said("Second.")}]
        * (form == "part"),
        *[{"type": "response.output_item.done", "output_index": 0, "item": item}]
        * (form == "item"),
        completed(*[item] * (form == "completed")),
    ]
    _, response = await play(responses, server, *events)
    assert response.content == "First. Second."


@pytest.mark.parametrize("form", ["done", "part", "item", "completed"])
@pytest.mark.parametrize(
    "text",
    ["The answer is 4", "The answer", "", "No!"],
    ids=["more", "less", "empty", "other"],
)
async def test_an_end_event_goes_on_where_the_deltas_stopped(
    responses: Wire, server: Loopback, form: str, text: str
) -> None:
    """Of an end event that holds more the rest is given; one that holds less or something else changes nothing."""
    item = message(said(text))
    expected = "The answer is 4" if text == "The answer is 4" else "The answer is"
    events = events_of(item)
    deltas = [
        {"type": "response.output_text.delta", **at(item), "delta": delta}
        for delta in ("The answer", " is")
    ]
    ends = completed(item) if form == "completed" else completed()
    chunks, response = await play(
        responses, server, *events["added"], *deltas, *events.get(form, []), ends
    )
    assert response.content == expected == "".join(chunk.content for chunk in chunks)


@pytest.mark.parametrize(
    "place",
    [
        {"item_id": "msg_1", "output_index": 0, "content_index": 0},
        {"item_id": "msg_1"},
        {"output_index": 0},
        {},
        {"item_id": "another", "output_index": 0, "content_index": 0},
        {"item_id": "msg_1", "output_index": 7, "content_index": 3},
        {"item_id": "", "output_index": 0},
    ],
)
async def test_nothing_is_given_twice_where_events_disagree_on_their_place(
    responses: Wire, server: Loopback, place: Json
) -> None:
    """Ids that change, indexes that are missing or wrong: the end events still repeat what was streamed."""
    item, delta = MESSAGE, "response.output_text.delta"
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": message()},
        *[
            {"type": delta, **place, "delta": piece}
            for piece in ("The answer ", "is 4")
        ],
        {"type": "response.output_text.done", **at(item), "text": TEXT},
        {"type": "response.content_part.done", **at(item), "part": said(TEXT)},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        completed({**item, "id": "msg_of_the_end"}),
    ]
    assert (await play(responses, server, *events))[1].content == TEXT


@pytest.mark.parametrize(
    "index", [{}, {"output_index": 0}], ids=["no index", "always 0"]
)
async def test_items_that_share_an_index_are_all_given(
    responses: Wire, server: Loopback, index: Json
) -> None:
    """A server that numbers no items, or gives all the same number, loses none of them."""
    items = [
        message(said("One. ")),
        {**CALL},
        {**CALL, "id": "fc_2", "call_id": "call_2"},
    ]
    events = [
        {"type": "response.output_item.done", **index, "item": item} for item in items
    ]
    _, response = await play(responses, server, *events, completed())
    assert [call.id for call in response.tool_calls] == ["call_1", "call_2"]
    assert response.content.startswith("One. ")


async def test_reasoning_that_the_end_event_calls_something_else_is_given_once(
    responses: Wire, server: Loopback
) -> None:
    """A gateway streams a summary with the message, and puts it into an item of its own at the end."""
    reasoning = {
        "id": "rs_9",
        "type": "reasoning",
        "summary": [],
        "content": [said(THOUGHT)],
    }
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": message()},
        {
            "type": "response.reasoning_summary_text.delta",
            **at(MESSAGE),
            "delta": THOUGHT,
        },
        {"type": "response.output_text.delta", **at(MESSAGE), "delta": TEXT},
        {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
        completed(reasoning, MESSAGE),
    ]
    chunks, response = await play(responses, server, *events)
    assert "".join(chunk.reasoning for chunk in chunks) == THOUGHT
    assert response.content == TEXT


async def test_text_of_a_reasoning_item_is_reasoning(
    responses: Wire, server: Loopback
) -> None:
    """Whatever the parts of a reasoning item are called, they are no answer, streamed or not."""
    reasoning = {
        "id": "rs_9",
        "type": "reasoning",
        "summary": [],
        "content": [said(THOUGHT)],
    }
    body = completed(reasoning, MESSAGE)["response"]
    chunks, response = await play(responses, server, completed(reasoning, MESSAGE))
    assert (response.content, "".join(chunk.reasoning for chunk in chunks)) == (
        TEXT,
        THOUGHT,
    )
    response = await ask(responses, server, encode(body))
    assert response.content == TEXT
    assert response.messages[-1].reasoning == THOUGHT


# What is sent back


@pytest.mark.parametrize(
    "content", [[], [said("The")], [said("Something else")], None], ids=str
)
async def test_the_text_that_was_streamed_is_sent_back(
    responses: Wire, server: Loopback, content: Any
) -> None:
    """An end event that holds less than was streamed does not take it out of the conversation."""
    events = events_of(MESSAGE)
    item = {**MESSAGE, "content": content}
    events["item"] = [
        {"type": "response.output_item.done", "output_index": 0, "item": item}
    ]
    back = await sent_back(
        responses,
        server,
        *events["added"],
        *events["delta"],
        *events["item"],
        completed(item),
    )
    assert [part["text"] for part in back[0]["content"]] == [TEXT]
    assert back[0]["id"] == "msg_1"


@pytest.mark.parametrize(
    "summary", [[], [{"type": "summary_text", "text": "**Add"}], None], ids=str
)
async def test_the_summary_that_was_streamed_is_sent_back(
    responses: Wire, server: Loopback, summary: Any
) -> None:
    """The same holds for a summary of reasoning, whose encrypted content stays."""
    events = events_of(SUMMARIZED)
    done = {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {**SUMMARIZED, "summary": summary},
    }
    others = {"type": "response.output_item.done", "output_index": 1, "item": MESSAGE}
    back = await sent_back(
        responses, server, *events["added"], *events["delta"], done, others, completed()
    )
    assert back[0] == SUMMARIZED


@pytest.mark.parametrize("arguments", ["", None, "{}", '{"city": "Rome"}', '{"ci'])
async def test_the_arguments_that_were_streamed_are_run_and_sent_back(
    responses: Wire, server: Loopback, arguments: Any
) -> None:
    """The tool, the model and the user are told of the same arguments."""
    events = events_of(CALL)
    done = {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {**CALL, "arguments": arguments},
    }
    back = await sent_back(
        responses,
        server,
        *events["added"],
        *events["delta"],
        done,
        completed(done["item"]),
    )
    assert [item["arguments"] for item in back if item["type"] == "function_call"] == [
        ARGUMENTS
    ]
    assert [
        item["output"] for item in back if item["type"] == "function_call_output"
    ] == ["rain in Oslo"]


async def test_pieces_that_are_no_json_give_way_to_whole_arguments(
    responses: Wire, server: Loopback
) -> None:
    """A piece that was lost on the way does not spoil a call that came whole in the end."""
    events = events_of(CALL)
    back = await sent_back(
        responses,
        server,
        *events["added"],
        events["delta"][1],
        *events["done"],
        completed(CALL),
    )
    assert [item["arguments"] for item in back if item["type"] == "function_call"] == [
        ARGUMENTS
    ]
    assert [
        item["output"] for item in back if item["type"] == "function_call_output"
    ] == ["rain in Oslo"]


@pytest.mark.parametrize("streamed", [True, False])
async def test_items_that_only_the_end_event_holds_are_sent_back(
    responses: Wire, server: Loopback, streamed: bool
) -> None:
    """Reasoning that came only with the output stands before the message that followed it."""
    events = events_of(MESSAGE)
    deltas = [*events["added"], *events["delta"], *events["item"]] if streamed else []
    assert await sent_back(
        responses, server, *deltas, completed(SUMMARIZED, MESSAGE)
    ) == [
        SUMMARIZED,
        MESSAGE,
    ]


async def test_items_that_the_end_event_leaves_out_are_sent_back(
    responses: Wire, server: Loopback
) -> None:
    """An end event with an empty or a shorter output takes nothing away."""
    done = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate((SUMMARIZED, MESSAGE))
    ]
    assert await sent_back(responses, server, *done, completed(MESSAGE)) == [
        SUMMARIZED,
        MESSAGE,
    ]


async def test_text_without_any_item_is_sent_back(
    responses: Wire, server: Loopback
) -> None:
    """Deltas and nothing else are an answer that the next request holds, beside a call that came with its item."""
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": TEXT}
    call = {"type": "response.output_item.done", "output_index": 1, "item": CALL}
    back = await sent_back(responses, server, delta, call, completed())
    assert [part["text"] for part in back[0]["content"]] == [TEXT]
    assert [item["type"] for item in back] == [
        "message",
        "function_call",
        "function_call_output",
    ]


async def test_a_gap_in_the_sequence_leaves_what_was_streamed(
    responses: Wire, server: Loopback
) -> None:
    """Where events are missing, a text that began stays as it was shown, and one that did not comes whole."""
    item = message(said(TEXT), said(" or so"))
    events = [
        {
            "type": "response.output_text.delta",
            **at(item),
            "delta": "The answer",
            "sequence_number": 4,
        },
        {
            "type": "response.output_text.done",
            **at(item),
            "text": TEXT,
            "sequence_number": 9,
        },
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": item,
            "sequence_number": 10,
        },
    ]
    assert (await play(responses, server, *events, completed(item)))[
        1
    ].content == "The answer or so"


async def test_a_usual_answer_is_sent_back_as_it_came(
    responses: Wire, server: Loopback
) -> None:
    """Where the events agree, each item goes back unchanged."""
    call = responses.send.tool_calls(
        ("call_1", "weather", ARGUMENTS), text="Well.", reasoning=SUMMARY
    )
    _, response = await run(
        responses, server, Reply(call), Reply(responses.send.text("Done."))
    )
    items = response.messages[1].items
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call"]
    assert server.requests[1].json["input"][1:4] == items


@pytest.mark.parametrize(
    ("kind", "reason", "finish", "word"),
    [
        ("completed", None, "stop", "completed"),
        ("incomplete", "max_output_tokens", "length", "max_output_tokens"),
    ],
)
async def test_an_end_event_without_a_status_is_an_end(
    responses: Wire,
    server: Loopback,
    kind: str,
    reason: str | None,
    finish: str,
    word: str,
) -> None:
    """Some servers send little more with it than the usage; its own name says how the response ended."""
    given = {"model": "m", "incomplete_details": reason and {"reason": reason}}
    end = {"type": f"response.{kind}", "response": given}
    events = [*events_of(MESSAGE)["item"], end]
    server.reply(Reply([event(data, data["type"]) for data in events]))
    _, response = await read(responses.agent(server))
    assert (response.content, response.finish_reason) == (TEXT, finish)
    assert response.metadata["raw_finish_reason"] == word
