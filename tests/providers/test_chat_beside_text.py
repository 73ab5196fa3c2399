"""Chat Completions beside text: what each server adds comes as sources, files, calls and details."""

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import WIRES, Wire
from support.loopback import Loopback, Reply
from support.media import PNG
from support.scene import JSON
from support.wire import chat_beside as beside
from support.wire.common import Json

from cogent import File, Image, Response, Source, StreamChunk

CHAT = [
    wire
    for wire in WIRES
    if wire.send.__name__.endswith(("chat_completions", "mistral_chat"))
]
PCM = bytes(range(8))
URL = "https://a.example/"
PICTURE = f"data:image/png;base64,{b64encode(PNG).decode()}"
OTHER_URL = "https://b.example/"


@pytest.fixture(params=CHAT, ids=lambda wire: wire.name)
def chat(request: pytest.FixtureRequest) -> Wire:
    """Each provider with this format in turn."""
    return request.param


@dataclass
class Both:
    """What a streamed and a plain run of the same answer gave, which is the same."""

    response: Response
    chunks: list[StreamChunk]
    wire: Wire
    server: Loopback

    async def message_sent_back(self) -> Json:
        """The assistant's message as the next request has it."""
        written = json.loads(json.dumps(self.response.to_dict()))
        self.server.reply(Reply(beside.plain({"content": "Yes."}), content_type=JSON))
        async with self.wire.agent(self.server) as agent:
            history = Response.from_dict(written).messages
            await agent.run("And?", history=history)
        sent: Json = self.server.requests[-1].json
        return next(one for one in sent["messages"] if one["role"] == "assistant")


async def hear(wire: Wire, server: Loopback, events: list[bytes], body: bytes) -> Both:
    """Run with the events and with the body, which must come to the same."""
    server.reply(
        Reply(events, content_type="text/event-stream"), Reply(body, content_type=JSON)
    )
    async with wire.agent(server) as agent:
        stream = agent.run_stream("Go")
        chunks = [chunk async for chunk in stream]
        plain = await agent.run("Go")
    streamed = stream.response
    assert streamed.content == plain.content
    assert streamed.sources == plain.sources
    assert streamed.files == plain.files
    assert streamed.tool_calls == plain.tool_calls
    details = [one.metadata.get("provider_details") for one in (streamed, plain)]
    assert details[0] == details[1]
    given = [chunk.source for chunk in chunks if chunk.source]
    assert given == streamed.sources
    assert [chunk.file for chunk in chunks if chunk.file] == streamed.files
    assert all(not chunk.content for chunk in chunks if chunk.source or chunk.file)
    return Both(streamed, chunks, wire, server)


async def test_annotations_are_sources(chat: Wire, server: Loopback) -> None:
    """In the delta or in the message, with positions in the text; 0 and 0 say that the place is not known."""
    first = beside.url_citation(URL, 4, 9, title="A", content="Grass is green.")
    second = beside.url_citation(OTHER_URL, 0, 0, title="")
    document = {
        "type": "document_citation",
        "document_citation": {"document_id": "d1", "start_index": 0, "end_index": 3},
    }
    annotations = [first, second, document]
    deltas = [
        *beside.texts("The gra", "ss."),
        *({"annotations": [a]} for a in annotations),
    ]
    events = beside.stream(*deltas, {"annotations": annotations})
    body = beside.plain({"content": "The grass.", "annotations": annotations})
    heard = await hear(chat, server, events, body)
    assert heard.response.sources == [
        Source(URL, "A", "Grass is green.", 4, 9, first),
        Source(OTHER_URL, None, None, None, None, second),
        Source(None, "d1", None, 0, 3, document),
    ]
    assert "annotations" not in await heard.message_sent_back()


