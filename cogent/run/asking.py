"""Asking the model for one answer, and asking again after a failure as long as nothing
of the answer was seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from time import perf_counter

from cogent.chunks import StreamChunk
from cogent.errors import (
    ConfigurationError,
    ModelError,
    ModelTimeout,
    StreamInterrupted,
)
from cogent.providers import Client, Request
from cogent.run.deadlines import Phase
from cogent.run.exchange import stream_answer, whole_answer
from cogent.run.history import server_address
from cogent.run.outputs import FinishWord, Output, Refusal, RequestId, Working
from cogent.run.plan import Job
from cogent.run.retry import wait_before
from cogent.run.turn import Turn
from cogent.run.typed import ask_for_output
from cogent.transport.error_tables import FilterRefusal
from cogent.transport.errors import translate

MAX_WORD_CHARS = 100  # of a finish reason, where an error names it


class Answer:
    """One answer of the model, by as many attempts as it takes.

    For each attempt: `attempt`, `take` for each piece of it, then `settle`; until the
    answer `is_complete`.
    """

    def __init__(
        self, job: Job, client: Client, tool_choice: str | None = None
    ) -> None:
        self._job = job
        self._run = job.run
        self._closer = job.closer
        self._client = client
        self._attempt = 0  # from 0
        # Of the last attempt.
        self._error: ModelError | ConfigurationError | None = None
        self._turn = Turn("")
        self.is_complete: bool = False
        plan, run = job.plan, job.run
        run.address = server_address(client.address)
        request = Request(
            plan.model,
            run.messages,
            plan.instructions,
            tuple(plan.tools.by_name.values()),
            run.address,
            tool_choice,
        )
        self._asked = ask_for_output(request, job.wanted, plan.provider, job.streaming)

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[AsyncIterator[Output]]:
        """Ask once: gives the pieces as they come, and keeps the error for `settle`."""
        self._closer.expect(Phase.FIRST_CONTENT)
        self._turn = self._run.begin_turn(self._job.plan.provider.FINISH_WORDS)
        self._turn.output_tool = self._asked.tool
        self._turn.billable = True
        try:
            async with aclosing(self._ask()) as pieces:
                yield pieces
            self._check()
        except Exception as error:  # noqa: BLE001  # of the answer, or of what is in it
            self._fail(error)

    def _ask(self) -> AsyncGenerator[Output, None]:
        ask = stream_answer if self._job.streaming else whole_answer
        return ask(self._job.plan.provider, self._client, self._asked.request)

    def take(self, output: Output) -> StreamChunk | None:
        """Enter it into the turn; returns it if the user is to see it."""
        if not isinstance(output, StreamChunk):
            self._turn.update(output)
            if isinstance(output, Working):
                self._closer.expect(Phase.FIRST_CONTENT)
            return None
        if not self._turn.add(output):
            return None
        if self._run.first_at is None:
            self._run.first_at = perf_counter()
        return output

    async def settle(self) -> None:
        """After an attempt: raise its error, or wait until the next one.

        Without an error the answer is complete.
        """
        error, self._error = self._error, None
        if error is None:
            self.is_complete = True
            return
        wait = self._wait_before_next(error)
        if wait is None:
            try:
                raise error
            finally:
                # Break the reference cycle error -> traceback -> frame -> error.
                del error
        self._attempt += 1
        self._closer.expect(Phase.RETRY)
        await asyncio.sleep(wait)

    def _check(self) -> None:
        """Raise StreamInterrupted unless the provider said that the answer is complete.

        Raises ModelError for tool calls that end with an unknown word: nobody knows
        whether they may run.
        """
        turn = self._turn
        if turn.finish is None:
            if self._job.plan.model.strict_end:
                raise StreamInterrupted(
                    "the connection ended before the provider said that the answer was complete"
                )
            return
        if turn.ending == "error":
            raise StreamInterrupted(
                f"the provider ended the answer with {turn.finish[:MAX_WORD_CHARS]!r}",
                code=turn.finish,
            )
        if turn.ending == "unknown" and not turn.refused and turn.asks_for_tools():
            word = turn.finish[:MAX_WORD_CHARS]
            raise ModelError(
                f"the answer asks for tools and ends with the unknown finish reason {word!r}: the tools were not run",
                status=200,
                code=word,
            )

    def _fail(self, raised: Exception) -> None:
        """The attempt failed: keep the error, which is a ModelError also where the turn
        could not take in what the answer holds.

        A filter that refused the prompt or the answer is no failure, but the end of the
        answer.
        """
        if isinstance(raised, ConfigurationError):
            self._error = raised
            return
        error = raised
        if not isinstance(error, ModelError):
            error = translate(raised, began=True, keys=self._client.keys)
        if isinstance(error, FilterRefusal):
            self._refuse(error)
            return
        self._turn.billable = error.status == 200 or isinstance(
            error, StreamInterrupted | ModelTimeout
        )
        error.provider = self._job.plan.model.provider
        error.model = self._job.plan.model.name
        error.request_id = error.request_id or self._turn.request_id
        self._error = error

    def _refuse(self, error: FilterRefusal) -> None:
        self._turn.update(RequestId(error.request_id or ""))
        self._turn.update(Refusal())
        if error.code:
            self._turn.update(FinishWord(error.code))

    def _wait_before_next(self, error: ModelError | ConfigurationError) -> float | None:
        """Seconds until the next attempt, or None if there is to be none."""
        if (
            isinstance(error, ConfigurationError)
            or self._attempt >= self._job.plan.model.max_retries
        ):
            return None
        if self._turn.visible and self._job.shown:
            return None
        return wait_before(self._attempt, error, self._closer.remaining())
