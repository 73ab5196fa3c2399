"""What Gemini says beside the text: grounding, code that it ran, what it made, and its own details."""

import json
import re
from base64 import b64encode
from typing import Any

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.media import PNG, WAV
from support.scene import JSON, STREAMED, checked_answer
from support.wire import gemini_generate as gemini
from support.wire.common import Json, encode, event

from cogent import File, Image, Response, Source

[WIRE] = [wire for wire in WIRES if wire.name == "gemini"]


def page(number: int) -> Json:
    """A web page among the chunks of a grounding."""
    return {"web": {"uri": f"https://a.example/{number}", "title": f"Page {number}"}}


def support(text: str, start: int, *places: int, **segment: Any) -> Json:
    """A passage of the answer that rests on these chunks; it starts at this byte."""
    end = start + len(text.encode())
    where = {"startIndex": start, "endIndex": end, "text": text, **segment}
    return {"segment": where, "groundingChunkIndices": list(places)}


def grounding(chunks: list[Json], *supports: Json, **more: Any) -> Json:
    """The grounding of a candidate."""
    return {"groundingChunks": chunks, "groundingSupports": list(supports), **more}


def reply(*parts: Json, stream: bool, **candidate: Any) -> Reply:
    """An answer of these parts."""
    if stream:
        return Reply(gemini.parts(*parts, **candidate))
    return Reply(gemini.plain_parts(*parts, **candidate), content_type=JSON)


async def answer(
    server: Loopback, stream: bool, *parts: Json, **candidate: Any
) -> Response:
    """The response of a run whose only answer has these parts."""
    server.reply(reply(*parts, stream=stream, **candidate))
    return await checked_answer(WIRE.agent(server), stream)


async def events_answer(server: Loopback, *candidates: Json) -> Response:
    """The response of a streamed run whose events have these candidates."""
    bodies = [{"candidates": [candidate]} for candidate in candidates]
    end = {"candidates": [{"finishReason": "STOP"}]}
    server.reply(Reply([event(body) for body in [*bodies, end]]))
    return await checked_answer(WIRE.agent(server), True)


def spelled(value: Any) -> Any:
    """The value with its keys in camel case: the SDK writes some in the one way, some in the other."""
    if isinstance(value, list):
        return list(map(spelled, value))
    if not isinstance(value, dict):
        return value
    return {
        re.sub("_([a-z])", lambda found: found[1].upper(), key): spelled(inner)
        for key, inner in value.items()
    }


def texts(*pieces: str) -> list[Json]:
    """Parts of text."""
    return [{"text": piece} for piece in pieces]


def passages(response: Response) -> list[tuple[str | None, str | None]]:
    """The URL of each source, and the passage of the answer that it is for."""
    return [(source.url, passage(response, source)) for source in response.sources]


def passage(response: Response, source: Source) -> str | None:
    """The passage of the answer that a source is for."""
    if source.start is None:
        return None
    return response.content[source.start : source.end]


# Grounding


@STREAMED
async def test_a_passage_has_a_source_for_each_chunk_that_it_rests_on(
    server: Loopback, stream: bool
) -> None:
    """Bytes become positions in the text; a chunk that no passage names is a source without a position."""
    said = ["Es regnet 🌧", " in Zürich. ", "Morgen scheint", " die Sonne."]
    first = support("Es regnet 🌧 in Zürich.", 0, 0, 1)
    start = len("Es regnet 🌧 in Zürich. ".encode())
    second = support("Morgen scheint die Sonne.", start, 1)
    found = grounding([page(0), page(1), page(2)], first, second)
    response = await answer(server, stream, *texts(*said), groundingMetadata=found)
    assert passages(response) == [
        ("https://a.example/0", "Es regnet 🌧 in Zürich."),
        ("https://a.example/1", "Es regnet 🌧 in Zürich."),
        ("https://a.example/1", "Morgen scheint die Sonne."),
        ("https://a.example/2", None),
    ]
    source = response.sources[0]
    assert (source.title, source.quote) == ("Page 0", None)
    assert source.raw["grounding_chunk"] == {
        "web": {"uri": "https://a.example/0", "title": "Page 0"}
    }
    assert source.raw["grounding_support"]["grounding_chunk_indices"] == [0, 1]


