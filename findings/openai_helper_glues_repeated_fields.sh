#!/usr/bin/env bash
# Many servers of the chat-completions format repeat the role in each chunk, and some the id and name of a tool call.
# openai's helper `chat.completions.stream` joins them like text. What it hands back cannot be sent again, or looked up.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0
python <<'PYTHON'
from canned import answering, report
from chat import A, DONE, MESSAGES, B, event
from openai import OpenAI


def calling(piece):
    function = {"name": "add", "arguments": piece}
    return event({"role": "assistant", "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]})


def message(*chunks):
    with answering(*chunks, DONE) as server:
        client = OpenAI(base_url=server.url, api_key="k")
        with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
            return stream.get_final_completion().choices[0].message


text = message(A, B, event({}, "stop"))
call = message(calling('{"a":'), calling("1}"), event({}, "tool_calls")).tool_calls[0]
seen = {"role": text.role, "text": text.content, "id": call.id, "name": call.function.name}
described = {"role": "assistantassistant", "text": "ab", "id": "c1c1", "name": "addadd"}
report({"role": "assistant", "text": "ab", "id": "c1", "name": "add"}, seen, described)
PYTHON
