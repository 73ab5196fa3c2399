"""Tools steered by the caller: what is to be called, what needs an approval, and what runs elsewhere."""

import asyncio
import json
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import JSON

from cogent import (
    Agent,
    ConfigurationError,
    Message,
    Response,
    RunContext,
    StreamChunk,
    Tool,
    ToolCall,
    ToolError,
    tool,
)

Json = dict[str, Any]
PAY = ("c1", "pay", '{"amount": 3}')
LOOK = ("c2", "look", '{"what": "sea"}')
WEATHER = ("c1", "weather", '{"city": "Oslo"}')


@tool(approval=True)
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


@tool
async def look(what: str) -> str:
    """Look something up."""
    return f"seen {what}"


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}


def weather(function: Any = None, **options: Any) -> Tool[..., Any]:
    """A tool with a schema of its own, without a function unless one is given."""
    return Tool.from_schema("weather", "The weather.", SCHEMA, function, **options)


class Story:
    """An agent of a wire whose server answers with texts and calls, and its runs."""

    def __init__(self, server: Loopback, wire: Wire, streamed: bool) -> None:
        self.server = server
        self.wire = wire
        self.streamed = streamed

    def expect(self, *turns: str | list[Any]) -> None:
        """What the model says next: a text, or the calls that it makes."""
        for turn in turns:
            self.server.reply(self._reply(turn))

    def _reply(self, turn: str | list[Any]) -> Reply:
        send = self.wire.send
        if self.streamed:
            body = send.text(turn) if isinstance(turn, str) else send.tool_calls(*turn)
            return Reply(body, content_type=self.wire.mime)
        plain = send.plain_text if isinstance(turn, str) else send.plain_tool_calls
        words = [turn] if isinstance(turn, str) else turn
        return Reply(plain(*words), content_type=JSON)

    async def run(
        self, *, agent: Json | None = None, **run: Any
    ) -> tuple[Response, list[StreamChunk]]:
        """One run of a new agent, and its chunks where it is streamed."""
        settings = {"tools": [pay, look], **(agent or {})}
        async with self.wire.agent(self.server, **settings) as one:
            if not self.streamed:
                return await one.run(**run), []
            stream = one.run_stream(**run)
            chunks = [chunk async for chunk in stream]
            return stream.response, chunks

    @property
    def last(self) -> Json:
        """The body of the last request."""
        return self.server.requests[-1].json

    def results(self) -> str:
        """The last request as text, for what it says of results."""
        return json.dumps(self.last)


@pytest.fixture(params=[True, False], ids=["streamed", "plain"])
def story(request: pytest.FixtureRequest, server: Loopback, wire: Wire) -> Story:
    """Both ways to ask, on each provider."""
    return Story(server, wire, request.param)


def through_json(response: Response) -> list[Message]:
    """The history as another process reads it."""
    text = json.dumps([message.to_dict() for message in response.messages])
    return [Message.from_dict(entry) for entry in json.loads(text)]


def choice_of(body: Json) -> Any:
    """What a request says of the choice, whatever the API calls it."""
    config = body.get("toolConfig", {}).get("functionCallingConfig")
    return config or body.get("tool_choice")


def names_in(choice: Any) -> bool:
    """Whether a choice names the tool `look` and no other."""
    return "look" in json.dumps(choice) and "pay" not in json.dumps(choice)


# tool_choice


async def test_a_choice_holds_for_the_first_turn(story: Story) -> None:
    """`required` and a tool's name are said with the first request of a run, and with no later one."""
    if story.wire.provider == "ollama":
        pytest.skip("its API has no such words")
    story.expect([LOOK], "Done.", [LOOK], "Done.")
    await story.run(message="Go", tool_choice="required")
    first, second = (request.json for request in story.server.requests)
    assert json.dumps(choice_of(first)).strip('"{}').lower() != "null"
    assert not names_in(choice_of(first))
    assert choice_of(second) is None
    await story.run(message="Go", agent={"tool_choice": "look"})
    third, fourth = (request.json for request in story.server.requests[2:])
    assert names_in(choice_of(third))
    assert choice_of(fourth) is None


async def test_no_tool_may_be_called(story: Story) -> None:
    """With `none` the model is told to call no tool, and `auto` of a run replaces the agent's choice."""
    story.expect("No.", "Yes.")
    await story.run(message="Go", tool_choice="none")
    if story.wire.provider == "ollama":
        assert not story.last.get("tools")
    else:
        assert "none" in json.dumps(choice_of(story.last)).lower()
    await story.run(message="Go", agent={"tool_choice": "none"}, tool_choice="auto")
    assert choice_of(story.last) is None
    assert story.last["tools"]


