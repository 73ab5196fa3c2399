"""Token counts as servers really send them."""

import json
from typing import Any

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.wire.common import event

from cogent import Agent, Model
from cogent.providers.formats import chat_decoder as chat
from cogent.providers.formats import responses_decoder as responses
from cogent.providers.formats.counts import count
from cogent.run.outputs import TokenCounts

CHAT = {"prompt_tokens": 50, "completion_tokens": 20}


async def anthropic(server: Loopback, *usages: dict[str, Any]) -> dict[str, Any]:
    """The tokens of an Anthropic stream that tells of these usages, the first one at its start."""
    first, *later = usages
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "m", "usage": first}}
    ]
    events += [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": "Hi"},
        }
    ]
    events += [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
        for usage in later
    ]
    events += [{"type": "message_stop"}]
    server.reply(Reply(b"".join(event(data, name=data["type"]) for data in events)))
    model = Model("anthropic:m", base_url=server.url, api_key="key", max_retries=0)
    async with Agent("a", model, stream=True) as agent:
        return (await agent.run("Go")).metadata["tokens"]


@pytest.mark.parametrize("nothing", [0, None, "?", -1, False, [], {}])
async def test_a_later_zero_hides_no_count(server: Loopback, nothing: Any) -> None:
    """What was counted once is not uncounted by a zero, or by what is no count, in a later usage."""
    first = {"input_tokens": 50, "cache_read_input_tokens": 30, "output_tokens": 1}
    later = {
        "input_tokens": nothing,
        "cache_read_input_tokens": nothing,
        "output_tokens": 7,
    }
    tokens = await anthropic(server, first, later)
    assert (
        tokens["input_tokens"],
        tokens["cache_read_tokens"],
        tokens["output_tokens"],
    ) == (80, 30, 7)


async def test_a_compaction_is_counted(server: Loopback) -> None:
    """What a compaction read and wrote is billed and is not in Anthropic's totals; the message itself is."""
    compaction = {
        "type": "compaction",
        "input_tokens": 100,
        "output_tokens": 83,
        "cache_read_input_tokens": 55096,
    }
    message = {"type": "message", "input_tokens": 181, "output_tokens": 8}
    last = {
        "input_tokens": 181,
        "output_tokens": 8,
        "iterations": [compaction, message, None, {"type": "other"}],
    }
    tokens = await anthropic(server, {"input_tokens": 181, "output_tokens": 0}, last)
    assert tokens["total_tokens"] == 55468
    assert (
        tokens["input_tokens"],
        tokens["cache_read_tokens"],
        tokens["output_tokens"],
    ) == (55377, 55096, 91)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"totalTokenCount": 1242}, (1155, 87)),
        ({"totalTokenCount": 112}, (25, 87)),
        ({"totalTokenCount": 1204}, (1155, 49)),
        ({}, (1155, 87)),
    ],
)
async def test_what_tools_read_counts_as_input(
    server: Loopback, usage: dict[str, int], expected: tuple[int, int]
) -> None:
    """Gemini's tool results are input besides the prompt's, unless the total says that they are in it."""
    counts = {
        "promptTokenCount": 25,
        "candidatesTokenCount": 49,
        "toolUsePromptTokenCount": 1130,
    }
    body = {
        "candidates": [
            {"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
        ],
        "usageMetadata": {**counts, "thoughtsTokenCount": 38, **usage},
    }
    server.reply(Reply(json.dumps(body), content_type="application/json"))
    wire = next(wire for wire in WIRES if wire.name == "gemini")
    async with wire.agent(server) as agent:
        tokens = (await agent.run("Go")).metadata["tokens"]
    assert (tokens["input_tokens"], tokens["output_tokens"]) == expected


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens_details": {"cached_tokens": 12}},
        {"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 12},
        {"prompt_tokens_details": None, "num_cached_tokens": 12},
        {"prompt_cache_hit_tokens": 12, "prompt_cache_miss_tokens": 38},
        {"cache_read_input_tokens": 12},
        {"cached_tokens": "12"},
    ],
)
def test_names_of_cached_tokens(usage: dict[str, Any]) -> None:
    """Each compatible server has its own name for what the cache served."""
    assert chat.decode_usage({**CHAT, **usage})["cache_read_tokens"] == 12


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"total_tokens": 70}, (50, 20)),
        ({"total_tokens": 0}, (50, 20)),
        (
            {"total_tokens": 75, "completion_tokens_details": {"reasoning_tokens": 5}},
            (50, 25),
        ),
        (
            {"total_tokens": 70, "completion_tokens_details": {"reasoning_tokens": 5}},
            (50, 20),
        ),
        ({"total_tokens": 90}, (50, 40)),
        ({"total_tokens": 100, "cache_read_input_tokens": 30}, (80, 20)),
        (
            {
                "total_tokens": 100,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 10,
            },
            (80, 20),
        ),
    ],
)
def test_input_and_output_add_up_to_the_total(
    usage: dict[str, Any], expected: tuple[int, int]
) -> None:
    """What only the server's own total holds is reasoning that it does not count as output, or cached input."""
    counts = chat.decode_usage({**CHAT, **usage})
    assert (counts["input_tokens"], counts["output_tokens"]) == expected


