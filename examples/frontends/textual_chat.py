"""A chat in Textual: `python examples/frontends/textual_chat.py`, with MODEL if not the embedded model.

Escape stops the answer, and so does the next question.
"""

import os
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer, Input, Markdown

from cogent import Agent, CogentError, Message, Model


class Chat(App[None]):
    """Questions below, and the conversation above them."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar = [("escape", "stop", "Stop the answer")]

    def __init__(self) -> None:
        super().__init__()
        model = Model(os.environ.get("MODEL", "local"), max_tokens=500)
        self.agent = Agent("writer", model)
        self.history: list[Message] = []

    def compose(self) -> ComposeResult:
        yield VerticalScroll(id="conversation", can_focus=False)
        yield Input(placeholder="Ask something")
        yield Footer()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer in a worker, so that keys are read meanwhile."""
        event.input.clear()
        self.run_worker(self.answer(event.value), exclusive=True)

    def action_stop(self) -> None:
        """Leave the loop that reads the stream."""
        self.workers.cancel_all()

    async def answer(self, question: str) -> None:
        """Write the answer below the question, as it comes."""
        shown = Markdown()
        conversation = self.query_one("#conversation")
        conversation.anchor()  # its end stays in view
        await conversation.mount(Markdown(f"**{question}**"), shown)
        writer = Markdown.get_stream(shown)
        stream = self.agent.run_stream(question, history=self.history)
        try:
            async for text in stream.text():
                await writer.write(text)
        except CogentError as error:
            self.notify(str(error), severity="error")
        finally:  # also where the reader stops it
            self.history = stream.response.messages
            await writer.stop()


if __name__ == "__main__":
    Chat().run()