async def test_ollama_says_that_it_has_no_choice(server: Loopback) -> None:
    """What an API has no word for is an error before any request."""
    agent = Agent("a", "ollama:llama3.2", tools=[look], tool_choice="required")
    with pytest.raises(ConfigurationError, match="Ollama has no tool_choice"):
        await agent.run("Go")


@pytest.mark.parametrize("choice", ["fly", "", 3, ["look"]])
def test_an_unknown_choice_is_refused(choice: Any) -> None:
    """A choice that is no word and no tool of the agent names the tools that there are."""
    with pytest.raises(ConfigurationError, match="'look'"):
        Agent("a", "openai:gpt-5.4", tools=[look], tool_choice=choice)
    agent = Agent("a", "openai:gpt-5.4", tools=[look])
    with pytest.raises(ConfigurationError, match="'look'"):
        agent.run_stream("Go", tool_choice=choice)


def test_required_needs_a_tool() -> None:
    """An agent without tools cannot require one."""
    with pytest.raises(ConfigurationError, match="needs a tool"):
        Agent("a", "openai:gpt-5.4", tool_choice="required")


# Approval by a callback


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_callback_approves(story: Story, kind: str) -> None:
    """The callback is asked with the call and the context before the tool runs, and other tools are not asked for."""
    asked: list[tuple[ToolCall, Json]] = []

    def approve(call: ToolCall, context: Json) -> bool:
        asked.append((call, context))
        return True

    async def approve_later(call: ToolCall, context: Json) -> bool:
        await asyncio.sleep(0)
        return approve(call, context)

    story.expect([PAY, LOOK], "Done.")
    given = {"approve": approve if kind == "sync" else approve_later}
    response, _ = await story.run(message="Go", agent=given, context={"user": 7})
    assert [(call.name, call.arguments) for call, _ in asked] == [
        ("pay", {"amount": 3})
    ]
    assert asked[0][1] == {"user": 7}
    assert "paid 3" in story.results() and "seen sea" in story.results()
    assert response.content == "Done." and not response.pending


@pytest.mark.parametrize("answer", [False, "too expensive"])
async def test_a_refusal_is_told_to_the_model(story: Story, answer: Any) -> None:
    """A call that is turned down does not run, and the model reads why."""
    story.expect([PAY], "A pity.")
    response, _ = await story.run(
        message="Go", agent={"approve": lambda call, context: answer}
    )
    assert "paid" not in story.results()
    assert ("too expensive" if answer else "Not approved") in story.results()
    result = response.tool_calls[0].result
    assert result is not None and result.is_error


async def test_arguments_that_do_not_fit_ask_nobody(story: Story) -> None:
    """A call that could not run anyway needs no approval: the model is told what is wrong."""
    story.expect([("c1", "pay", '{"amount": "much"}')], "I see.", "I see.")
    response, _ = await story.run(
        message="Go", agent={"approve": lambda call, context: 1 / 0}
    )
    assert "do not fit" in story.results() and response.content == "I see."


async def test_a_callback_that_fails_ends_the_run(server: Loopback, wire: Wire) -> None:
    """An exception of the callback is for the caller, and the tool did not run."""
    story = Story(server, wire, streamed=True)
    story.expect([PAY])
    with pytest.raises(ToolError, match="approve failed") as raised:
        await story.run(message="Go", agent={"approve": lambda call, context: 1 / 0})
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    story.expect([PAY])
    with pytest.raises(ToolError, match="StopIteration"):
        await story.run(message="Go", agent={"approve": lambda *_: next(iter(()))})
    story.expect([PAY])
    with pytest.raises(ConfigurationError, match="approve returns True"):
        await story.run(message="Go", agent={"approve": lambda call, context: None})


# Approval in a later run


async def test_a_call_waits_for_an_approval(story: Story) -> None:
    """Without a callback the run ends with the pending call, after the other tools of its turn; a later one goes on."""
    story.expect([PAY, LOOK], "Done.")
    response, chunks = await story.run(message="Go", context={"user": 7})
    assert response.finish_reason == "tool_calls"
    assert [(call.name, call.type) for call in response.pending] == [
        ("pay", "function")
    ]
    pending = response.metadata["pending"][0]
    assert pending["name"] == "pay" and pending["arguments"] == {"amount": 3}
    if story.streamed:
        ends = [chunk for chunk in chunks if chunk.finish_reason]
        assert [end.is_final for end in ends] == [False, True]
        names = [call["name"] for call in (ends[0].metadata or {})["tool_calls"]]
        assert names == ["pay", "look"]
        results = [chunk.tool_result for chunk in chunks if chunk.tool_result]
        assert [result.name for result in results] == ["look"]
    id = response.pending[0].id
    history = through_json(response)
    later, chunks = await story.run(history=history, approvals={id: True})
    assert later.content == "Done." and not later.pending
    assert "paid 3" in story.results() and "seen sea" in story.results()
    assert [call.name for call in later.tool_calls] == ["pay"]
    if story.streamed:
        assert chunks[0].tool_result is not None
        assert chunks[0].tool_result.content == "paid 3"
    roles = [message.role for message in later.messages]
    assert roles == ["user", "assistant", "tool", "tool", "assistant"]


