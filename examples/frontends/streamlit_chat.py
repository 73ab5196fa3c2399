"""A chat in Streamlit: `streamlit run examples/frontends/streamlit_chat.py`, with MODEL if not the embedded model."""

import os

import streamlit as st

from cogent import Agent, CogentError, Model


@st.cache_resource
def make_agent() -> Agent:
    """One agent for all pages: Streamlit runs this file anew at each input."""
    return Agent("writer", Model(os.environ.get("MODEL", "local"), max_tokens=500))


history = st.session_state.setdefault("history", [])
for message in history:
    if message.content:
        st.chat_message(message.role).write(message.content)

question = st.chat_input("Ask something")
if question:
    st.chat_message("user").write(question)
    stream = make_agent().stream_sync(question, history=history)
    try:
        st.chat_message("assistant").write_stream(stream.text())
    except CogentError as error:
        st.error(str(error))
    finally:  # also where the reader stops it
        st.session_state.history = stream.response.messages
