"""Responses beside text: citations, pictures, tools that the provider runs, remarks, log-probabilities, costs."""

import json
from base64 import b64encode
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.media import PNG
from support.scene import JSON, streamed_answer
from support.wire import responses_beside as beside
from support.wire.common import Json

from cogent import Image, Response, Source, StreamChunk, StreamInterrupted, tool

RESPONSES = [wire for wire in WIRES if wire.send.__name__.endswith("openai_responses")]
PAGE = {
    "type": "url_citation",
    "url": "https://a.example/",
    "title": "A",
    "start_index": 4,
    "end_index": 9,
}
DOCUMENT = {"type": "file_citation", "file_id": "f_1", "filename": "a.pdf", "index": 3}
IN_CONTAINER = {
    "type": "container_file_citation",
    "container_id": "c_1",
    "file_id": "cf_1",
    "filename": "plot.csv",
    "start_index": 0,
    "end_index": 3,
}
PATH = {"type": "file_path", "file_id": "f_2", "index": 0}


@pytest.fixture(params=RESPONSES, ids=lambda wire: wire.name)
def responses(request: pytest.FixtureRequest) -> Wire:
    """Each provider with Responses in turn."""
    return request.param


@pytest.fixture(params=[True, False], ids=["streamed", "plain"])
def streamed(request: pytest.FixtureRequest) -> bool:
    """Whether the answer is streamed."""
    return request.param


class Talk:
    """Runs with one wire; `chunks` are those of the last streamed run."""

    def __init__(self, wire: Wire, server: Loopback, streamed: bool) -> None:
        self.wire = wire
        self.server = server
        self.streamed = streamed
        self.chunks: list[StreamChunk] = []

    async def hear(
        self, *items: Json, given: Json | None = None, **how: Any
    ) -> Response:
        """The response of a run whose answer has these items, and these fields."""
        self.server.reply(self.reply_of(*items, **given or {}))
        agent_settings = {k: how.pop(k) for k in ("output_type",) if k in how}
        async with self.wire.agent(self.server, **agent_settings) as agent:
            if not self.streamed:
                return await agent.run("Go", **how)
            stream = agent.run_stream("Go", **how)
            self.chunks = [chunk async for chunk in stream]
            return stream.response

    def reply_of(self, *items: Json, **fields: Any) -> Reply:
        """The answer with these items, and these fields."""
        if self.streamed:
            body = beside.stream(*items, **fields)
            return Reply(body, content_type="text/event-stream")
        return Reply(beside.plain(*items, **fields), content_type=JSON)

    async def items_sent_back(self, response: Response) -> list[Json]:
        """The items that the next request has of this response."""
        written = json.loads(json.dumps(response.to_dict()))
        history = Response.from_dict(written).messages
        await self.hear(beside.message(beside.part("Yes.")), history=history)
        sent: Json = self.server.requests[-1].json
        return [item for item in sent["input"] if item.get("role") != "user"]


@pytest.fixture
def talk(responses: Wire, server: Loopback, streamed: bool) -> Talk:
    """A conversation."""
    return Talk(responses, server, streamed)


async def test_annotations_are_sources_at_their_place_in_the_answer(talk: Talk) -> None:
    """The text of parts and messages before counts; what a provider does not say is None."""
    items = [
        beside.message(beside.part("One. "), id="msg_0"),
        beside.message(
            beside.part("The grass is green.", PAGE, PAGE, DOCUMENT),
            beside.part("The rest.", IN_CONTAINER, PATH),
        ),
    ]
    response = await talk.hear(*items)
    assert response.content == "One. The grass is green.The rest."
    assert response.sources == [
        Source("https://a.example/", "A", None, 9, 14, PAGE),
        Source(None, "a.pdf", None, 8, 8, DOCUMENT),
        Source(None, "plot.csv", None, 24, 27, IN_CONTAINER),
        Source(None, "f_2", None, None, None, PATH),
    ]
    page = response.sources[0]
    assert response.content[page.start : page.end] == "grass"
    if talk.streamed:
        given = [chunk for chunk in talk.chunks if chunk.source is not None]
        assert [chunk.source for chunk in given] == response.sources
        assert {chunk.content for chunk in given} == {""}
    response.sources[0].raw["url"] = "changed"
    assert await talk.items_sent_back(response) == items