@STREAMED
@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        # Of the whole answer, although a thought and code stand before.
        (support("so it is", 12, 0), "so it is"),
        # Of the part that it names.
        (support("so it is", 0, 0, partIndex=3), "so it is"),
        # Of a part that it does not name, as its text tells.
        (support("so it is", 0, 0), "so it is"),
        # Of nothing that can be counted: where its text stands.
        (support("so it is", 500, 0), "so it is"),
        # Without its text: the bytes of the whole answer.
        (
            {
                "segment": {"startIndex": 12, "endIndex": 20},
                "groundingChunkIndices": [0],
            },
            "so it is",
        ),
        # Of a text that never came.
        (support("nowhere", 0, 0), None),
        ({"groundingChunkIndices": [0]}, None),
    ],
)
async def test_the_text_of_a_passage_tells_what_its_bytes_count_in(
    server: Loopback, stream: bool, segment: Json, expected: str | None
) -> None:
    """Servers count in the part or in the answer, with thoughts or without."""
    parts = [
        {"text": "Hmm.", "thought": True},
        {"text": "First this, "},
        {"executableCode": {"code": "1", "language": "PYTHON"}},
        {"text": "so it is"},
    ]
    found = grounding([page(0)], segment)
    response = await answer(server, stream, *parts, groundingMetadata=found)
    assert passages(response) == [("https://a.example/0", expected)]


async def test_grounding_that_comes_again_is_told_once(server: Loopback) -> None:
    """A stream may repeat all that it named so far, with more, and name it before the text."""
    first = support("One.", 0, 0)
    second = support("Two.", 5, 1)
    response = await events_answer(
        server,
        {"groundingMetadata": grounding([page(0)], first)},
        {"content": {"parts": texts("One. ")}, "groundingMetadata": {}},
        {"groundingMetadata": grounding([page(0), page(1)], first, second)},
        {"content": {"parts": texts("Two.")}},
        {"groundingMetadata": grounding([page(0), page(1)], first, second)},
    )
    assert passages(response) == [
        ("https://a.example/0", "One."),
        ("https://a.example/1", "Two."),
    ]


async def test_grounding_may_come_piece_by_piece(server: Loopback) -> None:
    """Chunks of one event and supports of a later one belong together."""
    response = await events_answer(
        server,
        {
            "content": {"parts": texts("One. ")},
            "groundingMetadata": {"webSearchQueries": ["a"]},
        },
        {"groundingMetadata": grounding([page(0)])},
        {"groundingMetadata": grounding([page(1)], support("One.", 0, 0))},
        {"groundingMetadata": grounding([], support("One.", 0, 0, 7, -1))},
    )
    assert passages(response) == [
        ("https://a.example/1", "One."),
        ("https://a.example/0", "One."),
    ]
    details = response.metadata["provider_details"]
    assert details["grounding_metadata"] == {"web_search_queries": ["a"]}


async def test_an_index_may_count_what_was_found_again(server: Loopback) -> None:
    """A search in files names a document again for each query, and counts both."""
    response = await events_answer(
        server,
        {"groundingMetadata": grounding([page(0)])},
        {"content": {"parts": texts("One.")}},
        {"groundingMetadata": grounding([page(0)], support("One.", 0, 1))},
    )
    assert passages(response) == [("https://a.example/0", "One.")]


@STREAMED
@pytest.mark.parametrize(
    ("chunk", "source"),
    [
        (
            {
                "retrievedContext": {
                    "uri": "gs://b/a.pdf",
                    "title": "a.pdf",
                    "text": "It is so.",
                }
            },
            Source("gs://b/a.pdf", "a.pdf", "It is so."),
        ),
        (
            {
                "retrievedContext": {
                    "documentName": "docs/7",
                    "ragChunk": {"text": "It is so."},
                }
            },
            Source(None, "docs/7", "It is so."),
        ),
        (
            {
                "maps": {
                    "uri": "https://maps.example/1",
                    "title": "Café",
                    "text": "Open.",
                }
            },
            Source("https://maps.example/1", "Café", "Open."),
        ),
        (
            {
                "image": {
                    "sourceUri": "https://a.example",
                    "imageUri": "https://a.example/x.png",
                }
            },
            Source("https://a.example"),
        ),
        ({"web": {"uri": None, "title": "example.com"}}, Source(None, "example.com")),
        ({"web": {}}, None),
        ({}, None),
    ],
)
async def test_every_kind_of_chunk_is_a_source(
    server: Loopback, stream: bool, chunk: Json, source: Source | None
) -> None:
    """Its URL, its title and its text are the source's; a chunk that names nothing is none."""
    found = grounding([chunk])
    response = await answer(server, stream, *texts("So."), groundingMetadata=found)
    for one in response.sources:
        one.raw = {}
    assert response.sources == [source] * (source is not None)


