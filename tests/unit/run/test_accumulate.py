"""What a run remembers: calls from their pieces, the usage from its reports, the text from its chunks."""

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.messages import Message, ToolCall, Usage
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.run.conversation import Run
from cogent.run.outputs import FinishWord, Item, Refusal, TokenCounts, WholeCall
from cogent.run.turn import Turn

few = settings(deadline=None, max_examples=30, database=None, derandomize=True)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
objects = st.dictionaries(st.text(max_size=6), values, max_size=3)
names = st.sampled_from(["search", "fetch"])
asked = st.lists(st.tuples(names, objects), min_size=1, max_size=4)
randoms = st.randoms(use_true_random=False)


def _pieces(text: str, rng: random.Random) -> list[str]:
    """The text in pieces, none of them empty."""
    places = rng.sample(range(1, len(text)), min(rng.randrange(4), len(text) - 1))
    cuts = [0, *sorted(places), len(text)]
    return [text[start:stop] for start, stop in pairwise(cuts)]


def _stream(
    calls: Sequence[tuple[str, Any]], rng: random.Random, **how: bool
) -> list[list[ToolCallDelta]]:
    """The pieces of each call; `how` says what of id, index and name each piece or only the first one has."""
    streams = []
    for place, (name, arguments) in enumerate(calls):
        index = 0 if how.get("zero") else place if how.get("index") else None
        deltas = [
            ToolCallDelta(index, arguments=piece)
            for piece in _pieces(json.dumps(arguments), rng)
        ]
        if rng.random() < 0.5:
            deltas.insert(
                0, ToolCallDelta(index)
            )  # most servers open a call with empty arguments
        for number, delta in enumerate(deltas):
            delta.name = name if not number or how.get("every_name") else ""
            id = "id" if how.get("one_id") else f"id{place}"
            delta.id = (
                id if how.get("every_id") or (how.get("id") and not number) else None
            )
        streams.append(deltas)
    return streams


def _shuffled(
    streams: list[list[ToolCallDelta]], rng: random.Random
) -> list[ToolCallDelta]:
    """One list in which calls open in order, and the pieces of each stay in theirs."""
    opened = [stream[0] for stream in streams]
    rest = [place for place, stream in enumerate(streams) for _ in stream[1:]]
    rng.shuffle(rest)
    iterators = [iter(stream[1:]) for stream in streams]
    return opened + [next(iterators[place]) for place in rest]


def _turn(deltas: Sequence[ToolCallDelta]) -> Turn:
    turn = Turn("7")
    for delta in deltas:
        turn.add(StreamChunk(tool_call=delta))
    return turn


def _found(turn: Turn) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in turn.calls()]


TOGETHER = {
    "by id": {"every_id": True},
    "by id, all at index 0": {"every_id": True, "zero": True},
    "by id, every piece named": {"every_id": True, "every_name": True},
    "by index": {"index": True, "id": True},
    "by index, without ids": {"index": True},
    "by index, every piece named": {"index": True, "every_name": True},
    "by index, one id for all": {"index": True, "id": True, "one_id": True},
    "by index, one id for all, everything repeated": {
        "index": True,
        "every_id": True,
        "every_name": True,
        "one_id": True,
    },
    "by both, everything repeated": {
        "index": True,
        "every_id": True,
        "every_name": True,
    },
}
ONE_BY_ONE = {
    "by position": {},
    "by position, every piece named": {"every_name": True},
    "by position, an id on the first": {"id": True},
    "index 0 for every call, new ids": {"zero": True, "id": True},
    "index 0 for every call, no ids": {"zero": True},
    "index 0 for every call, no ids, every piece named": {
        "zero": True,
        "every_name": True,
    },
}


@pytest.mark.parametrize("how", TOGETHER.values(), ids=TOGETHER)
@given(asked, randoms)
@few
def test_calls_that_come_together_are_told_apart(
    how: dict[str, bool], calls: list[Any], rng: random.Random
) -> None:
    """Calls whose pieces are mixed at random each get exactly their own, in the order in which they were opened."""
    turn = _turn(_shuffled(_stream(calls, rng, **how), rng))
    assert _found(turn) == calls


@pytest.mark.parametrize(
    "how", [*TOGETHER.values(), *ONE_BY_ONE.values()], ids=[*TOGETHER, *ONE_BY_ONE]
)
@given(asked, randoms)
@few
def test_calls_that_come_one_by_one_are_told_apart(
    how: dict[str, bool], calls: list[Any], rng: random.Random
) -> None:
    """Calls that come one after another are told apart, however little the server says of them."""
    turn = _turn([delta for deltas in _stream(calls, rng, **how) for delta in deltas])
    assert _found(turn) == calls