async def test_pages_beside_the_choices_are_sources(
    chat: Wire, server: Loopback
) -> None:
    """Perplexity repeats them with each chunk; each is given once, with the title of the search result."""
    found = [
        {"url": URL, "title": "A", "snippet": "Green.", "date": "2026-01-01"},
        {"url": "https://c.example/", "title": "C"},
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    usage["cost"] = {"total_cost": 0.006}  # type: ignore[assignment]
    fields = {"citations": [URL, OTHER_URL], "search_results": found, "usage": usage}
    fields |= {"related_questions": ["Why?"], "images": [{"image_url": URL}]}
    events = beside.stream(*beside.texts("Green", " [1]."), each=fields)
    body = beside.plain({"content": "Green [1]."}, fields)
    heard = await hear(chat, server, events, body)
    assert heard.response.sources == [
        Source(URL, "A", "Green.", raw=found[0]),
        Source(OTHER_URL, raw={"url": OTHER_URL}),
    ]
    assert (
        heard.response.files == []
    )  # pictures of the web are none that the model made
    assert heard.response.metadata["provider_details"] == {
        "cost": 0.006,
        "related_questions": ["Why?"],
        "images": [{"image_url": URL}],
    }


@pytest.mark.parametrize("name", ["citations", "search_results"])
async def test_pages_may_come_at_the_end(
    chat: Wire, server: Loopback, name: str
) -> None:
    """xAI gives its citations with the last chunk, which has no choice; others only what was found."""
    pages: list[Any] = [URL, OTHER_URL]
    if name == "search_results":
        pages = [{"url": url, "title": "T"} for url in pages]
    events = beside.stream(*beside.texts("Gre", "en."))
    events.insert(-1, beside.chunk_without_choice(**{name: pages}))
    body = beside.plain({"content": "Green."}, {name: pages})
    heard = await hear(chat, server, events, body)
    assert [source.url for source in heard.response.sources] == [URL, OTHER_URL]


async def test_pages_in_a_chunk_of_text_are_not_passed_over(
    chat: Wire, server: Loopback
) -> None:
    """The first chunk of text may be the only one that has them."""
    events = beside.stream(*beside.texts("Gre", "en."))
    first = json.loads(events[0].removeprefix(b"data: "))
    events[0] = b"data: " + json.dumps(first | {"citations": [URL]}).encode() + b"\n\n"
    body = beside.plain({"content": "Green."}, {"citations": [URL]})
    heard = await hear(chat, server, events, body)
    assert [source.url for source in heard.response.sources] == [URL]


async def test_pictures_are_files_and_go_back(chat: Wire, server: Loopback) -> None:
    """An answer may be a picture alone, and the next request still has it."""
    image = beside.image(PICTURE)
    events = beside.stream({"content": "", "images": [image]})
    body = beside.plain({"content": None, "images": [image]})
    heard = await hear(chat, server, events, body)
    assert heard.response.files == [Image(PNG, "image/png")]
    if chat.provider == "mistral":  # whose SDK sends only what its types know
        return
    assert (await heard.message_sent_back())["images"] == [image]


async def test_documents_that_the_server_has_read_go_back(
    chat: Wire, server: Loopback
) -> None:
    """OpenRouter need not read a file again; it cites nothing."""
    document = {"type": "file", "file": {"hash": "h", "name": "a.pdf", "content": []}}
    events = beside.stream(*beside.texts("Hi"), {"annotations": [document]})
    body = beside.plain({"content": "Hi", "annotations": [document]})
    heard = await hear(chat, server, events, body)
    assert heard.response.sources == []
    if chat.provider == "mistral":
        return
    assert (await heard.message_sent_back())["annotations"] == [document]


async def test_executed_tools_are_calls_of_the_provider(
    chat: Wire, server: Loopback
) -> None:
    """Groq gives each twice, when it begins and when it ended; two may run at once."""
    search: Json = {"index": 0, "type": "search", "arguments": '{"query": "a"}'}
    python: Json = {"index": 1, "type": "python", "arguments": '{"code": "1"}'}
    results = {"results": [{"url": URL, "title": "A"}]}
    searched = search | {"output": "Title: A", "search_results": results}
    ran = python | {"code_results": [{"text": "1", "png": b64encode(PNG).decode()}]}
    deltas = [
        {"executed_tools": [search | {"search_results": {"results": []}}]},
        {"executed_tools": [python]},
        {"executed_tools": [searched]},
        {"executed_tools": [ran]},
        {"content": "Done."},
    ]
    body = beside.plain({"content": "Done.", "executed_tools": [searched, ran]})
    heard = await hear(chat, server, beside.stream(*deltas), body)
    first, second = heard.response.tool_calls
    assert (first.name, first.arguments) == ("search", {"query": "a"})
    assert (second.name, second.arguments) == ("python", {"code": "1"})
    assert first.provider_executed and second.provider_executed
    assert first.result is not None and first.result.content == "Title: A"
    assert second.result is not None
    assert json.loads(second.result.content) == {"code_results": ran["code_results"]}
    assert heard.response.files == [Image(PNG, "image/png")]
    assert heard.response.metadata["tool_calls"] == []
    assert heard.response.sources == []
    assert "tool_calls" not in await heard.message_sent_back()


async def test_log_probabilities_are_details(chat: Wire, server: Loopback) -> None:
    """Those of all deltas, in their order."""
    tokens = [{"token": word, "logprob": -0.5} for word in ("Gre", "en.")]
    events = beside.stream(*beside.texts("Gre", "en."))
    for place, token in enumerate(tokens):
        chunk = json.loads(events[place].removeprefix(b"data: "))
        chunk["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
        events[place] = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    body = beside.plain({"content": "Green."}, logprobs={"content": tokens})
    heard = await hear(chat, server, events, body)
    assert heard.response.metadata["provider_details"] == {"logprobs": tokens}


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.5}, 0.5),
        ({"cost": {"total_cost": 0.25, "input_tokens_cost": 0.1}}, 0.25),
        ({"estimated_cost": 0.125}, 0.125),
        ({"cost_in_usd_ticks": 5_000_000_000}, 0.5),
        ({"cost": 0}, 0),
    ],
)
async def test_cost_that_the_server_tells(
    chat: Wire, server: Loopback, usage: Json, cost: float
) -> None:
    """Under whichever name it does."""
    counts = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, **usage}
    events = beside.stream(*beside.texts("Hi"), end={"usage": counts})
    body = beside.plain({"content": "Hi"}, {"usage": counts})
    heard = await hear(chat, server, events, body)
    assert heard.response.metadata["provider_details"] == {"cost": cost}