async def test_a_call_is_turned_down_later(story: Story) -> None:
    """A reason instead of an approval is what the model reads, and a new message may follow it."""
    story.expect([PAY], "A pity.")
    response, _ = await story.run(message="Go")
    id = response.pending[0].id
    later, _ = await story.run(
        message="Try less.", history=response.messages, approvals={id: "too expensive"}
    )
    assert "Not approved: too expensive" in story.results()
    assert "paid" not in story.results()
    roles = [message.role for message in later.messages]
    assert roles == ["user", "assistant", "tool", "user", "assistant"]


async def test_results_of_an_approved_call_stand_before_the_message(
    story: Story,
) -> None:
    """The result of a call that runs at the beginning belongs to its turn, and the new message comes after it."""
    story.expect([PAY], "Done.")
    response, _ = await story.run(message="Go")
    id = response.pending[0].id
    later, _ = await story.run(
        message="And then?", history=response.messages, approvals={id: True}
    )
    roles = [message.role for message in later.messages]
    assert roles == ["user", "assistant", "tool", "user", "assistant"]
    assert later.messages[2].content == "paid 3"


async def test_a_callback_decides_later(story: Story) -> None:
    """An agent with a callback goes on from a call that waited, and asks it."""
    story.expect([PAY], "Done.")
    response, _ = await story.run(message="Go")
    later, _ = await story.run(
        history=response.messages, agent={"approve": lambda call, context: True}
    )
    assert "paid 3" in story.results() and later.content == "Done."


async def test_a_run_that_goes_on_begins_at_auto(story: Story) -> None:
    """The agent's choice holds for the first turn of a new question, not where a run goes on from pending calls."""
    if story.wire.provider == "ollama":
        pytest.skip("its API has no such words")
    choice = {"tool_choice": "required"}
    story.expect([PAY], "Done.")
    response, _ = await story.run(message="Go", agent=choice)
    id = response.pending[0].id
    await story.run(history=response.messages, approvals={id: True}, agent=choice)
    assert choice_of(story.server.requests[0].json) is not None
    assert choice_of(story.last) is None


# Tools that run elsewhere


async def test_a_tool_without_a_function_runs_elsewhere(story: Story) -> None:
    """Its calls are pending, and their results come from the caller."""
    tools = {"tools": [weather(), look]}
    story.expect([WEATHER, LOOK], "Rain.")
    response, _ = await story.run(message="Go", agent=tools)
    assert "The weather." in story.results()
    assert [call.name for call in response.pending] == ["weather"]
    id = response.pending[0].id
    later, _ = await story.run(
        history=through_json(response), results={id: {"rain": True}}, agent=tools
    )
    assert later.content == "Rain."
    assert "rain" in story.results() and "seen sea" in story.results()


async def test_a_tool_from_a_schema_runs(story: Story) -> None:
    """Its function gets the arguments by name, and the context by its type; the schema goes out as it was given."""
    seen: list[Json] = []

    async def find(city: str, days: int = 1, *, ctx: RunContext) -> str:
        seen.append({"city": city, "days": days, "ctx": ctx})
        return "rain"

    story.expect([WEATHER, ("c2", "weather", '{"town": "Rome"}')], "Rain.")
    await story.run(message="Go", agent={"tools": [weather(find)]}, context={"user": 7})
    assert seen == [{"city": "Oslo", "days": 1, "ctx": {"user": 7}}]
    assert "city: missing" in story.results()
    assert "town: there is no such argument" in story.results()


def test_a_tool_from_a_schema_survives_pickling() -> None:
    """A process that goes on with a conversation has the same tool."""
    copied = pickle.loads(pickle.dumps(weather(timeout=3)))
    assert (copied.name, copied.description) == ("weather", "The weather.")
    assert copied.parameters == SCHEMA and copied.runs_elsewhere
    assert copied.timeout == 3


@dataclass
class Till:
    """What an application hands to its tools."""

    limit: int
    paid: list[int] = field(default_factory=list)


