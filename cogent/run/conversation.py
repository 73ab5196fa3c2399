"""A run's turns become messages, figures and the response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cogent.content import Media
from cogent.json_values import Json, copy_json
from cogent.messages import (
    FinishReason,
    Message,
    Response,
    ToolCall,
    TurnSummary,
    Usage,
)
from cogent.run.copies import copy_response
from cogent.run.finish import NO_WORDS, FinishWords
from cogent.run.history import NOT_RUN, result_message
from cogent.run.provider_calls import enter_results
from cogent.sources import Source

if TYPE_CHECKING:
    from cogent.run.turn import Turn

ANSWER_AGAIN = "Give the whole answer again, in the form that was asked for."


def _never(call: ToolCall) -> bool:
    return False


@dataclass(slots=True, eq=False, repr=False)
class Run:
    """One run as it goes: the conversation, the turns, the calls, the figures.

    `open_calls` are those of the last turn that get their results here, `pending` those
    that are left to the caller. At the beginning of a run `open_calls` are those of the
    history that were approved, whose results belong at the place `results_at` of the
    messages. `abandoned` is what attempts have cost that were cut
    after they had begun, and repeated. `candidate` is the place of the model that is
    asked among the agent's, `failures` what is known of those before it that failed;
    None where there is but one. Times are seconds of `perf_counter`.
    """

    provider: str
    model: str
    messages: list[Message]
    address: str | None = None  # of the server that answers
    candidate: int = 0
    failures: list[Json] | None = None
    turns: list[TurnSummary] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    open_calls: list[ToolCall] = field(default_factory=list)
    pending: list[ToolCall] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    files: list[Media] = field(default_factory=list)
    output: Any = None  # the value of the answer, where it is to be of a type
    last_text: str = ""  # of the last turn, where its output is
    retried_outputs: int = 0  # answers that were not of the type, and asked for again
    first_turn: int = 0  # of the answer that counts
    results_at: int | None = None  # None is the end
    turn: Turn | None = None
    started: float = field(default_factory=perf_counter)
    first_at: float | None = None
    ended: float | None = None
    finished: Response | None = None
    abandoned: Usage = field(default_factory=Usage)

    def begin_with(self, calls: list[ToolCall], results_at: int) -> None:
        """Begin with calls of the history.

        Their results belong at this place of the messages.
        """
        self.open_calls = calls
        self.calls += calls
        self.results_at = results_at

    def begin_turn(self, words: FinishWords = NO_WORDS) -> Turn:
        """Start the next answer of the model, or repeat one that failed unseen."""
        from cogent.run.turn import Turn  # not needed before the first run

        failed = self.turn
        if failed is not None and failed.visible and failed.usage:
            self.abandoned += failed.tokens(self.messages)
        used = (call.id for message in self.messages for call in message.tool_calls)
        ids = [*used, *(call.id for call in self.calls)]
        id = str(len(self.messages))
        self.turn = Turn(id, ids, words, len(self._text()))
        return self.turn

    def end_turn(
        self, reason: FinishReason | None, waits: Callable[[ToolCall], bool] = _never
    ) -> None:
        """Enter the current turn into the conversation.

        `reason` is None if it was broken off. `waits` tells the calls that are left to
        the caller.
        """
        turn = self.turn
        assert turn is not None
        self.turn = None
        summary = self._summary(turn, reason)
        self.turns.append(summary)
        self.last_text = turn.output_text
        self.sources += turn.sources
        self.files += turn.files
        enter_results(turn.results_of_earlier, self.calls)
        self.calls += turn.provider_calls()
        calls = turn.calls()
        self.open_calls = []
        self.pending = []
        if reason == "tool_calls":
            self._open(calls, waits)
            self.pending += turn.pending
            calls += turn.pending
        self.calls += calls
        message = self._message(turn)
        if reason == "tool_calls" or (reason == "stop" and not calls):
            self._complete(message, turn)
            message.tool_calls = calls
        if message.content or message.tool_calls or message.items:
            self.messages.append(message)

    def _open(self, calls: list[ToolCall], waits: Callable[[ToolCall], bool]) -> None:
        for call in calls:
            group = self.pending if waits(call) else self.open_calls
            group.append(call)

    def _message(self, turn: Turn) -> Message:
        """The message of a turn that did not end normally: its text alone.

        A call that was cut off, or reasoning without what it led to, would make the
        next request invalid.
        """
        message = Message("assistant", turn.content)
        message.provider = self.provider
        message.address = self.address
        return message

    def _complete(self, message: Message, turn: Turn) -> None:
        """Add to the message what a turn that ended normally has beside its text."""
        message.reasoning = turn.reasoning
        message.items = turn.items()

    def close_calls(self) -> None:
        """Enter a result for every open call, in call order.

        Providers refuse a call without one.
        """
        results = []
        for call in self.open_calls:
            result = call.result
            if result is None:
                message = result_message(call, NOT_RUN, is_error=True)
            else:
                message = result_message(call, result.content, result.is_error)
                message.parts = list(result.parts)
            results.append(message)
        place = len(self.messages) if self.results_at is None else self.results_at
        self.messages[place:place] = results
        self.open_calls = []
        self.results_at = None

    @property
    def steps(self) -> int:
        """The turns, without answers that were not of the type."""
        return len(self.turns) - self.retried_outputs

    def output_text(self) -> str:
        """The text of the output so far: of the turn that is coming in, or the last."""
        return self.last_text if self.turn is None else self.turn.output_text

    def retry_output(self, problems: list[str]) -> None:
        """Tell the model what is wrong with its answer; the next one begins anew."""
        text = f"That answer cannot be used: {'; '.join(problems)}. {ANSWER_AGAIN}"
        self.messages.append(Message("user", text))
        self.last_text = ""
        self.retried_outputs += 1
        self.first_turn = len(self.turns)
        self.sources = []  # of a text that does not count any more

    def tool_calls_metadata(self) -> Json:
        """The metadata of the chunk that ends a turn with tool calls.

        That turn's model, tokens and calls, and what else the provider tells.
        """
        turn = self.turns[-1]
        calls = self.messages[-1].tool_calls
        metadata: Json = {
            "model": turn.model,
            "tokens": turn.usage.to_dict(),
            "tool_calls": copy_json([call.to_dict() for call in calls]),
        }
        if turn.provider_details:
            metadata["provider_details"] = copy_json(turn.provider_details)
        return metadata

    def metadata(self) -> Json:
        """The final chunk's metadata, as things stand."""
        turns = list(self.turns)
        calls = list(self.calls)
        open_turn = self._open_turn()
        if open_turn is not None:
            turns.append(self._summary(open_turn, None))
            calls += open_turn.calls()
        none = TurnSummary("", None, None, self.model, Usage())
        last = turns[-1] if turns else none
        usages = [turn.usage for turn in turns]
        ids = [turn.request_id for turn in turns]
        metadata: Json = {
            "model": last.model,
            "provider": self.provider,
            "tokens": sum(usages, self.abandoned).to_dict(),
            "raw_finish_reason": last.raw_finish_reason,
            "steps": len(turns),
            "tool_calls": list(map(_described, filter(_is_ours, calls))),
            **self._times(),
            "request_ids": list(filter(None, ids)),
        }
        details = _details(turns)
        if details:
            metadata["provider_details"] = details
        if self.failures is not None:
            metadata["attempts"] = copy_json(self.failures)
        if self.pending:
            metadata["pending"] = list(map(_described_pending, self.pending))
        return metadata

    def open_summary(self) -> TurnSummary:
        """What is known of a turn that was broken off: it cost nothing, if the request
        did not reach the provider.
        """
        turn = self.turn
        if turn is not None and self._open_turn() is not None:
            return self._summary(turn, None)
        request_id = None if turn is None else turn.request_id
        return TurnSummary(
            "", None, None, self.model, Usage(), request_id, provider=self.provider
        )

    def _times(self) -> dict[str, float | None]:
        duration = (self.ended or perf_counter()) - self.started
        to_first = None
        if self.first_at is not None:
            to_first = self.first_at - self.started
        return {"duration": duration, "time_to_first_token": to_first}

    def finish(self, reason: FinishReason) -> Json:
        """End the run; returns the final chunk's metadata."""
        metadata = self.metadata()
        self.finished = self._response(metadata, reason)
        return copy_json(metadata)

    def response(self) -> Response:
        """A copy of the whole response, or before the end of what there is of it."""
        if self.finished is not None:
            return copy_response(self.finished)
        so_far = self._ended_here()
        response = so_far._response(self.metadata(), None)
        return copy_response(response)

    def hand_over(self) -> Response:
        """The response for a caller who alone holds this run: no copy once finished."""
        if self.finished is None:
            return self.response()
        return self.finished

    def _ended_here(self) -> Run:
        """The run as it would be if it ended now; this one goes on."""
        ended = replace(
            self,
            messages=list(self.messages),
            turns=list(self.turns),
            calls=list(self.calls),
            sources=list(self.sources),
            files=list(self.files),
            turn=self._open_turn(),
        )
        if ended.turn is not None:
            ended.end_turn(None)
        ended.close_calls()
        return ended

    def _open_turn(self) -> Turn | None:
        """The turn that is coming in, if it costs something."""
        turn = self.turn
        if turn is not None and (turn.billable or turn.began):
            return turn
        return None

    def _response(self, metadata: Json, reason: FinishReason | None) -> Response:
        return Response(
            content=self._text(),
            finish_reason=reason,
            metadata=metadata,
            messages=self.messages,
            tool_calls=self.calls,
            turns=self.turns,
            pending=self.pending,
            output=self.output,
            sources=self.sources,
            files=self.files,
        )

    def _text(self) -> str:
        """The text of the answer."""
        return "".join(turn.content for turn in self.turns[self.first_turn :])

    def _summary(self, turn: Turn, reason: FinishReason | None) -> TurnSummary:
        return TurnSummary(
            content=turn.content,
            finish_reason=reason,
            raw_finish_reason=turn.finish,
            model=turn.model or self.model,
            usage=turn.tokens(self.messages),
            request_id=turn.request_id,
            provider_details=turn.details,
            provider=self.provider,
        )


def _is_ours(call: ToolCall) -> bool:
    """Whether the provider did not run the call itself."""
    return not call.provider_executed


def _details(turns: Sequence[TurnSummary]) -> Json:
    """The provider's details of the last turn, with the cost of them all."""
    if not turns:
        return {}
    details = copy_json(turns[-1].provider_details)
    costs = [turn.provider_details.get("cost") for turn in turns]
    reported = [cost for cost in costs if isinstance(cost, int | float)]
    if reported:
        details["cost"] = sum(reported)
    return details


def _described(call: ToolCall) -> Json:
    described = call.to_dict()
    result = call.result
    described["executed"] = result is not None
    if result is not None:
        described["result"] = result.content
        described["is_error"] = result.is_error
        described["duration"] = result.duration
    return described


def _described_pending(call: ToolCall) -> Json:
    described = call.to_dict()
    described["type"] = call.type
    return copy_json(described)
