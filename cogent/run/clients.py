"""One SDK client for each event loop.

A client's connections belong to the loop that opened them, so an agent keeps none
itself: it looks up the client of the running loop. Each client is held by an async
generator, because a loop closes its generators before it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from cogent.errors import ConfigurationError
from cogent.model import Model
from cogent.providers import Client, Provider
from cogent.run.event_loop import running_loop
from cogent.timeout import Timeout
from cogent.transport.keys import check_key


class Clients:
    """The clients of one agent; a client that the user brought stays the user's to
    close.
    """

    def __init__(self, provider: Provider, model: Model, timeout: Timeout) -> None:
        self._provider = provider
        self._model = model
        self._timeout = timeout
        self._holders: dict[
            asyncio.AbstractEventLoop, tuple[AsyncGenerator[Client, None], Client]
        ] = {}

    async def get(self) -> Client:
        """The client of the running loop.

        Raises ConfigurationError, for example when the key is missing.
        """
        if self._model.client is not None:
            return _wrap(self._model)
        loop = asyncio.get_running_loop()
        if loop not in self._holders:
            # Other threads may do the same just now: entries come and go one by one.
            for ended in [known for known in list(self._holders) if known.is_closed()]:
                self._holders.pop(ended, None)
            check_key(self._model.api_key)
            client = self._provider.make_client(self._model, self._timeout)
            if not isinstance(client, Client):
                raise ConfigurationError(
                    f"make_client of {self._model.provider!r} gives a Client; "
                    f"got {client!r}"
                )
            for key in client.keys:  # which may come from the environment
                check_key(key)
            holder = _hold(client)
            self._holders[loop] = (holder, await anext(holder))
        return self._holders[loop][1]

    async def aclose(self) -> None:
        """Close the clients: this loop's now; other loops close theirs when they
        finalise async generators.
        """
        if not self._holders:
            return
        holder, _ = self._holders.pop(running_loop(), (None, None))
        self._holders.clear()  # a loop closes a generator that it began and that nobody holds any more
        if holder is not None:
            await holder.aclose()


def _wrap(model: Model) -> Client:
    """A client that the user brought.

    Its keys are known from its requests only, and from the model, if that has one too.
    """
    address = getattr(model.client, "base_url", None)
    keys = (model.api_key,) if isinstance(model.api_key, str) else ()
    return Client(model.client, None if address is None else str(address), keys)


async def _hold(client: Client) -> AsyncGenerator[Client, None]:
    # No reference to the holder's owner: an agent that is dropped is freed at once, and
    # its connections with it.
    try:
        yield client
    finally:
        await client.close()
