"""What is given of the items of a response: each text once, whichever events hold it.

- What was streamed is never given twice.
- An end event that goes on where the stream stopped gives the rest.
- An end event that holds less, or something else, changes nothing: what was streamed is
  what is sent back later.
- Neither does one in a stream whose sequence numbers have a gap (shortened recordings
  do): a text that began stays.
"""

from __future__ import annotations

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.providers.formats.responses_beside import Beside
from cogent.providers.formats.responses_items import (
    ARGUMENTS,
    CODE,
    MCP_ARGUMENTS,
    REFUSAL,
    OutputItem,
    Text,
    texts_of,
    type_of,
)
from cogent.providers.formats.responses_known_items import KnownItems
from cogent.providers.formats.responses_provider_calls import (
    begin_call,
    is_provider_call,
    piece_of_call,
)
from cogent.run.outputs import Commentary, Outputs, Refusal, WholeCall
from cogent.run.surrogates import json_object

# The phase of a message that says what the model is about to do: a remark to the user,
# which is no part of the answer itself.
COMMENTARY = "commentary"


def give_text(item: OutputItem, piece: Text) -> Outputs:
    """The next piece of a text."""
    kind, text = piece.kind, piece.text
    item.part(kind, piece.index).pieces.append(text)
    if kind is ARGUMENTS:
        yield StreamChunk(tool_call=ToolCallDelta(item.place, arguments=text))
    elif kind in (CODE, MCP_ARGUMENTS):
        yield piece_of_call(item, kind, text)
    elif kind.item == "reasoning":
        yield StreamChunk(reasoning=text)
    elif item.phase == COMMENTARY:
        yield StreamChunk(text, metadata={"phase": COMMENTARY})
        yield Commentary(len(text))
    elif kind.item == "message":
        yield StreamChunk(text)
    if kind is REFUSAL:
        yield Refusal()


def give_call(item: OutputItem, body: Json) -> Outputs:
    """The id and the name of a call, as soon as they are known; neither changes after
    that.
    """
    item.phase = body.get("phase") or item.phase
    if is_provider_call(body):
        yield from begin_call(item, body)
    elif item.type == "function_call":
        yield from _give_function_call(item, body)


def _give_function_call(item: OutputItem, body: Json) -> Outputs:
    delta = ToolCallDelta(item.place)
    if not item.call_id and body.get("call_id"):
        delta.id = item.call_id = body["call_id"]
    if not item.name and body.get("name"):
        delta.name = item.name = body["name"]
    if delta.id or delta.name:
        yield StreamChunk(tool_call=delta)


class EndEvents:
    """What end events hold beyond what was given.

    `has_gaps` says that events of the stream are missing.
    """

    def __init__(self, known: KnownItems) -> None:
        self._known = known
        self.has_gaps = False
        self.beside: Beside = Beside(known)

    def give_text(
        self,
        item: OutputItem,
        whole: Text,
    ) -> Outputs:
        """The rest of a text."""
        part = item.parts.get(whole.place)
        if part is None:
            # Events of one part do not always agree on its index.
            others = item.parts_of(whole.kind.field)
            if all(other.text != whole.text for _, other in others):
                yield from give_text(item, whole)
        elif not self.has_gaps and whole.text.startswith(part.text):
            yield from _give_rest(item, whole, whole.text.removeprefix(part.text))

    def give_item(
        self,
        item: OutputItem,
        body: Json,
    ) -> Outputs:
        """The rest of an item."""
        yield from give_call(item, body)
        texts = list(texts_of(body))
        rests = None
        if not item.parts or not self.has_gaps:
            rests = _rests(texts, item.given())
        if rests is None:
            rests = [self._unless_given(item, text) for text in texts]
            yield from _replace_broken_arguments(item, texts)
        for text, rest in zip(texts, rests, strict=True):
            yield from _give_rest(item, text, rest)
        yield from self.beside.give_item(item, body)

    def give_output(
        self,
        items: list[OutputItem],
        output: list[Json],
    ) -> Outputs:
        """The rest of the whole response, whose output these items are."""
        repeated = {
            "message": self._is_repeated("message", output),
            "reasoning": self._is_repeated("reasoning", output),
        }
        for item, body in zip(items, output, strict=True):
            item.opened = item.opened or body
        for item, body in zip(items, output, strict=True):
            is_repeated = repeated.get(item.type, False)
            if is_repeated is None:
                is_repeated = all(
                    self._was_given(item, text) for text in texts_of(body)
                )
            if is_repeated:
                yield from self.beside.give_item(item, body)
            else:
                yield from self.give_item(item, body)

    def _is_repeated(
        self,
        type: str,
        output: list[Json],
    ) -> bool | None:
        """Whether the output's items of this type hold nothing new; None if only some
        of them may.

        Some servers put other items into the output than those that they streamed, with
        the same text. So it counts whether the text was given with any item.
        """
        whole = ""
        for body in output:
            if type_of(body) == type:
                whole += "".join(text.text for text in texts_of(body))
        given = self._known.given(type)
        if given.startswith(whole):
            return True
        return False if whole.startswith(given) else None

    def _unless_given(self, item: OutputItem, text: Text) -> str:
        return "" if self._was_given(item, text) else text.text

    def _was_given(
        self,
        item: OutputItem,
        text: Text,
    ) -> bool:
        """Whether something was given at the text's place, or the same anywhere."""
        if text.place in item.parts:
            return True
        return text.text.strip() in self._known.given(text.kind.item)


def _rests(texts: list[Text], given: str) -> list[str] | None:
    """What of each of these texts, which follow one another, was not given yet; None if
    they are others than those that were given.
    """
    whole = "".join(text.text for text in texts)
    if not whole.startswith(given) and not given.startswith(whole):
        return None
    rests: list[str] = []
    for text in texts:
        rests.append(text.text[len(given) :])
        given = given[len(text.text) :]
    return rests


def _give_rest(
    item: OutputItem,
    text: Text,
    rest: str,
) -> Outputs:
    if rest:
        yield from give_text(item, Text(text.kind, text.index, rest))


def _replace_broken_arguments(item: OutputItem, texts: list[Text]) -> Outputs:
    """The whole arguments of a call whose pieces make up no JSON object."""
    if item.type != "function_call" or not texts:
        return
    whole = texts[0].text
    if json_object(item.given()) is None and json_object(whole) is not None:
        item.part(ARGUMENTS, 0).pieces[:] = [whole]
        yield WholeCall(
            ToolCallDelta(item.place, item.call_id or None, item.name, whole)
        )
