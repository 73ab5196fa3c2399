"""Answers of a type: asked for in each provider's own way, read as values, and told about where they do not fit."""

import json
import pickle
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Optional

import pytest
from conftest import WIRES, Wire
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator
from support import own_provider
from support.loopback import Loopback, Reply
from support.scene import JSON
from support.wire import gemini_generate
from typing_extensions import TypedDict

from cogent import (
    Agent,
    CogentError,
    ConfigurationError,
    Model,
    OutputError,
    Response,
    StreamChunk,
    Tool,
    tool,
)
from cogent.output import make_output_type
from cogent.providers import Request, load

Json = dict[str, Any]


class Item(BaseModel):
    """One line of an invoice."""

    name: str = Field(description="what was bought")
    price: float = Field(ge=0)


class Invoice(BaseModel):
    """What an invoice says."""

    number: str
    items: list[Item]
    note: str | None = None


INVOICE = Invoice(number="A1", items=[Item(name="tea", price=2.5)])
TEXT = '{"number": "A1", "items": [{"name": "tea", "price": 2.5}], "note": null}'
WRONG = '{"number": "A1", "items": [{"name": "tea", "price": -2}], "note": null}'
PIECES = [TEXT[:20], TEXT[20:30], TEXT[30:]]


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"seen {what}"


LOOK = ("c1", "look", '{"what": "sea"}')


class Story:
    """An agent of a wire whose server answers with texts and calls, and its runs."""

    def __init__(self, server: Loopback, wire: Wire, streamed: bool) -> None:
        self.server = server
        self.wire = wire
        self.streamed = streamed
        self.chunks: list[StreamChunk] = []
        self.partials: list[Any] = []

    def expect(self, *turns: str | list[Any], **options: Any) -> None:
        """What the model says next: a text, or the calls that it makes."""
        for turn in turns:
            is_text = isinstance(turn, str)
            words = self._deltas(turn) if isinstance(turn, str) else turn
            name = "text" if is_text else "tool_calls"
            name = name if self.streamed else f"plain_{name}"
            body = getattr(self.wire.send, name)(*words, **options)
            mime = self.wire.mime if self.streamed else JSON
            self.server.reply(Reply(body, content_type=mime))

    def _deltas(self, text: str) -> list[str]:
        """The pieces in which a text is sent: three where it is streamed."""
        third = len(text) // 3 + 1
        places = range(0, len(text), third) if self.streamed else ()
        return [text[place : place + third] for place in places] or [text]

    def expect_output(self, text: str) -> None:
        """The model gives its answer in the way in which this provider is asked for it."""
        if self.uses_tool:
            self.expect([("c9", "Invoice", text)])
        else:
            self.expect(text)

    @property
    def uses_tool(self) -> bool:
        """Whether an answer without tools is a tool's call: Groq's streams have no schemas."""
        return self.wire.provider == "groq" and self.streamed

    async def run(
        self, output_type: Any = Invoice, *, model: Json | None = None, **agent: Any
    ) -> Response[Any]:
        """One run of a new agent."""
        settings = {"output_type": output_type, **agent}
        async with self.wire.agent(self.server, model=model, **settings) as one:
            if not self.streamed:
                return await one.run("Read it.")
            stream = one.run_stream("Read it.")
            async for chunk in stream:
                self.chunks.append(chunk)
                self.partials.append(stream.partial)
            return stream.response

    @property
    def body(self) -> Json:
        """The last request."""
        return self.server.requests[-1].json


@pytest.fixture(params=[True, False], ids=["streamed", "plain"])
def story(request: pytest.FixtureRequest, server: Loopback, wire: Wire) -> Story:
    """Both ways to ask, on each provider."""
    return Story(server, wire, request.param)


@pytest.fixture
def openai(server: Loopback) -> Story:
    """Streamed answers of one provider, for what is the same on all."""
    return Story(server, WIRES[0], True)


