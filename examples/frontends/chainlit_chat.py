"""A chat in Chainlit: `chainlit run examples/frontends/chainlit_chat.py`, with MODEL if not the embedded model.

Chainlit's stop button ends the run at once.
"""

import os

import chainlit as cl

from cogent import Agent, CogentError, Model

agent = Agent("writer", Model(os.environ.get("MODEL", "local"), max_tokens=500))


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Chainlit adds what it is given to what it shows."""
    reply = cl.Message("")
    history = cl.user_session.get("history")
    stream = agent.run_stream(message.content, history=history)
    try:
        async for text in stream.text():
            await reply.stream_token(text)
    except CogentError as error:
        await cl.ErrorMessage(str(error)).send()
    finally:  # also where the reader stops it
        cl.user_session.set("history", stream.response.messages)
    await reply.update()
