"""`Image` and `File`: what they take, what they say of it, how they are read and stored."""

import copy
import json
import os
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
from support.media import JPEG, PDF, PNG, TEXT, UNKNOWN

from cogent import ConfigurationError, File, Image, Message, content
from cogent.content import estimate_tokens, read
from cogent.content_json import part_from_dict, part_to_dict

PASSWORD = "https://ada:s3cret@example.org/cat.png"


def test_bytes_a_path_and_a_url_are_told_apart(tmp_path: Path) -> None:
    """Bytes are there at once, a file is read later, a URL never."""
    path = tmp_path / "cat.png"
    assert (Image(PNG).data, Image(PNG).url) == (PNG, None)
    assert (Image(path).data, Image(str(path)).url) == (None, None)
    url = "HTTPS://example.org/cat.png?sig=1"
    assert (Image(url).data, Image(url).url) == (None, url)
    assert (Image(PNG).is_read, Image(path).is_read, Image(url).is_read) == (
        True,
        False,
        True,
    )


def test_the_content_tells_the_type_and_a_given_one_wins() -> None:
    """What was given holds, in lower case and without parameters, whatever the bytes are."""
    assert Image(JPEG).media_type == "image/jpeg"
    assert File(TEXT, name="data.pdf").media_type == "text/plain"
    assert File(TEXT, "Text/CSV; charset=utf-8").media_type == "text/csv"
    assert Image(b"whatever", "image/png").media_type == "image/png"
    assert File("https://example.org/a.pdf").media_type is None


def test_a_file_has_the_name_of_its_source() -> None:
    """The name is the last part of the path or URL, unless another one is given."""
    assert File("bills/june.pdf").name == "june.pdf"
    assert File(Path("bills") / "june.pdf").name == "june.pdf"
    assert File("https://example.org/bills/june%201.pdf?x=1").name == "june 1.pdf"
    assert File("https://example.org").name is None
    assert File(PDF).name is None
    assert File("bills/june.pdf", name="bill").name == "bill"


def test_a_name_in_another_encoding_can_be_sent() -> None:
    """A file name that is no UTF-8 becomes one that JSON can hold."""
    assert File(os.fsdecode(b"\xff.pdf")).name == "?.pdf"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Image(b""), "0 bytes"),
        (lambda: File(b""), "0 bytes"),
        (lambda: File(""), "path of a File is empty"),
        (lambda: Image(TEXT), "text/plain: make it a File"),
        (lambda: Image(PDF), "application/pdf: make it a File"),
        (lambda: Image(UNKNOWN), 'media_type="image/..."'),
        (lambda: Image(PDF, "application/pdf"), "make it a File"),
        (lambda: Image(5), "path, bytes or a URL; got int"),
        (lambda: Image(None), "got NoneType"),
        (lambda: File(bytearray(PDF)), "got bytearray"),
        (lambda: File(open), "got builtin_function_or_method"),
        (lambda: File(PDF, "pdf"), "string like"),
        (lambda: File(PDF, 3), "string like"),
        (lambda: File(PDF, name=""), "not empty"),
        (lambda: File(PDF, name=7), "not empty"),
        (lambda: File(PDF, name="\ud83d"), "half a character"),
        (lambda: Image("ftp://example.org/cat.png"), "only http: and https:"),
        (lambda: Image("file:///etc/passwd"), "only http: and https:"),
        (lambda: Image("data:image/png;base64,AAAA"), "Pass a path or bytes"),
        (lambda: Image("https://"), "no valid URL"),
        (lambda: Image("https://example.org/a b"), "no valid URL"),
        (lambda: Image("https://example.org:port/"), "no valid URL"),
        (lambda: Image("https://[::1/"), "no valid URL"),
        (lambda: Image("https://example.org/\ud83d"), "half a character"),
        (lambda: Image(PASSWORD), "user name or a password"),
        (lambda: Image("https://token@example.org/"), "user name or a password"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(make: Any, words: str) -> None:
    """A wrong source, type or name is a clear error as soon as it can be seen."""
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        PASSWORD,
        "https://ada:s3cret@example.org:port/",
        "https://ada:s3cret@/",
        "https:/ada:s3cret@example.org/",
        "ftp://ada:s3cret@example.org/",
        "https://ada:s3c ret@example.org/s3cret",
    ],
)
def test_no_error_shows_a_url(url: str) -> None:
    """A password in a URL is in no message, also where the URL is wrong in another way."""
    with pytest.raises(ConfigurationError) as refused:
        Image(url)
    assert "s3c" not in repr(refused.value)
    assert refused.value.__context__ is None or "s3c" not in str(
        refused.value.__context__
    )


def test_repr_shows_neither_bytes_nor_what_a_url_is_signed_with() -> None:
    """What is printed is short, and safe to log."""
    assert repr(Image(PNG)) == "Image(<16 bytes>, 'image/png')"
    assert repr(File("a/b.pdf")) == "File('a/b.pdf')"
    signed = "https://example.org/a.png?signature=s3cret#s3cret"
    assert repr(Image(signed)) == "Image('https://example.org/a.png?…')"
    assert "PNG" not in repr(Message("user", parts=["Look", Image(PNG)]))


