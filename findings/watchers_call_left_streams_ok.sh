#!/usr/bin/env bash
# Four libraries that watch OpenAI's SDK, and a stream that is not read to its end: left by `break` inside `async with`,
# and cancelled with its task. None records its tokens. Left by `break` it has the status of a whole answer for all but
# openinference; cancelled it is an error only for openinference and logfire.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 openinference-instrumentation-openai==0.1.66 opentelemetry-instrumentation-openai==0.62.4 \
  logfire==5.4.0 langfuse==5.0.4 opentelemetry-sdk==1.45.2
python <<'PYTHON'
from canned import report
from watchers import WATCHERS, watched


def last_status(watcher, way):
    statuses, counted = watched(watcher, way)
    return statuses[-1], "tokens" if counted else "no tokens"


seen = {
    f"{watcher}, {way}": last_status(watcher, way)
    for watcher in WATCHERS
    for way in ("typed", "break", "cancel")
}
statuses = {
    "openinference": ("OK", "UNSET", "ERROR"),
    "openllmetry": ("OK", "OK", "OK"),
    "logfire": ("UNSET", "UNSET", "ERROR"),
    "langfuse": ("UNSET", "UNSET", "UNSET"),
}
counted = {"typed": "tokens", "break": "no tokens", "cancel": "no tokens"}
described = {
    f"{watcher}, {way}": (status, counted[way])
    for watcher in WATCHERS
    for way, status in zip(counted, statuses[watcher], strict=True)
}
report("a stream that was left is told from a whole one", seen, described)
PYTHON
