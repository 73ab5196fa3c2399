"""A run's turns become messages, figures and the response."""

from __future__ import annotations

from time import perf_counter

from cogent.json_values import Json, copy_json
from cogent.messages import (
    FinishReason,
    Message,
    Response,
    ToolCall,
    ToolResult,
    TurnSummary,
    Usage,
)
from cogent.run.copies import copy_response
from cogent.run.finish import NO_WORDS, FinishWords
from cogent.run.history import NOT_RUN
from cogent.run.turn import Turn


class Run:
    """One run as it goes: the conversation, the turns, the calls, the figures."""

    def __init__(self, provider: str, model: str, messages: list[Message]) -> None:
        self.provider = provider
        self.address: str | None = None  # of the server that answers
        self.model = model
        self.messages = messages
        self.turns: list[TurnSummary] = []
        self.calls: list[ToolCall] = []
        self.open_calls: list[ToolCall] = []
        self.pending: list[
            ToolCall
        ] = []  # of the last turn: calls that are left to the caller
        self.turn: Turn | None = None
        self.first_at: float | None = None
        self.started = perf_counter()
        self.ended: float | None = None
        self.finished: Response | None = None
        self.abandoned = (
            Usage()
        )  # of attempts that were cut after they had begun, and repeated

    def begin_turn(self, words: FinishWords = NO_WORDS) -> Turn:
        """Start the next answer of the model, or the same once more after an attempt
        that failed unseen.
        """
        if self.turn is not None and self.turn.visible and self.turn.usage:
            self.abandoned += self.turn.tokens(self.messages)
        used = (call.id for message in self.messages for call in message.tool_calls)
        self.turn = Turn(str(len(self.messages)), used, words)
        return self.turn

    def end_turn(self, reason: FinishReason | None) -> None:
        """Enter the current turn into the conversation; `reason` is None if it was
        broken off.
        """
        turn, self.turn = self.turn, None
        assert turn is not None
        self.turns.append(self._summary(turn, reason))
        calls = turn.calls()
        self.open_calls, self.pending = [], []
        if reason == "tool_calls":
            self.open_calls, self.pending = calls, turn.pending
        self.calls += [*calls, *self.pending]
        ended_normally = reason == "tool_calls" or (reason == "stop" and not calls)
        message = self._whole_message(turn) if ended_normally else self._message(turn)
        if message.content or message.tool_calls or message.items:
            self.messages.append(message)

    def _message(self, turn: Turn) -> Message:
        """The message of a turn that did not end normally.

        It has the text alone: a call that was cut off, or reasoning without what it led
        to, makes the next request invalid.
        """
        return Message(
            "assistant", turn.content, provider=self.provider, address=self.address
        )

    def _whole_message(self, turn: Turn) -> Message:
        """The message of a turn that ended normally."""
        message = self._message(turn)
        message.tool_calls = [*self.open_calls, *self.pending]
        message.reasoning = turn.reasoning
        message.items = turn.items()
        return message

    def close_calls(self) -> None:
        """Enter a result for every open call, in call order: providers refuse a call
        without one.
        """
        for call in self.open_calls:
            result = call.result or ToolResult(
                call.id, call.name, NOT_RUN, is_error=True
            )
            self.messages.append(
                Message(
                    "tool",
                    result.content,
                    tool_call_id=call.id,
                    name=call.name,
                    is_error=result.is_error,
                    parts=list(result.parts),
                )
            )
        self.open_calls = []

    def tool_calls_metadata(self) -> Json:
        """The metadata of the chunk that ends a turn with tool calls: that turn's
        model, tokens and calls.
        """
        turn = self.turns[-1]
        calls = [call.to_dict() for call in [*self.open_calls, *self.pending]]
        return {
            "model": turn.model,
            "tokens": turn.usage.to_dict(),
            "tool_calls": copy_json(calls),
        }

    def metadata(self) -> Json:
        """The final chunk's metadata, as things stand."""
        turns, calls = self.turns, self.calls
        open_turn = self._open_turn()
        if open_turn is not None:
            turns = [*turns, self._summary(open_turn, None)]
            calls = [*calls, *open_turn.calls()]
        usage = sum((turn.usage for turn in turns), self.abandoned)
        return {
            "model": turns[-1].model if turns else self.model,
            "provider": self.provider,
            "tokens": usage.to_dict(),
            "raw_finish_reason": turns[-1].raw_finish_reason if turns else None,
            "steps": len(turns),
            "tool_calls": [_described(call) for call in calls],
            **self._times(),
            "request_ids": [turn.request_id for turn in turns if turn.request_id],
            **self._pending_metadata(),
        }

    def _pending_metadata(self) -> Json:
        if not self.pending:
            return {}
        return {
            "pending": copy_json(
                [{**call.to_dict(), "type": call.type} for call in self.pending]
            )
        }

    def _times(self) -> dict[str, float | None]:
        ended = self.ended or perf_counter()
        to_first = None if self.first_at is None else self.first_at - self.started
        return {"duration": ended - self.started, "time_to_first_token": to_first}

    def finish(self, reason: FinishReason) -> Json:
        """End the run; returns the final chunk's metadata."""
        self.finished = self._response(self.metadata(), reason)
        return copy_json(self.finished.metadata)

    def response(self) -> Response:
        """The whole response once the run has finished, before that as far as it came;
        a copy each time.
        """
        if self.finished is not None:
            return copy_response(self.finished)
        so_far = self._ended_here()
        return copy_response(so_far._response(self.metadata(), None))

    def hand_over(self) -> Response:
        """The response for a caller who alone holds this run: no copy once finished."""
        return self.response() if self.finished is None else self.finished

    def _ended_here(self) -> Run:
        """The run as it would be if it ended now; this one goes on."""
        ended = Run(self.provider, self.model, list(self.messages))
        ended.address = self.address
        ended.turns = list(self.turns)
        ended.calls = list(self.calls)
        ended.open_calls = self.open_calls
        ended.pending = self.pending
        ended.turn = self._open_turn()
        if ended.turn is not None:
            ended.end_turn(None)
        ended.close_calls()
        return ended

    def _open_turn(self) -> Turn | None:
        """The turn that is coming in, if it costs something."""
        if self.turn is None or not (self.turn.billable or self.turn.began):
            return None
        return self.turn

    def _response(self, metadata: Json, reason: FinishReason | None) -> Response:
        content = "".join(turn.content for turn in self.turns)
        return Response(
            content,
            reason,
            metadata,
            self.messages,
            self.calls,
            self.turns,
            self.pending,
        )

    def _summary(self, turn: Turn, reason: FinishReason | None) -> TurnSummary:
        usage = turn.tokens(self.messages)
        return TurnSummary(
            turn.content,
            reason,
            turn.finish,
            turn.model or self.model,
            usage,
            turn.request_id,
        )


def _described(call: ToolCall) -> Json:
    described = {**call.to_dict(), "executed": call.result is not None}
    if call.result is not None:
        described["result"] = call.result.content
        described["is_error"] = call.result.is_error
        described["duration"] = call.result.duration
    return described
