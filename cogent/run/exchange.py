"""One request and its answer: what is done around every provider, whatever its SDK.

A provider translates; here its call is opened, watched, decoded and closed, and what
goes wrong becomes a ModelError.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from itertools import chain
from typing import Any, cast

from cogent.errors import (
    ConfigurationError,
    ModelError,
    PlaybackError,
    StreamInterrupted,
)
from cogent.providers import Client, Decoder, Events, Provider, Request
from cogent.run.outputs import Output, RequestId
from cogent.transport.answers import check_whole_body, watch_stream
from cogent.transport.body import AnswerBytes, drain
from cogent.transport.error_kinds import request_id
from cogent.transport.errors import ErrorRules, causes_of, report_of, translate
from cogent.transport.exchange import Exchange
from cogent.transport.keys import secrets_in
from cogent.transport.reported import ReportedError
from cogent.transport.unsent import unsent

Outputs = AsyncGenerator[Output, None]


async def stream_answer(
    provider: Provider, client: Client, request: Request
) -> Outputs:
    """Ask for a stream, and yield what comes as it comes.

    Raises ModelError, or ConfigurationError for a request that cannot be sent.
    """
    call = _Call(provider, client, request, is_streamed=True)
    failed: list[Exception] = []
    try:
        events, decoder = await call.open()
        for output in call.first_outputs:
            yield output
        async for event in events.iterator:
            for output in decoder.decode(event):
                yield output
            if decoder.is_complete:
                break
        for output in await call.last_outputs():
            yield output
    except Exception as error:  # noqa: BLE001  # of the SDK, the HTTP client or the decoder
        failed.append(error)
    finally:
        await call.close()
    if failed:
        raise await call.fail(failed.pop())


async def whole_answer(provider: Provider, client: Client, request: Request) -> Outputs:
    """Ask for the whole answer at once, and yield what it holds.

    Raises ModelError, or ConfigurationError for a request that cannot be sent.
    """
    call = _Call(provider, client, request, is_streamed=False)
    failed: list[Exception] = []
    try:
        for output in await call.ask():
            yield output
    except Exception as error:  # noqa: BLE001  # of the SDK, the HTTP client or the decoder
        failed.append(error)
    if failed:
        raise await call.fail(failed.pop())


class _Call:
    """One call of a provider's SDK: what is done before its first event, after its
    last one, and if it fails.
    """

    def __init__(
        self, provider: Provider, client: Client, request: Request, *, is_streamed: bool
    ) -> None:
        self._provider = _api_of(provider, client.sdk)
        self._codes = provider.ERROR_CODES
        self._client = client
        self._request = request
        self._exchange = Exchange(is_streamed)
        self._events: Events | None = None
        self._body: AnswerBytes | None = None  # where the HTTP response is known
        self._decoder = self._provider.make_decoder()
        self.first_outputs: list[Output] = []

    async def open(self) -> tuple[Events, Decoder]:
        """Ask for a stream."""
        arguments = self._provider.encode_request(self._request)
        with self._exchange.present():
            events = await self._provider.open_stream(
                self._client.sdk, self._request, arguments
            )
        self._events = events
        if events.response is not None:
            self._exchange.response = events.response
            self.first_outputs.append(_request_id(events.response.headers))
        reader = self._provider.SDK_READER
        if self._exchange.response is not None and reader is not None:
            self._body = watch_stream(self._exchange.response, reader)
        for event in events.first:
            self.first_outputs += self._decoder.decode(event)
        if self._decoder.is_complete:
            await drain(events.iterator)
        return events, self._decoder

    async def last_outputs(self) -> Iterable[Output]:
        """What is known only after the last event.

        Raises StreamInterrupted if the stream was cut.
        """
        if self._events is not None and self._decoder.is_complete:
            await drain(self._events.iterator)
        elif self._body is not None and self._body.is_cut:
            raise StreamInterrupted("the answer broke off in the middle of an event")
        return self._decoder.close()

    async def close(self) -> None:
        """Close the stream, if it was opened, at whatever point it is."""
        if self._body is not None:
            self._body.is_left = True
        if self._events is not None:
            await self._events.close()

    async def ask(self) -> Iterable[Output]:
        """Ask for the whole answer, and decode it."""
        arguments = self._provider.encode_request(self._request)
        with self._exchange.present():
            answer = await self._provider.ask(
                self._client.sdk, self._request, arguments
            )
        if isinstance(answer, list):
            outputs = [one for event in answer for one in self._decoder.decode(event)]
            return [*outputs, *self._decoder.close()]
        body, headers = answer
        # What is no JSON object was made by the SDK, perhaps of something else.
        if not isinstance(body, dict) and self._exchange.response is not None:
            check_whole_body(self._exchange.response)
        return chain((_request_id(headers),), self._provider.decode_response(body))

    async def fail(self, raised: Exception) -> ModelError | ConfigurationError:
        """The error to raise; what the SDK left open of the answer is closed."""
        if isinstance(raised, ConfigurationError):
            return raised
        for cause in causes_of(raised):
            if isinstance(cause, PlaybackError):  # raised inside the HTTP client
                return cause
        rules = self._rules()
        response = self._exchange.response
        if response is None:  # the user's own client, which has no hook of ours
            report = report_of(raised, rules)
            response = None if report is None else report.response
        keys = list(self._client.keys)
        if response is not None:
            await response.aclose()
            keys += secrets_in(response.request.headers)
        began = self._events is not None or response is not None
        said = self._said_in_body(raised)
        error = translate(said, began=began, keys=keys, rules=rules)
        return error if began else unsent(raised, error, self._request.model)

    def _said_in_body(self, raised: Exception) -> Exception:
        """What a whole answer says at which an SDK failed, else what the SDK raised."""
        if self._exchange.is_streamed or self._exchange.response is None:
            return raised
        if isinstance(raised, ModelError | ReportedError):
            return raised
        try:
            check_whole_body(self._exchange.response)
        except (ModelError, ReportedError) as error:
            return error
        except ValueError:  # no JSON, or cut, which is what the SDK found too
            return raised
        return raised

    def _rules(self) -> ErrorRules:
        return ErrorRules(
            self._codes,
            getattr(self._provider, "read_error", None),
            getattr(self._provider, "UNREACHABLE_HINT", ""),
        )


def _api_of(provider: Provider, sdk: Any) -> Provider:
    """The provider itself, or the one of its APIs that this SDK's client speaks."""
    choose = getattr(provider, "provider_for", None)
    return provider if choose is None else cast(Provider, choose(sdk))


def _request_id(headers: Mapping[str, str]) -> RequestId:
    return RequestId(request_id(headers) or "")
