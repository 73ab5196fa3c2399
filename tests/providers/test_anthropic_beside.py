"""What Anthropic says beside the text: citations, tools that it runs itself, and its own details."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.media import PNG
from support.scene import JSON, STREAMED, checked_answer
from support.wire import anthropic_messages as messages
from support.wire.common import Json

from cogent import Response, StreamChunk, StreamInterrupted, tool
from cogent.providers.formats.messages_decoder import decode_response
from cogent.run.conversation import Run

[WIRE] = [wire for wire in WIRES if wire.name == "anthropic"]

SEARCH: Json = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "news"},
}
FOUND: Json = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {
            "type": "web_search_result",
            "url": "https://a.example/1",
            "title": "One",
            "page_age": None,
            "encrypted_content": "Ek0x",
        }
    ],
}
OF_WEB: Json = {
    "type": "web_search_result_location",
    "url": "https://a.example/1",
    "title": "One",
    "cited_text": "It is so.",
    "encrypted_index": "Eo8B",
}
OF_FILE: Json = {
    "type": "char_location",
    "document_index": 0,
    "document_title": "notes.txt",
    "file_id": None,
    "start_char_index": 3,
    "end_char_index": 9,
    "cited_text": "so it ",
}


def reply(*content: Json, stream: bool, **ending: Any) -> Reply:
    """An answer of these blocks."""
    if stream:
        return Reply(messages.blocks(*content, **ending))
    return Reply(messages.plain_blocks(*content, **ending), content_type=JSON)


async def answer(
    server: Loopback, stream: bool, *content: Json, **ending: Any
) -> Response:
    """The response of a run whose only answer has these blocks."""
    server.reply(reply(*content, stream=stream, **ending))
    return await checked_answer(WIRE.agent(server), stream)


def text(said: str, *citations: Json) -> Json:
    """A block of text with these citations."""
    block: Json = {"type": "text", "text": said}
    return block | {"citations": list(citations)} if citations else block


# Citations


@STREAMED
async def test_each_citation_is_a_source_of_its_block(
    server: Loopback, stream: bool
) -> None:
    """Its positions are those of the block in the whole answer, also with characters that are two in UTF-16."""
    content = [
        text("Nach 😀: "),
        text("es ist so", OF_WEB, OF_FILE),
        text(". "),
        text("Ende", OF_FILE),
    ]
    response = await answer(server, stream, *content)
    cited = [
        (one.url, one.title, one.quote, response.content[one.start : one.end])
        for one in response.sources
    ]
    of_file = (None, "notes.txt", "so it ")
    assert cited == [
        ("https://a.example/1", "One", "It is so.", "es ist so"),
        (*of_file, "es ist so"),
        (*of_file, "Ende"),
    ]
    assert [one.raw for one in response.sources] == [OF_WEB, OF_FILE, OF_FILE]


@STREAMED
@pytest.mark.parametrize(
    ("citation", "url", "title"),
    [
        (
            {
                "type": "page_location",
                "document_title": "a.pdf",
                "start_page_number": 1,
                "end_page_number": 2,
            },
            None,
            "a.pdf",
        ),
        (
            {
                "type": "content_block_location",
                "document_title": None,
                "start_block_index": 0,
                "end_block_index": 1,
            },
            None,
            None,
        ),
        (
            {
                "type": "search_result_location",
                "source": "https://b.example/x",
                "title": "B",
            },
            "https://b.example/x",
            "B",
        ),
        (
            {"type": "search_result_location", "source": "doc-7", "title": None},
            None,
            "doc-7",
        ),
        (
            {"type": "some_new_location", "url": "https://c.example"},
            "https://c.example",
            None,
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)
async def test_every_kind_of_citation_is_told(
    server: Loopback, stream: bool, citation: Json, url: str | None, title: str | None
) -> None:
    """What names the source is its URL or its title; the rest stands in `raw`."""
    citation = {"cited_text": "It is so.", **citation}
    response = await answer(server, stream, text("So", citation))
    [source] = response.sources
    assert (source.url, source.title, source.quote) == (url, title, "It is so.")
    assert (source.start, source.end, source.raw) == (0, 2, citation)


@STREAMED
async def test_citations_that_are_none_are_left_out(
    server: Loopback, stream: bool
) -> None:
    """A null among the citations, or in place of them, is no source and no error."""
    nothing = {"type": "text", "text": "a", "citations": None}
    content = [nothing, text("b", None, {}, OF_FILE)]  # type: ignore[arg-type]
    response = await answer(server, stream, *content)
    assert [(one.start, one.end) for one in response.sources] == [(1, 2)]


@STREAMED
async def test_positions_count_in_the_text_of_the_whole_run(
    server: Loopback, stream: bool
) -> None:
    """A source of a later turn has its place in the content of the response."""

    @tool
    def add() -> int:
        """Add."""
        return 3

    call = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}
    server.reply(
        reply(text("First.", OF_WEB), call, stream=stream, stop_reason="tool_use"),
        reply(text("Then "), text("second.", OF_FILE), stream=stream),
    )
    response = await checked_answer(WIRE.agent(server, tools=[add]), stream)
    assert [response.content[one.start : one.end] for one in response.sources] == [
        "First.",
        "second.",
    ]


# Tools that the server runs


@STREAMED
async def test_tools_of_the_server_are_told_and_go_back_as_they_came(
    server: Loopback, stream: bool
) -> None:
    """Each is a call with its result that nobody dispatches; the next request has every block unchanged."""
    echo = {
        "type": "mcp_tool_use",
        "id": "mcptoolu_1",
        "name": "echo",
        "server_name": "s",
        "input": {"message": "hi"},
    }
    echoed = {
        "type": "mcp_tool_result",
        "tool_use_id": "mcptoolu_1",
        "is_error": False,
        "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}],
    }
    content = [SEARCH, FOUND, text("Found.", OF_WEB), echo, echoed, text("Done.")]
    server.reply(reply(*content, stream=stream), reply(text("Yes"), stream=stream))
    agent = WIRE.agent(server)
    response = await checked_answer(agent, stream)
    search, echoing = response.tool_calls
    assert search.provider_executed and echoing.provider_executed
    assert (search.name, search.arguments) == ("web_search", {"query": "news"})
    assert (echoing.name, echoing.arguments) == ("echo", {"message": "hi"})
    assert search.result is not None and echoing.result is not None
    assert json.loads(search.result.content) == [
        {
            "type": "web_search_result",
            "url": "https://a.example/1",
            "title": "One",
            "page_age": None,
        }
    ]
    assert (echoing.result.id, echoing.result.content) == ("mcptoolu_1", "hi\nthere")
    assert response.metadata["tool_calls"] == [] and response.finish_reason == "stop"
    await checked_answer(agent, stream, history=response.messages)
    _, sent, _ = server.requests[1].json["messages"]
    assert sent == {"role": "assistant", "content": content}


CODE: Json = {
    "type": "bash_code_execution_result",
    "stdout": "34\n",
    "stderr": "",
    "return_code": 0,
    "content": [],
}


@STREAMED
@pytest.mark.parametrize(
    ("name", "type", "given", "is_error"),
    [
        ("bash_code_execution", "bash_code_execution_tool_result", CODE, False),
        (
            "bash_code_execution",
            "bash_code_execution_tool_result",
            CODE | {"return_code": 1},
            True,
        ),
        (
            "code_execution",
            "code_execution_tool_result",
            {
                "type": "encrypted_code_execution_result",
                "encrypted_stdout": "x",
                "stderr": "",
                "return_code": 0,
                "content": [],
            },
            False,
        ),
        (
            "text_editor_code_execution",
            "text_editor_code_execution_tool_result",
            {
                "type": "text_editor_code_execution_create_result",
                "is_file_update": False,
            },
            False,
        ),
        (
            "web_search",
            "web_search_tool_result",
            {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"},
            True,
        ),
        (
            "web_fetch",
            "web_fetch_tool_result",
            {
                "type": "web_fetch_result",
                "url": "https://a.example",
                "content": {"type": "document"},
            },
            False,
        ),
        (
            "tool_search_tool_regex",
            "tool_search_tool_result",
            {
                "type": "tool_search_tool_search_result",
                "tool_references": [{"type": "tool_reference", "tool_name": "add"}],
            },
            False,
        ),
        (
            "advisor",
            "advisor_tool_result",
            {"type": "advisor_result", "text": "Do it."},
            False,
        ),
        ("some_new_tool", "some_new_tool_result", "plain words", False),
        (
            "any",
            "tool_result",
            [{"type": "text", "text": "of a compatible server"}],
            False,
        ),
    ],
)
async def test_each_kind_of_result_is_that_of_its_call(
    server: Loopback, stream: bool, name: str, type: str, given: Any, is_error: bool
) -> None:
    """It is told as text or as JSON, and as an error where the tool, or the code, failed."""
    call = SEARCH | {"name": name}
    result = {"type": type, "tool_use_id": "srvtoolu_1", "content": given}
    response = await answer(server, stream, call, result, text("Done."))
    [made] = response.tool_calls
    assert made.name == name and made.result is not None
    assert (made.result.id, made.result.name) == ("srvtoolu_1", name)
    assert made.result.is_error is is_error
    if isinstance(given, dict):
        readable = {k: v for k, v in given.items() if not k.startswith("encrypted_")}
        assert json.loads(made.result.content) == readable
    else:
        assert made.result.content in ("plain words", "of a compatible server")


@STREAMED
async def test_a_result_in_the_next_answer_is_that_of_the_call_before(
    server: Loopback, stream: bool
) -> None:
    """A turn that the server paused goes on in the same run, and its call gets the result there."""
    server.reply(
        reply(text("Looking. "), SEARCH, stream=stream, stop_reason="pause_turn"),
        reply(FOUND, text("Found.", OF_WEB), stream=stream),
    )
    response = await checked_answer(WIRE.agent(server), stream)
    [search] = response.tool_calls
    assert search.result is not None and "a.example" in search.result.content
    [source] = response.sources
    assert response.content[source.start : source.end] == "Found."
    sent = server.requests[1].json["messages"][1]["content"]
    assert sent == [text("Looking. "), SEARCH]


@STREAMED
async def test_a_result_among_the_text_of_the_model_keeps_its_place(
    server: Loopback, stream: bool
) -> None:
    """The plain results of a compatible server go back where they stood."""
    result = {"type": "tool_result", "tool_use_id": "srvtoolu_1", "content": "found"}
    content = [text("Before."), SEARCH, result, text("After.")]
    server.reply(reply(*content, stream=stream), reply(text("Yes"), stream=stream))
    agent = WIRE.agent(server)
    response = await checked_answer(agent, stream)
    await checked_answer(agent, stream, history=response.messages)
    assert server.requests[1].json["messages"][1]["content"] == content


async def test_a_call_whose_input_came_whole_is_told_once(server: Loopback) -> None:
    """Code calls a tool with the whole input in the start of its block, and no delta follows."""
    begun = {"type": "content_block_start", "index": 0, "content_block": SEARCH}
    opening, _, *_, end, stop = messages.blocks()
    events = [begun, {"type": "content_block_stop", "index": 0}]
    server.reply(Reply([opening, *map(messages._event, events), end, stop]))
    async with WIRE.agent(server) as agent:
        chunks = [chunk async for chunk in agent.run_stream("Go")]
    pieces = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert "".join(piece.name for piece in pieces) == "web_search"
    assert "".join(piece.arguments for piece in pieces) == '{"query": "news"}'
    assert all(piece.provider_executed for piece in pieces)


async def test_a_cut_in_a_server_tool_keeps_what_came(server: Loopback) -> None:
    """The partial response has the sources of whole blocks, and the call without a result."""
    events = messages.blocks(text("So.", OF_WEB), SEARCH)
    server.reply(Reply(events[:-4]))
    async with WIRE.agent(server) as agent:
        with pytest.raises(StreamInterrupted) as raised:
            async for _ in agent.run_stream("Go"):
                pass
    partial = raised.value.partial
    assert partial is not None
    assert [one.url for one in partial.sources] == ["https://a.example/1"]
    [search] = partial.tool_calls
    assert search.provider_executed and search.result is None
    assert isinstance(search.arguments, str)


def places(value: Any, *before: str | int) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a JSON document, but to those that hold all others."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for step, one in inner:
        yield *before, step
        if isinstance(one, dict | list):
            yield from places(one, *before, step)


ODD: list[Any] = [None, 7, "x", ["x"], {"x": 1}, [{}]]
EACH_KIND: list[Json] = [
    SEARCH,
    FOUND,
    SEARCH | {"type": "mcp_tool_use", "server_name": "s"},
    text("So", OF_WEB),
    {"type": "container_upload", "file_id": "file_1"},
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_what_stands_beside_the_text_never_breaks_it(odd: Any) -> None:
    """Whatever a server writes into the fields of a source, a call or a result, the text comes."""
    for place in places(EACH_KIND):
        if len(place) == 1 or place[1] in ("type", "text"):
            continue
        content = copy.deepcopy(EACH_KIND)
        holder: Any = content
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = odd
        run = Run("anthropic", "m", [])
        turn = run.begin_turn()
        for output in decode_response({"content": content, "stop_reason": "end_turn"}):
            if isinstance(output, StreamChunk):
                turn.add(output)
            else:
                turn.update(output)
        run.end_turn("stop")
        response = run.response()
        assert response.content == "So", place
        assert Response.from_dict(json.loads(json.dumps(response.to_dict())))


# What else it tells


@STREAMED
async def test_details_are_what_has_no_field(server: Loopback, stream: bool) -> None:
    """The stop sequence, the container, the uses of tools and the ids of files stand there under Anthropic's names."""
    output = {"type": "bash_code_execution_output", "file_id": "file_1"}
    result = {
        "type": "bash_code_execution_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": CODE | {"content": [output]},
    }
    upload = {"type": "container_upload", "file_id": "file_2"}
    response = await answer(
        server,
        stream,
        SEARCH | {"name": "bash_code_execution"},
        result,
        upload,
        text("Done."),
        stop_reason="stop_sequence",
        stop_sequence="END",
        stop_details=None,
        container={"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"},
        usage={
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
            "service_tier": "priority",
        },
    )
    details = response.metadata["provider_details"]
    assert details == {
        "stop_sequence": "END",
        "container": {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "priority",
        "file_ids": ["file_1", "file_2"],
    }
    assert response.metadata["raw_finish_reason"] == "stop_sequence"
    assert response.files == []


async def test_files_of_the_models_code_are_fetched_by_their_ids(
    server: Loopback, tmp_path: Path
) -> None:
    """With Anthropic's own client, in the way that the docstring of Response shows."""
    output = {"type": "bash_code_execution_output", "file_id": "file_1"}
    result = {
        "type": "bash_code_execution_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": CODE | {"content": [output]},
    }
    blocks = [SEARCH | {"name": "bash_code_execution"}, result, text("Done.")]
    response = await answer(server, True, *blocks)
    server.reply(Reply(PNG, content_type="application/octet-stream"))
    async with AsyncAnthropic(api_key="key", base_url=server.url) as client:
        for turn in response.turns:
            for id in turn.provider_details.get("file_ids", []):
                content = await client.files.download(id)
                await content.write_to_file(tmp_path / id)
    assert (tmp_path / "file_1").read_bytes() == PNG
    assert server.requests[-1].path == "/v1/files/file_1/content"