def sent_schema(body: Json) -> Json | None:
    """The schema in a request's mode for schemas, whatever the API calls it."""
    chat = body.get("response_format", {}).get("json_schema")
    responses = body.get("text", {}).get("format")
    anthropic = body.get("output_config", {}).get("format")
    named = chat or responses or anthropic
    if named is not None:
        return named["schema"]
    gemini = body.get("generationConfig", {}).get("responseJsonSchema")
    return gemini or body.get("format")


def tool_names(body: Json) -> list[str]:
    """The names of the tools in a request."""
    names = []
    for given in body.get("tools") or ():
        declared = given.get("functionDeclarations") or [given.get("function", given)]
        names += [one["name"] for one in declared]
    return names


# On each provider


async def test_the_answer_is_a_value_of_the_type(story: Story) -> None:
    """`response.output` is the validated value, and the text is what the model wrote."""
    story.expect_output(TEXT)
    response = await story.run()
    assert response.output == INVOICE and isinstance(response.output, Invoice)
    assert response.content == TEXT and response.finish_reason == "stop"
    if story.streamed:
        assert "".join(chunk.content for chunk in story.chunks) == TEXT
        assert len(story.chunks) > 2
        assert story.chunks[-1].is_final


async def test_each_provider_is_asked_in_its_own_way(story: Story) -> None:
    """The request has the schema in the API's own mode, or as the tool that stands for it."""
    story.expect_output(TEXT)
    await story.run()
    if story.uses_tool:
        assert sent_schema(story.body) is None
        assert tool_names(story.body) == ["Invoice"]
        return
    schema = sent_schema(story.body)
    assert schema is not None and set(schema["properties"]) == {
        "number",
        "items",
        "note",
    }
    assert tool_names(story.body) == []


async def test_a_list_comes_in_an_object(story: Story) -> None:
    """What is no object is the `value` of one on the wire, and the plain value here."""
    wrapped = '{"value": [3, 4]}'
    if story.uses_tool:
        story.expect([("c9", "answer", wrapped)])
    else:
        story.expect(wrapped)
    response = await story.run(list[int])
    assert response.output == [3, 4] and response.content == wrapped
    if story.streamed:
        assert story.partials[-1] == [3, 4]


async def test_a_wrong_answer_is_told_and_given_again(story: Story) -> None:
    """The model reads what is wrong; content and partial begin anew with its next answer."""
    story.expect_output(WRONG)
    story.expect_output(TEXT)
    response = await story.run()
    assert response.output == INVOICE and response.content == TEXT
    assert [turn.content for turn in response.turns] == [WRONG, TEXT]
    said = json.dumps(story.body)
    assert "items.0.price: Input should be greater than or equal to 0" in said
    assert (
        json.dumps(WRONG)[1:-1].replace('\\"', "")
        in said.replace("\\", "").replace('"', "")
        or "-2" in said
    )
    if story.streamed:
        (place,) = [
            place
            for place, chunk in enumerate(story.chunks)
            if chunk.metadata and "output_retry" in chunk.metadata
        ]
        told = story.chunks[place]
        assert told.content == "" and not told.is_final and told.finish_reason is None
        assert told.metadata == {
            "output_retry": [
                "items.0.price: Input should be greater than or equal to 0"
            ]
        }
        assert story.partials[place] is None
        after = "".join(chunk.content for chunk in story.chunks[place:])
        assert after == TEXT


async def test_an_answer_that_stays_wrong_is_an_error(story: Story) -> None:
    """After `output_retries` answers more there is an OutputError with the problems, and no final chunk."""
    story.expect_output(WRONG)
    story.expect_output(WRONG)
    with pytest.raises(OutputError) as caught:
        await story.run()
    error = caught.value
    assert error.problems == [
        "items.0.price: Input should be greater than or equal to 0"
    ]
    assert error.partial is not None and error.partial.content == WRONG
    assert error.partial.output is None and len(story.server.requests) == 2
    assert not any(chunk.is_final for chunk in story.chunks)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_an_answer_that_was_cut_or_refused_is_an_error(
    story: Story, finish: Any
) -> None:
    """The error says what ended the answer; the model is not asked again."""
    if finish == "content_filter" and story.wire.provider == "ollama":
        pytest.skip("Ollama has no filters")
    story.expect(TEXT[:30], finish=finish)
    words = {"length": "limit of tokens", "content_filter": "filter"}[finish]
    with pytest.raises(OutputError, match=words) as caught:
        await story.run()
    assert len(caught.value.problems) == 1 and words in caught.value.problems[0]
    assert caught.value.partial is not None and len(story.server.requests) == 1


