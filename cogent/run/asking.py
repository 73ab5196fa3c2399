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
from cogent.run.deadlines import Limit, Phase
from cogent.run.exchange import stream_answer, whole_answer
from cogent.run.fallback import Failure, Fallback
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
    """One answer, by as many attempts and models as it takes.

    For each attempt: `prepare`, `attempt`, `take` for each piece of it, then `settle`;
    until the answer `is_complete`.
    """

    def __init__(self, job: Job, tool_choice: str | None = None) -> None:
        self._job = job
        self._run = job.run
        self._closer = job.closer
        self._tool_choice = tool_choice
        self._candidate = job.plan.candidates[job.run.candidate]
        self._client: Client | None = None  # None until the model is to be asked
        self._attempt = 0  # of this model, from 0
        # Of the last attempt.
        self._error: Failure | None = None
        self._limit: tuple[Limit, str] | None = None  # of time, which ended it
        self._turn = Turn("")
        self._fallback = Fallback(job.run, len(job.plan.candidates))
        self.is_complete: bool = False
        self._has_begun = False

    async def prepare(self) -> None:
        """Look up the client of the model, where it was not asked yet, and make the
        request.

        The client is looked up for each answer anew, as a tool may have closed the
        agent. Raises ConfigurationError, for example when the key is missing: that
        would be an error each time this model is needed, so it is no reason to ask
        the next one.
        """
        if self._client is not None:
            return
        plan, run = self._job.plan, self._run
        candidate = self._candidate = plan.candidates[run.candidate]
        model = candidate.model
        try:
            self._client = await candidate.clients.get()
        except ConfigurationError as error:
            self._fallback.add_notes(error)
            raise
        run.provider = model.provider
        run.model = model.name
        run.address = server_address(self._client.address)
        tools = tuple(plan.tools.by_name.values())
        has_tools = bool(tools or model.extra.get("tools"))
        request = Request(
            model,
            run.messages,
            plan.instructions,
            tools,
            run.address,
            self._tool_choice if has_tools else None,
        )
        self._asked = ask_for_output(
            request, self._job.wanted, candidate.provider, self._job.streaming
        )

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[AsyncIterator[Output]]:
        """Ask once: gives the pieces as they come, and keeps the error for `settle`."""
        self._closer.expect(Phase.FIRST_CONTENT)
        self._closer.begin_attempt(self._may_be_left)
        self._job.watch.asking()
        self._turn = self._run.begin_turn(self._candidate.provider.FINISH_WORDS)
        self._turn.output_tool = self._asked.tool
        self._turn.billable = True
        try:
            async with aclosing(self._ask()) as pieces:
                yield pieces
            self._check()
            self._limit = self._closer.end_attempt()
        except (Exception, asyncio.CancelledError) as error:
            # An exception of the answer, or of what is in it.
            self._limit = self._closer.end_attempt()
            if self._limit is None and isinstance(error, asyncio.CancelledError):
                raise
            self._fail(error)

    def _ask(self) -> AsyncGenerator[Output, None]:
        assert self._client is not None
        ask = stream_answer if self._job.streaming else whole_answer
        return ask(self._candidate.provider, self._client, self._asked.request)

    def _may_be_left(self) -> bool:
        """Whether a limit of time ends the attempt alone, for another model to answer."""
        return self._fallback.has_others and not self._is_seen()

    def _is_seen(self) -> bool:
        """Whether somebody saw a part of this answer, so that no other may follow it."""
        return self._turn.visible and self._job.shown

    def take(self, output: Output) -> StreamChunk | None:
        """Enter it into the turn; returns it if the user is to see it."""
        if not isinstance(output, StreamChunk):
            self._turn.update(output)
            if isinstance(output, Working):
                self._closer.expect(Phase.FIRST_CONTENT)
            return None
        if not self._turn.add(output):
            return None
        if not self._has_begun:
            self._begin()
        return output

    def _begin(self) -> None:
        """The first visible piece came."""
        self._has_begun = True
        if self._run.first_at is None:
            self._run.first_at = perf_counter()
        self._job.watch.first_chunk()

    async def settle(self) -> None:
        """After an attempt: raise its error, or wait until the next one.

        Without an error the answer is complete.
        """
        error, self._error = self._error, None
        if error is None:
            self.is_complete = True
            return
        wait = self._wait_before_next(error)
        self._closer.expect(Phase.RETRY)
        if wait is not None:
            self._attempt += 1
            self._job.watch.retried(error, wait)
            await asyncio.sleep(wait)
            return
        was_sent = not isinstance(error, ConfigurationError)
        requests = self._attempt + was_sent
        self._fallback.failed(error, self._candidate.model, requests)
        if self._fallback.may_follow(error) and not self._is_seen():
            self._ask_next(error)
            return
        # No local is the error: it would be in a cycle error -> traceback -> frame.
        del error
        raise self._fallback.error()

    def _ask_next(self, error: Failure) -> None:
        """Have `prepare` turn to the next model."""
        self._run.candidate += 1
        next_model = self._job.plan.candidates[self._run.candidate].model
        self._job.watch.fell_back(next_model, error)
        self._client = None
        self._attempt = 0

    def _check(self) -> None:
        """Raise StreamInterrupted unless the provider said that the answer is complete.

        Raises ModelError for tool calls that end with an unknown word: nobody knows
        whether they may run.
        """
        turn = self._turn
        if turn.finish is None:
            if self._candidate.model.strict_end:
                raise StreamInterrupted(
                    "the connection ended before the provider said "
                    "that the answer was complete"
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
                "the answer asks for tools and ends with the unknown finish reason "
                f"{word!r}: the tools were not run",
                status=200,
                code=word,
            )

    def _fail(self, raised: Exception | asyncio.CancelledError) -> None:
        """The attempt failed: keep the error, which is a ModelError also where the turn
        could not take in what the answer holds.

        A filter that refused the prompt or the answer is no failure, but the end of the
        answer.
        """
        if isinstance(raised, ConfigurationError):
            self._error = raised
            return
        error = self._translate(raised)
        if isinstance(error, FilterRefusal):
            self._refuse(error)
            return
        self._turn.billable = error.status == 200 or isinstance(
            error, StreamInterrupted | ModelTimeout
        )
        error.provider = self._candidate.model.provider
        error.model = self._candidate.model.name
        error.request_id = error.request_id or self._turn.request_id
        self._error = error

    def _translate(self, raised: Exception | asyncio.CancelledError) -> ModelError:
        if self._limit is not None:
            limit, message = self._limit
            return ModelTimeout(message, kind=limit.value)
        if isinstance(raised, ModelError):
            return raised
        assert self._client is not None and isinstance(raised, Exception)
        return translate(raised, began=True, keys=self._client.keys)

    def _refuse(self, error: FilterRefusal) -> None:
        self._turn.update(RequestId(error.request_id or ""))
        self._turn.update(Refusal())
        if error.code:
            self._turn.update(FinishWord(error.code))

    def _wait_before_next(self, error: Failure) -> float | None:
        """Seconds until the next attempt, or None if there is to be none."""
        if isinstance(error, ConfigurationError) or self._is_seen():
            return None
        if (
            self._limit is not None
            or self._attempt >= self._candidate.model.max_retries
        ):
            return None
        return wait_before(self._attempt, error, self._closer.remaining())
