"""Many runs at once, whose results come in the order in which they end.

As many workers as `concurrency` says take one message after the other. They stop when
as many results wait to be read, so that a long or endless iterable takes no more memory
than a short one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sized,
)
from functools import partial
from typing import Generic

from cogent.content import File, Image
from cogent.errors import CogentError, ConfigurationError
from cogent.messages import Response
from cogent.progress import Progress, open_progress
from cogent.run.background import wait_for
from cogent.run.inputs import UserMessage
from cogent.type_variables import Out
from cogent.validation import check_whole, shown

Messages = Iterable[UserMessage] | AsyncIterable[UserMessage]
Run = Callable[[UserMessage], Awaitable[Response[Out]]]
Result = tuple[int, Response[Out] | CogentError]


class ManyRuns(Generic[Out]):
    """Runs of one agent: `async for index, result in runs`, in the order of their ends.

    `index` is the place of the message, `result` its Response, or the CogentError that
    ended its run. Nothing begins before the loop does. Leaving the loop, and cancelling
    its task, stop all runs that are under way; what had ended by then and was not read
    comes from a further loop over the same object, which starts nothing.
    """

    def __init__(
        self,
        run: Run[Out],
        messages: Messages,
        concurrency: int,
        title: str | None,
        total: int | None = None,
    ) -> None:
        self._run = run
        self._source = _numbered(messages)
        self._concurrency = concurrency
        self._title = title  # of the bar that shows how far it is, if one does
        self._total = len(messages) if isinstance(messages, Sized) else total
        self._source_lock = asyncio.Lock()
        self._workers: list[asyncio.Task[None]] = []
        self._running = 0  # workers that have not ended
        self._ended: deque[Result[Out]] = deque()  # in this order, and not read yet
        self._failure: Exception | None = None  # of the iterable of messages
        self._is_closed = False  # nothing more is started
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    def __aiter__(self) -> AsyncGenerator[Result[Out], None]:
        return self._results()

    async def aclose(self) -> None:
        """Stop all runs that are under way, and wait until they have stopped."""
        self._is_closed = True
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)

    async def begin(self) -> None:
        """Start the workers; the first loop does it too."""
        if self._workers or self._is_closed:
            return
        self._running = self._concurrency
        for _ in range(self._concurrency):
            worker = asyncio.create_task(self._work())
            worker.add_done_callback(self._worker_ended)
            self._workers.append(worker)

    async def _results(self) -> AsyncGenerator[Result[Out], None]:
        if self._is_closed and not self._running:
            while self._ended:
                yield self._ended.popleft()
            return
        await self.begin()
        progress = open_progress(self._title, self._total)
        try:
            while self._running or self._ended:
                while self._ended:
                    self._room.set()
                    result = self._ended.popleft()
                    _show(progress, result)
                    yield result
                self._news.clear()
                if self._running:
                    await self._news.wait()
            if self._failure is not None:
                raise self._failure
        finally:
            progress.close()
            await self.aclose()

    async def _work(self) -> None:
        """Run one message after the other, until there are no more."""
        try:
            while (numbered := await self._next_message()) is not None:
                index, message = numbered
                self._ended.append((index, await self._answer(message)))
                self._news.set()
        except Exception as error:  # noqa: BLE001  # whoever reads the results gets it
            self._failure = self._failure or error

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._running -= 1
        self._news.set()

    async def _next_message(self) -> tuple[int, UserMessage] | None:
        while len(self._ended) >= self._concurrency:
            self._room.clear()
            await self._room.wait()
        async with self._source_lock:
            if self._failure is not None:
                return None
            return await anext(self._source, None)

    async def _answer(self, message: UserMessage) -> Response[Out] | CogentError:
        try:
            return await self._run(message)
        except CogentError as error:
            return error


class SyncManyRuns(Generic[Out]):
    """Runs of one agent in a plain loop: `for index, result in runs`.

    As `ManyRuns`, with the loop in the caller's thread, which also reads the messages:
    up to twice as many as runs may be under way at once are read ahead.
    """

    def __init__(
        self,
        run: Run[Out],
        messages: Iterable[UserMessage],
        concurrency: int,
        title: str | None,
    ) -> None:
        self._messages = iter(messages)
        self._handed = _HandedMessages()
        total = len(messages) if isinstance(messages, Sized) else None
        self._runs = ManyRuns(run, self._handed, concurrency, title, total)
        self._most = 2 * concurrency  # messages that are handed over and not answered

    def __iter__(self) -> Generator[Result[Out], None, None]:
        results = aiter(self._runs)
        wait_for(self._runs.begin)
        try:
            while True:
                self._hand_over()
                try:
                    result = wait_for(results.__anext__)
                except StopAsyncIteration:
                    return
                self._handed.unanswered -= 1
                yield result
        finally:
            self._handed.has_ended = True

    def close(self) -> None:
        """Stop all runs that are under way, and wait until they have stopped."""
        self._handed.has_ended = True
        wait_for(self._runs.aclose)

    def _hand_over(self) -> None:
        """Give the workers messages, as long as there is nothing else to do."""
        while self._handed.unanswered < self._most and not self._handed.has_ended:
            if self._handed.unanswered and self._runs._ended:
                return
            try:
                message = next(self._messages)
            except StopIteration:
                wait_for(partial(self._handed.end, None))
            except Exception as error:  # noqa: BLE001  # raised after what has begun
                wait_for(partial(self._handed.end, error))
            else:
                wait_for(partial(self._handed.put, message))


class _HandedMessages(AsyncIterator[UserMessage]):
    """Messages that the caller's thread hands over to the background loop."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[UserMessage | None] = asyncio.Queue()
        self._failure: Exception | None = None
        self.unanswered = 0
        self.has_ended = False  # no more are to be handed over

    async def put(self, message: UserMessage) -> None:
        """Take a message."""
        self.unanswered += 1
        self._waiting.put_nowait(message)

    async def end(self, failure: Exception | None) -> None:
        """There are no more, or this happened when the next one was asked for."""
        self.has_ended = True
        self._failure = failure
        self._waiting.put_nowait(None)

    async def __anext__(self) -> UserMessage:
        message = await self._waiting.get()
        if message is not None:
            return message
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration


async def _numbered(
    messages: Messages,
) -> AsyncGenerator[tuple[int, UserMessage], None]:
    index = 0
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield index, message
            index += 1
        return
    for message in messages:
        yield index, message
        index += 1


def _show(progress: Progress, result: Result[Out]) -> None:
    progress.advance(failed=isinstance(result[1], CogentError))


def check_many(
    messages: object, concurrency: object, progress: object, is_sync: bool = False
) -> None:
    """Raise ConfigurationError for what `run_many` cannot take."""
    if is_sync and isinstance(messages, AsyncIterable):
        raise ConfigurationError(
            "run_many_sync reads the messages in a plain loop: "
            "an async iterable is for run_many"
        )
    is_one = isinstance(messages, str | bytes | Image | File)
    if is_one or not isinstance(messages, Iterable | AsyncIterable):
        raise ConfigurationError(
            "messages is an iterable of messages, sync or async: "
            f"a list of one, for one; got {shown(messages)}"
        )
    if isinstance(messages, Mapping):
        raise ConfigurationError(
            "messages is an iterable of messages; got a dict: give its values"
        )
    check_whole(concurrency, "concurrency", at_least=1)
    if not isinstance(progress, bool):
        raise ConfigurationError(f"progress is True or False; got {shown(progress)}")
