"""Whatever conversation is given, what is sent of it is valid, and the same after it was stored."""

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.media import PDF, PNG

from cogent import File, Image, Message, ToolCall
from cogent.run.history import fit_history, pair_results

URL = "https://example.org/cat.png"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
ids = st.sampled_from(
    [
        "",
        "c",
        "c_2",
        "c_3",
        "a.b",
        "a_2eb",
        "a b",
        "é",
        "call",
        "call_2",
        "x" * 200,
        "x" * 199 + "y",
    ]
)
names = st.sampled_from(
    [
        "weather",
        "search",
        "",
        "functions.search",
        "x" * 100,
        "weather<|channel|>commentary",
    ]
)
arguments = st.one_of(
    st.dictionaries(
        st.sampled_from(["city", "q"]),
        st.integers() | st.text(max_size=3) | st.none(),
        max_size=2,
    ),
    st.sampled_from(
        [
            "",
            "null",
            "[1]",
            '{"city": "Os',
            '{"a": 1}{"a": 1}',
            '{"city": "Oslo"}',
            '{"a": NaN}',
            "\n",
        ]
    ),
)
calls = st.builds(ToolCall, ids, names, arguments)
sources = st.sampled_from(
    [(None, None), ("openai", None), ("openai", "A"), ("openai", "B"), ("groq", "A")]
)


def from_model(content: str, calls: list[ToolCall], source: tuple[Any, Any]) -> Message:
    """An answer of the model at this provider and address."""
    provider, address = source
    items = [{"type": "reasoning"}] if provider else []
    return Message(
        "assistant", content, calls, provider=provider, address=address, items=items
    )


parts = st.lists(
    st.sampled_from(["Look", "", Image(PNG), File(PDF, name="a.pdf"), Image(URL)]),
    max_size=3,
)
messages = st.one_of(
    st.builds(
        Message, st.sampled_from(["user", "system"]), st.sampled_from(["Go", ""])
    ),
    st.builds(Message, st.just("user"), parts=parts),
    st.builds(
        Message,
        st.just("tool"),
        tool_call_id=ids | st.none(),
        name=names | st.none(),
        parts=parts,
    ),
    st.builds(
        from_model, st.sampled_from(["", "Well."]), st.lists(calls, max_size=3), sources
    ),
    st.builds(
        Message,
        st.just("tool"),
        st.text(max_size=3),
        tool_call_id=ids | st.none(),
        name=names | st.none(),
    ),
)
histories = st.lists(messages, max_size=8)


def dicts(history: list[Message]) -> list[dict[str, Any]]:
    """The history as it is stored."""
    return [json.loads(json.dumps(message.to_dict())) for message in history]


@settings(deadline=None)
@given(histories)
def test_every_call_is_valid_and_answered(history: list[Message]) -> None:
    """Each call goes out as an object with a name that any API takes and an id of its own, its result right behind."""
    before = dicts(history)
    fitted = fit_history(history, "openai", "A")
    assert dicts(history) == before
    sent = [call for message in fitted for call in message.tool_calls]
    assert len(sent) == sum(
        len(message.tool_calls) for message in history if message.role == "assistant"
    )
    assert len({call.id for call in sent}) == len(sent) and all(
        call.id for call in sent
    )
    assert all(
        NAME.fullmatch(call.name) and isinstance(call.arguments, dict) for call in sent
    )
    waiting: list[tuple[str | None, str | None]] = []
    for message in fitted:
        if message.role == "tool":
            assert (message.tool_call_id, message.name) == waiting.pop(0)
        else:
            assert not waiting
            waiting = [(call.id, call.name) for call in message.tool_calls]
    assert not waiting


@settings(deadline=None)
@given(histories)
def test_a_stored_history_is_sent_as_the_one_in_memory(history: list[Message]) -> None:
    """What was written as JSON and read again gives the same messages."""
    again = [Message.from_dict(data) for data in dicts(history)]
    for provider, address in (("openai", "A"), ("openai", None), ("groq", "A")):
        assert dicts(fit_history(again, provider, address)) == dicts(
            fit_history(history, provider, address)
        )


@settings(deadline=None)
@given(histories)
def test_a_longer_conversation_begins_with_the_same_messages(
    history: list[Message],
) -> None:
    """What a next question adds changes nothing that was sent before it, which keeps a provider's cache valid."""
    first = fit_history([*history, Message("user", "One")], "openai", "A")
    second = fit_history(
        [*history, Message("user", "One"), Message("user", "Two")], "openai", "A"
    )
    assert dicts(second)[: len(first)] == dicts(first)


@settings(deadline=None)
@given(histories)
def test_only_own_items_are_sent(history: list[Message]) -> None:
    """Items stay with messages of this server, or of its provider where no address was saved."""
    for message in fit_history(history, "openai", "A"):
        if message.items:
            assert message.provider == "openai" and message.address in (None, "A")


@settings(deadline=None)
@given(histories)
def test_parts_stay_with_their_messages(history: list[Message]) -> None:
    """What the user gave is sent as it was given, and each result's parts follow its call."""
    fitted = fit_history(history, "openai", "A")
    given = [message.parts for message in history if message.role == "user"]
    assert [message.parts for message in fitted if message.role == "user"] == given
    results = {
        key: message.parts
        for key, message in pair_results(history)[0].items()
        if history[key[0]].role == "assistant"
    }
    sent = [message.parts for message in fitted if message.role == "tool"]
    order = [
        results.get((place, number), [])
        for place, message in enumerate(history)
        if message.role == "assistant"
        for number in range(len(message.tool_calls))
    ]
    assert sent == order
