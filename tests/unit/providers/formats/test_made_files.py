"""Files that a model made: what providers send, as Images and Files."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from cogent import File, Image
from cogent.providers.formats.made_files import file_of_data, file_of_url

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(240, 256))


def test_pictures_are_known_by_their_bytes() -> None:
    """Base64 of both alphabets, with and without padding and line ends, and bytes."""
    encoded = b64encode(PICTURE).decode()
    forms = [
        encoded,
        encoded.rstrip("="),
        f"{encoded[:8]}\n{encoded[8:]}\n",
        urlsafe_b64encode(PICTURE).decode(),
        PICTURE,
    ]
    assert [file_of_data(form) for form in forms] == [Image(PICTURE, "image/png")] * 5


def test_other_types_are_files() -> None:
    """What is no picture is a File with its name."""
    assert file_of_data(b"a,b\n", "text/csv", "t.csv") == File(
        b"a,b\n", "text/csv", "t.csv"
    )
    assert file_of_url("https://a.example/x") == File("https://a.example/x")


def test_urls_stay_urls_and_data_urls_become_bytes() -> None:
    """Nothing is fetched."""
    url = "https://a.example/x.png"
    assert file_of_url(url, "image/png") == Image(url, "image/png")
    encoded = b64encode(PICTURE).decode()
    assert file_of_url(f"data:image/png;base64,{encoded}") == Image(
        PICTURE, "image/png"
    )
    assert file_of_url("data:text/plain,a%20b") == File(b"a b", "text/plain")


@pytest.mark.parametrize(
    "url",
    [
        "sandbox:/mnt/x.png",
        "/mnt/x.png",
        "",
        None,
        7,
        "https://",
        "data:image/png;base64,",
    ],
)
def test_what_is_no_url_is_no_file(url: object) -> None:
    """What only the provider can read is left out."""
    assert file_of_url(url) is None


@pytest.mark.parametrize("data", ["", "no base64!", b""])
def test_what_is_no_content_is_no_file(data: str | bytes) -> None:
    """Nothing, or no base64."""
    assert file_of_data(data, "image/png") is None