async def test_further_details(chat: Wire, server: Loopback) -> None:
    """A stop sequence, what a filter found, the upstream provider, a tier that is not the usual one."""
    filters = {"hate": {"filtered": True, "severity": "high"}}
    choice = {"stop_reason": "END", "content_filter_results": filters}
    fields = {"provider": "Upstream", "service_tier": "priority"}
    events = beside.stream(*beside.texts("Hi"), each=fields, **choice)
    body = beside.plain({"content": "Hi"}, fields, **choice)
    heard = await hear(chat, server, events, body)
    assert heard.response.metadata["provider_details"] == {
        "stop_sequence": "END",
        "content_filter_results": filters,
        "provider": "Upstream",
        "service_tier": "priority",
    }


async def test_usual_answers_have_no_details(chat: Wire, server: Loopback) -> None:
    """The key is only there when something is told."""
    chunks = beside.stream(*beside.texts("Hi"), stop_reason="stop", logprobs=None)
    body = beside.plain({"content": "Hi"}, logprobs={"content": []})
    heard = await hear(chat, server, chunks, body)
    assert "provider_details" not in heard.response.metadata


async def test_references_in_a_content_list_are_sources(
    chat: Wire, server: Loopback
) -> None:
    """Mistral's stand right after what they are for, and go back as they came."""
    parts: list[Json] = [
        {"type": "text", "text": "Green"},
        {"type": "reference", "reference_ids": [0, 2]},
        {"type": "text", "text": " grass."},
        {"type": "tool_reference", "tool": "web_search", "url": URL, "title": "A"},
    ]
    if chat.provider == "mistral":
        parts.pop()  # its SDK has no such part in a plain answer
    events = beside.stream(*({"content": [part]} for part in parts))
    heard = await hear(chat, server, events, beside.plain({"content": parts}))
    places = [(one.title, one.start, one.end) for one in heard.response.sources]
    assert heard.response.content == "Green grass."
    assert places[:2] == [("0", 5, 5), ("2", 5, 5)]
    if chat.provider != "mistral":
        assert places[2:] == [("A", 12, 12)]
    assert (await heard.message_sent_back())["content"] == parts


async def test_documents_of_azure_are_sources(chat: Wire, server: Loopback) -> None:
    """With data of one's own the first delta, or the message, has what the answer cites."""
    document = {"content": "Green.", "title": None, "filepath": "a.pdf", "url": None}
    context = {"citations": [document], "intent": "[]"}
    events = beside.stream({"role": "assistant", "context": context}, {"content": "Hi"})
    body = beside.plain({"content": "Hi", "context": context})
    heard = await hear(chat, server, events, body)
    assert heard.response.sources == [Source(None, "a.pdf", "Green.", raw=document)]


async def test_sound_is_a_file(chat: Wire, server: Loopback) -> None:
    """Its pieces make one file, the transcript is a detail, and the id goes back."""
    pieces = [PCM[:3], PCM[3:]]
    deltas: list[Json] = [{"audio": {"id": "audio_1", "transcript": "Hel"}}]
    deltas += [{"audio": {"data": b64encode(piece).decode()}} for piece in pieces]
    deltas += [{"audio": {"transcript": "lo.", "expires_at": 1}}]
    whole = {"id": "audio_1", "transcript": "Hello.", "data": b64encode(PCM).decode()}
    body = beside.plain({"content": None, "audio": whole})
    heard = await hear(chat, server, beside.stream(*deltas), body)
    assert heard.response.files == [File(PCM, "audio/pcm")]
    assert heard.response.metadata["provider_details"] == {"transcript": "Hello."}
    if chat.provider == "mistral":
        return
    assert (await heard.message_sent_back())["audio"] == {"id": "audio_1"}