def test_they_are_values() -> None:
    """They compare, hash, copy and pickle as what they hold, and cannot be changed."""
    for value in (Image(PNG), File(PDF, name="a.pdf"), Image("https://example.org/a")):
        assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)
        assert hash(value) == hash(copy.copy(value))
        with pytest.raises(AttributeError):
            value.source = b"other"
    assert Image(PNG) != File(PNG)


def test_reading_gives_bytes_type_and_name(tmp_path: Path) -> None:
    """A file that was read holds what it said, whatever becomes of the file."""
    path = tmp_path / "photo.txt"
    path.write_bytes(PNG)
    image, file = read(Image(path)), read(File(path))
    path.unlink()
    assert image == Image(PNG)
    assert file == File(PNG, "image/png", "photo.txt")
    assert read(image) is image


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Each error says which file it was, and what is wrong with it."""
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "text.png").write_bytes(TEXT)
    for media, words in [
        (File(tmp_path), "is a directory"),
        (File(tmp_path / "missing.pdf"), "there is no file"),
        (File(tmp_path / "empty.pdf"), "0 bytes"),
        (Image(tmp_path / "text.png"), "text/plain: make it a File"),
        (File("/dev/null"), "neither a file nor a pipe"),
        (File(tmp_path / "text.png" / "below"), "cannot be read"),
        (File("\0"), "cannot be read"),
    ]:
        with pytest.raises(ConfigurationError) as refused:
            read(media)
        assert words in str(refused.value)
        assert repr(os.fspath(media.source)) in str(refused.value)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    """What is larger than MAX_FILE_BYTES is refused by its size, and the error names the limit."""
    path = tmp_path / "large.pdf"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)  # a hole, which takes no room
    with pytest.raises(ConfigurationError, match="MAX_FILE_BYTES"):
        read(File(path))


def test_the_limit_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`cogent.content.MAX_FILE_BYTES` holds for files and for bytes."""
    monkeypatch.setattr(content, "MAX_FILE_BYTES", 10)
    path = tmp_path / "a.pdf"
    path.write_bytes(PDF)
    for make in (lambda: File(PDF), lambda: read(File(path))):
        with pytest.raises(ConfigurationError, match=r"MAX_FILE_BYTES \(10\)"):
            make()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_file_that_tells_no_size_is_read() -> None:
    """Where the system says 0 bytes of a file that has some, what is read counts."""
    assert read(File("/proc/self/status")).media_type == "text/plain"


@pytest.mark.parametrize(
    "part",
    [
        "text",
        Image(PNG),
        Image("https://example.org/a.png"),
        Image("https://example.org/a.png", "image/png"),
        File(PDF),
        File(TEXT, "text/csv", "a.csv"),
        File("https://example.org/a.pdf"),
    ],
    ids=repr,
)
def test_a_part_survives_json(part: Any) -> None:
    """What was written is read back as an equal value."""
    written = json.loads(json.dumps(part_to_dict(part)))
    assert part_from_dict(written, "parts[0]") == part


def test_a_part_is_written_in_the_documented_form(tmp_path: Path) -> None:
    """The JSON form of each kind; a file that was not read yet is read for it."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    assert [part_to_dict(part) for part in ("Hi", Image(PNG[:9]), File(path))] == [
        {"type": "text", "text": "Hi"},
        {"type": "image", "media_type": "image/png", "data": "iVBORw0KGgoA"},
        {
            "type": "file",
            "media_type": "text/plain",
            "name": "a.txt",
            "data": "aGVsbG8=",
        },
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (5, "is a dict"),
        ({"type": "audio"}, "text, image or file"),
        ({"type": "text"}, "text is a string"),
        ({"type": "image"}, "either data"),
        ({"type": "image", "data": "AA==", "url": "https://a"}, "either data"),
        ({"type": "image", "data": "%"}, "no base64"),
        ({"type": "image", "data": 5}, "no base64"),
        ({"type": "image", "url": "/etc/passwd"}, "no URL"),
        ({"type": "file", "path": "/etc/passwd"}, "unknown keys"),
        ({"type": "file", "url": PASSWORD}, "user name or a password"),
    ],
)
def test_json_that_is_no_part_is_refused(data: Any, words: str) -> None:
    """JSON from elsewhere gives a clear error, and never makes cogent read a file."""
    with pytest.raises(ConfigurationError, match=words):
        part_from_dict(data, "parts[0]")


def test_tokens_are_estimated_by_kind() -> None:
    """A text counts by its length, a document by its size, an image as one."""
    assert estimate_tokens(File(b"word" * 100)) == 100
    assert estimate_tokens(Image(PNG)) == 1000
    assert estimate_tokens(File(PDF)) == 2000
    assert estimate_tokens(File(PDF + bytes(150_000))) == 6000
    assert estimate_tokens(File("https://example.org/a.pdf")) == 2000


def test_nothing_is_fetched() -> None:
    """A URL is never asked for by cogent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        image = Image(f"http://127.0.0.1:{server.getsockname()[1]}/a.png")
        assert read(image) is image and part_to_dict(image)["url"] == image.url
        with pytest.raises(TimeoutError):
            server.accept()