async def test_tools_run_before_the_answer(story: Story) -> None:
    """An output type and tools go together, by an output tool where the API cannot do both."""
    uses_tool = story.wire.provider in ("groq", "mistral", "ollama")
    story.expect([LOOK])
    story.expect([("c2", "Invoice", TEXT)] if uses_tool else TEXT)
    response = await story.run(tools=[look])
    assert response.output == INVOICE and response.content == TEXT
    assert [call.name for call in response.tool_calls] == ["look"]
    assert response.messages[-1].content == TEXT
    assert not response.messages[-1].tool_calls
    for request in story.server.requests:
        names = tool_names(request.json)
        assert names == (["look", "Invoice"] if uses_tool else ["look"])
        assert (sent_schema(request.json) is None) == uses_tool
    if uses_tool and story.wire.provider != "ollama":
        assert story.body["tool_choice"] in ("required", "any")


@pytest.mark.parametrize(
    ("name", "uses_tool"), [("gemini-2.5-flash", True), ("gemini-3-pro", False)]
)
async def test_gemini_before_3_answers_by_a_tool(
    server: Loopback, name: str, uses_tool: bool
) -> None:
    """Older Gemini models refuse schemas together with tools, newer ones do not."""
    server.reply(
        Reply(
            gemini_generate.tool_calls(("c2", "Invoice", TEXT))
            if uses_tool
            else gemini_generate.text(TEXT)
        )
    )
    model = Model(f"gemini:{name}", base_url=server.url, api_key="key", max_retries=0)
    async with Agent("tester", model, tools=[look], output_type=Invoice) as agent:
        stream = agent.run_stream("Read it.")
        async for _ in stream:
            pass
    assert stream.response.output == INVOICE
    body = server.requests[-1].json
    assert (sent_schema(body) is None) == uses_tool
    assert ("toolConfig" in body) == uses_tool


async def test_an_answer_goes_on_as_a_history(story: Story) -> None:
    """The messages of a run with an output are a history for the next one."""
    story.expect_output(TEXT)
    first = await story.run()
    story.expect_output(TEXT)
    async with story.wire.agent(story.server, output_type=Invoice) as agent:
        if story.streamed:
            stream = agent.run_stream("Again.", history=first.messages)
            async for _ in stream:
                pass
            second = stream.response
        else:
            second = await agent.run("Again.", history=first.messages)
    assert second.output == INVOICE
    assert "A1" in json.dumps(story.body)


# Types


@dataclass
class Point:
    """A place."""

    x: int
    y: int = 0


class Movie(TypedDict):
    title: str
    year: int


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Node(BaseModel):
    name: str
    children: list["Node"] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: dict[str, int] = Field(default_factory=dict)


TYPES = {
    "model": (Item, '{"name": "tea", "price": 1}', Item(name="tea", price=1)),
    "dataclass": (Point, '{"x": 1, "y": 2}', Point(1, 2)),
    "typed dict": (
        Movie,
        '{"title": "M", "year": 1931}',
        {"title": "M", "year": 1931},
    ),
    "list of models": (list[Point], '{"value": [{"x": 1, "y": 0}]}', [Point(1)]),
    "literal": (Literal["yes", "no"], '{"value": "yes"}', "yes"),
    "enum": (Color, '{"value": "blue"}', Color.BLUE),
    "union": (
        Cat | Dog,
        '{"value": {"kind": "dog", "tricks": {"sit": 3}}}',
        Dog(kind="dog", tricks={"sit": 3}),
    ),
    "optional": (Optional[Point], '{"value": null}', None),  # noqa: UP045
    "string": (str, '{"value": "hello"}', "hello"),
    "number": (float, '{"value": 1.5}', 1.5),
    "bool": (bool, '{"value": true}', True),
    "map": (dict[str, int], '{"a": 1}', {"a": 1}),
    "tuple": (tuple[int, str], '{"value": [1, "a"]}', (1, "a")),
    "anything": (Any, '{"value": [1, null]}', [1, None]),
    "recursive": (
        Node,
        '{"name": "a", "children": [{"name": "b", "children": []}]}',
        Node(name="a", children=[Node(name="b")]),
    ),
}


