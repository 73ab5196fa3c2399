#!/usr/bin/env bash
# huggingface_hub reads a stream line by line as str.splitlines() does: a JSON string may hold U+2028 or U+0085 as it is
# (RFC 8259), and a server-sent event may go over several `data:` lines or leave out the blank after the colon.
source "$(dirname "$0")/support/setup.sh"
install huggingface_hub==2.4.0 openai==3.57.0
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import WHOLE, hugging_face, read, stainless

BODIES = {
    "U+2028 in a string": WHOLE.replace(b'"a"', '"a\u2028"'.encode()),
    "data in two lines": WHOLE.replace(b'{"id"', b'{\ndata: "id"'),
    "no blank after the colon": WHOLE.replace(b"data: ", b"data:"),
}


async def main():
    seen = {}
    for what, body in BODIES.items():
        with answering(body) as server:
            seen[what] = await read(hugging_face(server.url)), await read(stainless("openai", server.url))
    return seen


described = {
    "U+2028 in a string": ("[JSONDecodeError]", "a\u2028b|"),
    "data in two lines": ("[JSONDecodeError]", "ab|"),
    "no blank after the colon": ("ab[JSONDecodeError]", "ab|"),
}
report("the whole text from both, huggingface_hub and openai", asyncio.run(main()), described)
PYTHON
