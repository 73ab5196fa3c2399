"""What stands beside the text of an answer: sources, files, calls that the provider runs, and its own details."""

import json

import pytest

from cogent import Image, Message, Response, Source, StreamChunk, ToolResult
from cogent.chunks import ToolCallDelta
from cogent.run.conversation import Run
from cogent.run.outputs import FinishWord, Item, Output, ProviderDetails, WholeCall

PICTURE = Image(b"\x89PNG\r\n\x1a\nrest", "image/png")


def call(id: str | None, name: str = "", arguments: str = "") -> StreamChunk:
    """A piece of a call that the provider runs itself."""
    delta = ToolCallDelta(None, id, name, arguments, provider_executed=True)
    return StreamChunk(tool_call=delta)


def result(id: str, content: str) -> StreamChunk:
    """What such a call gave."""
    return StreamChunk(tool_result=ToolResult(id, "", content))


def turn(run: Run, *outputs: Output) -> list[StreamChunk]:
    """Let the run have a turn with these outputs; returns the chunks that the user sees."""
    begun = run.begin_turn()
    seen = []
    for output in outputs:
        if not isinstance(output, StreamChunk):
            begun.update(output)
        elif begun.add(output):
            seen.append(output)
    run.end_turn("tool_calls" if begun.asks_for_tools() else "stop")
    run.close_calls()
    return seen


def new_run() -> Run:
    """A run that has asked nothing yet."""
    return Run("openai", "m", [Message("user", "Go")])


def test_provider_run_calls_stand_in_the_response_and_in_no_message() -> None:
    """They are told apart with their results; the history answers only what the client has to answer."""
    run = new_run()
    seen = turn(
        run,
        call("ws_1", "web_search", '{"query": "n'),
        call("ws_1", "", 'ews"}'),
        result("ws_1", "found"),
        result("ws_1", "found"),  # said twice
        StreamChunk(tool_call=ToolCallDelta(None, "c1", "add", "{}")),
        Item({"more": 1}, of_last_call=True),
    )
    assert [chunk.tool_call.index for chunk in seen if chunk.tool_call] == [0, 0, 1]
    [given] = [chunk.tool_result for chunk in seen if chunk.tool_result]
    assert given == ToolResult("ws_1", "web_search", "found", provider_executed=True)
    response = run.response()
    search, add = response.tool_calls
    assert search.provider_executed and not add.provider_executed
    assert search.arguments == {"query": "news"} and search.result == given
    assert [one["name"] for one in response.metadata["tool_calls"]] == ["add"]
    _, message, answer = response.messages
    assert [one.name for one in message.tool_calls] == ["add"]
    assert message.items == [{"more": 1, "call": 0}]
    assert answer.tool_call_id == "c1"


def test_result_without_an_id_is_that_of_the_last_call() -> None:
    """A provider without ids gives call and result one after the other; each call gets an id of its own."""
    run = new_run()
    for code in ("1", "2"):
        turn(
            run,
            call(None, "code", json.dumps({"code": code})),
            result("", f"out {code}"),
            call(None, "code", json.dumps({"code": code * 2})),
        )
    calls = run.response().tool_calls
    outputs = [one.result.content if one.result else None for one in calls]
    assert outputs == ["out 1", None, "out 2", None]
    assert len({one.id for one in calls}) == 4


def test_result_in_a_later_answer_belongs_to_the_earlier_call() -> None:
    """A provider that pauses gives the result only when it is asked on."""
    run = new_run()
    turn(run, call("s1", "web_search", "{}"))
    [chunk] = turn(run, result("s1", "found"), StreamChunk("Done."))[:1]
    assert chunk.tool_result is not None and chunk.tool_result.provider_executed
    [search] = run.response().tool_calls
    assert search.result is not None and search.result.content == "found"


def test_whole_provider_call_replaces_its_pieces() -> None:
    """The arguments that an end event holds are the call's."""
    run = new_run()
    whole = ToolCallDelta(None, "s1", "search", '{"q": 2}', provider_executed=True)
    turn(run, call("s1", "search", '{"q": 1'), WholeCall(whole))
    [search] = run.response().tool_calls
    assert search.arguments == {"q": 2} and search.provider_executed