@given(asked, randoms, st.sampled_from([*TOGETHER.values(), *ONE_BY_ONE.values()]))
@few
def test_every_piece_is_given_its_place_and_id(
    calls: list[Any], rng: random.Random, how: dict[str, bool]
) -> None:
    """Whoever adds up the pieces by their place or by their id gets the turn's own calls."""
    deltas = [delta for deltas in _stream(calls, rng, **how) for delta in deltas]
    turn = _turn(deltas)
    told = [(delta.index, delta.id, delta.arguments) for delta in deltas]
    for place, call in enumerate(turn.calls()):
        assert (
            json.loads("".join(text for index, _, text in told if index == place))
            == call.arguments
        )
        assert (
            json.loads("".join(text for _, id, text in told if id == call.id))
            == call.arguments
        )


def test_two_calls_of_one_function_sent_whole() -> None:
    """Two whole calls of one function at one index, without ids, stay two, and their made-up ids differ."""
    turn = _turn(
        [
            ToolCallDelta(0, None, "search", '{"q": "a"}'),
            ToolCallDelta(0, None, "search", '{"q": "a"}'),
        ]
    )
    assert _found(turn) == [("search", {"q": "a"})] * 2
    assert len({call.id for call in turn.calls()}) == 2


def test_made_up_ids_differ_between_turns() -> None:
    """An id that was made up in one turn is never that of another turn's call."""
    ids = []
    for id in ("1", "2"):
        turn = Turn(id)
        turn.add(StreamChunk(tool_call=ToolCallDelta(0, None, "search", "{}")))
        ids += [call.id for call in turn.calls()]
    assert len(set(ids)) == 2


def test_the_id_of_the_provider_is_kept() -> None:
    """An id that came with the first piece is the call's, and each later piece is given it."""
    deltas = [ToolCallDelta(0, "abc", "search", "{"), ToolCallDelta(0, None, "", "}")]
    assert [call.id for call in _turn(deltas).calls()] == ["abc"]
    assert [delta.id for delta in deltas] == ["abc", "abc"]


@given(st.text(max_size=20))
@few
def test_arguments_are_an_object_or_the_text_itself(text: str) -> None:
    """JSON is never repaired: what is no JSON object stays the string that the model wrote."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    turn = _turn([ToolCallDelta(0, "abc", "search", text)])
    assert turn.calls()[0].arguments == (value if isinstance(value, dict) else text)


@given(objects, randoms, st.booleans())
@few
def test_a_whole_call_replaces_its_pieces(
    arguments: dict[str, Any], rng: random.Random, known: bool
) -> None:
    """A call that is told as a whole is what counts, with or without pieces before it, by id or by index."""
    turn = _turn(_stream([("search", {"x": 1})], rng, index=True, id=True)[0])
    turn.update(
        WholeCall(
            ToolCallDelta(0, "id0" if known else None, "search", json.dumps(arguments))
        )
    )
    turn.update(WholeCall(ToolCallDelta(1, "id1", "fetch", json.dumps(arguments))))
    assert turn.calls() == [
        ToolCall("id0", "search", arguments),
        ToolCall("id1", "fetch", arguments),
    ]


COUNTS = [
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
]
reports = st.lists(
    st.dictionaries(st.sampled_from(COUNTS), st.integers(0, 10**6)), max_size=6
)
usages = st.builds(Usage, *[st.integers(0, 10**6)] * 5, estimated=st.booleans())


@given(reports)
@few
def test_later_usage_replaces_and_never_adds(usage: list[dict[str, int]]) -> None:
    """Of each count the last report holds that is not zero, and a count that was never told is zero."""
    turn = Turn("1")
    for counts in [{"input_tokens": 1, "output_tokens": 2}, *usage]:
        turn.update(TokenCounts(counts))
    turn.update(FinishWord("stop"))
    expected = {
        name: count for counts in usage for name, count in counts.items() if count
    }
    assert turn.tokens([]) == Usage(
        **{"input_tokens": 1, "output_tokens": 2, **expected}
    )


@given(*[st.integers(0, 10**6)] * 3)
@few
def test_uncached_input_is_added_to_what_the_cache_served(
    uncached: int, read: int, written: int
) -> None:
    """Where a provider's input count leaves out the cache, ours is the sum, whichever report came first."""
    turn = Turn("1")
    turn.update(TokenCounts({"input_tokens_uncached": uncached, "output_tokens": 3}))
    turn.update(TokenCounts({"cache_read_tokens": read, "cache_write_tokens": written}))
    turn.update(FinishWord("stop"))
    assert turn.tokens([]) == Usage(uncached + read + written, 3, read, written)


