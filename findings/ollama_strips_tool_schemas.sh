#!/usr/bin/env bash
# The schema of a tool goes through a model of ollama's SDK that knows few words: an optional parameter, a reference and a
# nested object reach the server without their types, bounds are dropped, and nothing says so. The same schema given as
# `format=` goes out whole.
source "$(dirname "$0")/support/setup.sh"
install ollama==0.6.3
python <<'PYTHON'
import json

import ollama
from canned import answering, report

PROPERTIES = {
    "city": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "nights": {"type": "integer", "minimum": 1},
    "place": {"$ref": "#/$defs/Place"},
    "guest": {"type": "object", "properties": {"name": {"type": "string"}}},
}
SCHEMA = {"type": "object", "properties": PROPERTIES, "$defs": {"Place": {"type": "object"}}}
ANSWER = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "x"}, "done": True}

with answering(json.dumps(ANSWER).encode(), content_type="application/json") as server:
    tool = {"type": "function", "function": {"name": "book", "description": "Book.", "parameters": SCHEMA}}
    ollama.Client(server.url).chat("m", [{"role": "user", "content": "x"}], tools=[tool], format=SCHEMA)
    request = json.loads(server.requests[0])

seen = {
    "tools": request["tools"][0]["function"]["parameters"]["properties"],
    "format": request["format"]["properties"],
}
gutted = {"city": {}, "nights": {"type": "integer"}, "place": {}, "guest": {"type": "object"}}
report("the schema as it was given, twice", seen, {"tools": gutted, "format": PROPERTIES})
PYTHON
