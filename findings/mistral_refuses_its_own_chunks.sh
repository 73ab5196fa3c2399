#!/usr/bin/env bash
# mistralai checks each chunk of a stream against its types: a call that comes in pieces (the name is only in the
# first), a chunk without `id` or a `delta` that is null, as compatible servers send them and other SDKs read them, ends
# a good answer in the middle.
source "$(dirname "$0")/support/setup.sh"
install mistralai==3.7.0 openai==3.57.0
python <<'PYTHON'
import asyncio
import json

from canned import answering, report
from chat import DONE, END, A, B, mistral, read, stainless


def changed(delta, *left_out):
    """The second chunk with another delta, and without these fields."""
    data = json.loads(B.removeprefix(b"data: "))
    data["choices"][0]["delta"] = delta
    for name in left_out:
        del data[name]
    return b"data: " + json.dumps(data).encode() + b"\n\n"


PIECE = {"index": 0, "function": {"arguments": "{}"}}
TEXT = {"content": "b"}
CHUNKS = {
    "ordinary": changed(TEXT),
    "a piece of a call": changed({**TEXT, "tool_calls": [PIECE]}),
    "without an id": changed(TEXT, "id"),
}


async def main():
    seen = {}
    for name, chunk in CHUNKS.items():
        with answering(A, chunk, END, DONE) as server:
            seen[name, "mistralai"] = await read(mistral(server.url))
            seen[name, "openai"] = await read(stainless("openai", server.url))
    with answering(A, changed(None), B, END, DONE) as server:
        seen["a null before the text", "mistralai"] = await read(mistral(server.url))
    return seen


refused = "a[ResponseValidationError]"
described = {
    ("ordinary", "mistralai"): "ab|",
    ("ordinary", "openai"): "ab|",
    ("a piece of a call", "mistralai"): refused,
    ("a piece of a call", "openai"): "ab|",
    ("without an id", "mistralai"): refused,
    ("without an id", "openai"): "ab|",
    ("a null before the text", "mistralai"): refused,
}
report("the text ab each time", asyncio.run(main()), described)
PYTHON
