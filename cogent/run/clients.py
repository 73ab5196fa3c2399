"""One SDK client for each event loop.

A client's connections belong to the loop that opened them, so an agent keeps none
itself: it looks up the client of the running loop. Each client is held by an async
generator, because a loop closes its generators before it ends. The generator is also
referred to from outside until the agent is gone: an agent in a circle of references is
freed by the garbage collector, which would free the connections with it, unclosed.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from types import coroutine
from typing import Any

from cogent.errors import ConfigurationError
from cogent.model import Model
from cogent.providers import Client, Provider
from cogent.run.event_loop import running_loop
from cogent.timeout import Timeout
from cogent.transport.tape import present_tape
from cogent.validation import check_key

NO_KEY = "replayed"  # where no key is needed
MAX_SKIPPED_TURNS = 10_000  # of the event loop; to close a connection takes a few
OWN_CLIENT = (
    "record and replay are for clients that cogent makes, and this model has one of "
    "its own: leave out client="
)


@dataclass(frozen=True, slots=True)
class _Held:
    """A client, what closes it, and what refers to that from outside."""

    client: Client
    holder: AsyncGenerator[Client, None]
    reference: weakref.finalize[..., Any]


class Clients:
    """The clients of one agent; a client that the user brought stays the user's to
    close.
    """

    def __init__(self, provider: Provider, model: Model, timeout: Timeout) -> None:
        self._provider = provider
        self._model = model
        self._timeout = timeout
        self._held: dict[asyncio.AbstractEventLoop, _Held] = {}

    async def get(self) -> Client:
        """The client of the running loop.

        Raises ConfigurationError, for example when the key is missing.
        """
        tape = present_tape()
        if self._model.client is not None:
            if tape is not None:
                raise ConfigurationError(OWN_CLIENT)
            return _wrap(self._model)
        loop = asyncio.get_running_loop()
        if tape is not None and tape.clients is not None:
            return self._replayed(tape.clients, loop)
        if loop not in self._held:
            # Other threads may do the same just now: entries come and go one by one.
            for ended in [known for known in list(self._held) if known.is_closed()]:
                self._release(ended)
            holder = _hold(self._make(self._model))
            reference = weakref.finalize(self, _let_go, holder)
            reference.atexit = False
            self._held[loop] = _Held(await anext(holder), holder, reference)
        return self._held[loop].client

    def _make(self, model: Model) -> Client:
        check_key(model.api_key)
        client = self._provider.make_client(model, self._timeout)
        if not isinstance(client, Client):
            raise ConfigurationError(
                f"make_client of {model.provider!r} gives a Client; got {client!r}"
            )
        for key in client.keys:  # which may come from the environment
            check_key(key)
        return client

    def _replayed(
        self, clients: dict[object, Any], loop: asyncio.AbstractEventLoop
    ) -> Client:
        """The client of a recording, one for each loop.

        Nothing of it has to be closed, as it has no connections.
        """
        if (self, loop) not in clients:
            clients[self, loop] = self._make_replayed()
        client: Client = clients[self, loop]
        return client

    def _make_replayed(self) -> Client:
        """A client whose requests a recording answers, which needs no key."""
        model = self._model
        if not callable(model.api_key):
            with suppress(ConfigurationError):
                return self._make(model)
        provider = model.own_provider or model.provider
        return self._make(replace(model, api_key=NO_KEY, provider=provider))

    async def aclose(self) -> None:
        """Close the clients: this loop's now; other loops close theirs when they
        finalise async generators.
        """
        if not self._held:
            return
        own = self._release(running_loop())
        # A loop closes a generator that it began and that nobody refers to any more.
        for loop in list(self._held):
            self._release(loop)
        if own is not None:
            await own.holder.aclose()

    def _release(self, loop: asyncio.AbstractEventLoop) -> _Held | None:
        held = self._held.pop(loop, None)
        if held is not None:
            held.reference.detach()
        return held


def _wrap(model: Model) -> Client:
    """A client that the user brought.

    Its keys are known from its requests only, and from the model, if that has one too.
    """
    address = getattr(model.client, "base_url", None)
    keys = (model.api_key,) if isinstance(model.api_key, str) else ()
    return Client(model.client, None if address is None else str(address), keys)


def _let_go(holder: AsyncGenerator[Client, None]) -> None:
    """Nothing more refers to this generator, and so its loop closes it."""


async def _hold(client: Client) -> AsyncGenerator[Client, None]:
    # No reference to the holder's owner: an agent that is dropped is freed at once, and
    # its connections with it.
    try:
        yield client
    finally:
        await _without_turns(_close(client))
        await asyncio.sleep(0)  # asyncio closes the sockets with its next turn


async def _close(client: Client) -> None:
    """A coroutine, whatever its `close` returns."""
    await client.close()


@coroutine
def _without_turns(work: Coroutine[Any, None, None]) -> Generator[Any, Any, None]:
    """Run the work, but skip the turns of the event loop that it only offers by
    `sleep(0)`.

    An HTTP client offers one after each connection that it closes. Where an agent is
    dropped as its event loop ends, Python before 3.13 closes the generator above only
    up to its first turn, and the other connections would stay open. Work that offers
    more turns than closing takes waits for something, and gets them.
    """
    skipped = 0
    with suppress(StopIteration):
        awaited = work.send(None)  # a future, or None for a turn
        while True:
            if awaited is None and skipped < MAX_SKIPPED_TURNS:
                skipped += 1
                awaited = work.send(None)
                continue
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001  # it is for the work
                awaited = work.throw(error)
            else:
                awaited = work.send(value)
