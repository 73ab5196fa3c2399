#!/usr/bin/env bash
# A gateway answers 503 with no words at all. For a streamed request mistralai looks for the words in a body that it has
# read in pieces and not kept: what is raised is about reading twice, and the status is nowhere.
source "$(dirname "$0")/support/setup.sh"
install mistralai==3.7.0
python <<'PYTHON'
import asyncio

from canned import answering, report
from chat import MESSAGES
from mistralai.client import Mistral


async def error_of(call):
    try:
        await call(model="m", messages=MESSAGES)
    except Exception as error:  # noqa: BLE001  # which one is the finding
        return type(error).__name__, getattr(error, "status_code", None)


async def main():
    seen = {}
    for body in (b'{"message": "busy"}', b""):
        with answering(*filter(None, [body]), status=503, content_type="application/json") as server:
            chat = Mistral(api_key="k", server_url=server.url).chat
            for method in ("complete_async", "stream_async"):
                words = "with words" if body else "without"
                seen[method, words] = await error_of(getattr(chat, method))
    return seen


said = ("SDKError", 503)
described = {
    ("complete_async", "with words"): said,
    ("stream_async", "with words"): said,
    ("complete_async", "without"): said,
    ("stream_async", "without"): ("ResponseNotRead", None),
}
report("SDKError with status 503 each time", asyncio.run(main()), described)
PYTHON