CALLS: list[tuple[Json, str, Json, str | None, bool]] = [
    (
        beside.web_search(),
        "web_search",
        {"type": "search", "query": "news"},
        "",
        False,
    ),
    (
        beside.web_search() | {"status": "searching"},
        "web_search",
        {"type": "search", "query": "news"},
        "",
        False,
    ),
    (
        beside.web_search(sources=["https://a.example/"]),
        "web_search",
        {"type": "search", "query": "news"},
        '[{"type": "url", "url": "https://a.example/"}]',
        False,
    ),
    (beside.file_search(), "file_search", {"queries": ["a", "b"]}, "", False),
    (
        beside.file_search([{"file_id": "f_1", "text": "é"}]),
        "file_search",
        {"queries": ["a", "b"]},
        '[{"file_id": "f_1", "text": "é"}]',
        False,
    ),
    (
        beside.code('print("a\\n😀")', {"type": "logs", "logs": "a"}),
        "code_interpreter",
        {"code": 'print("a\\n😀")'},
        "a",
        False,
    ),
    (
        beside.code("1 / 0", status="failed"),
        "code_interpreter",
        {"code": "1 / 0"},
        "",
        True,
    ),
    (
        beside.code("while 1: pass", status="incomplete"),
        "code_interpreter",
        {"code": "while 1: pass"},
        None,
        False,
    ),
    (
        beside.image_generation(PNG),
        "image_generation",
        {"revised_prompt": "A red cat."},
        "",
        False,
    ),
    (
        beside.mcp_call(),
        "shorten",
        {"url": "https://a.example/"},
        "made",
        False,
    ),
    (
        beside.mcp_call(None, {"type": "http_error", "code": 500}),
        "shorten",
        {"url": "https://a.example/"},
        '{"type": "http_error", "code": 500}',
        True,
    ),
    (
        beside.mcp_call() | {"arguments": ""},
        "shorten",
        {},
        "made",
        False,
    ),
    (
        beside.mcp_tools("shorten"),
        "mcp_list_tools",
        {"server_label": "urls"},
        '[{"name": "shorten", "input_schema": {}}]',
        False,
    ),
    (
        {"id": "x_1", "type": "new_search_call", "status": "completed", "query": "a"},
        "new_search",
        {"query": "a"},
        "",
        False,
    ),
    (
        {"id": "x_1", "type": "openrouter:web_search", "status": "completed"},
        "openrouter:web_search",
        {},
        "",
        False,
    ),
    (
        {"id": "x_1", "type": "tool_search_call", "execution": "server"}
        | {"call_id": None, "status": "completed", "arguments": {"paths": ["a"]}},
        "tool_search",
        {"paths": ["a"]},
        "",
        False,
    ),
]


@pytest.mark.parametrize(("item", "name", "arguments", "content", "failed"), CALLS)
async def test_tools_that_the_provider_runs_are_told_apart(
    talk: Talk,
    item: Json,
    name: str,
    arguments: Json,
    content: str | None,
    failed: bool,
) -> None:
    """Call and result are given once, nobody is asked for anything, and the item goes back as it came."""
    items = [item, beside.message(beside.part("Done."))]
    response = await talk.hear(*items)
    assert (response.content, response.finish_reason) == ("Done.", "stop")
    [call] = response.tool_calls
    assert (call.id, call.name, call.arguments) == (item["id"], name, arguments)
    assert call.provider_executed and call.type == "function"
    if content is None:
        assert call.result is None
    else:
        assert call.result is not None and call.result.provider_executed
        told = (call.result.name, call.result.content, call.result.is_error)
        assert told == (name, content, failed)
    assert response.metadata["tool_calls"] == [] and response.pending == []
    if talk.streamed:
        pieces = [chunk.tool_call for chunk in talk.chunks if chunk.tool_call]
        assert {piece.id for piece in pieces} == {item["id"]}
        assert all(piece.provider_executed for piece in pieces)
        assert json.loads("".join(piece.arguments for piece in pieces)) == arguments
        results = [chunk.tool_result for chunk in talk.chunks if chunk.tool_result]
        assert results == ([] if call.result is None else [call.result])
    assert await talk.items_sent_back(response) == items