@STREAMED
async def test_what_the_model_recites_is_a_source(
    server: Loopback, stream: bool
) -> None:
    """A citation names its place in bytes of the answer; one that names no work is no source."""
    cited = [
        {"startIndex": 4, "endIndex": 9, "uri": "https://a.example", "license": "mit"},
        {"startIndex": 4, "endIndex": 900, "title": "A work"},
        {"startIndex": 0, "endIndex": 2},
    ]
    response = await answer(
        server,
        stream,
        *texts("Äh: ", "so is"),
        citationMetadata={"citationSources": cited},
    )
    assert [
        (one.url, one.title, passage(response, one)) for one in response.sources
    ] == [
        ("https://a.example", None, " so i"),
        (None, "A work", None),
    ]
    assert response.sources[0].raw["citation"]["license"] == "mit"


# Tools that the server runs


@STREAMED
async def test_code_is_a_call_with_its_output_and_goes_back(
    server: Loopback, stream: bool
) -> None:
    """Without ids a result is that of the first call that has none; failed code is an error."""
    parts: list[Json] = [
        {"text": "First. "},
        {"executableCode": {"code": "print(1)", "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
        {"executableCode": {"code": "print(2)", "language": "PYTHON"}},
        {"executableCode": {"code": "print(3)", "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "Oh"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_DEADLINE_EXCEEDED"}},
        {"text": "Done."},
    ]
    server.reply(reply(*parts, stream=stream), reply(*texts("Yes"), stream=stream))
    agent = WIRE.agent(server)
    response = await checked_answer(agent, stream)
    ran = [(call.arguments, call.result) for call in response.tool_calls]
    assert all(call.provider_executed for call in response.tool_calls)
    assert [arguments for arguments, _ in ran] == [
        {"code": f"print({number})", "language": "PYTHON"} for number in (1, 2, 3)
    ]
    assert [(one.content, one.is_error) for _, one in ran if one is not None] == [
        ("1\n", False),
        ("Oh", True),
        ("OUTCOME_DEADLINE_EXCEEDED", True),
    ]
    assert response.metadata["tool_calls"] == [] and response.finish_reason == "stop"
    await checked_answer(agent, stream, history=response.messages)
    assert spelled(server.requests[1].json)["contents"][1]["parts"] == parts


@STREAMED
async def test_tools_with_ids_keep_them(server: Loopback, stream: bool) -> None:
    """Gemini names its search and the like, with ids, where it is asked to tell them."""
    parts: list[Json] = [
        {
            "toolCall": {
                "id": "a",
                "toolType": "GOOGLE_SEARCH_WEB",
                "args": {"queries": ["x"]},
            }
        },
        {"toolCall": {"id": "b", "toolType": "URL_CONTEXT", "args": {"urls": ["y"]}}},
        {"toolResponse": {"id": "b", "toolType": "URL_CONTEXT", "response": {"ok": 1}}},
        {
            "toolResponse": {
                "id": "a",
                "toolType": "GOOGLE_SEARCH_WEB",
                "response": {"found": 2},
            }
        },
        {"text": "Done."},
    ]
    server.reply(reply(*parts, stream=stream), reply(*texts("Yes"), stream=stream))
    agent = WIRE.agent(server)
    response = await checked_answer(agent, stream)
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [
        ("a", "google_search_web", {"queries": ["x"]}),
        ("b", "url_context", {"urls": ["y"]}),
    ]
    results = [call.result for call in response.tool_calls]
    assert [json.loads(one.content) for one in results if one] == [
        {"found": 2},
        {"ok": 1},
    ]
    await checked_answer(agent, stream, history=response.messages)
    assert spelled(server.requests[1].json)["contents"][1]["parts"] == parts


# What the model made


@STREAMED
async def test_pictures_and_files_are_given_and_go_back(
    server: Loopback, stream: bool
) -> None:
    """Bytes and URLs are Images and Files; what is only a draft, or cannot be used, is none."""
    data = b64encode(PNG).decode()
    picture = {"inlineData": {"mimeType": "image/png", "data": data}}
    parts: list[Json] = [
        picture | {"thought": True},
        picture | {"thoughtSignature": "c2ln"},
        {"inlineData": {"mimeType": "audio/wav", "data": b64encode(WAV).decode()}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/1"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/1"}},
        {"inlineData": {"mimeType": "image/png", "data": ""}},
    ]
    server.reply(reply(*parts, stream=stream), reply(*texts("Yes"), stream=stream))
    agent = WIRE.agent(server)
    response = await checked_answer(agent, stream)
    assert response.finish_reason == "stop" and response.content == ""
    assert response.files == [
        Image(PNG, "image/png"),
        File(WAV, "audio/wav"),
        Image("https://a.example/1", "image/png"),
    ]
    await checked_answer(agent, stream, history=response.messages)
    sent = spelled(server.requests[1].json)["contents"][1]["parts"]
    assert [part.keys() for part in sent] == [part.keys() for part in parts]
    assert sent[1]["thoughtSignature"] == "c2ln"
    assert sent[2]["inlineData"]["mimeType"] == "audio/wav"


# What else it tells


@STREAMED
async def test_details_are_what_has_no_field(server: Loopback, stream: bool) -> None:
    """Safety ratings, queries, the entry point of the search, the pages that were read, log-probabilities."""
    rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}
    chosen = {"token": "So", "logProbability": -0.5, "tokenId": 7}
    response = await answer(
        server,
        stream,
        *texts("So"),
        safetyRatings=[rating],
        avgLogprobs=-0.5,
        logprobsResult={
            "chosenCandidates": [chosen],
            "topCandidates": [{"candidates": [chosen]}],
        },
        urlContextMetadata={
            "urlMetadata": [
                {
                    "retrievedUrl": "https://a.example",
                    "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS",
                }
            ]
        },
        groundingMetadata=grounding(
            [page(0)],
            webSearchQueries=["weather"],
            searchEntryPoint={"renderedContent": "<div>"},
        ),
    )
    details = response.metadata["provider_details"]
    logprob = {"token": "So", "logprob": -0.5, "token_id": 7}
    assert details == {
        "safety_ratings": [rating],
        "avg_logprobs": -0.5,
        "logprobs": [{**logprob, "top_logprobs": [logprob]}],
        "url_context_metadata": {
            "url_metadata": [
                {
                    "retrieved_url": "https://a.example",
                    "url_retrieval_status": "URL_RETRIEVAL_STATUS_SUCCESS",
                }
            ]
        },
        "grounding_metadata": {
            "web_search_queries": ["weather"],
            "search_entry_point": {"rendered_content": "<div>"},
        },
    }
    assert len(response.sources) == 1


