"""A chat in Panel: `panel serve examples/frontends/panel_chat.py`, with MODEL if not the embedded model.

Panel's stop button ends the run at once.
"""

import os
from collections.abc import AsyncIterator

import panel as pn

from cogent import Agent, Message, Model

agent = Agent("writer", Model(os.environ.get("MODEL", "local"), max_tokens=500))
history: list[Message] = []  # of one page: Panel runs this file for each


async def answer(
    question: str, user: str, chat: pn.chat.ChatInterface
) -> AsyncIterator[str]:
    """Panel shows what is yielded in place of what was yielded before."""
    stream = agent.run_stream(question, history=history)
    try:
        async for text in stream.text(accumulated=True):
            yield text
    finally:  # also where the reader stops it
        history[:] = stream.response.messages


chat = pn.chat.ChatInterface(callback=answer, callback_user="writer")
chat.servable()