async def test_pictures_are_files(talk: Talk) -> None:
    """Those of image generation, and those that code drew; a draft is none."""
    url = f"data:image/png;base64,{b64encode(PNG).decode()}"
    outputs = [{"type": "logs", "logs": "a"}, {"type": "image", "url": url}]
    items = [beside.image_generation(PNG), beside.code("plot()", *outputs)]
    response = await talk.hear(*items)
    assert response.files == [Image(PNG, "image/png")] * 2
    assert (response.content, response.finish_reason) == ("", "stop")
    assert await talk.items_sent_back(response) == items


async def test_hosted_shell_is_a_call_with_its_result(talk: Talk) -> None:
    """A call that would wait, but for its output in the same response, was run by the provider."""
    call = {
        "id": "sh_1",
        "type": "shell_call",
        "call_id": "call_1",
        "status": "completed",
        "action": {"commands": ["ls"]},
    }
    output = {
        "id": "sho_1",
        "type": "shell_call_output",
        "call_id": "call_1",
        "output": [{"stdout": "a.txt"}],
    }
    items = [call, output, beside.message(beside.part("Done."))]
    response = await talk.hear(*items)
    [shell] = response.tool_calls
    assert (shell.name, shell.arguments) == ("shell", {"commands": ["ls"]})
    assert shell.provider_executed and shell.result is not None
    assert shell.result.content == '[{"stdout": "a.txt"}]'
    assert response.pending == []
    assert await talk.items_sent_back(response) == items


async def test_custom_call_before_the_answer_was_run_by_the_provider(
    talk: Talk,
) -> None:
    """After a call that waits no answer comes; xAI runs its search under a custom tool's name."""
    search = {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "call_id": "xs_1",
        "status": "completed",
        "name": "x_search",
        "input": '{"query": "a"}',
    }
    response = await talk.hear(search, beside.message(beside.part("Done.")))
    [call] = response.tool_calls
    assert (call.id, call.name, call.provider_executed) == ("xs_1", "x_search", True)
    assert call.arguments == {"input": '{"query": "a"}'}
    assert (response.finish_reason, response.pending) == ("stop", [])
    alone = await talk.hear(beside.message(beside.part("Wait.")), search)
    assert [one.name for one in alone.pending] == ["x_search"]


PROGRAM = {
    "id": "cm_1",
    "type": "program",
    "call_id": "call_p",
    "code": "text(await tools.add({a: 1, b: 2}))",
    "fingerprint": "opaque",
}
BY_PROGRAM = {"type": "program", "caller_id": "call_p"}


def called_by_program(id: str) -> Json:
    """The call of a function that the program made."""
    return {
        "id": f"fc_{id}",
        "type": "function_call",
        "status": "in_progress",
        "call_id": id,
        "name": "add",
        "arguments": '{"a": 1, "b": 2}',
        "caller": BY_PROGRAM,
    }


@pytest.mark.parametrize(
    ("status", "failed"), [("completed", False), ("incomplete", True)]
)
async def test_a_program_of_the_model_calls_functions(
    talk: Talk, status: str, failed: bool
) -> None:
    """The provider runs it over several responses; an answer to its calls names their caller."""

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    ended = {"id": "cmo_1", "type": "program_output", "call_id": "call_p"}
    ended |= {"status": status, "result": "3"}
    answers = [
        [PROGRAM, called_by_program("call_1")],
        [called_by_program("call_2")],
        [ended, beside.message(beside.part("Three."))],
    ]
    for items in answers:
        talk.server.reply(talk.reply_of(*items))
    async with talk.wire.agent(talk.server, tools=[add], stream=talk.streamed) as agent:
        chunks = []
        if talk.streamed:
            stream = agent.run_stream("Go")
            chunks = [chunk async for chunk in stream]
        response = stream.response if talk.streamed else await agent.run("Go")
    assert (response.content, response.finish_reason) == ("Three.", "stop")
    program, *calls = response.tool_calls
    assert (program.id, program.name) == ("call_p", "program")
    assert program.arguments == {"code": PROGRAM["code"]}
    assert program.provider_executed and program.result is not None
    assert (program.result.content, program.result.is_error) == ("3", failed)
    assert [call.id for call in calls] == ["call_1", "call_2"]
    given = [chunk.tool_result.id for chunk in chunks if chunk.tool_result]
    assert given == (["call_1", "call_2", "call_p"] if talk.streamed else [])
    sent = talk.server.requests[-1].json["input"][1:]
    outputs = [item for item in sent if item["type"] == "function_call_output"]
    assert [item for item in sent if item not in outputs] == answers[0] + answers[1]
    assert [(item["call_id"], item["caller"]) for item in outputs] == [
        ("call_1", BY_PROGRAM),
        ("call_2", BY_PROGRAM),
    ]
    assert await talk.items_sent_back(response) == [
        PROGRAM,
        answers[0][1],
        outputs[0],
        answers[1][0],
        outputs[1],
        *answers[2],
    ]


