"""Items of Responses that hold more than text and calls of functions, and responses of them, streamed and plain."""

from base64 import b64encode
from collections.abc import Iterator, Sequence

from .common import Answer, Json, cut, encode
from .openai_responses import _number, _response

# The fields that an item has only at its end.
ENDS = ("action", "queries", "results", "outputs", "output", "result", "error", "tools")


def stream(*items: Json, **fields: object) -> list[bytes]:
    """The events of a response of these items; the fields are of the response."""
    answer = Answer()
    events: list[Json] = [
        {"type": "response.created", "response": _response(answer, "in_progress")}
    ]
    for index, item in enumerate(items):
        events += _events(index, item)
    events.append({"type": "response.completed", "response": _whole(items, fields)})
    return _number(events)


def plain(*items: Json, **fields: object) -> bytes:
    """The same response in one piece."""
    return encode(_whole(items, fields))


def _whole(items: Sequence[Json], fields: Json) -> Json:
    return _response(Answer(), "completed") | {"output": list(items)} | fields


def _events(index: int, item: Json) -> Iterator[Json]:
    at = {"output_index": index, "item_id": item["id"]}
    opened = {name: value for name, value in item.items() if name not in ENDS}
    pieces: list[Json] = []
    match item["type"]:
        case "message":
            opened["content"] = []
            pieces = list(_message_events(at, item))
        case "code_interpreter_call":
            opened |= {"code": "", "outputs": []}
            pieces = list(_text_events(at, "code_interpreter_call_code", item["code"]))
        case "mcp_call":
            opened |= {"arguments": "", "output": None, "error": None}
            pieces = list(_text_events(at, "mcp_call_arguments", item["arguments"]))
        case "image_generation_call":
            draft = {"partial_image_index": 0, "partial_image_b64": item["result"]}
            kind = "response.image_generation_call.partial_image"
            pieces = [{"type": kind, **at, **draft}]
    if "status" in opened:
        opened["status"] = "in_progress"
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    yield from pieces
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _text_events(at: Json, kind: str, text: str) -> Iterator[Json]:
    for piece in cut(text):
        yield {"type": f"response.{kind}.delta", **at, "delta": piece}
    name = kind.rpartition("_")[2]
    yield {"type": f"response.{kind}.done", **at, name: text}


def _message_events(at: Json, item: Json) -> Iterator[Json]:
    for number, part in enumerate(item["content"]):
        of_part = {**at, "content_index": number}
        begun = part | {"text": "", "annotations": [], "logprobs": []}
        yield {"type": "response.content_part.added", **of_part, "part": begun}
        for piece in cut(part["text"]):
            kind = "response.output_text.delta"
            yield {"type": kind, **of_part, "delta": piece, "logprobs": []}
        for place, annotation in enumerate(part["annotations"]):
            yield {
                "type": "response.output_text.annotation.added",
                **of_part,
                "annotation_index": place,
                "annotation": annotation,
            }
        done = {"text": part["text"], "logprobs": part["logprobs"]}
        yield {"type": "response.output_text.done", **of_part, **done}
        yield {"type": "response.content_part.done", **of_part, "part": part}


# Items


def message(*parts: Json, id: str = "msg_1", phase: str | None = None) -> Json:
    """A message of these parts."""
    item: Json = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": list(parts),
    }
    return item if phase is None else item | {"phase": phase}


def part(text: str, *annotations: Json, logprobs: Sequence[Json] = ()) -> Json:
    """A text with annotations."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": list(annotations),
        "logprobs": list(logprobs),
    }


def web_search(id: str = "ws_1", sources: Sequence[str] = ()) -> Json:
    """A search on the web."""
    action: Json = {"type": "search", "query": "news"}
    if sources:
        action["sources"] = [{"type": "url", "url": url} for url in sources]
    return {
        "id": id,
        "type": "web_search_call",
        "status": "completed",
        "action": action,
    }


def file_search(results: Sequence[Json] | None = None) -> Json:
    """A search in uploaded files."""
    return {
        "id": "fs_1",
        "type": "file_search_call",
        "status": "completed",
        "queries": ["a", "b"],
        "results": results,
    }


def code(text: str, *outputs: Json, status: str = "completed") -> Json:
    """A program that the provider runs."""
    return {
        "id": "ci_1",
        "type": "code_interpreter_call",
        "status": status,
        "code": text,
        "container_id": "cntr_1",
        "outputs": list(outputs) or None,
    }


def image_generation(data: bytes) -> Json:
    """A picture; real servers leave the status at `generating`."""
    return {
        "id": "ig_1",
        "type": "image_generation_call",
        "status": "generating",
        "output_format": "png",
        "revised_prompt": "A red cat.",
        "result": b64encode(data).decode(),
    }


def mcp_call(output: str | None = "made", error: object = None) -> Json:
    """A call of a tool of a remote server."""
    return {
        "id": "mcp_1",
        "type": "mcp_call",
        "status": "completed" if error is None else "failed",
        "name": "shorten",
        "server_label": "urls",
        "arguments": '{"url": "https://a.example/"}',
        "output": output,
        "error": error,
    }


def mcp_tools(*names: str) -> Json:
    """The list of the tools of a remote server."""
    tools = [{"name": name, "input_schema": {}} for name in names]
    return {
        "id": "mcpl_1",
        "type": "mcp_list_tools",
        "server_label": "urls",
        "tools": tools,
    }
