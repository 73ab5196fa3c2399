"""One request and its answer: what is done around every provider, whatever its SDK.

A provider translates; here its call is opened, watched, decoded and closed, and what
goes wrong becomes a ModelError.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any, cast

from cogent.errors import ConfigurationError, ModelError, StreamInterrupted
from cogent.providers import Answer, Client, Events, Provider, Request
from cogent.run.outputs import Output, RequestId
from cogent.transport.answers import check_whole_body, watch_stream
from cogent.transport.body import drain
from cogent.transport.errors import ErrorRules, request_id, translate
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
    provider = provider_for(provider, client.sdk)
    call = _Call(provider, client, request, is_streamed=True)
    arguments = provider.encode_request(request)
    events: Events | None = None
    failed: list[Exception] = []
    try:
        with call.exchange.present():
            events = await provider.open_stream(client.sdk, request, arguments)
        response = call.begin(events)
        body = None
        if response is not None:
            body = watch_stream(response, provider.SDK_READER)
        if events.response is not None:
            yield RequestId(request_id(events.response.headers) or "")
        decoder = provider.make_decoder()
        for event in events.first:
            for output in decoder.decode(event):
                yield output
        if not decoder.is_complete:
            async for event in events.iterator:
                for output in decoder.decode(event):
                    yield output
                if decoder.is_complete:
                    break
        if decoder.is_complete:
            await drain(events.iterator)
        elif body is not None and body.is_cut:
            raise StreamInterrupted("the answer broke off in the middle of an event")
        for output in decoder.close():
            yield output
    except Exception as error:  # noqa: BLE001  # of the SDK, the HTTP client or the decoder
        failed.append(error)
    finally:
        if events is not None:
            await events.close()
    if failed:
        raise await call.translate(failed.pop())


async def whole_answer(provider: Provider, client: Client, request: Request) -> Outputs:
    """Ask for the whole answer at once, and yield what it holds.

    Raises ModelError, or ConfigurationError for a request that cannot be sent.
    """
    provider = provider_for(provider, client.sdk)
    call = _Call(provider, client, request, is_streamed=False)
    arguments = provider.encode_request(request)
    failed: list[Exception] = []
    try:
        with call.exchange.present():
            answer = await provider.ask(client.sdk, request, arguments)
        for output in _decode_answer(provider, answer, call.exchange):
            yield output
    except Exception as error:  # noqa: BLE001  # of the SDK, the HTTP client or the decoder
        failed.append(error)
    if failed:
        raise await call.translate(failed.pop())


def _decode_answer(
    provider: Provider, answer: Answer, exchange: Exchange
) -> Iterator[Output]:
    if isinstance(answer, list):
        decoder = provider.make_decoder()
        for event in answer:
            yield from decoder.decode(event)
        yield from decoder.close()
        return
    body, headers = answer
    if not isinstance(body, dict) and exchange.response is not None:
        check_whole_body(exchange.response)
    yield RequestId(request_id(headers) or "")
    yield from provider.decode_response(body)


def provider_for(provider: Provider, sdk: Any) -> Provider:
    """The provider itself, or the one of its APIs that this SDK's client speaks."""
    choose = getattr(provider, "provider_for", None)
    return provider if choose is None else cast(Provider, choose(sdk))


class _Call:
    """One call of a provider's SDK, and what is to be known if it fails."""

    def __init__(
        self, provider: Provider, client: Client, request: Request, *, is_streamed: bool
    ) -> None:
        self._provider = provider
        self._client = client
        self._request = request
        self._began = False
        self.exchange = Exchange(is_streamed)

    def begin(self, events: Events) -> Any:
        """The HTTP response of a stream that was opened, from the SDK or from the hook;
        None if neither shows it.
        """
        self._began = True
        if events.response is not None:
            self.exchange.response = events.response
        return self.exchange.response

    async def translate(self, raised: Exception) -> ModelError | ConfigurationError:
        """The error to raise; what the SDK left open of the answer is closed."""
        if isinstance(raised, ConfigurationError):
            return raised
        response = self.exchange.response
        keys = list(self._client.keys)
        if response is not None:
            await response.aclose()
            keys += secrets_in(response.request.headers)
        began = self._began or response is not None
        error = translate(
            self._with_body(raised), began=began, keys=keys, rules=self._rules()
        )
        return error if began else unsent(raised, error, self._request.model)

    def _with_body(self, raised: Exception) -> Exception:
        """What the body of a whole answer says, where an SDK fails at it."""
        if self.exchange.is_streamed or self.exchange.response is None:
            return raised
        if isinstance(raised, ModelError | ReportedError):
            return raised
        try:
            check_whole_body(self.exchange.response)
        except (ModelError, ReportedError) as error:
            return error
        except ValueError:  # no JSON, or cut, which is what the SDK found too
            return raised
        return raised

    def _rules(self) -> ErrorRules:
        provider = self._provider
        return ErrorRules(
            provider.ERROR_CODES,
            getattr(provider, "read_error", None),
            getattr(provider, "UNREACHABLE_HINT", ""),
        )
