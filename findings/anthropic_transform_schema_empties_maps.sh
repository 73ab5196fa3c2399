#!/usr/bin/env bash
# anthropic.transform_schema makes a JSON schema fit for structured output. A map (an object with keys that are not known
# beforehand) becomes an object that may hold nothing, so the only valid answer is {}.
source "$(dirname "$0")/support/setup.sh"
install anthropic==2.14.0
python <<'PYTHON'
from anthropic import transform_schema
from canned import report

MAP = {"type": "object", "additionalProperties": {"type": "integer"}}
seen = transform_schema({"type": "object", "properties": {"scores": MAP}, "required": ["scores"]})["properties"]["scores"]
emptied = {"type": "object", "properties": {}, "additionalProperties": False}
report("a schema that allows {'ada': 3}, or an error", seen, emptied)
PYTHON
