"""Why turns end: every word that the SDKs know is in the table of its provider, and the rule for tool calls holds."""

import itertools
from typing import Any, get_args

import pytest

from cogent.messages import FinishReason
from cogent.providers import load
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.run.finish import Ending, FinishWords, ending, map_finish_reason
from cogent.run.outputs import FinishWord
from cogent.run.turn import Turn


def _literals(annotation: Any) -> set[str]:
    """The words of a Literal, however it is wrapped."""
    arguments = get_args(annotation)
    words = {word for word in arguments if isinstance(word, str)}
    return words.union(
        *(_literals(inner) for inner in arguments if not isinstance(inner, str))
    )


def _openai_chat() -> set[str]:
    from openai.types.chat import chat_completion, chat_completion_chunk

    choices = (chat_completion.Choice, chat_completion_chunk.Choice)
    return set().union(
        *(
            _literals(choice.model_fields["finish_reason"].annotation)
            for choice in choices
        )
    )


def _openai_responses() -> set[str]:
    from openai.types.responses import response, response_status

    reasons = response.IncompleteDetails.model_fields["reason"].annotation
    return _literals(response_status.ResponseStatus) | _literals(reasons)


def _anthropic() -> set[str]:
    from anthropic.types import StopReason
    from anthropic.types.beta import BetaStopReason

    return _literals(StopReason) | _literals(BetaStopReason)


def _gemini() -> set[str]:
    from google.genai.types import FinishReason as Reason

    return {reason.value for reason in Reason}


def _gemini_blocked() -> set[str]:
    from google.genai.types import BlockedReason

    return {reason.value for reason in BlockedReason}


def _groq() -> set[str]:
    from groq.types.chat import chat_completion, chat_completion_chunk

    choices = (chat_completion.Choice, chat_completion_chunk.Choice)
    return set().union(
        *(
            _literals(choice.model_fields["finish_reason"].annotation)
            for choice in choices
        )
    )


def _mistral() -> set[str]:
    from mistralai.client.models import (
        ChatCompletionChoiceFinishReason,
        CompletionResponseStreamChoiceFinishReason,
    )

    return _literals(ChatCompletionChoiceFinishReason) | _literals(
        CompletionResponseStreamChoiceFinishReason
    )


def _ollama() -> set[str]:
    return {
        "stop",
        "length",
        "load",
        "unload",
    }  # the SDK's type is a plain string; these its server documents


PROVIDERS = [
    "anthropic",
    "gemini",
    "groq",
    "mistral",
    "ollama",
    "openai",
    "openai-chat",
]
SOURCES = {
    "openai-chat": (_openai_chat, 5),
    "openai": (_openai_responses, 10),
    "anthropic": (_anthropic, 8),
    "gemini": (_gemini, 20),
    "groq": (_groq, 5),
    "mistral": (_mistral, 5),
    "ollama": (_ollama, 4),
}


def words_of(provider: str) -> FinishWords:
    """The finish words that this provider knows."""
    return load(provider).FINISH_WORDS


@pytest.mark.parametrize("provider", SOURCES)
def test_every_word_of_the_sdks_is_in_the_table(provider: str) -> None:
    """A word that an SDK can give and that nobody has placed fails here before it reaches a user."""
    words, at_least = SOURCES[provider]
    known = words()
    assert len(known) >= at_least, "the SDK keeps its words somewhere else now"
    assert known - words_of(provider).keys() == set()


def test_a_blocked_prompt_is_a_content_filter() -> None:
    """Gemini says why it blocked a prompt, and the reason changes nothing, also not a new one."""
    reasons = _gemini_blocked()
    assert len(reasons) >= 8
    for reason in (*reasons, "A_NEW_REASON"):
        assert ending(f"blocked:{reason}", words_of("gemini")) == "content_filter"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_tables_hold_nothing_but_endings(provider: str) -> None:
    """Every word stands for one of the five endings that are known, however it is spelled."""
    words = words_of(provider)
    assert set(words.values()) == set(get_args(Ending)) - {"unknown"}
    for word, end in words.items():
        assert ending(word.lower(), words) == ending(word.upper(), words) == end


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_knows_the_words_of_the_others(provider: str) -> None:
    """A gateway passes on the words of the model behind it, whichever API it speaks."""
    assert ANY_SERVER.items() <= words_of(provider).items()
    for source, _ in SOURCES.values():
        assert source() - words_of(provider).keys() <= {"load", "unload"}


