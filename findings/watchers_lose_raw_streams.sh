#!/usr/bin/env bash
# Four libraries that watch OpenAI's SDK count the tokens of a stream that is read event by event. Of the same stream
# taken by `with_raw_response` and `parse(to=AsyncStream[object])`, both public, three record no tokens, and langfuse
# nothing at all; none says so.
source "$(dirname "$0")/support/setup.sh"
install openai==3.57.0 openinference-instrumentation-openai==0.1.66 opentelemetry-instrumentation-openai==0.62.4 \
  logfire==5.4.0 langfuse==5.0.4 opentelemetry-sdk==1.45.2
python <<'PYTHON'
from canned import report
from watchers import WATCHERS, watched


def seen(watcher):
    def kinds(way):
        statuses, counted = watched(watcher, way)
        return "tokens" if counted else "a span" if statuses else "nothing"

    return kinds("typed"), kinds("raw")


described = dict.fromkeys(WATCHERS, ("tokens", "a span")) | {"langfuse": ("tokens", "nothing")}
report("tokens, whether the stream is typed or raw", {name: seen(name) for name in WATCHERS}, described)
PYTHON
