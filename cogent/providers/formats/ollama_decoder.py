"""What Ollama's chat API answers, streamed or whole, as cogent's chunks and updates.

Each line is read by itself. Calls come whole and without ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ollama import ChatResponse
from ollama import Message as OllamaMessage

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.providers.formats.counts import known
from cogent.providers.formats.updates import updates_of
from cogent.run.outputs import Outputs, ProviderDetails, Update

DURATIONS = (
    "total_duration",
    "load_duration",
    "prompt_eval_duration",
    "eval_duration",
)


class StreamDecoder:
    """Decodes the lines of one answer."""

    is_complete: bool = False

    def decode(self, event: ChatResponse | str) -> Outputs:
        """What a line of the stream gives; of one that the SDK was not given this is
        the text.
        """
        if isinstance(event, str):
            return (StreamChunk(event),)
        message = event.message
        if event.done:
            self.is_complete = True
        elif message.content and not (
            message.thinking or message.tool_calls or event.logprobs
        ):
            return (StreamChunk(message.content),)
        return decode_response(event)

    def close(self) -> Outputs:
        """Nothing: each line was given as it came."""
        return ()


def decode_response(event: ChatResponse) -> Outputs:
    """What a line of the stream, or a whole answer, gives."""
    message = event.message
    if message.thinking:
        yield StreamChunk(reasoning=message.thinking)
    if message.content:
        yield StreamChunk(message.content)
    yield from _decode_calls(message)
    if event.logprobs:
        logprobs = [one.model_dump(exclude_none=True) for one in event.logprobs]
        yield ProviderDetails({"logprobs": logprobs})
    if event.done or not (message.content or message.thinking):
        yield from _decode_updates(event)


def _decode_calls(message: OllamaMessage) -> Outputs:
    for call in message.tool_calls or ():
        function = call.function
        if function.name or function.arguments:
            arguments = json.dumps(function.arguments)
            yield StreamChunk(
                tool_call=ToolCallDelta(name=function.name, arguments=arguments)
            )


def _decode_updates(event: ChatResponse) -> Iterator[Update]:
    finish = None
    if event.done:
        finish = event.done_reason or "stop"
        yield from _decode_durations(event)
    counts = {
        "input_tokens": event.prompt_eval_count,
        "output_tokens": event.eval_count,
    }
    yield from updates_of(model=event.model, finish=finish, counts=known(counts))


def _decode_durations(event: ChatResponse) -> Iterator[Update]:
    """How long the server took for what, in nanoseconds."""
    durations = {name: getattr(event, name) for name in DURATIONS}
    known_durations = {name: value for name, value in durations.items() if value}
    if known_durations:
        yield ProviderDetails(known_durations)