@pytest.mark.parametrize(
    ("word", "provider"),
    [("blocked", "gemini"), ("message_stop", "anthropic"), ("load", "ollama")],
)
def test_a_word_of_one_provider_alone_is_unknown_to_the_others(
    word: str, provider: str
) -> None:
    """What only one decoder says, or only one server, means nothing elsewhere."""
    assert [name for name in PROVIDERS if word in words_of(name)] == [provider]


MEANINGS: dict[Ending, str] = {
    "stop": "stop tool_calls tool_call function_call completed end_turn stop_sequence tool_use STOP TOOL_CALLS"
    " tool-calls toolUse endTurn eos EOS eos_token COMPLETE TOOL_CALL STOP_SEQUENCE message_stop REASON_STOP"
    " FINISH_REASON_STOP Stop REASON_TOOL_CALLS FINISHED",
    "length": "length max_output_tokens max_tokens MAX_TOKENS maxTokens model_context_window_exceeded model_length"
    " FINISH_REASON_MAX_TOKENS ERROR_LIMIT",
    "content_filter": "content_filter content-filter content_filtered refusal SAFETY RECITATION PROHIBITED_CONTENT"
    " sensitive ERROR_TOXIC blocked:JAILBREAK blocked:A_NEW_REASON content_filter:PROHIBITED_CONTENT",
    "continue": "pause_turn compaction",
    "error": "failed cancelled incomplete MALFORMED_FUNCTION_CALL OTHER error abort ERROR USER_CANCEL"
    " function_call_filter:MALFORMED_FUNCTION_CALL FINISH_REASON_UNSPECIFIED malformed_tool_use",
    "unknown": "brand_new_word guardrail_intervened reason stop_now nothing",
}


@pytest.mark.parametrize(
    ("word", "end"),
    [(word, end) for end, words in MEANINGS.items() for word in words.split()],
)
def test_a_word_means_what_its_provider_says(word: str, end: Ending) -> None:
    """The words that matter mean what the providers' documentation says, in capitals too."""
    provider = {"message_stop": "anthropic", "blocked": "gemini"}.get(
        word.partition(":")[0], "openai-chat"
    )
    assert ending(word, words_of(provider)) == end


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        (["stop", "length"], "length"),
        (["length", "stop"], "length"),
        (["stop", "brand_new_word"], "brand_new_word"),
        (["brand_new_word", "stop"], "brand_new_word"),
        (["brand_new_word", "content_filter"], "content_filter"),
        (["error", "brand_new_word"], "error"),
        (["null", "", "stop", "null"], "stop"),
        (["none"], None),
    ],
    ids=str,
)
def test_of_two_words_the_worse_one_counts(
    words: list[str], counts: str | None
) -> None:
    """A normal word hides no other one, and what says nothing about the end is left out."""
    turn = Turn("1", words=ANY_SERVER)
    for word in words:
        turn.update(FinishWord(word))
    assert turn.finish == counts


EVERY_CASE = list(itertools.product(get_args(Ending), [False, True], [False, True]))


@pytest.mark.parametrize(("end", "refused", "calls"), EVERY_CASE)
def test_the_rule_of_finish_reasons(end: Ending, refused: bool, calls: bool) -> None:
    """A refusal comes first, then a limit or a filter, and only then do calls make it a turn that asks for tools."""
    bad: dict[str, FinishReason] = {
        "length": "length",
        "content_filter": "content_filter",
        "unknown": "stop",
    }
    expected = (
        "content_filter" if refused else bad.get(end, "tool_calls" if calls else "stop")
    )
    assert map_finish_reason(end, refused=refused, calls=calls) == expected
