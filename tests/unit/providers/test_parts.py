"""How parts are chosen and named, apart from any server."""

import pytest
from support.media import PDF, PNG, TEXT

from cogent import ConfigurationError, File, Image, Message, Model, ToolCall
from cogent.providers import Request
from cogent.providers.formats.gemini_parts import encode_parts as encode_for_gemini
from cogent.providers.formats.parts import file_name, marked_text, parts_to_send


def test_a_provider_that_does_not_encode_parts_refuses_them() -> None:
    """What would be lost in silence is an error; a list of texts is a text."""
    model = Model("openai:m", api_key="k")
    texts = Request(model, [Message("user", parts=["One", "Two"])])
    assert texts.history()[0].content == "One\nTwo"
    images = Request(model, [Message("user", parts=["One", Image(PNG)])])
    assert images.history(with_parts=True)[0].parts == ["One", Image(PNG)]
    with pytest.raises(ConfigurationError, match="openai takes no images and files"):
        images.history()


def test_a_provider_that_does_not_encode_parts_gets_words_for_optional_ones() -> None:
    """The result of a call has a text that says what there was."""
    model = Model("openai:m", api_key="k")
    call = Message("assistant", tool_calls=[ToolCall("c1", "look", {})])
    result = Message("tool", tool_call_id="c1", name="look")
    result.parts = [Image(PNG, optional=True)]
    [_, sent] = Request(model, [call, result]).history()
    words = "The tool answered with image/png, which this model cannot take."
    assert sent.content == words and sent.parts == [words]
    assert result.parts == [Image(PNG)], "the conversation stays as it was"


def test_parts_are_sent_only_where_there_is_more_than_text() -> None:
    """A message of texts is its content, and empty texts are no parts."""
    assert parts_to_send(Message("user", "One")) == ()
    assert parts_to_send(Message("user", parts=["One", "Two"])) == ()
    assert parts_to_send(Message("user", parts=["", Image(PNG)])) == [Image(PNG)]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (File(PDF, name="june.pdf"), "june.pdf"),
        (File(PDF), "file.pdf"),
        (File(TEXT), "file.txt"),
        (File(b"a,b", "text/csv"), "file.csv"),
    ],
)
def test_a_file_without_a_name_gets_one_of_its_type(file: File, name: str) -> None:
    """Some APIs want a name; its ending says the type."""
    assert file_name(file) == name


def test_a_text_file_is_marked_with_its_name() -> None:
    """The model sees where the file begins and ends; a name cannot break out of its mark."""
    assert marked_text(File(b"Hi")) == "<file>\nHi\n</file>"
    named = File(b"Hi", name='"><b>')
    assert marked_text(named) == '<file name="&quot;&gt;&lt;b&gt;">\nHi\n</file>'


@pytest.mark.parametrize(
    ("media", "media_type"),
    [
        (Image("https://example.org/cat.png?size=1"), "image/png"),
        (Image("https://example.org/cat.png", "image/webp"), "image/webp"),
        (File("https://example.org/report.pdf"), "application/pdf"),
        (File("https://example.org/report"), None),
    ],
)
def test_gemini_is_told_the_type_of_a_url(
    media: Image | File, media_type: str | None
) -> None:
    """Its API wants a type for a URL: the given one, else the one of the ending."""
    [part] = encode_for_gemini([media], "gemini")
    assert part["file_data"].get("mime_type") == media_type
