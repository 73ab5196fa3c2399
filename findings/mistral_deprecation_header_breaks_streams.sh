#!/usr/bin/env bash
# A model that is going to be retired is announced in a response header. mistralai logs that, and for a streamed answer
# reads a body that is not there yet: the header alone turns a good answer into ResponseNotRead.
source "$(dirname "$0")/support/setup.sh"
install mistralai==3.7.0
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import WHOLE, mistral, read


async def main():
    seen = {}
    for name, headers in {"without": {}, "with": {"x-model-deprecation-timestamp": "2027-01-31T00:00:00Z"}}.items():
        with answering(WHOLE, headers=headers) as server:
            seen[f"{name} the header"] = await read(mistral(server.url))
    return seen


described = {"without the header": "ab|", "with the header": "[ResponseNotRead]"}
report("the text ab both times", asyncio.run(main()), described)
PYTHON