async def test_log_probabilities_come_piece_by_piece(server: Loopback) -> None:
    """Those of all events stand in one list."""
    response = await events_answer(
        server,
        *[
            {
                "content": {"parts": texts(token)},
                "logprobsResult": {"chosenCandidates": [{"token": token}]},
                "avgLogprobs": number,
            }
            for number, token in enumerate(("a", "b", "a"), 1)
        ],
    )
    details = response.metadata["provider_details"]
    assert [one["token"] for one in details["logprobs"]] == ["a", "b", "a"]
    assert details["avg_logprobs"] == 3


async def test_a_blocked_prompt_tells_its_ratings(server: Loopback) -> None:
    """Why a prompt was refused stands in the details too."""
    feedback = {
        "blockReason": "SAFETY",
        "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "blocked": True}],
    }
    server.reply(Reply(encode({"promptFeedback": feedback}), content_type=JSON))
    response = await checked_answer(WIRE.agent(server), False)
    assert response.finish_reason == "content_filter"
    told = response.metadata["provider_details"]["prompt_feedback"]
    assert told["block_reason"] == "SAFETY" and told["safety_ratings"][0]["blocked"]


async def test_tokens_that_are_no_text_are_told(server: Loopback) -> None:
    """A picture costs other tokens than a text does: the details say how many."""
    usage = {
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
        "promptTokenCount": 4,
        "candidatesTokenCount": 1290,
        "totalTokenCount": 1294,
    }
    candidate = {"content": {"parts": texts("So")}, "finishReason": "STOP"}
    server.reply(Reply(event({"candidates": [candidate], "usageMetadata": usage})))
    response = await checked_answer(WIRE.agent(server), True)
    assert response.metadata["provider_details"] == {
        "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 1290}]
    }