def test_positions_of_sources_are_those_in_the_text_of_the_answer() -> None:
    """The text of earlier turns counts, on the chunk and in the response; changing the chunk's changes no other."""
    run = new_run()
    turn(
        run,
        StreamChunk("Let me look. "),
        StreamChunk(tool_call=ToolCallDelta(name="look")),
    )
    source = Source("https://a.example/", start=4, end=9, raw={"type": "url"})
    [_, chunk] = turn(
        run, StreamChunk("The grass is green."), StreamChunk(source=source)
    )
    assert chunk.source is not None and chunk.content == ""
    response = run.response()
    [found] = response.sources
    assert found == chunk.source
    assert response.content[found.start : found.end] == "grass"
    chunk.source.raw["type"] = found.raw["type"] = "changed"
    assert run.response().sources[0].raw == {"type": "url"}


def test_details_grow_replace_and_add_up() -> None:
    """Lists grow, anything else is the last one said; the cost of a run is that of all its turns."""
    run = new_run()
    turn(
        run,
        ProviderDetails({"logprobs": [1], "tier": "a"}),
        ProviderDetails({"logprobs": [2], "tier": "b", "cost": 0.5}),
        StreamChunk(tool_call=ToolCallDelta(name="look")),
    )
    first = {"logprobs": [1, 2], "tier": "b", "cost": 0.5}
    assert run.tool_calls_metadata()["provider_details"] == first
    turn(run, StreamChunk("Done."), ProviderDetails({"cost": 0.25}))
    assert run.metadata()["provider_details"] == {"cost": 0.75}
    assert run.turns[0].provider_details == first


def test_broken_off_turn_keeps_what_came_beside_its_text() -> None:
    """The partial response has sources, files and calls so far; the run itself goes on unchanged."""
    run = new_run()
    begun = run.begin_turn()
    for chunk in (
        call("s1", "search", "{}"),
        StreamChunk(source=Source("https://a.example/")),
        StreamChunk(file=PICTURE),
    ):
        assert begun.add(chunk)
    assert begun.visible
    for _ in range(2):
        partial = run.response()
        assert [source.url for source in partial.sources] == ["https://a.example/"]
        assert partial.files == [PICTURE]
        assert [one.result for one in partial.tool_calls] == [None]
        assert partial.messages == [Message("user", "Go")]


@pytest.mark.parametrize(
    "chunk",
    [
        StreamChunk(source=Source("https://a.example/", "A", "quote", 1, 2, {"b": 1})),
        StreamChunk(source=Source()),
        StreamChunk(file=PICTURE),
        StreamChunk(file=Image("https://a.example/x.png")),
        StreamChunk(tool_call=ToolCallDelta(0, "a", "b", "{}", True)),
        StreamChunk(tool_call=ToolCallDelta(0, "a", "b", "{}")),
        StreamChunk(tool_result=ToolResult("a", "b", "c", provider_executed=True)),
    ],
)
def test_chunks_go_through_json(chunk: StreamChunk) -> None:
    """`from_dict` reads back what `to_dict` wrote."""
    assert chunk.content == ""
    assert StreamChunk.from_dict(json.loads(json.dumps(chunk.to_dict()))) == chunk


def test_response_goes_through_json() -> None:
    """Sources, files, details and the calls that the provider ran are all in it."""
    run = new_run()
    turn(
        run,
        call("s1", "search", "{}"),
        result("s1", "found"),
        StreamChunk("Text"),
        StreamChunk(source=Source("https://a.example/", start=0, end=4)),
        StreamChunk(file=PICTURE),
        ProviderDetails({"tier": "a"}),
        FinishWord("stop"),
    )
    run.finish("stop")
    response = run.response()
    written = json.loads(json.dumps(response.to_dict()))
    assert Response.from_dict(written) == response
