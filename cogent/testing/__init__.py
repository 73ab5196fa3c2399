"""For the tests of programs that use cogent: a model that plays a script, and answers of
real servers that are recorded once and replayed.

    from cogent.testing import ScriptedModel

    async def test_the_agent_adds():
        model = ScriptedModel([ToolCall("c1", "add", {"a": 1, "b": 2})], "It is 3.")
        with agent.override(model=model):
            response = await agent.run("What is 1 + 2?")
        assert response.content == "It is 3."
        assert model.requests[1].messages[-1].content == "3"
"""

from cogent.errors import PlaybackError
from cogent.testing.recorder import record
from cogent.testing.replayer import replay
from cogent.testing.script import Cut, Delay, Finish, Reasoning
from cogent.testing.scripted import ScriptedModel

__all__ = [
    "Cut",
    "Delay",
    "Finish",
    "PlaybackError",
    "Reasoning",
    "ScriptedModel",
    "record",
    "replay",
]
