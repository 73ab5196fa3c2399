"""What a decoder says about a turn: each kind of update has its effect, and only that."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.messages import ToolCall
from cogent.run.outputs import (
    Commentary,
    FinishWord,
    Item,
    ModelName,
    PendingCall,
    ProviderDetails,
    Refusal,
    RequestId,
    TokenCounts,
    Update,
    WholeCall,
    Working,
)
from cogent.run.turn import Turn

PENDING = ToolCall("c1", "shell", {"action": "ls"}, type="shell_call")
CALL = ToolCallDelta(0, "c2", "add", '{"a": 1}')

CASES: list[tuple[Update, Callable[[Turn], Any], Any]] = [
    (ModelName("m"), lambda turn: turn.model, "m"),
    (RequestId("r"), lambda turn: turn.request_id, "r"),
    (TokenCounts({"input_tokens": 2}), lambda turn: turn.usage, {"input_tokens": 2}),
    (FinishWord("stop"), lambda turn: turn.finish, "stop"),
    (Refusal(), lambda turn: turn.refused, True),
    (Item({"type": "x"}, 0), lambda turn: turn.items(), [{"type": "x"}]),
    (WholeCall(CALL), lambda turn: turn.calls(), [ToolCall("c2", "add", {"a": 1})]),
    (PendingCall(PENDING), lambda turn: turn.pending, [PENDING]),
    (ProviderDetails({"a": [1]}), lambda turn: turn.details.get("a"), [1]),
    (
        Commentary(0),
        lambda turn: turn.details.get("commentary"),
        [{"start": 0, "end": 0}],
    ),
    (Working(), lambda turn: turn.began, True),
]


def state(turn: Turn) -> list[Any]:
    """All that the cases look at, but for whether anything came at all."""
    return [read(turn) for update, read, _ in CASES if update != Working()]


@pytest.mark.parametrize(
    ("update", "read", "expected"), CASES, ids=lambda value: type(value).__name__
)
def test_an_update_has_its_effect(
    update: Update, read: Callable[[Turn], Any], expected: Any
) -> None:
    """A turn takes in what the update says, and nothing else changes."""
    before, turn = state(Turn("1")), Turn("1")
    turn.update(update)
    assert read(turn) == expected
    changed = [old for old, new in zip(before, state(turn), strict=True) if old != new]
    assert len(changed) == (0 if update == Working() else 1)


def test_every_kind_of_update_is_tried() -> None:
    """A kind that is added to the union gets a case here."""
    assert {type(update) for update, _, _ in CASES} == set(get_args(Update))


def test_what_is_not_known_hides_nothing() -> None:
    """A request without an id, and a count of zero, leave what was given before."""
    turn = Turn("1")
    for update in (RequestId("r"), TokenCounts({"output_tokens": 3})):
        turn.update(update)
    for update in (RequestId(""), TokenCounts({"output_tokens": 0})):
        turn.update(update)
    assert (turn.request_id, turn.usage) == ("r", {"output_tokens": 3})


def test_an_item_of_a_call_names_its_place() -> None:
    """An item that belongs to the call of the last piece says which call of the turn that is."""
    turn = Turn("1")
    for place, id in enumerate(("c1", "c2")):
        delta = ToolCallDelta(place, id, "add", "{}")
        turn.add(StreamChunk(tool_call=delta))
    turn.update(Item({"more": {"signature": "s"}}, of_last_call=True))
    assert turn.items() == [{"more": {"signature": "s"}, "call": 1}]
