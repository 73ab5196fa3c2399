"""How parts are chosen and named, apart from any server."""

import pytest
from support.media import PDF, PNG, TEXT

from cogent import ConfigurationError, File, Image, Message, Model
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
