"""A chat in Gradio: `python examples/frontends/gradio_chat.py`, with MODEL if not the embedded model."""

import os
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from cogent import Agent, CogentError, Message, Model

agent = Agent("writer", Model(os.environ.get("MODEL", "local"), max_tokens=500))


def read(entry: dict[str, Any]) -> Message:
    """An entry of Gradio's history, whose content is a text or a list of parts."""
    content = entry["content"]
    if not isinstance(content, str):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return Message(entry["role"], content)


async def answer(question: str, history: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Gradio shows what is yielded in place of what was yielded before."""
    stream = agent.run_stream(question, history=[read(entry) for entry in history])
    try:
        async for text in stream.text(accumulated=True):
            yield text
    except CogentError as error:
        raise gr.Error(str(error)) from error


demo = gr.ChatInterface(answer, title="cogent")

if __name__ == "__main__":
    demo.launch(server_port=int(os.environ.get("PORT", "7860")))
