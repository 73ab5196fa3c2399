"""A run as the events of AG-UI 1.0, which `@ag-ui/client` reads: https://docs.ag-ui.com.

The rules of its verifier: RUN_STARTED first; what was opened is closed before
RUN_FINISHED; after RUN_ERROR nothing. All calls of a turn name one parent message, and
no two messages have one id. No field is null.
"""

from __future__ import annotations

from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content_json import part_to_dict
from cogent.json_values import Json, dump_json
from cogent.messages import ToolCall, ToolResult
from cogent.output import plain_json
from cogent.run.approval import refusal
from cogent.stream import AgentStream
from cogent.web.encoding import (
    PartialOutput,
    Texts,
    TypedEvents,
    encode_run,
    new_run_id,
)
from cogent.web.failure import Failure
from cogent.web.question import Question

TEXT = "TEXT_MESSAGE"
REASONING = "REASONING_MESSAGE"
APPROVAL: Json = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
}
"""The schema of an answer to an interrupt."""


def ag_ui_events(
    stream: AgentStream[Any],
    *,
    question: Question | None = None,
    partial: bool = False,
) -> Texts:
    """The events of a run, for servers that `ag_ui_response` is not for.

    Send them with `Content-Type: text/event-stream` and the headers of `NO_BUFFERING`.

    >>> async def main():
    ...     texts = [text async for text in ag_ui_events(agent.run_stream("Hi"))]
    ...     return "RUN_FINISHED" in texts[-1]
    >>> asyncio.run(main())
    True
    """
    return encode_run(stream, AgUiEncoder(stream, question, partial))


