"""The items of OpenAI Responses that are calls of tools which the provider runs itself: web
search, file search, code, pictures, remote MCP servers, and whatever else may come.

An item holds both: what the model asked for, and what came of it. A program is told apart:
it calls functions of the client, so what came of it is an item of a later response.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content import Media
from cogent.json_values import Json
from cogent.messages import ToolResult
from cogent.providers.formats.fields import first_text, mapping, objects, text_of
from cogent.providers.formats.made_files import file_of_data, file_of_url
from cogent.providers.formats.responses_items import (
    CODE,
    STRINGS,
    OutputItem,
    TextKind,
    type_of,
)
from cogent.providers.formats.responses_pending import WAITING, pending_call
from cogent.run.outputs import Outputs, Working

CALL = "_call"  # how the types of calls end
LISTED = "mcp_list_tools"  # the provider asked a remote server for its tools
PROGRAM = "program"  # code of the model, which calls functions of the client
PROGRAM_OUTPUT = "program_output"
# What a streamed code is wrapped in, so that the arguments are JSON.
CODE_BEGINS = '{"code": "'
CODE_ENDS = '"}'

# The fields of an item that hold what came of it, and those that are no arguments either.
RESULT_FIELDS = ("output", "outputs", "result", "results", "tools", "error")
OTHER_FIELDS = ("id", "type", "status", "call_id", "name", "created_by", "fingerprint")
FOUND = "sources"  # of the action that is a search: what came of it
# Of a picture the result tells how it was made.
PICTURE = "image_generation_call"
FIELDS_OF_PICTURE = ("revised_prompt",)
# With these a call that has ended is over even where the item holds nothing that came of
# it; Azure leaves a search that has ended at "searching".
OVER = ("completed", "failed", "searching")
# How the output of a call that ended otherwise than asked says so.
FAILED = ("failed", "incomplete")


def is_provider_call(body: Json) -> bool:
    """Whether the item is a call that the provider runs.

    A gateway names its own tools like "openrouter:web_search".
    """
    type = type_of(body)
    if type in (LISTED, PROGRAM) or ":" in type:
        return True
    if type in WAITING:
        return body.get("execution") == "server"
    return type.endswith(CALL) and type != "function_call"


def name_of(body: Json) -> str:
    """The name of the tool: the one that was called, or what the item's type says."""
    return first_text(body, "name") or type_of(body).removesuffix(CALL)


# Pieces of a call


def begin_call(item: OutputItem, body: Json) -> Outputs:
    """The id and the name of a call that the provider runs, once.

    The id is the one that an item of its output would name.
    """
    if not item.name:
        item.name = name_of(body)
        item.run_id = item.run_id or body.get("call_id") or ""
        yield _piece(item, name=item.name)


def piece_of_call(item: OutputItem, kind: TextKind, text: str) -> StreamChunk:
    """The next piece of the arguments, whose text the item has already."""
    if kind is CODE:
        begins = CODE_BEGINS if len(item.part(CODE, 0).pieces) == 1 else ""
        text = begins + json.dumps(text)[1:-1]
    return _piece(item, arguments=text)


def end_call(item: OutputItem, body: Json) -> Outputs:
    """What a whole item adds: the rest of the arguments, the result, the pictures."""
    if not item.has_arguments:
        item.has_arguments = True
        yield _piece(item, arguments=_rest_of_arguments(item, body))
    if not item.has_result and has_result(body):
        item.has_result = True
        for file in files_of(body):
            yield StreamChunk(file=file)
        yield StreamChunk(tool_result=_result_of(item, body))
        yield Working()


def whole_call(item: OutputItem) -> Outputs:
    """The call of an item that was taken for one that waits."""
    if item.run_id:
        return
    body = item.closed or item.opened or {}
    item.run_id = body.get("call_id") or ""
    yield _piece(item, name_of(body), text_of(_arguments_of(body)))


def answer_call(item: OutputItem, output: Json) -> Outputs:
    """The call, if it was not given yet, and its result, which another item holds."""
    yield from whole_call(item)
    item.has_result = True
    yield StreamChunk(tool_result=_answer(item.run_id, output))


