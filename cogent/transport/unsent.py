"""Errors of requests that never left: what the caller wrote is wrong, and asking again
cannot help.

The SDKs write a request as JSON, put its headers together and read its address before
they send a byte. Each of these fails with an error of Python's, or of the HTTP
client's, that never comes from an answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from cogent.errors import BadRequest, ConfigurationError, ConnectionFailed, ModelError
from cogent.json_values import UnsendableError, check_json
from cogent.model import Model

# Class names of httpx and httpx2, and what the error says; their own words may show
# a header, and so a key.
BY_CLASS = {
    "InvalidURL": "its address cannot be read: give base_url as a whole address like https://HOST/PATH",
    "UnsupportedProtocol": "its address has no http:// or https://: give base_url as a whole address",
    "LocalProtocolError": "a header has a character that no header takes: look at extra_headers",
}
# Words of Python's JSON encoder; those of its decoder are others.
ENCODER_WORDS = (
    "not JSON serializable",
    "not JSON compliant",
    "keys must be str",
    "Circular reference detected",
)


def unsent(raised: Exception, error: ModelError, model: Model) -> ModelError:
    """What to raise for an error that came before anything of an answer.

    `raised` is the SDK's and `error` what it was translated to, which is returned
    unless the request never left. Raises ConfigurationError for an address or a header
    that cannot be used.
    """
    causes = _causes(raised)
    _check_address_and_headers(causes)
    words = _words_of_encoder(causes)
    # Two SDKs call all that happens before the answer a connection error.
    if words is None and isinstance(error, ConnectionFailed):
        words = _words_of_type_error(causes[-1])
    if words is None:
        return error
    refused = BadRequest(f"the request cannot be sent: {_place(model) or words}")
    refused.__cause__ = raised
    return refused


def _check_address_and_headers(causes: Iterable[BaseException]) -> None:
    for cause in causes:
        words = BY_CLASS.get(type(cause).__name__)
        if words is not None:
            raise ConfigurationError(f"the request cannot be sent: {words}") from None


def _words_of_encoder(causes: Iterable[BaseException]) -> str | None:
    """What Python's encoder, or a warning that is raised as an error, says."""
    for cause in causes:
        if _is_of_encoder(cause) or isinstance(cause, Warning):
            return str(cause)
    return None


def _words_of_type_error(cause: BaseException) -> str | None:
    return str(cause) if isinstance(cause, AttributeError | TypeError) else None


def _causes(raised: BaseException) -> list[BaseException]:
    causes = [raised]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    return causes


def _is_of_encoder(error: BaseException) -> bool:
    return isinstance(error, TypeError | ValueError) and any(
        words in str(error) for words in ENCODER_WORDS
    )


def _place(model: Model) -> str | None:
    """Where in `extra` there is what JSON cannot hold."""
    for name, value in model.extra.items():
        try:
            check_json(value)
        except UnsendableError as error:
            return error.at(f"extra[{name!r}]")
    return None
