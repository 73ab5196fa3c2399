"""Tools that print tracebacks show the variables of each frame: no key is among them, however a run ends."""

import asyncio
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from conftest import Wire
from support.loopback import Loopback, Reply
from support.scene import whole

from cogent import Agent, CogentError, ModelError, Timeout, ToolError, tool

KEY = "sk-canary-31415926535897932384"
JSON = "application/json"
both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)


def refused(wire: Wire, streaming: bool) -> Reply:
    """A server that does not take the key."""
    return Reply('{"error": {"message": "No.", "code": "no", "type": "no"}}', 401, JSON)


ENDS: dict[str, Callable[[Wire, bool], Reply]] = {
    "a refused key": refused,
    "a failed server": lambda *_: Reply("Bad gateway", 502, "text/plain"),
    "no answer": lambda wire, streaming: whole(
        wire, "Done", streaming=streaming, truncate=0, end="close"
    ),
    "a cut answer": lambda wire, streaming: whole(
        wire, "Done", streaming=streaming, truncate=30, end="close"
    ),
    "no JSON": lambda *_: Reply("{nonsense", content_type=JSON),
    "a key in what is no JSON": lambda *_: Reply(
        f'{{"said": "{KEY}", nonsense', content_type=JSON
    ),
    "a key in an event": lambda *_: Reply(
        f'data: {{"error": "{KEY}"}}\n\n', 500, "text/event-stream"
    ),
    "a page": lambda *_: Reply("<html>", content_type="text/html"),
    "too slow": lambda wire, streaming: whole(
        wire, "Done", streaming=streaming, delay=30
    ),
}


async def failure(agent: Agent) -> BaseException:
    """What the run of an agent raises."""

    with pytest.raises(CogentError) as raised:
        async with agent:
            await agent.run("Go")
    return raised.value


def chain(error: BaseException) -> list[BaseException]:
    """The error and all that stands behind it."""
    found = [error]
    for one in found:
        behind = [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
        found += [
            e
            for e in behind
            if e is not None and not any(e is known for known in found)
        ]
    return found


def frames(error: BaseException) -> Iterator[FrameType]:
    """The frames of its traceback that are not this file's."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename != __file__:
            yield traceback.tb_frame
        traceback = traceback.tb_next


def shows(value: object) -> bool:
    """Whether the key is in the value's repr, or in that of an attribute or an item of it."""
    attributes = [
        name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())
    ]
    inner = [getattr(value, name, None) for name in attributes] + list(
        getattr(value, "__dict__", {}).values()
    )
    if isinstance(value, dict):
        inner += value.values()
    return any(KEY in repr(one) for one in (value, *inner))


def leaks(error: BaseException) -> list[str]:
    """The places of an error that leaves a run where the key shows."""
    places = []
    for one in chain(error):
        for frame in frames(one):
            code = frame.f_code
            names = [name for name, value in frame.f_locals.items() if shows(value)]
            places += [f"{code.co_filename}:{code.co_name}: {name}" for name in names]
        request = getattr(getattr(one, "response", None), "request", None) or vars(
            one
        ).get("_request")
        places += [
            type(one).__name__
            for value in (one, request, getattr(request, "headers", None))
            if shows(value)
        ]
    return places


@both_ways
@pytest.mark.parametrize("end", ENDS)
async def test_no_frame_of_a_failed_run_holds_the_key(
    server: Loopback, wire: Wire, streaming: bool, end: str
) -> None:
    """Neither frames nor the SDK's error, which stays the cause, show the key that was sent."""
    server.reply(ENDS[end](wire, streaming))
    model = {"api_key": KEY}
    # On a busy machine the first limit may be over before anything is sent.
    limits = [0.2, 2, 20] if end == "too slow" else [None]
    for limit in limits:
        timeout = Timeout(first=limit) if limit else None
        agent = wire.agent(server, model=model, stream=streaming, timeout=timeout)
        error = await failure(agent)
        if server.requests:
            break
    assert isinstance(error, ModelError) and leaks(error) == []
    assert KEY in str(server.requests[0].headers)
    assert end != "a refused key" or error.__cause__ is not None


@both_ways
async def test_no_frame_of_a_failed_connection_holds_the_key(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """Where nobody listens, the frames of the HTTP client show no key either."""
    server.close()
    assert (
        leaks(
            await failure(wire.agent(server, model={"api_key": KEY}, stream=streaming))
        )
        == []
    )


@both_ways
async def test_no_frame_of_a_key_that_cannot_be_sent_holds_it(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """A key with a line break is in no frame of the error that refuses it."""
    assert (
        leaks(
            await failure(
                wire.agent(server, model={"api_key": f"{KEY}\n"}, stream=streaming)
            )
        )
        == []
    )


@both_ways
async def test_no_frame_of_a_cancelled_run_holds_the_key(
    server: Loopback, wire: Wire, streaming: bool
) -> None:
    """The cancellation that a caller gets back has come through the SDK, and shows nothing of it."""
    server.reply(whole(wire, "Done", streaming=streaming, delay=30))
    async with wire.agent(server, model={"api_key": KEY}, stream=streaming) as agent:
        task = asyncio.create_task(agent.run("Go"))
        while not server.requests:  # noqa: ASYNC110  # the server is in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
    assert leaks(raised.value) == []


async def test_the_frames_of_a_users_tool_are_left_as_they_are(
    server: Loopback, wire: Wire
) -> None:
    """What a tool failed with is its author's to look at, with its variables."""

    @tool(on_error="raise")
    def divide() -> None:
        """Divide."""
        divisor = 0
        print(1 / divisor)

    server.reply(
        Reply(wire.send.plain_tool_calls(("c1", "divide", "{}")), content_type=JSON)
    )
    error = await failure(wire.agent(server, tools=[divide]))
    assert isinstance(error, ToolError) and isinstance(
        error.__cause__, ZeroDivisionError
    )
    last = error.__cause__.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    assert last is not None and last.tb_frame.f_locals == {"divisor": 0}
