"""What the items of OpenAI Responses hold beside texts and calls of functions: citations,
log-probabilities, and what came of the tools that the provider runs. Each is given once.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from cogent.chunks import StreamChunk
from cogent.json_values import Json
from cogent.providers.formats.citations import Citations
from cogent.providers.formats.fields import objects
from cogent.providers.formats.responses_items import TEXT, OutputItem, type_of
from cogent.providers.formats.responses_known_items import KnownItems
from cogent.providers.formats.responses_pending import WAITING
from cogent.providers.formats.responses_provider_calls import (
    CALL,
    PROGRAM_OUTPUT,
    answer_call,
    answer_earlier_call,
    end_call,
    is_provider_call,
    whole_call,
)
from cogent.run.outputs import Outputs, ProviderDetails
from cogent.run.pending import APPROVAL_REQUEST

OUTPUT = "_output"  # how the types of items end that answer a call


def _id_of(body: Json) -> object:
    return body.get("call_id") or body.get("id")


class Beside:
    """Gives what stands beside the texts, from whichever event holds it first."""

    def __init__(self, known: KnownItems) -> None:
        self._known = known
        self._citations = Citations()

    def give_item(self, item: OutputItem, body: Json) -> Outputs:
        """What a whole item holds."""
        if is_provider_call(body):
            yield from end_call(item, body)
        elif type_of(body).endswith(OUTPUT):
            yield from self._give_answered(item, body)
        elif item.type == TEXT.item:
            yield from self._give_parts(item, body.get(TEXT.field))

    def give_part(self, item: OutputItem, index: int, part: Json) -> Outputs:
        """What a whole part of a message holds."""
        for annotation in objects(part.get("annotations")):
            yield from self.give_annotation(item, index, annotation)
        yield from self.give_logprobs(item, index, part.get("logprobs"))

    def give_annotation(
        self, item: OutputItem, index: int, annotation: object
    ) -> Outputs:
        """What an annotation of a part of a message cites."""
        if not isinstance(annotation, dict):
            return
        before = self._known.text_before(item, index)
        source = self._citations.source_of(annotation, before)
        if source is not None:
            yield StreamChunk(source=source)

    def give_logprobs(self, item: OutputItem, index: int, logprobs: object) -> Outputs:
        """The log-probabilities of a part of a message."""
        if logprobs and index not in item.with_logprobs:
            item.with_logprobs.add(index)
            yield ProviderDetails({"logprobs": logprobs})

    def give_calls_not_waiting(self, waiting: Iterable[Json]) -> Outputs:
        """The calls that look as if they were left to the client and are not: all but
        those of the items that do wait.
        """
        ids = set(map(_id_of, waiting))
        types = WAITING.keys() - {APPROVAL_REQUEST}
        for item in chain.from_iterable(map(self._known.of_type, types)):
            id = _id_of(item.closed or {})
            if id and id not in ids and not item.has_result:
                yield from whole_call(item)

    def _give_answered(self, item: OutputItem, body: Json) -> Outputs:
        """The call that an item answers, and its result."""
        call = self._known.with_call_id(body.get("call_id"))
        calls = self._calls_of(item) if call is None or call is item else [call]
        for call in calls[:1]:
            if not call.has_result and call.type != "function_call":
                yield from answer_call(call, body)
        if not calls and item.type == PROGRAM_OUTPUT and not item.has_result:
            item.has_result = True
            yield from answer_earlier_call(body)

    def _calls_of(self, item: OutputItem) -> list[OutputItem]:
        """The calls that an item may answer which names none."""
        type = item.type.removesuffix(OUTPUT).removesuffix(CALL) + CALL
        return [call for call in self._known.of_type(type) if not call.has_result]

    def _give_parts(self, item: OutputItem, parts: object) -> Outputs:
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                yield from self.give_part(item, index, part)