def answer_earlier_call(output: Json) -> Outputs:
    """The result of a call that an earlier response holds."""
    yield StreamChunk(tool_result=_answer(output.get("call_id") or "", output))


def _piece(item: OutputItem, name: str = "", arguments: str = "") -> StreamChunk:
    id = _run_id(item)
    delta = ToolCallDelta(item.place, id, name, arguments, provider_executed=True)
    return StreamChunk(tool_call=delta)


def _run_id(item: OutputItem) -> str:
    """The id of the call, the same in all its pieces: servers may change an item's."""
    item.run_id = item.run_id or item.id or f"{item.type}_{item.place}"
    return item.run_id


# Arguments


def _rest_of_arguments(item: OutputItem, body: Json) -> str:
    """What the end of the item adds to the JSON text of its arguments."""
    kind = STRINGS.get(item.type)
    if kind is None:
        return text_of(_arguments_of(body))
    if not item.parts:
        return "{}"
    return CODE_ENDS if kind is CODE else ""


def _arguments_of(body: Json) -> Json:
    type = type_of(body)
    action = body.get("action")
    if type in WAITING:
        asked = pending_call(body).arguments
        return asked if isinstance(asked, dict) else {"input": asked}
    if isinstance(action, dict):
        return _without(action, [FOUND])
    if type == PICTURE:
        return {name: body[name] for name in FIELDS_OF_PICTURE if body.get(name)}
    return _without(body, [*OTHER_FIELDS, *RESULT_FIELDS])


def _without(fields: Json, names: Sequence[str]) -> Json:
    """The fields that are not null, without those of these names."""
    return {
        name: value
        for name, value in fields.items()
        if name not in names and value is not None
    }


# Results


def has_result(body: Json) -> bool:
    """Whether the item says that the call is over."""
    if body.get("status") in OVER:
        return True
    return any(body.get(name) for name in RESULT_FIELDS)


def _result_of(item: OutputItem, body: Json) -> ToolResult:
    error = body.get("error")
    content = text_of(error) if error else _content_of(body)
    is_error = bool(error) or body.get("status") == "failed"
    return _result(item, name_of(body), content, is_error)


def _result(item: OutputItem, name: str, content: str, is_error: bool) -> ToolResult:
    return ToolResult(item.run_id, name, content, is_error, provider_executed=True)


def _answer(id: str, output: Json) -> ToolResult:
    values = [output.get(name) for name in ("output", "tools", "result")]
    content = text_of(next(filter(None, values), None))
    is_error = output.get("status") in FAILED
    return ToolResult(id, "", content, is_error, provider_executed=True)


def _content_of(body: Json) -> str:
    match body:
        case {"type": "image_generation_call"}:
            return ""  # the picture is a file
        case {"type": "code_interpreter_call", "outputs": list(outputs)}:
            return _logs(outputs)
        case {"action": {"sources": list(sources)}}:
            return text_of(sources)
    values = [body[name] for name in RESULT_FIELDS if body.get(name)]
    return text_of(values[0]) if values else ""


def _logs(outputs: list[Json]) -> str:
    """What the code printed, or, where it is more than text, all as JSON."""
    logs = [mapping(output).get("logs") for output in outputs]
    if all(isinstance(log, str) for log in logs):
        return "\n".join(map(str, logs))
    return text_of(outputs)


# Pictures


def files_of(body: Json) -> list[Media]:
    """The pictures that the call made."""
    if type_of(body) == PICTURE:
        files = [_picture(body)]
    else:
        outputs = objects(body.get("outputs"))
        files = [file_of_url(output.get("url"), "image/png") for output in outputs]
    return [file for file in files if file is not None]


def _picture(body: Json) -> Media | None:
    result = body.get("result")
    if not isinstance(result, str):
        return None
    media_type = f"image/{body.get('output_format') or 'png'}"
    return file_of_data(result, media_type) or file_of_url(result, media_type)