async def test_the_context_is_any_object(story: Story) -> None:
    """The callback that approves and the tool get the very object of the application."""
    till = Till(limit=5)
    seen: list[Till] = []

    def approve(call: ToolCall, context: Till) -> bool:
        seen.append(context)
        return call.arguments["amount"] <= context.limit

    @tool(approval=True)
    def pay(amount: int, till: RunContext[Till]) -> str:
        """Pay an amount."""
        till.paid.append(amount)
        return "paid"

    story.expect([PAY], "Done.")
    await story.run(
        message="Go", agent={"tools": [pay], "approve": approve}, context=till
    )
    assert seen[0] is till and till.paid == [3]
    assert "paid" in story.results()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array"}, "JSON schema of an object"),
        ("object", "JSON schema of an object"),
        (None, "JSON schema of an object"),
        ({"properties": ["city"]}, "a dict of properties"),
        ({"required": "city"}, "list of required names"),
        ({"required": [1]}, "list of required names"),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any, words: str) -> None:
    """The parameters of a tool are the schema of an object."""
    with pytest.raises(ConfigurationError, match=words):
        Tool.from_schema("weather", "The weather.", schema, None)


def test_a_tool_that_runs_elsewhere_asks_there() -> None:
    """An approval here of what runs elsewhere would hold nothing up, and is refused where it was written."""
    with pytest.raises(ConfigurationError, match="runs elsewhere"):
        weather(approval=True)


def test_a_function_may_be_an_empty_object() -> None:
    """A function is there also where it is an object that counts as false."""

    class Empty(dict[str, Any]):
        def __call__(self, city: str) -> str:
            return city

    assert not weather(Empty()).runs_elsewhere


def test_approval_is_a_yes_or_no() -> None:
    """An option of another type is refused where it was written."""
    with pytest.raises(ConfigurationError, match="approval is True or False"):
        Tool(look.function, approval="always")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="approve is a function"):
        Agent("a", "openai:gpt-5.4", approve=True)  # type: ignore[arg-type]


# Wrong answers


async def test_wrong_answers_send_nothing(server: Loopback, wire: Wire) -> None:
    """Unknown ids, other types, two answers, and a pending call without an answer are errors before any request."""
    story = Story(server, wire, streamed=True)
    story.expect([PAY])
    response, _ = await story.run(message="Go")
    history = response.messages
    id = response.pending[0].id
    wrong: list[tuple[Json, str]] = [
        ({}, id),
        ({"message": "And?"}, id),
        ({"approvals": {"other": True}}, "'other'"),
        ({"results": {"other": 1}}, "'other'"),
        ({"approvals": {id: 1}}, "True, False or the reason"),
        ({"approvals": {id: True}, "results": {id: 1}}, "twice"),
        ({"results": {id: (one for one in [])}}, "cannot be sent"),
        ({"approvals": [id]}, "a dict"),
    ]
    for given, words in wrong:
        with pytest.raises(ConfigurationError, match=words):
            await story.run(history=history, **given)
    with pytest.raises(ConfigurationError, match="no such tool"):
        await story.run(history=history, approvals={id: True}, agent={"tools": [look]})
    assert len(server.requests) == 1


async def test_an_id_that_waits_twice_is_not_answered(
    server: Loopback, wire: Wire
) -> None:
    """Where two calls wait with one id nobody can tell which one an approval is for, and nothing runs."""
    story = Story(server, wire, streamed=True)
    story.expect([PAY])
    response, _ = await story.run(message="Go")
    twice = [*response.messages, *response.messages]
    id = response.pending[0].id
    with pytest.raises(ConfigurationError, match="two calls"):
        await story.run(history=twice, approvals={id: True})


async def test_half_a_character_in_a_reason_is_replaced(story: Story) -> None:
    """A reason that holds half of a character goes to the model without it."""
    story.expect([PAY], "A pity.")
    response, _ = await story.run(message="Go")
    id = response.pending[0].id
    later, _ = await story.run(
        history=response.messages, approvals={id: "no \ud83d money"}
    )
    assert later.content == "A pity."
    later.messages[2].check()


async def test_a_result_may_have_a_type_of_its_own(story: Story) -> None:
    """What a function gave elsewhere goes out whole, whatever its keys are called."""
    tools = {"tools": [weather()]}
    story.expect([WEATHER], "Rain.")
    response, _ = await story.run(message="Go", agent=tools)
    id = response.pending[0].id
    result = {"type": "job", "output": "done", "code": 31}
    await story.run(history=response.messages, results={id: result}, agent=tools)
    assert "31" in story.results() and "job" in story.results()


async def test_a_stopped_run_keeps_what_was_approved(
    server: Loopback, wire: Wire
) -> None:
    """Leaving a run before its approved tool has run leaves a history that can go on."""
    story = Story(server, wire, streamed=True)
    story.expect([PAY], "Done.")
    response, _ = await story.run(message="Go")
    id = response.pending[0].id
    async with wire.agent(server, tools=[pay, look]) as agent:
        stream = agent.run_stream(
            "Now.", history=response.messages, approvals={id: True}
        )
        await stream.aclose()
        roles = [message.role for message in stream.response.messages]
        assert roles == ["user", "assistant", "tool", "user"]
        async for _ in agent.run_stream("Again.", history=stream.response.messages):
            pass
    assert "paid" not in story.results()
