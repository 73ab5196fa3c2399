#!/usr/bin/env bash
# Anthropic counts tokens read from its cache beside `input_tokens`, and not within them. genai-prices takes its `Usage`
# by OpenAI's rule, and raises where a request reads more from the cache than it sends anew, as most long chats do.
source "$(dirname "$0")/support/setup.sh"
install genai-prices==0.2.3
python <<'PYTHON'
from canned import report
from genai_prices import Usage, calc_price

ANTHROPIC = {"input_tokens": 20, "cache_read_tokens": 5_000, "output_tokens": 9}


def price(usage):
    try:
        calc_price(Usage(**usage), model_ref="claude-sonnet-4-5", provider_id="anthropic")
    except ValueError:
        return "ValueError"
    return "a price"


whole = ANTHROPIC | {"input_tokens": 5_020}
seen = {"as Anthropic says it": price(ANTHROPIC), "with the cache added": price(whole)}
report("a price for both", seen, {"as Anthropic says it": "ValueError", "with the cache added": "a price"})
PYTHON
