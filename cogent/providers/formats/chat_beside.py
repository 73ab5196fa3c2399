"""What the chunks of Chat Completions hold beside text, reasoning and calls of functions,
each under the name that some server gave it.

- `annotations`: what a passage cites (OpenAI, OpenRouter, Groq);
- `citations` and `search_results` beside the choices: the pages that the numbers in the
  text stand for (Perplexity, xAI); repeated with each chunk;
- `context`: the documents that the answer cites (Azure, with data of one's own);
- `images`: what the model made (OpenRouter); `audio`: what it says (OpenAI);
- `executed_tools`: calls that the server runs itself (Groq);
- `logprobs`, a stop sequence, what a filter found, and what Perplexity adds: provider
  details.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content import Media
from cogent.json_values import Json, copy_json
from cogent.media_types import TEXT, UNKNOWN_TYPE, detect_media_type
from cogent.messages import ToolResult
from cogent.providers.formats.citations import Citations
from cogent.providers.formats.fields import (
    Fields,
    first_text,
    mapping,
    objects,
    text_of,
)
from cogent.providers.formats.finish_words import ANY_SERVER
from cogent.providers.formats.made_files import (
    decode_base64,
    file_of_data,
    file_of_url,
)
from cogent.run.outputs import HERE, Item, Outputs, ProviderDetails, Working
from cogent.sources import Source

# A document as OpenRouter has read it: it goes back, and cites nothing.
READ_DOCUMENT = "file"
# What streams have: samples alone, which nothing tells by their bytes.
PCM = "audio/pcm"
RESULT_FIELDS = ("search_results", "code_results", "browser_results")
# Said with each chunk, the last time whole.
REPEATED = ("images", "videos", "related_questions", "provider")
STOP_FIELDS = ("stop_reason", "matched_stop")  # vLLM, SGLang


@dataclass(slots=True)
class ExecutedTool:
    """How much of a call that the server runs was given."""

    arguments: str = ""
    has_begun: bool = False
    has_result: bool = False


class Audio:
    """What the model says in sound, in pieces.

    Its transcript is no text of the answer, but a detail.
    """

    def __init__(self) -> None:
        self._id = ""
        self._data = bytearray()
        self._transcript = ""

    def add(self, audio: Fields) -> None:
        """Take in a piece."""
        self._id = audio.get("id") or self._id
        self._transcript += text_of(audio.get("transcript"))
        self._data += decode_base64(text_of(audio.get("data")))

    def close(self) -> Outputs:
        """The whole file; the server knows it by its id, and takes that back."""
        if self._data:
            data = bytes(self._data)
            known = detect_media_type(data)
            media_type = PCM if known in (UNKNOWN_TYPE, TEXT) else known
            yield from _chunk_of(file_of_data(data, media_type))
        if self._transcript:
            yield ProviderDetails({"transcript": self._transcript})
        if self._id:
            yield Item({"audio": {"id": self._id}})


class Beside:
    """What stands beside the text of one answer."""

    def __init__(self) -> None:
        self._citations = Citations()
        self._urls: set[str] = set()  # of pages that were given
        self._tools: dict[str, ExecutedTool] = {}
        self._repeated: Json = {}
        self._audio = Audio()

    def decode(self, event: Json, choice: Json, delta: Json) -> Outputs:
        """What a chunk, or a whole answer, holds."""
        yield from self._annotations(objects(delta.get("annotations")))
        yield from self._pages(event)
        for document in objects(mapping(delta.get("context")).get("citations")):
            if self._citations.is_new(document):
                yield StreamChunk(source=_document(document))
        self._audio.add(mapping(delta.get("audio")))
        for image in objects(delta.get("images")):
            yield from self._image(image)
        for tool in objects(delta.get("executed_tools")):
            yield from self._executed(tool)
        yield from _details_of_choice(choice)
        for name in REPEATED:
            if event.get(name):
                self._repeated[name] = event[name]

    def close(self) -> Outputs:
        """What came in pieces, or was said with each chunk."""
        yield from self._audio.close()
        if self._repeated:
            yield ProviderDetails(self._repeated)

    def _annotations(self, annotations: list[Json]) -> Outputs:
        documents = [one for one in annotations if one.get("type") == READ_DOCUMENT]
        new = [one for one in documents if self._citations.is_new(one)]
        if new:
            yield Item({"annotations": new})
        for annotation in annotations:
            if annotation.get("type") == READ_DOCUMENT:
                continue
            source = self._citations.source_of(annotation)
            if source is not None:
                yield StreamChunk(source=source)

    def _pages(self, event: Json) -> Outputs:
        """The pages that the answer is based on: all that are cited, or, where none is
        said to be, all that were found.
        """
        for page in _pages_of(event):
            url = page.get("url")
            if isinstance(url, str) and url and url not in self._urls:
                self._urls.add(url)
                yield StreamChunk(source=_page(url, page))

    def _image(self, image: Json) -> Outputs:
        """A picture, which also goes back to the server."""
        if not self._citations.is_new(image):
            return
        yield from decode_part(image)
        yield Item({"images": [image]})

    def _executed(self, tool: Json) -> Outputs:
        """What is new of a call that the server runs."""
        index = tool.get("index", len(self._tools))
        known = self._tools.setdefault(text_of(index), ExecutedTool())
        id = f"executed_tool_{index}"
        arguments = text_of(tool.get("arguments"))
        rest = _rest(arguments, known.arguments)
        if rest or not known.has_begun:
            name = "" if known.has_begun else str(tool.get("name") or tool.get("type"))
            known.has_begun = True
            known.arguments += rest
            delta = ToolCallDelta(None, id, name, rest, provider_executed=True)
            yield StreamChunk(tool_call=delta)
            yield Working()
        if not known.has_result and _has_result(tool):
            known.has_result = True
            yield from _pictures(tool)
            yield StreamChunk(tool_result=ToolResult(id, "", _output(tool)))


def decode_part(part: Json) -> Outputs:
    """The picture, or the sources, in a part of a content list, or of `images`.

    Mistral's references name what the model was given by its number, and stand right
    after the passage that they are for.
    """
    match part:
        case {"type": "reference", "reference_ids": list(ids)}:
            for id in ids:
                source = Source(
                    title=str(id), start=HERE, end=HERE, raw=copy_json(part)
                )
                yield StreamChunk(source=source)
        case {"type": "tool_reference"}:
            source = Source(
                first_text(part, "url"),
                first_text(part, "title"),
                start=HERE,
                end=HERE,
                raw=copy_json(part),
            )
            yield StreamChunk(source=source)
        case {"image_url": dict(image)}:
            yield from _file(image.get("url"))
        case {"image_url": url}:
            yield from _file(url)


def _file(url: object) -> Outputs:
    return _chunk_of(file_of_url(url, "image/png"))


def _chunk_of(file: Media | None) -> Outputs:
    if file is not None:
        yield StreamChunk(file=file)


def _pages_of(event: Json) -> list[Json]:
    found = objects(event.get("search_results"))
    cited = event.get("citations")
    if not isinstance(cited, list) or not cited:
        return found
    by_url = {text_of(page.get("url")): page for page in found}
    return [
        page if isinstance(page, dict) else by_url.get(text_of(page), {"url": page})
        for page in cited
    ]


def _page(url: str, page: Json) -> Source:
    return Source(
        url,
        title=first_text(page, "title"),
        quote=first_text(page, "snippet", "content"),
        raw=copy_json({"url": url, **page}),
    )


def _document(document: Json) -> Source:
    return Source(
        url=first_text(document, "url"),
        title=first_text(document, "title", "filepath"),
        quote=first_text(document, "content"),
        raw=copy_json(document),
    )


# Calls that the server runs


def _has_result(tool: Json) -> bool:
    if tool.get("output") is not None:
        return True
    return any(_is_filled(tool.get(name)) for name in RESULT_FIELDS)


def _is_filled(value: object) -> bool:
    """Whether there is anything in it: a search begins with an empty list of results."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def _output(tool: Json) -> str:
    output = tool.get("output")
    if output is None:
        output = {name: tool[name] for name in RESULT_FIELDS if tool.get(name)}
    return text_of(output)


def _pictures(tool: Json) -> Outputs:
    """The diagrams that the code drew."""
    for result in objects(tool.get("code_results")):
        yield from _chunk_of(file_of_data(result.get("png") or "", "image/png"))


def _rest(text: str, given: str) -> str:
    return text.removeprefix(given) if text.startswith(given) else ""


# Details


def _details_of_choice(choice: Json) -> Iterator[ProviderDetails]:
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, dict):
        content = logprobs.get("content", [logprobs])
        if content:
            yield ProviderDetails({"logprobs": content})
    for name in STOP_FIELDS:
        stop = choice.get(name)
        if isinstance(stop, str) and stop not in ANY_SERVER:  # no other finish word
            yield ProviderDetails({"stop_sequence": stop})
    filters = mapping(choice.get("content_filter_results"))
    if any(mapping(found).get("filtered") for found in filters.values()):
        yield ProviderDetails({"content_filter_results": filters})