ODD = [1.0, "7", "x", True, -3, None, [], {}, float("nan"), float("inf")]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_odd_counts_break_nothing(value: Any) -> None:
    """A field of a usage may hold anything."""
    names = (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "input_tokens",
    )
    usage = dict.fromkeys(
        (*names, "completion_tokens_details", "output_tokens", "input_tokens_details"),
        value,
    )
    for decode in (chat.decode_usage, responses.decode_usage):
        assert all(
            isinstance(number, int) and number >= 0 for number in decode(usage).values()
        )
    outputs = chat.StreamDecoder().decode({"choices": [], "usage": value})
    assert [output for output in outputs if not isinstance(output, TokenCounts)] == []


def test_counts() -> None:
    """A whole number is a count in any form; anything else is none."""
    assert [count(value) for value in ODD] == [
        1,
        7,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "plain"])
async def test_a_negative_count_is_none(server: Loopback, streaming: bool) -> None:
    """What cannot be a count is left out, and estimated like any that is missing."""
    body = {
        "model": "m",
        "message": {"role": "assistant", "content": "Hi"},
        "done": True,
        "done_reason": "stop",
    }
    line = json.dumps({**body, "prompt_eval_count": -3, "eval_count": 2}) + "\n"
    server.reply(Reply(line, content_type="application/x-ndjson"))
    wire = next(wire for wire in WIRES if wire.name == "ollama")
    async with wire.agent(server, stream=streaming) as agent:
        tokens = (await agent.run("Go")).metadata["tokens"]
    assert tokens["input_tokens"] >= 0 and tokens["output_tokens"] == 2


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "plain"])
async def test_a_count_stands_where_the_other_one_is_missing(
    server: Loopback, streaming: bool
) -> None:
    """Ollama leaves out the count of a prompt that it still knows; that of the answer is no estimate then."""
    body = {
        "model": "m",
        "message": {"role": "assistant", "content": "Hello. " * 20},
        "done": True,
        "done_reason": "stop",
        "eval_count": 2,
    }
    server.reply(Reply(json.dumps(body) + "\n", content_type="application/x-ndjson"))
    wire = next(wire for wire in WIRES if wire.name == "ollama")
    async with wire.agent(server, stream=streaming) as agent:
        tokens = (await agent.run("Go")).metadata["tokens"]
    assert tokens["output_tokens"] == 2
    assert tokens["estimated"]


async def test_a_later_zero_beside_a_compaction(server: Loopback) -> None:
    """A last usage with zeros for the message still counts its compaction."""
    compaction = {"type": "compaction", "input_tokens": 100, "output_tokens": 83}
    last = {"input_tokens": 0, "output_tokens": 8, "iterations": [compaction]}
    tokens = await anthropic(server, {"input_tokens": 181, "output_tokens": 0}, last)
    assert (tokens["input_tokens"], tokens["output_tokens"]) == (281, 91)
