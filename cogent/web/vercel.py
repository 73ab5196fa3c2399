"""A run in the UI message stream protocol of Vercel's AI SDK, which `useChat` reads.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol. Parts are JSON in server-sent events
without a name. A part that the protocol does not know ends the page's reading, and so
does null in an optional field; what has no part of its own goes as `data-NAME`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content import File, Image
from cogent.content_json import base64_of
from cogent.json_values import Json
from cogent.messages import ToolResult
from cogent.output import plain_json
from cogent.sources import Source
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
from cogent.web.vercel_body import SIGNED

NOT_RUN = "Not executed: the answer ended before."
END = "data: [DONE]\n\n"


def vercel_events(
    stream: AgentStream[Any],
    *,
    question: Question | None = None,
    partial: bool = False,
) -> Texts:
    """The events of a run, for servers that `vercel_response` is not for.

    Send them with `Content-Type: text/event-stream`, the headers of `NO_BUFFERING`, and
    `x-vercel-ai-ui-message-stream: v1`.

    >>> async def main():
    ...     texts = [text async for text in vercel_events(agent.run_stream("Hi"))]
    ...     return "data: [DONE]" in texts[-1]
    >>> asyncio.run(main())
    True
    """
    return encode_run(stream, VercelEncoder(stream, question, partial))


@dataclass(slots=True)
class _Call:
    """A call as it comes in."""

    name: str
    provider_executed: bool
    arguments: str = ""

    def who_runs(self) -> dict[str, bool]:
        """The field that says that the provider runs it."""
        return {"providerExecuted": True} if self.provider_executed else {}


class VercelEncoder(TypedEvents):
    """Writes the parts, each opened before its deltas and closed before the next."""

    def __init__(
        self, stream: AgentStream[Any], question: Question | None, partial: bool
    ) -> None:
        super().__init__()
        self._stream = stream
        self._question = question
        self._partial = PartialOutput(stream, partial)
        self._run_id = new_run_id()
        # Of the message that the run goes on in.
        self._message_id = question.message_id if question else ""
        self._count = 0  # of texts and of pieces of reasoning
        self._open: tuple[str, str] | None = None  # "text" or "reasoning", and its id
        self._in_step = False
        self._turn_ended = False
        # Those that are not complete, and those that the provider runs, by their ids.
        self._calls: dict[str, _Call] = {}
        self._known: set[str] = set()  # ids of calls that the page has seen

    def begin(self) -> str:
        """The part `start`; the run may go on in a message that the page has."""
        self._add("start", messageId=self._message_id or self._run_id)
        if self._question is not None and self._message_id:
            for id, approval in self._question.approvals.items():
                if approval is not True:
                    self._add("tool-output-denied", toolCallId=id)
        return self._take()

    def encode(self, chunk: StreamChunk) -> str:
        """The parts of a chunk."""
        if chunk.content:
            self._add_delta("text", chunk.content)
            self._add_partial()
        elif chunk.reasoning:
            self._add_delta("reasoning", chunk.reasoning)
        elif chunk.finish_reason is None:
            self._add_other(chunk)
        elif chunk.is_final:
            self._add_end(chunk)
            return self._take() + END
        else:
            self._add_calls(chunk.metadata or {})
        return self._take()

    def _add_other(self, chunk: StreamChunk) -> None:
        if chunk.tool_call is not None:
            self._add_call(chunk.tool_call)
        elif chunk.tool_result is not None:
            self._add_result_and_signed(chunk.tool_result)
        elif chunk.source is not None:
            self._add_source(chunk.source)
        elif chunk.file is not None:
            self._begin_step()
            self._close()
            media_type = chunk.file.media_type or "application/octet-stream"
            self._add("file", url=_url_of(chunk.file), mediaType=media_type)
        elif chunk.metadata:
            self._close()
            self._add("data-output-retry", data=chunk.metadata["output_retry"])

    def _add_source(self, source: Source) -> None:
        self._begin_step()
        self._count += 1
        id = f"{self._run_id}-{self._count}"
        title = source.title or source.url or "source"
        if source.url is not None:
            self._add("source-url", sourceId=id, url=source.url, title=title)
        else:
            self._add(
                "source-document", sourceId=id, mediaType="text/plain", title=title
            )

    def fail(self, failure: Failure) -> str:
        """The part `error`: without it the page would take what came for the whole."""
        self._add_signed()
        self._add("data-failed", data=failure.to_dict(), transient=True)
        self._add("error", errorText=failure.message)
        return self._take() + END

    def _add_delta(self, kind: str, delta: str) -> None:
        self._begin_step()
        if self._open is None or self._open[0] != kind:
            self._close()
            self._count += 1
            self._open = kind, f"{self._run_id}-{self._count}"
            self._add(f"{kind}-start", id=self._open[1])
        self._add(f"{kind}-delta", id=self._open[1], delta=delta)

    def _add_partial(self) -> None:
        value = self._partial.take_change()
        if value is not None:
            self._add("data-output", id="output", data=value)

    def _add_call(self, delta: ToolCallDelta) -> None:
        self._begin_step()
        self._close()
        id = str(delta.id)
        call = self._calls.get(id)
        if call is None:
            call = _Call(delta.name, delta.provider_executed)
            self._calls[id] = call
            self._known.add(id)
            self._add(
                "tool-input-start",
                toolCallId=id,
                toolName=call.name,
                **call.who_runs(),
            )
        call.arguments += delta.arguments
        if delta.arguments:
            self._add("tool-input-delta", toolCallId=id, inputTextDelta=delta.arguments)

    def _add_calls(self, metadata: Json) -> None:
        """The whole calls of a turn."""
        self._begin_step()
        self._close()
        for call in metadata["tool_calls"]:
            self._known.add(call["id"])
            self._add_input(call["id"], call["name"], call["arguments"])
            self._calls.pop(call["id"], None)
        self._turn_ended = True

    def _add_input(self, id: str, name: str, arguments: object, **more: object) -> None:
        self._add(
            "tool-input-available",
            toolCallId=id,
            toolName=name,
            input=arguments,
            **more,
        )

    def _add_result(self, result: ToolResult) -> None:
        if result.id not in self._known and not self._message_id:
            # A call of an earlier run: the page's reading would end at its result.
            self._add_input(result.id, result.name, {})
        more: dict[str, bool] = {}
        if result.provider_executed:
            more = {"providerExecuted": True}
            call = self._calls.pop(result.id, _Call(result.name, True))
            self._add_input(result.id, call.name, _as_json(call.arguments), **more)
        if result.is_error:
            self._add(
                "tool-output-error",
                toolCallId=result.id,
                errorText=result.content,
                **more,
            )
            return
        output = _as_json(result.content)
        self._add("tool-output-available", toolCallId=result.id, output=output, **more)

    def _add_result_and_signed(self, result: ToolResult) -> None:
        self._add_result(result)
        if self._question is not None and self._question.has_approved(result.id):
            self._add_signed()

    def _add_end(self, chunk: StreamChunk) -> None:
        metadata = dict(chunk.metadata or {})
        self._close()
        for id, call in self._calls.items():
            self._add(
                "tool-input-error",
                toolCallId=id,
                toolName=call.name,
                input=_as_json(call.arguments),
                errorText=NOT_RUN,
                **call.who_runs(),
            )
        for waiting in self._stream.response.pending:
            if self._stream.awaits_approval(waiting):
                self._add(
                    "tool-approval-request",
                    approvalId=waiting.id,
                    toolCallId=waiting.id,
                )
        self._end_step()
        output = self._stream.response.output
        if output is not None:
            self._add("data-output", id="output", data=plain_json(output))
        signed = self._sign()
        if signed:
            metadata[SIGNED] = signed
        reason = str(chunk.finish_reason).replace("_", "-")
        self._add("finish", finishReason=reason, messageMetadata=metadata)

    def _add_signed(self) -> None:
        signed = self._sign()
        if signed:
            self._add("message-metadata", messageMetadata={SIGNED: signed})

    def _sign(self) -> str:
        if self._question is None:
            return ""
        return self._question.seal_news(self._stream.response)

    def _begin_step(self) -> None:
        if self._turn_ended:
            self._turn_ended = False
            self._end_step()
        if not self._in_step:
            self._in_step = True
            self._add("start-step")

    def _end_step(self) -> None:
        if self._in_step:
            self._in_step = False
            self._add("finish-step")

    def _close(self) -> None:
        """End the text or the reasoning that is open."""
        if self._open is not None:
            kind, id = self._open
            self._open = None
            self._add(f"{kind}-end", id=id)


def _url_of(media: Image | File) -> str:
    """The URL; for bytes one that holds them."""
    if media.url is not None:
        return media.url
    return f"data:{media.media_type};base64,{base64_of(media)}"


def _as_json(text: str) -> object:
    """What a tool gave: its value, where the text is JSON, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
