"""What the Gemini API answers, streamed or whole, as cogent's chunks and updates.

Only the first candidate counts. Its parts are kept to be sent back: the deltas of a
text are one part then, and a part with a signature stays by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.genai import types

from cogent.chunks import StreamChunk
from cogent.json_values import Json
from cogent.providers.formats.gemini_beside import (
    PLAIN_CANDIDATE,
    PLAIN_EVENT,
    Details,
    ServerCalls,
    made_file,
)
from cogent.providers.formats.gemini_calls import Calls
from cogent.providers.formats.gemini_grounding import Grounding, TextPart
from cogent.providers.formats.gemini_text import PlainText
from cogent.providers.formats.gemini_usage import decode_usage, read_usage, usage_of
from cogent.run.outputs import (
    FinishWord,
    Item,
    ModelName,
    Outputs,
    ProviderDetails,
    RequestId,
    TokenCounts,
    Update,
)
from cogent.run.surrogates import fix_surrogates

NO_CANDIDATE = types.Candidate()
TEXT_ONLY = {"text"}
TEXT_OR_THOUGHT = {"text", "thought"}


class StreamDecoder:
    """Decodes the events of one answer."""

    is_complete = False  # more may follow a finish reason

    def __init__(self) -> None:
        self._items: list[Json] = []  # a text in one is the list of its pieces
        self._open_text: list[str] | None = None  # that list, in a last item of text
        self._calls = Calls()
        self._server_calls = ServerCalls()
        self._grounding = Grounding()
        self._details = Details()
        self._request_id = ""
        self._model = ""

    def decode(self, event: types.GenerateContentResponse | PlainText) -> Outputs:
        """What an event gives."""
        if isinstance(event, PlainText):
            return self._decode_text(event)
        return self._decode_event(event)

    def _decode_text(self, text: PlainText) -> Outputs:
        """What an event gives that the SDK was not given."""
        if self._open_text is None:
            self._keep_text(text.text, is_thought=False)
        else:
            self._open_text.append(text.text)
        yield StreamChunk(text.text)
        event = text.event
        if not self._request_id:
            self._request_id = event.get("responseId") or ""
            yield RequestId(self._request_id)
        yield from self._model_update(event.get("modelVersion"))
        usage = event.get("usageMetadata")
        if usage is not None:
            yield TokenCounts(decode_usage(read_usage(usage)))

    def _decode_event(self, event: types.GenerateContentResponse) -> Outputs:
        candidate = _first(event.candidates or ())
        content = candidate.content
        if content is not None:
            for part in content.parts or ():
                yield from self._decode_part(part)
        if not (
            candidate.model_fields_set <= PLAIN_CANDIDATE
            and event.model_fields_set <= PLAIN_EVENT
        ):
            yield from self._decode_beside(event, candidate)
        yield from self._updates(event, candidate)

    def close(self) -> Outputs:
        """What is known only at the end: sources of the whole answer, the provider's
        details, the parts to be sent back.
        """
        yield from self._calls.close()
        if self._grounding.has_rest:
            yield from self._grounding.rest(self._text_parts())
        details = self._details.to_json()
        if details:
            yield ProviderDetails(details)
        for item in self._items:
            if "text" in item:
                item = {**item, "text": "".join(item["text"])}
            yield Item(item)

    def _decode_part(self, part: types.Part) -> Outputs:
        text = part.text
        if text and self._open_text is not None and part.model_fields_set == TEXT_ONLY:
            self._open_text.append(text)
            return (StreamChunk(text),)
        if part.function_call is not None:
            return self._decode_call(part, part.function_call)
        self._keep_part(part)
        if not text:
            return (*self._server_calls.decode(part), *made_file(part))
        return (StreamChunk(reasoning=text) if part.thought else StreamChunk(text),)

    def _decode_call(
        self,
        part: types.Part,
        call: types.FunctionCall,
    ) -> Outputs:
        if self._calls.begins(call):
            item: Json = part.to_json_dict()
            item["function_call"] = self._calls.begin(call)
            self._keep(item)
        yield from self._calls.add(call)

    def _decode_beside(
        self,
        event: types.GenerateContentResponse,
        candidate: types.Candidate,
    ) -> Outputs:
        """What an event holds beside its parts, its end and its counts."""
        self._details.take(event, candidate)
        if self._grounding.add(candidate):
            yield from self._grounding.located(self._text_parts())

    def _text_parts(self) -> list[TextPart]:
        """The parts so far, with the text of those that are text of the answer."""
        parts: list[TextPart] = []
        start = 0
        for item in self._items:
            is_text = "text" in item and not item.get("thought")
            text = fix_surrogates("".join(item["text"])) if is_text else ""
            parts.append(TextPart(text, start))
            start += len(text)
        return parts

    def _updates(
        self,
        event: types.GenerateContentResponse,
        candidate: types.Candidate,
    ) -> list[Update]:
        updates: list[Update] = []
        if not self._request_id:
            self._request_id = _request_id(event)
            updates.append(RequestId(self._request_id))
        updates += self._model_update(event.model_version)
        if event.prompt_feedback is not None:
            updates += _decode_feedback(event.prompt_feedback)
        if candidate.finish_reason is not None:
            updates.append(FinishWord(candidate.finish_reason.value))
        if event.usage_metadata is not None:
            usage = usage_of(event.usage_metadata)
            updates.append(TokenCounts(decode_usage(usage)))
            self._details.usage = event.usage_metadata
        return updates

    def _model_update(self, model: str | None) -> Iterator[Update]:
        if model and model != self._model:
            self._model = model
            yield ModelName(model)

    def _keep_part(self, part: types.Part) -> None:
        """Keep what is no delta of the text before."""
        if not part.model_fields_set <= TEXT_OR_THOUGHT:
            item: Json = part.to_json_dict()
            if part.text is not None:
                item["text"] = [part.text]
            self._keep(item)
        elif part.text:
            self._keep_text(part.text, bool(part.thought))

    def _keep_text(
        self,
        text: str,
        is_thought: bool,
    ) -> None:
        """Append to the item before if that is of the same kind, else begin a new one."""
        item: Json = {"thought": True} if is_thought else {}
        item["text"] = []
        if not self._items or self._items[-1].keys() != item.keys():
            self._keep(item)
        self._items[-1]["text"].append(text)

    def _keep(self, item: Json) -> None:
        self._items.append(item)
        self._open_text = item["text"] if item.keys() == TEXT_ONLY else None


def _first(candidates: Sequence[types.Candidate]) -> types.Candidate:
    for candidate in candidates:
        if not candidate.index:
            return candidate
    return NO_CANDIDATE


def _request_id(event: types.GenerateContentResponse) -> str:
    response = event.sdk_http_response
    headers = (response and response.headers) or {}
    return headers.get("x-request-id") or event.response_id or ""


def _decode_feedback(
    feedback: types.GenerateContentResponsePromptFeedback,
) -> Iterator[Update]:
    """Why the prompt was blocked, if it was."""
    if feedback.block_reason is not None:
        yield FinishWord(f"blocked:{feedback.block_reason.value}")
