#!/usr/bin/env bash
# LangChain's documentation gathers a stream by `whole = whole + chunk`. For text each `+` costs about the same. For the
# arguments of a tool call each one parses all that came before, in Python: 10 kB take seconds, 100 kB minutes.
source "$(dirname "$0")/support/setup.sh"
install langchain-core==1.8.3
python <<'PYTHON'
import time

from canned import report
from langchain_core.messages import AIMessageChunk

PIECE = "word "


def text(_):
    return AIMessageChunk(content=PIECE)


def arguments(number):
    piece = '{"text": "' if number == 0 else PIECE
    call = {"index": 0, "id": None, "name": None, "args": piece, "type": "tool_call_chunk"}
    return AIMessageChunk(content="", tool_call_chunks=[call])


def seconds(make, count):
    chunks = [make(number) for number in range(count)]
    start, whole = time.process_time(), chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return time.process_time() - start


def growth(make):
    """How many times more eight times as many chunks cost."""
    seconds(make, 50)
    short, long = seconds(make, 250), seconds(make, 2_000)
    print(f"{make.__name__}: {short:.2f} s for 250 chunks, {long:.2f} s for 2000")
    return "eight times" if long / short < 14 else "far more"


expected = "eight times as many chunks cost about eight times as much"
report(expected, {"text": growth(text), "arguments": growth(arguments)}, {"text": "eight times", "arguments": "far more"})
PYTHON
