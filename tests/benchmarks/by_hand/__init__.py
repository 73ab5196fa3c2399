"""What users would write without cogent: loops over the SDK's typed events, one set of them for each protocol.

A protocol is a class with the provider's name and these functions: `connect` makes a client, `request` writes the
arguments of the SDK's call, `text` collects an answer, `plain` takes it whole, `floor` does as `text` over plain dicts,
which is the least that the SDK can be had for, and `round_trip` runs the one tool that is called. `other_http` is the
HTTP client over aiohttp that some SDKs bring. It and `floor` may be left out. `whole_calls` says that tool calls never
come in pieces. Another protocol is another class here and a wire format in `server.py`.
"""

from by_hand.anthropic_loops import Anthropic
from by_hand.gemini_loops import Gemini
from by_hand.groq_loops import Groq
from by_hand.ollama_loops import Ollama
from by_hand.openai_loops import Azure, ChatCompletions, Responses

PROTOCOLS = (Responses, ChatCompletions, Azure, Groq, Anthropic, Gemini, Ollama)