@given(usages, usages, usages)
@few
def test_usage_adds_up(a: Usage, b: Usage, c: Usage) -> None:
    """Adding usages is associative, an empty one changes nothing, and the total is input and output."""
    assert (a + b) + c == a + (b + c)
    assert a + Usage() == a == Usage() + a
    assert (
        (a + b).total_tokens
        == a.input_tokens + a.output_tokens + b.input_tokens + b.output_tokens
    )
    assert (a + b).estimated == (a.estimated or b.estimated)
    assert a.to_dict()["total_tokens"] == a.total_tokens


@pytest.mark.parametrize("usage", [{}, {"input_tokens": 5}, {"output_tokens": 5}])
def test_figures_that_are_missing_are_estimated(usage: dict[str, int]) -> None:
    """Without both figures, the missing one is counted here and the whole is marked as estimated."""
    turn = Turn("1")
    turn.add(StreamChunk("x" * 100))
    turn.update(FinishWord("stop"))
    turn.update(TokenCounts(usage))
    tokens = turn.tokens([Message("user", "y" * 200)])
    assert tokens.estimated
    assert tokens.input_tokens == usage.get("input_tokens", 50)
    assert tokens.output_tokens == usage.get("output_tokens", 25)


def test_figures_of_an_answer_that_broke_off_are_estimates() -> None:
    """A report from the start of an answer is not the last word when the answer never ended."""
    turn = Turn("1")
    turn.update(TokenCounts({"input_tokens": 9, "output_tokens": 1}))
    turn.add(StreamChunk("x" * 100))
    assert turn.tokens([]) == Usage(9, 25, estimated=True)


def test_no_good_end_hides_a_bad_one() -> None:
    """Once an answer was cut or filtered, a later word of a normal end does not make it whole."""
    turn = Turn("1", words=ANY_SERVER)
    for word in ("stop", "length", "stop", "content_filter"):
        turn.update(FinishWord(word))
        if word == "length":
            turn.update(Refusal())
    assert (turn.finish, turn.refused) == ("length", True)


@given(st.permutations([0, 1, 2, 3]))
@few
def test_items_are_kept_in_their_order(places: list[int]) -> None:
    """A provider's own pieces are ordered by their place, and a later one at a place replaces the earlier."""
    turn = Turn("1")
    turn.update(Item({"n": "old"}, position=2))
    for place in places:
        turn.update(Item({"n": place}, position=place))
    assert turn.items() == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}]


def test_items_without_a_place_are_kept_as_they_come() -> None:
    """A provider's own pieces that name no place keep the order in which they came."""
    turn = Turn("1")
    for number in range(3):
        turn.update(Item({"n": number}))
    assert turn.items() == [{"n": 0}, {"n": 1}, {"n": 2}]


said = st.builds(StreamChunk, st.text(min_size=1, max_size=5))
thought = st.builds(StreamChunk, reasoning=st.text(min_size=1, max_size=5))
called = st.builds(
    lambda text: StreamChunk(tool_call=ToolCallDelta(0, "abc", "search", text)),
    st.text(max_size=5),
)


@given(
    st.lists(st.lists(said | thought | called, max_size=6), max_size=4), st.booleans()
)
@few
def test_the_chunks_add_up_to_the_response(
    turns: list[list[StreamChunk]], broken: bool
) -> None:
    """The content of all chunks is the response's content, at every moment of a run."""
    run = Run("openai", "gpt-test", [Message("user", "Hi")])
    seen = ""
    for chunks in turns:
        turn = run.begin_turn()
        for chunk in chunks:
            turn.add(chunk)
            seen += chunk.content
            assert run.response().content == seen
        run.end_turn(None if broken else "stop")
    assert run.response().content == seen == "".join(turn.content for turn in run.turns)


def test_looking_at_a_response_changes_nothing() -> None:
    """A response that is asked for in the middle of a run is a copy, and the run goes on as if nobody had looked."""
    run = Run("openai", "gpt-test", [Message("user", "Hi")])
    turn = run.begin_turn()
    turn.add(StreamChunk("Hel"))
    first = run.response()
    turn.add(StreamChunk("lo"))
    assert (first.content, run.response().content) == ("Hel", "Hello")
    assert (len(run.messages), run.turns, first.finish_reason) == (1, [], None)
    assert [message.content for message in first.messages] == ["Hi", "Hel"]