@pytest.mark.parametrize("kind", TYPES)
async def test_types(openai: Story, kind: str) -> None:
    """Models, dataclasses, typed dicts, lists, literals, unions, primitives and recursive types are read."""
    output_type, text, value = TYPES[kind]
    openai.expect(text)
    response = await openai.run(output_type)
    assert response.output == value and type(response.output) is type(value)


@pytest.mark.parametrize("kind", TYPES)
async def test_each_type_is_sent_to_each_provider(
    server: Loopback, sdk_wire: Wire, kind: str
) -> None:
    """Every API gets an object's schema that it takes, or is told in words or by a tool."""
    output_type, text, value = TYPES[kind]
    story = Story(server, sdk_wire, False)
    story.expect(text)
    response = await story.run(output_type)
    assert response.output == value
    schema = sent_schema(story.body)
    if schema is None:
        assert "fits this JSON schema" in json.dumps(story.body)
    else:
        assert schema["type"] == "object"


@pytest.mark.parametrize(
    "text", ["[3, 4]", "```json\n[3, 4]\n```", '{"value": [3, 4]}\n']
)
async def test_what_models_make_of_it_is_read_all_the_same(
    openai: Story, text: str
) -> None:
    """A model that leaves out the object, or writes a Markdown block around it, is understood."""
    openai.expect(text)
    response = await openai.run(list[int])
    assert response.output == [3, 4]


async def test_the_output_type_of_a_run_replaces_that_of_the_agent(
    openai: Story,
) -> None:
    """`output_type` may be given to a run, on an agent with another one or none."""
    openai.expect('{"x": 1, "y": 2}', '{"x": 1, "y": 2}')
    async with openai.wire.agent(openai.server, output_type=Invoice) as agent:
        stream = agent.run_stream("Go", output_type=Point)  # type: ignore[arg-type]
        async for _ in stream:
            pass
        assert stream.response.output == Point(1, 2)
    async with openai.wire.agent(openai.server) as agent:
        stream = agent.run_stream("Go", output_type=Point)
        async for _ in stream:
            pass
        assert stream.response.output == Point(1, 2)


async def test_without_an_output_type_nothing_changes(openai: Story) -> None:
    """An agent without an output type asks for none, and its response and partial have none."""
    openai.expect(TEXT)
    response = await openai.run(None)
    assert response.output is None and set(openai.partials) == {None}
    assert "text" not in openai.body


# The value so far


async def test_partial_values_grow(openai: Story) -> None:
    """`stream.partial` is what there is of the value, as plain JSON, at each chunk."""
    openai.server.reply(Reply(openai.wire.send.text(*PIECES)))
    await openai.run()
    seen = [one for one in openai.partials if one is not None]
    assert seen[0] == {"number": "A1"}
    assert seen[1] == {"number": "A1", "items": [{}]}
    assert seen[2] == seen[-1] == json.loads(TEXT)


async def test_partial_is_worked_out_once_for_each_piece(openai: Story) -> None:
    """Asking again before more has come gives the same object."""
    openai.server.reply(Reply(openai.wire.send.text(*PIECES)))
    async with openai.wire.agent(openai.server, output_type=Invoice) as agent:
        stream = agent.run_stream("Go")
        assert stream.partial is None
        async for chunk in stream:
            if chunk.content:
                assert stream.partial is stream.partial
    assert stream.partial == json.loads(TEXT)


async def test_text_before_the_answer_is_no_partial_value(openai: Story) -> None:
    """A turn that says something and calls a tool has no value."""
    openai.server.reply(Reply(openai.wire.send.tool_calls(LOOK, text="1 moment")))
    openai.expect(TEXT)
    response = await openai.run(tools=[look])
    assert openai.partials[0] is None and response.output == INVOICE
    assert response.content == "1 moment" + TEXT


