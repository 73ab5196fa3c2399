"""What a server writes beside the text, whatever it is, breaks no answer."""

from typing import Any

import pytest

from cogent.chunks import StreamChunk
from cogent.providers.formats import chat_decoder, responses_decoder

ODD: list[Any] = [None, 7, "x", ["x"], {"x": 1}, [{}], [["x"]]]
each_odd_value = pytest.mark.parametrize("odd", ODD, ids=repr)


def text_of(outputs: Any) -> str:
    """The text that outputs give."""
    chunks = [one for one in outputs if isinstance(one, StreamChunk)]
    return "".join(chunk.content for chunk in chunks)


@each_odd_value
@pytest.mark.parametrize(
    "name", ["annotations", "images", "executed_tools", "audio", "context"]
)
def test_fields_of_a_chat_message(name: str, odd: Any) -> None:
    """Beside the text, a message of Chat Completions may have anything."""
    inner = [{"index": odd, "arguments": odd, "output": odd, "image_url": odd}]
    for value in (odd, [odd], {"data": odd, "transcript": odd, "id": odd}, inner):
        message = {"role": "assistant", "content": "So", name: value}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"model": "m", "choices": [choice]}
        assert text_of(chat_decoder.decode_response(body)) == "So"


@each_odd_value
@pytest.mark.parametrize("name", ["citations", "search_results"])
def test_pages_of_a_chat_answer(name: str, odd: Any) -> None:
    """Pages beside the choices may be anything."""
    message = {"role": "assistant", "content": "So"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    for value in (odd, [odd], [{"url": odd, "title": odd}]):
        body = {"model": "m", "choices": [choice], "citations": ["https://a.example"]}
        body[name] = value
        assert text_of(chat_decoder.decode_response(body)) == "So"


@each_odd_value
def test_sources_of_a_chat_answer_are_named_by_strings(odd: Any) -> None:
    """What is no string is no URL, no title and no quote."""
    names = ("url", "title", "filepath", "snippet", "content")
    fields = dict.fromkeys(names, odd)
    parts = [{"type": "text", "text": "So"}, {"type": "tool_reference", **fields}]
    message = {"content": parts, "context": {"citations": [fields]}}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    page = {**fields, "url": "https://a.example"}
    body = {"model": "m", "choices": [choice], "search_results": [page]}
    outputs = list(chat_decoder.decode_response(body))
    chunks = [one for one in outputs if isinstance(one, StreamChunk)]
    sources = [chunk.source for chunk in chunks if chunk.source is not None]
    given = odd if isinstance(odd, str) else None
    assert [one.url for one in sources] == [given, "https://a.example", given]
    assert [(one.title, one.quote) for one in sources] == [
        (given, None),
        (given, given),
        (given, given),
    ]


@each_odd_value
def test_items_of_responses(odd: Any) -> None:
    """Annotations of a text and outputs of code may be anything."""
    for value in (odd, [odd], [{"type": "image", "url": odd, "logs": odd}]):
        part = {"type": "output_text", "text": "So", "annotations": value}
        code = {"id": "c", "type": "code_interpreter_call", "status": "completed"}
        message = {"id": "m", "type": "message", "role": "assistant", "content": [part]}
        output = [{**code, "code": "1", "outputs": value}, message]
        body = {"model": "m", "status": "completed", "output": output}
        assert text_of(responses_decoder.decode_response(body)) == "So"
