"""What an API takes of images and files, and in which form a request has them.

Each provider has an `Accepted`, its own or its format's. What is not in it is refused
before any request, with an error that names provider and kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from cogent.content import (
    ContentPart,
    File,
    Media,
    describe,
    has_media,
    media_kind,
)
from cogent.content_json import base64_of
from cogent.errors import ConfigurationError
from cogent.media_types import Kind, decode_text
from cogent.messages import Message
from cogent.run.history import CheckMedia

Form = Literal["image", "file", "audio", "text"]
"""As what a request has it: an API's image, file or audio, or as text among the text."""

KIND_NAMES: Mapping[Kind, str] = {
    "image": "images",
    "pdf": "PDF files",
    "text": "text files",
    "document": "office documents",
    "audio": "audio",
    "video": "video",
    "other": "files of this type",
}
COMMON_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The kinds that an API takes, each with its form: of bytes, and of a URL.

    The key None stands for a URL of a File whose media type was not given.
    `media_types` are those that it takes of bytes of a kind; a kind that is not in it
    is not limited. `in_results` says whether the result of a tool may hold them too.
    """

    data: Mapping[Kind, Form]
    urls: Mapping[Kind | None, Form]
    media_types: Mapping[Kind, frozenset[str]]
    in_results: bool = False

    def form_of(
        self,
        media: Media,
        provider: str,
    ) -> Form:
        """The form in which a request has it.

        Raises ConfigurationError for what the provider does not take.
        """
        kind = media_kind(media)
        if media.url is None:
            return self._form_of_data(media, kind or "other", provider)
        form = self.urls.get(kind)
        if form is not None:
            return form
        if kind is not None and kind not in self.data:
            raise _refused(media, kind, provider)
        what = "files" if kind is None else KIND_NAMES[kind]
        raise ConfigurationError(
            f"{provider} takes no URL for {what}: pass bytes or a path"
        )

    def check_for(self, provider: str) -> CheckMedia:
        """A function that raises ConfigurationError for what the provider does not take."""

        def check(media: Media) -> None:
            if self.form_of(media, provider) == "text":
                file_text(media)

        return check

    def _form_of_data(
        self,
        media: Media,
        kind: Kind,
        provider: str,
    ) -> Form:
        form = self.data.get(kind)
        if form is None:
            raise _refused(media, kind, provider)
        types = self.media_types.get(kind)
        if types is not None and media.media_type not in types:
            raise ConfigurationError(
                f"{provider} takes {KIND_NAMES[kind]} of the types "
                f"{', '.join(sorted(types))}; {describe(media)} is {media.media_type}"
            )
        return form


def _refused(
    media: Media,
    kind: Kind,
    provider: str,
) -> ConfigurationError:
    hint = ""
    if kind == "other":
        hint = "; if that is not what it is, give media_type"
    return ConfigurationError(
        f"{provider} takes no {KIND_NAMES[kind]}: {describe(media)} is "
        f"{media.media_type or 'an image'}{hint}"
    )


def parts_to_send(message: Message) -> Sequence[ContentPart]:
    """The parts of a message that holds more than text, without empty texts.

    None of a message of text alone: that is sent as its `content`.
    """
    if not has_media(message.parts):
        return ()
    return [part for part in message.parts if part != ""]


def data_url(media: Media) -> str:
    """The bytes as a URL that holds them."""
    return f"data:{media.media_type};base64,{base64_of(media)}"


def url_or_data(media: Media) -> str:
    """The URL as it was given, or one that holds the bytes."""
    return media.url or data_url(media)


def file_name(media: Media) -> str:
    """The name of a file, or one that says its type, where an API wants a name."""
    name = media.name if isinstance(media, File) else None
    if name:
        return name
    ending = (media.media_type or "").partition("/")[2]
    return "file.txt" if ending == "plain" else f"file.{ending or 'bin'}"


def file_text(media: Media) -> str:
    """The text of a text file. Raises ConfigurationError for another encoding."""
    try:
        return decode_text(media.data or b"")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the text of {describe(media)} is neither UTF-8 nor UTF-16 with a byte "
            "order mark: decode it, and pass the text"
        ) from None


def marked_text(media: Media) -> str:
    """The text of a file between marks, for APIs that have no files of text."""
    name = file_name(media) if isinstance(media, File) and media.name else ""
    attribute = f' name="{escape(name)}"' if name else ""
    return f"<file{attribute}>\n{file_text(media)}\n</file>"
