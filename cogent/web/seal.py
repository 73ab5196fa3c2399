"""Parts of a conversation that a page keeps and cannot change: signed, not encrypted.

A sealed text is `VERSION.DATA.SIGNATURE`, with the messages as JSON in DATA and an
HMAC-SHA256 as the signature. Who has the page can read it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.messages import Message
from cogent.validation import shown
from cogent.web.bad_input import BadInput

VERSION = "v1"
MIN_SECRET_BYTES = 16
WRONG = "the signature of the history is wrong: begin a new conversation"

Secret = str | bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """Messages that this server has signed.

    `covers` are the ids under which a front end has the same messages itself.
    """

    messages: list[Message]
    covers: list[str] = field(default_factory=list)


def check_secret(secret: Secret) -> bytes:
    """The secret as bytes. Raises ConfigurationError for one that can be guessed."""
    if not isinstance(secret, str | bytes):
        raise ConfigurationError(
            f"secret is a string or bytes; got {type(secret).__name__}"
        )
    data = secret.encode() if isinstance(secret, str) else secret
    if len(data) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"secret has {MIN_SECRET_BYTES} bytes or more, made by chance, say by "
            "secrets.token_hex()"
        )
    return data


def seal(messages: Sequence[Message], secret: bytes, covers: Sequence[str] = ()) -> str:
    """The messages as a text that `unseal` takes with the same secret only."""
    data: Json = {"messages": [message.to_dict() for message in messages]}
    if covers:
        data["covers"] = list(covers)
    written = json.dumps(data, separators=(",", ":")).encode()
    text = f"{VERSION}.{urlsafe_b64encode(written).decode()}"
    return f"{text}.{_sign(text, secret)}"


def unseal(text: object, secret: bytes | None) -> Sealed:
    """What `seal` wrote.

    Raises BadInput for anything else, and for all where no secret is given.
    """
    if not isinstance(text, str):
        raise BadInput(f"a sealed history is a string; got {shown(text)}")
    if secret is None:
        raise BadInput("this server takes no sealed history")
    signed, _, signature = text.rpartition(".")
    if not _is_signed(signed, signature, secret):
        raise BadInput(WRONG)
    _, _, written = signed.partition(".")
    data = json.loads(urlsafe_b64decode(written))
    messages = [Message.from_dict(message) for message in data["messages"]]
    return Sealed(messages, data.get("covers", []))


def _is_signed(text: str, signature: str, secret: bytes) -> bool:
    if not text.startswith(f"{VERSION}."):
        return False
    expected = _sign(text, secret)
    # As bytes: compare_digest takes no other strings than ASCII.
    given = signature.encode("utf-8", "replace")
    return hmac.compare_digest(expected.encode(), given)


def _sign(text: str, secret: bytes) -> str:
    digest = hmac.new(secret, text.encode("utf-8", "replace"), hashlib.sha256).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
