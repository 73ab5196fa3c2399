"""What is done around every provider: nothing of it is left in the caller's context."""

from contextvars import copy_context

from conftest import Wire
from support.loopback import Loopback, Reply

OURS = "cogent"


def ours() -> list[str]:
    """The names of our context variables that have a value here."""
    context = copy_context()
    return [
        variable.name
        for variable, value in context.items()
        if OURS in variable.name and value is not None
    ]


async def test_nothing_of_a_request_is_in_the_callers_context(
    server: Loopback, wire: Wire
) -> None:
    """While an answer comes, and after it, the caller's context holds nothing of its request."""
    server.reply(Reply(wire.send.text("Hel", "lo"), content_type=wire.mime))
    agent = wire.agent(server)
    seen = []
    async for chunk in agent.run_stream("Go"):
        seen.append((chunk.content, ours()))
    await agent.aclose()
    assert seen == [("Hel", []), ("lo", []), ("", [])] and ours() == []
