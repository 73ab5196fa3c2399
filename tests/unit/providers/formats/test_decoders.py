"""What servers really send, one event at a time: the decoders are pure, so an event is a test case."""

from typing import Any

import pytest

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.providers.formats import chat_decoder as chat
from cogent.providers.formats import responses_decoder as responses
from cogent.run.outputs import FinishWord, Item, TokenCounts


def chunk(delta: Any = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat stream with this delta in its first choice."""
    return {"model": "m", "choices": [{"index": 0, "delta": delta, **more}]}


def said(event: dict[str, Any]) -> list[tuple[str, str]]:
    """What an event says to the user: its text and its reasoning."""
    parts = [
        part
        for part in chat.StreamDecoder().decode(event)
        if isinstance(part, StreamChunk)
    ]
    return [
        ("text", part.content) if part.content else ("reasoning", part.reasoning)
        for part in parts
    ]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (chunk({"content": "a"}), [("text", "a")]),
        (chunk({"role": "assistant", "content": "a"}), [("text", "a")]),
        (chunk({"content": ""}), []),
        (chunk({"content": None, "tool_calls": None}), []),
        (chunk(None), []),
        ({"model": "", "choices": []}, []),
        ({"choices": None, "usage": None}, []),
        (chunk({"content": "last"}, finish_reason="stop"), [("text", "last")]),
        (chunk({"reasoning_content": "r", "content": None}), [("reasoning", "r")]),
        (chunk({"reasoning": "r", "reasoning_content": "r"}), [("reasoning", "r")]),
        (
            chunk(
                {"reasoning_details": [{"type": "reasoning.summary", "summary": "s"}]}
            ),
            [("reasoning", "s")],
        ),
        (chunk({"reasoning": None, "reasoning_details": []}), []),
        (
            chunk(
                {
                    "content": [
                        {
                            "type": "thinking",
                            "thinking": [{"type": "text", "text": "t"}],
                        }
                    ]
                }
            ),
            [("reasoning", "t")],
        ),
        (
            chunk({"content": [{"type": "text", "text": "x"}, {"type": "reference"}]}),
            [("text", "x")],
        ),
        (chunk({"refusal": "no"}), [("text", "no")]),
        (chunk({"refusal": ""}), []),
        ({"choices": [{"index": 1, "delta": {"content": "other"}}]}, []),
        (
            {
                "choices": [
                    {"index": 1, "delta": {"content": "b"}},
                    {"delta": {"content": "a"}},
                ]
            },
            [("text", "a")],
        ),
    ],
)
def test_text_and_reasoning_of_a_chat_chunk(
    event: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Text and reasoning are found wherever servers put them, and nothing is said twice."""
    assert said(event) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}},
            ToolCallDelta(0, "c", "f", "{"),
        ),
        (
            {"index": 0, "id": "", "function": {"name": None, "arguments": "}"}},
            ToolCallDelta(0, None, "", "}"),
        ),
        (
            {"id": "c", "function": {"name": "f", "arguments": None}},
            ToolCallDelta(None, "c", "f", ""),
        ),
        (
            {"function": {"name": "f", "arguments": {"a": 1}}},
            ToolCallDelta(None, None, "f", '{"a": 1}'),
        ),
        ({"index": 2, "id": "c"}, ToolCallDelta(2, "c", "", "")),
    ],
)
def test_tool_call_pieces_of_a_chat_chunk(
    call: dict[str, Any], expected: ToolCallDelta
) -> None:
    """Id, index, name and arguments may each be missing or null; arguments may be an object."""
    parts = list(chat.StreamDecoder().decode(chunk({"tool_calls": [call]})))
    assert parts[0] == StreamChunk(tool_call=expected)


def test_a_function_call_of_the_former_format_is_a_call() -> None:
    """Servers that still write `function_call` are understood."""
    (part, *_) = chat.StreamDecoder().decode(
        chunk({"function_call": {"name": "f", "arguments": "{}"}})
    )
    assert part == StreamChunk(tool_call=ToolCallDelta(None, None, "f", "{}"))


DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16},
            (9, 7, None, None),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16, **DETAILS},
            (9, 7, 4, 5),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 21, **DETAILS},
            (9, 12, 4, 5),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": None, "total_tokens": None},
            (9, None, None, None),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "prompt_cache_hit_tokens": 8},
            (9, 7, 8, None),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": None},
            (9, 7, None, None),
        ),
    ],
)
def test_usage_of_a_chat_chunk(
    usage: dict[str, Any], expected: tuple[int | None, ...]
) -> None:
    """Counts keep to what the server gave; reasoning outside completion_tokens is added to the output."""
    found = chat.decode_usage(usage)
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
    assert tuple(found.get(name) for name in names) == expected


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        {"choices": None, "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        {
            **chunk({}, finish_reason="stop"),
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        },
        chunk(
            {"content": "x"},
            usage={"prompt_tokens": 1, "completion_tokens": 2},
            finish_reason="stop",
        ),
        {
            **chunk({}),
            "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        },
    ],
)
def test_usage_is_found_wherever_it_is(event: dict[str, Any]) -> None:
    """Usage may come with or without choices, on the choice, or in a server's own field."""
    outputs = [*chat.StreamDecoder().decode(event)]
    assert outputs[-1] == TokenCounts({"input_tokens": 1, "output_tokens": 2})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.in_progress", "response": {}},
        {"type": "response.content_part.added", "part": {}},
        {"type": "response.an_event_of_next_year", "delta": "x"},
        {"type": "keepalive"},
    ],
)
def test_responses_events_that_say_nothing_new(event: dict[str, Any]) -> None:
    """Events that repeat, announce, or are not known give nothing."""
    assert list(responses.StreamDecoder().decode(event)) == []


def test_server_tools_of_a_response_are_kept_for_the_next_request() -> None:
    """An item of a tool that ran at the provider is told apart from our calls, and goes back with the conversation."""
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    decoder = responses.StreamDecoder()
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    *told, kept = [*decoder.decode(done), *decoder.close()]
    assert kept == Item(item, position=0)
    chunks = [output for output in told if isinstance(output, StreamChunk)]
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert calls and all(call.provider_executed for call in calls)


def test_an_incomplete_response_tells_its_reason() -> None:
    """The word of an incomplete response is its reason, that of a complete one its status."""
    incomplete = {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
    }
    for kind, response, word in [
        ("response.incomplete", incomplete, "max_output_tokens"),
        (
            "response.completed",
            {"status": "completed", "incomplete_details": None},
            "completed",
        ),
    ]:
        (update,) = responses.StreamDecoder().decode(
            {"type": kind, "response": response}
        )
        assert update == FinishWord(word)