class AgUiEncoder(TypedEvents):
    """Writes the events, and remembers what is open."""

    def __init__(
        self, stream: AgentStream[Any], question: Question | None, partial: bool
    ) -> None:
        super().__init__()
        self._stream = stream
        self._question = question
        self._partial = PartialOutput(stream, partial)
        run_id = new_run_id()
        self._run_id = question.run_id if question else run_id
        self._thread_id = question.thread_id if question else run_id
        self._prefix = run_id  # of the ids of messages
        self._count = 0
        self._ids: list[str] = []  # of all messages of the run
        self._open: tuple[str, str] | None = None  # TEXT or REASONING, and its id
        self._parent = ""  # the message that the calls of this turn belong to
        self._calls: dict[str, None] = {}  # the ids of those that are open

    def begin(self) -> str:
        """RUN_STARTED, and the calls that were refused: they run no more."""
        self._add("RUN_STARTED", **self._ids_of_run())
        approvals = self._question.approvals if self._question else {}
        for id, approval in approvals.items():
            text = refusal(approval)
            if text is not None:
                self._add_result(id, text)
        return self._take()

    def encode(self, chunk: StreamChunk) -> str:
        """The events of a chunk."""
        if chunk.content:
            self._add_delta(TEXT, chunk.content)
            self._add_partial()
        elif chunk.reasoning:
            self._add_delta(REASONING, chunk.reasoning)
        elif chunk.tool_call is not None:
            self._add_call(chunk.tool_call)
        elif chunk.tool_result is not None:
            self._add_tool_result(chunk.tool_result)
        elif chunk.finish_reason is None:
            self._add_custom(chunk)
        elif chunk.is_final:
            self._add_end(chunk)
        else:
            self._end_turn(chunk.metadata or {})
        return self._take()

    def _add_custom(self, chunk: StreamChunk) -> None:
        """What the protocol has no event for."""
        if chunk.source is not None:
            self._add("CUSTOM", name="source", value=chunk.source.to_dict())
        elif chunk.file is not None:
            self._add("CUSTOM", name="file", value=part_to_dict(chunk.file))
        elif chunk.metadata:
            self._close()
            problems = chunk.metadata["output_retry"]
            self._add("CUSTOM", name="output_retry", value=problems)

    def fail(self, failure: Failure) -> str:
        """RUN_ERROR, whose code is the kind of the error."""
        self._add_signed()
        self._add(
            "RUN_ERROR",
            message=failure.message,
            code=failure.kind,
            metadata={"retryable": failure.retryable},
        )
        return self._take()

    def _add_delta(self, kind: str, delta: str) -> None:
        if self._open is None or self._open[0] != kind:
            self._close_message()
            id = self._new_id()
            self._open = kind, id
            if kind == TEXT:
                self._parent = self._parent or id
                self._add(f"{TEXT}_START", messageId=id, role="assistant")
            else:
                self._add("REASONING_START", messageId=id)
                self._add(f"{REASONING}_START", messageId=id, role="reasoning")
        self._add(f"{kind}_CONTENT", messageId=self._open[1], delta=delta)

    def _add_partial(self) -> None:
        value = self._partial.take_change()
        if value is not None:
            self._add("CUSTOM", name="output", value=value)

    def _add_call(self, call: ToolCallDelta) -> None:
        id = str(call.id)
        if id not in self._calls:
            self._start_call(id, call.name)
        if call.arguments:
            self._add("TOOL_CALL_ARGS", toolCallId=id, delta=call.arguments)

    def _start_call(self, id: str, name: str) -> None:
        self._close_message()
        self._parent = self._parent or self._new_id()
        self._calls[id] = None
        self._add(
            "TOOL_CALL_START",
            toolCallId=id,
            toolCallName=name,
            parentMessageId=self._parent,
        )

    def _end_turn(self, metadata: Json) -> None:
        """The turn's calls are whole; the next turn has messages of its own."""
        for call in metadata["tool_calls"]:
            if call["id"] not in self._calls:  # it came without pieces
                self._start_call(call["id"], call["name"])
                arguments = dump_json(call["arguments"])
                self._add("TOOL_CALL_ARGS", toolCallId=call["id"], delta=arguments)
        self._close()
        self._parent = ""

    def _add_tool_result(self, result: ToolResult) -> None:
        self._close_message()
        if result.id in self._calls:  # one that the provider ran
            del self._calls[result.id]
            self._add("TOOL_CALL_END", toolCallId=result.id)
        self._add_result(result.id, result.content)
        if self._question is not None and self._question.has_approved(result.id):
            self._add_signed()

    def _add_result(self, call_id: str, content: str) -> None:
        self._add(
            "TOOL_CALL_RESULT",
            messageId=self._new_id(),
            toolCallId=call_id,
            content=content,
            role="tool",
        )

    def _add_end(self, chunk: StreamChunk) -> None:
        self._close()
        self._add_signed()
        metadata = chunk.metadata or {}
        response = self._stream.response
        fields: Json = {"usage": [_usage(metadata)]}
        if response.output is not None:
            fields["result"] = plain_json(response.output)
        fields["outcome"] = self._outcome(response.pending)
        finish = {"finishReason": chunk.finish_reason}
        self._add("RUN_FINISHED", **self._ids_of_run(), metadata=finish, **fields)

    def _outcome(self, pending: list[ToolCall]) -> Json:
        """How the run ended: calls that wait for an approval interrupt it."""
        waits = self._stream.awaits_approval
        interrupts = [_interrupt(call) for call in pending if waits(call)]
        if interrupts:
            return {"type": "interrupt", "interrupts": interrupts}
        outcome: Json = {"type": "success"}
        if pending:
            outcome["pendingToolCallIds"] = [call.id for call in pending]
        return outcome

    def _add_signed(self) -> None:
        """What was signed goes with the first message, and comes back with it."""
        if self._question is None or not self._ids:
            return
        signed = self._question.seal_news(self._stream.response, self._ids)
        if signed:
            self._add(
                "REASONING_ENCRYPTED_VALUE",
                subtype="message",
                entityId=self._ids[0],
                encryptedValue=signed,
            )

    def _close(self) -> None:
        """End whatever is open."""
        self._close_message()
        for id in self._calls:
            self._add("TOOL_CALL_END", toolCallId=id)
        self._calls.clear()

    def _close_message(self) -> None:
        if self._open is None:
            return
        kind, id = self._open
        self._open = None
        self._add(f"{kind}_END", messageId=id)
        if kind == REASONING:
            self._add("REASONING_END", messageId=id)

    def _ids_of_run(self) -> Json:
        return {"threadId": self._thread_id, "runId": self._run_id}

    def _new_id(self) -> str:
        self._count += 1
        id = f"{self._prefix}-{self._count}"
        self._ids.append(id)
        return id


def _interrupt(call: ToolCall) -> Json:
    return {
        "id": call.id,
        "reason": "tool_call",
        "message": f"May {call.name} run?",
        "toolCallId": call.id,
        "responseSchema": APPROVAL,
    }


def _usage(metadata: Json) -> Json:
    tokens = metadata["tokens"]
    return {
        "provider": metadata["provider"],
        "model": metadata["model"],
        "inputTokens": tokens["input_tokens"],
        "outputTokens": tokens["output_tokens"],
        "totalTokens": tokens["total_tokens"],
        "reasoningTokens": tokens["reasoning_tokens"],
        "cachedInputTokens": tokens["cache_read_tokens"],
        "cacheWriteInputTokens": tokens["cache_write_tokens"],
    }
