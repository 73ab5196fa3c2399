#!/usr/bin/env bash
# In a message that the Ollama SDK sends, `images` are base64 strings. The same JSON in a message that comes back, as
# models that draw answer, cannot be read: the SDK takes each string for the path of a file.
source "$(dirname "$0")/support/setup.sh"
install ollama==0.6.3
python <<'PYTHON'
import json

from canned import report
from ollama import ChatResponse, Image, Message
from pydantic import ValidationError

picture = bytes.fromhex("89504e470d0a1a0a")
sent = json.loads(Message(role="user", content="", images=[Image(value=picture)]).model_dump_json())


def read(message):
    answer = {"model": "m", "message": {"role": "assistant", **message}, "done": True}
    try:
        ChatResponse.model_validate_json(json.dumps(answer))
    except ValidationError:
        return "ValidationError"
    return "read"


seen = {"as it is sent": read(sent | {"role": "assistant"}), "text": read({"content": "Hi"})}
report("both are read", seen, {"as it is sent": "ValidationError", "text": "read"})
PYTHON
