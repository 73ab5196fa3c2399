"""What parts of a Gemini answer hold beside text, thoughts and calls of functions: tools
that the server runs, and pictures and files that the model made; and what else it tells.
"""

from __future__ import annotations

import json

from google.genai import types
from pydantic import BaseModel

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.json_values import Json
from cogent.messages import ToolResult
from cogent.providers.formats.fields import filled_fields
from cogent.providers.formats.made_files import file_of_data, file_of_url
from cogent.run.outputs import Outputs, Working

CODE = "code_execution"  # the name of the tool in a request
FAILURES = {types.Outcome.OUTCOME_FAILED, types.Outcome.OUTCOME_DEADLINE_EXCEEDED}
# What has a place elsewhere; all other fields are told as the provider's details.
PLAIN_CANDIDATE = {"content", "finish_reason", "index"}
PLAIN_EVENT = {
    "sdk_http_response",
    "candidates",
    "model_version",
    "usage_metadata",
    "response_id",
}
LISTS_OF_SOURCES = ("grounding_chunks", "grounding_supports")
COUNTS = {
    "prompt_token_count",
    "candidates_token_count",
    "total_token_count",
    "cached_content_token_count",
    "thoughts_token_count",
}


class ServerCalls:
    """The tools that the server ran for one answer.

    Code and its result mostly come without ids: then a result is that of the first call
    that has none.
    """

    def __init__(self) -> None:
        self._count = 0
        self._open: list[str] = []  # ids of calls without a result

    def decode(self, part: types.Part) -> Outputs:
        """The call or the result that a part is."""
        if part.executable_code is not None:
            yield from self._code(part.executable_code)
        elif part.code_execution_result is not None:
            yield from self._output(part.code_execution_result)
        elif part.tool_call is not None:
            call = part.tool_call
            yield from self._call(call.id, _tool_name(call.tool_type), call.args or {})
        elif part.tool_response is not None:
            response = part.tool_response.response or {}
            text = json.dumps(response, ensure_ascii=False, default=str)
            yield from self._result(part.tool_response.id, text)

    def _code(self, code: types.ExecutableCode) -> Outputs:
        arguments: Json = code.to_json_dict()
        arguments.pop("id", None)
        return self._call(code.id, CODE, arguments)

    def _output(self, ran: types.CodeExecutionResult) -> Outputs:
        text = ran.output or ""
        if ran.outcome is None or ran.outcome not in FAILURES:
            return self._result(ran.id, text)
        return self._result(ran.id, text or ran.outcome.value, is_error=True)

    def _call(
        self,
        id: str | None,
        name: str,
        arguments: Json,
    ) -> Outputs:
        self._count += 1
        id = id or f"{name}_{self._count}"
        self._open.append(id)
        text = json.dumps(arguments, default=str)
        delta = ToolCallDelta(self._count, id, name, text, provider_executed=True)
        yield StreamChunk(tool_call=delta)
        yield Working()

    def _result(
        self,
        id: str | None,
        text: str,
        is_error: bool = False,
    ) -> Outputs:
        if id not in self._open and self._open:
            id = self._open[0]
        if id in self._open:
            self._open.remove(id)
        result = ToolResult(id or "", "", text, is_error, provider_executed=True)
        yield StreamChunk(tool_result=result)
        yield Working()


def _tool_name(type: types.ToolType | None) -> str:
    return "server_tool" if type is None else type.value.lower()


def made_file(part: types.Part) -> Outputs:
    """The picture or file that a part is; not one that is only a thought, a draft."""
    if part.thought:
        return
    file = None
    if part.inline_data is not None:
        blob = part.inline_data
        file = file_of_data(blob.data or b"", blob.mime_type, blob.display_name)
    elif part.file_data is not None:
        data = part.file_data
        file = file_of_url(data.file_uri, data.mime_type, data.display_name)
    if file is not None:
        yield StreamChunk(file=file)


class Details:
    """What an answer tells that cogent has no field for.

    A later value replaces an earlier one, but log-probabilities and queries come piece by
    piece. `logprobs` are written as Chat Completions has them.
    """

    def __init__(self) -> None:
        self._told: Json = {}
        self._grounding: Json = {}
        self._logprobs: list[Json] = []
        self.usage: types.GenerateContentResponseUsageMetadata | None = None

    def take(
        self,
        event: types.GenerateContentResponse,
        candidate: types.Candidate,
    ) -> None:
        """Take in what an event tells that is not PLAIN."""
        fields: Json = _dumped(event, event.model_fields_set - PLAIN_EVENT)
        fields |= _dumped(candidate, candidate.model_fields_set - PLAIN_CANDIDATE)
        _extend(self._grounding, fields.pop("grounding_metadata", {}))
        self._logprobs += _logprobs(fields.pop("logprobs_result", {}))
        self._told |= fields

    def to_json(self) -> Json:
        """All that was told."""
        details: Json = dict(self._told)
        details["grounding_metadata"] = self._grounding
        details["logprobs"] = self._logprobs
        if self.usage is not None:
            usage = _dumped(self.usage, self.usage.model_fields_set - COUNTS)
            details |= {
                name: usage[name] for name in usage if not _is_text(usage[name])
            }
        return filled_fields(details)


def _is_text(tokens: object) -> bool:
    """Whether tokens by modality are all of text, which the count itself tells."""
    return isinstance(tokens, list) and all(
        one.get("modality") == "TEXT" for one in tokens
    )


def _dumped(model: BaseModel, names: set[str]) -> Json:
    """These fields of a value of the SDK as JSON."""
    if not names:
        return {}
    return model.model_dump(mode="json", include=names, exclude_none=True)


def _extend(
    known: Json,
    more: Json,
) -> None:
    """Add to the fields that are known; what is new in a list is added to the list."""
    for name, value in more.items():
        if name in LISTS_OF_SOURCES:
            continue
        before = known.get(name)
        if isinstance(value, list) and isinstance(before, list):
            before.extend(one for one in value if one not in before)
        else:
            known[name] = value


def _logprobs(result: Json) -> list[Json]:
    """The log-probabilities of the tokens that were chosen, each with the likeliest."""
    tops: list[Json] = result.get("top_candidates", [])
    tokens = [_logprob(token) for token in result.get("chosen_candidates", [])]
    for token, top in zip(tokens, tops, strict=False):
        token["top_logprobs"] = list(map(_logprob, top.get("candidates", [])))
    return tokens


def _logprob(candidate: Json) -> Json:
    renamed = {"log_probability": "logprob"}
    return {renamed.get(name, name): value for name, value in candidate.items()}
