#!/usr/bin/env bash
# `Candidate.finish_message` says in words why an answer ended. The same answer of a server has it with a client for
# Vertex AI, and lacks it with one for the Gemini API.
source "$(dirname "$0")/support/setup.sh"
install google-genai==3.6.1
python <<'PYTHON'
import json

from canned import answering, report
from google import genai
from google.oauth2.credentials import Credentials

CONTENT = {"role": "model", "parts": [{"text": "Hi"}]}
CANDIDATE = {"content": CONTENT, "finishReason": "OTHER", "finishMessage": "because"}


def told(url, **settings):
    client = genai.Client(http_options={"base_url": url}, **settings)
    answer = client.models.generate_content(model="m", contents="Hi")
    return answer.candidates[0].finish_message


answer = json.dumps({"candidates": [CANDIDATE]}).encode()
with answering(answer, content_type="application/json") as server:
    credentials = Credentials(token="none")
    seen = {
        "Gemini API": told(server.url, api_key="none"),
        "Vertex AI": told(
            server.url, vertexai=True, project="p", location="l", credentials=credentials
        ),
    }
report("because, from both", seen, {"Gemini API": None, "Vertex AI": "because"})
PYTHON