# Retries


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_the_number_of_retries(openai: Story, retries: int) -> None:
    """The model answers at most once and `output_retries` times more."""
    for _ in range(retries + 1):
        openai.expect("no JSON")
    with pytest.raises(OutputError, match="the answer: Invalid JSON"):
        await openai.run(output_retries=retries)
    assert len(openai.server.requests) == retries + 1


async def test_retries_are_no_steps(openai: Story) -> None:
    """`max_steps` limits the turns that the model takes, without those that it repeats."""
    openai.expect(WRONG, TEXT)
    response = await openai.run(max_steps=1)
    assert response.output == INVOICE


async def test_an_empty_answer_is_told(openai: Story) -> None:
    """An answer without any text is a problem like others."""
    openai.expect("", TEXT)
    response = await openai.run()
    assert response.output == INVOICE
    assert "the answer is empty" in json.dumps(openai.body)


async def test_a_validator_that_fails_is_a_problem_too(openai: Story) -> None:
    """What the user's own validators raise is told to the model."""

    class Even(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def check(cls, number: int) -> int:
            if number == 7:
                raise LookupError("seven")
            if number % 2:
                raise ValueError("it is odd")
            return number

    openai.expect('{"number": 3}', '{"number": 7}', '{"number": 4}')
    response = await openai.run(Even, output_retries=2)
    assert response.output.number == 4
    metadata = [one.metadata for one in openai.chunks if one.metadata]
    told = [one["output_retry"] for one in metadata[:2]]
    assert told == [["number: Value error, it is odd"], ["LookupError: seven"]]


async def test_an_output_error_has_the_validation_error_as_its_cause(
    openai: Story,
) -> None:
    """Who needs more than sentences finds pydantic's error."""
    openai.expect(WRONG)
    with pytest.raises(OutputError) as caught:
        await openai.run(output_retries=0)
    assert isinstance(caught.value.__cause__, ValidationError)
    assert isinstance(caught.value, CogentError)


# Tools


async def test_other_calls_beside_the_answer_run_first(server: Loopback) -> None:
    """An answer beside calls of tools is not the last word: the model answers after their results."""
    (wire,) = [one for one in WIRES if one.provider == "groq"]
    story = Story(server, wire, True)
    story.expect([LOOK, ("c2", "Invoice", WRONG)])
    story.expect([("c3", "Invoice", TEXT), ("c4", "Invoice", WRONG)])
    response = await story.run(tools=[look])
    assert response.output == INVOICE
    assert [call.name for call in response.tool_calls] == ["look"]
    assert not [one for one in story.chunks if one.tool_call and one.tool_call.index]


async def test_calls_that_wait_end_the_run_without_an_output(openai: Story) -> None:
    """A run that ends with pending calls has no output yet; the run that goes on has."""
    pick = Tool.from_schema("pick", "Let the user pick.", {"type": "object"}, None)
    openai.expect([("c1", "pick", "{}")])
    first = await openai.run(tools=[pick])
    assert first.finish_reason == "tool_calls" and first.output is None
    openai.expect(TEXT)
    async with openai.wire.agent(
        openai.server, output_type=Invoice, tools=[pick]
    ) as agent:
        stream = agent.run_stream(history=first.messages, results={"c1": "blue"})
        async for _ in stream:
            pass
    assert stream.response.output == INVOICE


async def test_what_is_said_before_an_output_tool_is_text(server: Loopback) -> None:
    """Words before the call that is the answer are shown, and are no part of its value."""
    (wire,) = [one for one in WIRES if one.provider == "groq"]
    call = ("c1", "Invoice", TEXT)
    server.reply(Reply(wire.send.tool_calls(call, text="Here it is: ")))
    story = Story(server, wire, True)
    response = await story.run()
    assert response.output == INVOICE and response.content == f"Here it is: {TEXT}"
    assert story.partials[0] is None and story.partials[-1] == json.loads(TEXT)


async def test_a_provider_of_the_users_own_is_told_in_words(server: Loopback) -> None:
    """A provider that does not say how it is asked gets the schema in the instructions."""
    server.reply(
        Reply(
            json.dumps({"lines": [{"say": TEXT}, {"over": "fine", "cost": [1, 1]}]}),
            content_type=JSON,
        )
    )

    def encode(request: Request) -> Json:
        said = own_provider.encode_request(request)
        return {**said, "rules": request.instructions, "schema": request.output}

    provider: Any = SimpleNamespace(**{**vars(own_provider), "encode_request": encode})
    model = Model("echo:small", provider=provider, base_url=server.url, api_key="key")
    async with Agent("tester", model, output_type=Invoice) as agent:
        response = await agent.run("Read it.")
    assert response.output == INVOICE
    body = server.requests[0].json
    assert "fits this JSON schema" in body["rules"] and body["schema"] is None


def test_an_agent_with_an_output_type_goes_to_another_process(openai: Story) -> None:
    """Pickling keeps the type and the number of retries, and an error its problems."""
    agent = openai.wire.agent(openai.server, output_type=Invoice, output_retries=2)
    copied = pickle.loads(pickle.dumps(agent))
    assert (copied.output_type, copied.output_retries) == (Invoice, 2)
    error = pickle.loads(pickle.dumps(OutputError("wrong", ["a", "b"])))
    assert error.problems == ["a", "b"] and str(error) == "wrong"


# What cannot be


class Opaque:
    """A class that pydantic knows nothing of."""


@pytest.mark.parametrize(
    "given",
    [Opaque, list[Opaque], "Invoice", 5, print, look],
    ids=["class", "list", "string", "number", "function", "tool"],
)
def test_what_is_no_type_is_found_before_any_request(openai: Story, given: Any) -> None:
    """What cannot become a JSON schema is a ConfigurationError of the agent, and of the run."""
    with pytest.raises(ConfigurationError, match="output_type"):
        openai.wire.agent(openai.server, output_type=given)
    with pytest.raises(ConfigurationError, match="output_type"):
        openai.wire.agent(openai.server).run_stream("Go", output_type=given)
    assert openai.server.requests == []


def test_a_tool_of_the_same_name_is_found_before_any_request(openai: Story) -> None:
    """A tool that is named as the answer would be is a ConfigurationError that says so."""

    @tool(name="Invoice")
    def other() -> str:
        return ""

    with pytest.raises(ConfigurationError, match="a tool is named 'Invoice'"):
        openai.wire.agent(openai.server, output_type=Invoice, tools=[other])
    agent = openai.wire.agent(openai.server, output_type=Invoice)
    with pytest.raises(ConfigurationError, match="a tool is named 'Invoice'"):
        agent.with_tools([other])


@pytest.mark.parametrize("retries", [-1, 1.5, "1", True])
def test_output_retries_is_a_whole_number(openai: Story, retries: Any) -> None:
    """Another number of retries is a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="output_retries"):
        openai.wire.agent(openai.server, output_type=Invoice, output_retries=retries)


# As JSON


async def test_a_response_with_an_output_goes_through_json(openai: Story) -> None:
    """`to_dict` writes the output as plain JSON values, which `from_dict` leaves as they are."""
    openai.expect(TEXT)
    response = await openai.run()
    data = json.loads(json.dumps(response.to_dict()))
    assert data["output"] == json.loads(TEXT)
    assert Response.from_dict(data).output == json.loads(TEXT)


# The SDKs' own types


def check_responses(body: Json) -> None:
    """By the typed parameters of the openai SDK."""
    from openai.types.responses import ResponseTextConfigParam

    assert (
        TypeAdapter(ResponseTextConfigParam).validate_python(body["text"])
        == (body["text"])
    )


def check_chat(body: Json) -> None:
    """By the typed parameters of the openai SDK."""
    from openai.types.shared_params import ResponseFormatJSONSchema

    given = body["response_format"]
    assert TypeAdapter(ResponseFormatJSONSchema).validate_python(given) == given


def check_groq(body: Json) -> None:
    """By the typed parameters of the groq SDK."""
    from groq.types.chat.completion_create_params import (
        ResponseFormatResponseFormatJsonSchema,
    )

    given = body["response_format"]
    adapter = TypeAdapter(ResponseFormatResponseFormatJsonSchema)
    assert adapter.validate_python(given) == given


def check_anthropic(body: Json) -> None:
    """By the typed parameters of the anthropic SDK."""
    from anthropic.types import OutputConfigParam

    given = body["output_config"]
    assert TypeAdapter(OutputConfigParam).validate_python(given) == given


def check_gemini(body: Json) -> None:
    """By the settings of the google-genai SDK."""
    from google.genai.types import GenerationConfig

    config = GenerationConfig.model_validate(body["generationConfig"])
    assert config.response_mime_type == "application/json"
    assert config.response_json_schema == sent_schema(body)


def check_mistral(body: Json) -> None:
    """By the request model of the mistralai SDK."""
    from mistralai.client.models import ResponseFormat

    made = ResponseFormat.model_validate(body["response_format"])
    assert made.model_dump(by_alias=True, exclude_unset=True) == body["response_format"]


def check_ollama(body: Json) -> None:
    """Its client holds the request against its own model, and sends the schema as it is."""
    assert body["format"] == make_output_type(Invoice).schema.schema


SDK_CHECKS = {
    "openai": check_responses,
    "azure": check_responses,
    "openai-chat": check_chat,
    "azure-chat": check_chat,
    "groq": check_groq,
    "anthropic": check_anthropic,
    "gemini": check_gemini,
    "mistral": check_mistral,
    "ollama": check_ollama,
}


async def test_requests_are_valid_by_the_types_of_the_sdks(
    server: Loopback, wire: Wire
) -> None:
    """What asks for the schema holds in the SDK's own typed request model."""
    story = Story(server, wire, False)
    story.expect_output(TEXT)
    await story.run()
    SDK_CHECKS[wire.name](story.body)


async def test_settings_of_the_users_own_stay(openai: Story) -> None:
    """What `extra` says of the text beside its format goes along."""
    openai.expect(TEXT)
    await openai.run(model={"extra": {"text": {"verbosity": "low"}}})
    assert openai.body["text"]["verbosity"] == "low"
    assert openai.body["text"]["format"]["strict"] is True


# The README

README = Path(__file__).parents[2] / "README.md"
MODELS = {"gemini": ["gemini-2.5-pro", "gemini-3-pro"], "groq": ["openai/gpt-oss-20b"]}
WORDS = {
    "tool": "a tool for the answer",
    "optional tool": "a tool for the answer",
    "instructions": "in words",
    "mode and instructions": "in words",
}


def rows() -> list[tuple[str, str, str]]:
    """Each provider of the README's table, and how it is asked without tools and with them."""
    table = README.read_text().partition("| | without tools | with tools |\n")[2]
    cells = [
        line.strip("| ").split(" | ")
        for line in table.partition("\n\n")[0].splitlines()[1:]
    ]
    return [
        (name.strip("` "), plain, with_tools.replace("the same", plain, 1))
        for names, plain, with_tools in cells
        for name in names.split(",")
    ]


@pytest.mark.parametrize(("provider", "plain", "with_tools"), rows())
def test_the_readme_says_how_a_provider_is_asked(
    provider: str, plain: str, with_tools: str
) -> None:
    """The README names a tool where one is used, words where the schema is told, and the API's own mode elsewhere."""
    schemas = [make_output_type(kind).schema for kind in (Invoice, dict[str, int])]
    for tools, cell in ([], plain), ([look], with_tools):
        ways = {
            load(provider).output_way(
                Request(Model(f"{provider}:{name}"), [], tools=tools, output=schema),
                is_streamed,
            )
            for name in MODELS.get(provider, ["x"])
            for schema in schemas
            for is_streamed in (True, False)
        }
        said = {words for words in set(WORDS.values()) if words in cell}
        assert said == {WORDS[way] for way in ways if way in WORDS}
        is_native = any(way.startswith("mode") for way in ways)
        assert is_native == ("mode" in cell or "`format`" in cell)


def test_the_readme_names_every_provider() -> None:
    """No provider is missing in the table."""
    named = {name for name, _, _ in rows()}
    assert named == {*(wire.provider for wire in WIRES), "local"}