async def test_commentary_is_text_that_is_told_apart(talk: Talk) -> None:
    """It is part of the text; its chunks and a passage in the details say so, and history keeps its phase."""
    items = [
        beside.message(beside.part("Let me look."), id="msg_0", phase="commentary"),
        beside.web_search(),
        beside.message(beside.part("Green."), phase="final_answer"),
    ]
    response = await talk.hear(*items)
    assert response.content == "Let me look.Green."
    passages = response.metadata["provider_details"]["commentary"]
    assert passages == [{"start": 0, "end": 12}]
    if talk.streamed:
        remarks = [chunk for chunk in talk.chunks if chunk.content and chunk.metadata]
        assert "".join(chunk.content for chunk in remarks) == "Let me look."
        assert all(chunk.metadata == {"phase": "commentary"} for chunk in remarks)
    assert await talk.items_sent_back(response) == items


async def test_typed_answer_is_read_without_the_commentary(talk: Talk) -> None:
    """A remark before the JSON does not make it unfit."""
    items = [
        beside.message(beside.part("One moment."), id="msg_0", phase="commentary"),
        beside.message(beside.part("[1, 2]"), phase="final_answer"),
    ]
    items[1]["content"][0]["text"] = '{"value": [1, 2]}'
    response: Response[Any] = await talk.hear(*items, output_type=list[int])
    assert response.output == [1, 2]
    assert response.content.startswith("One moment.")


async def test_details_of_the_provider(talk: Talk) -> None:
    """Log-probabilities, what the answer cost, and a tier that is not the usual one."""
    logprobs = [
        {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    ]
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "cost": 0.25}
    given = {"usage": usage, "service_tier": "flex"}
    text = beside.part("Hi", logprobs=logprobs)
    response = await talk.hear(beside.message(text), given=given)
    details = {"logprobs": logprobs, "cost": 0.25, "service_tier": "flex"}
    assert response.metadata["provider_details"] == details
    assert response.turns[0].provider_details == details


async def test_cut_stream_keeps_what_had_come(
    responses: Wire, server: Loopback
) -> None:
    """The partial response has the call without a result, the picture and the source."""
    items = [beside.image_generation(PNG), beside.message(beside.part("A text.", PAGE))]
    events = beside.stream(*items, beside.web_search())[:-2]
    server.reply(Reply(events, content_type="text/event-stream"))
    async with responses.agent(server) as agent:
        stream = agent.run_stream("Go")
        with pytest.raises(StreamInterrupted, match="ended before"):
            _ = [chunk async for chunk in stream]
        partial = stream.response
    assert [source.url for source in partial.sources] == ["https://a.example/"]
    assert partial.files == [Image(PNG, "image/png")]
    names = [(call.name, call.result is None) for call in partial.tool_calls]
    assert names == [("image_generation", False), ("web_search", True)]


async def test_gateway_that_repeats_items_under_other_ids_gives_a_source_once(
    responses: Wire, server: Loopback
) -> None:
    """The end event holds other items than were streamed, with the same text and citation."""
    streamed = beside.stream(beside.message(beside.part("The grass.", PAGE)))
    last = beside.stream(beside.message(beside.part("The grass.", PAGE), id="other"))
    server.reply(Reply([*streamed[:-1], last[-1]], content_type="text/event-stream"))
    response = await streamed_answer(responses.agent(server))
    assert response.content == "The grass."
    assert response.sources == [Source("https://a.example/", "A", None, 4, 9, PAGE)]
