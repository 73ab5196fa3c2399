#!/usr/bin/env bash
# genai-prices reads the answer of a provider, which names the tier that it was served in: a batch of Anthropic and `flex`
# of OpenAI cost half, `priority` more than the standard. The price is that of the standard tier each time, without a word.
source "$(dirname "$0")/support/setup.sh"
install genai-prices==0.2.3
python <<'PYTHON'
from canned import report
from genai_prices import extract_usage

MILLION = 1_000_000


def anthropic(tier):
    usage = {"input_tokens": MILLION // 10, "output_tokens": MILLION // 10, "service_tier": tier}
    return {"model": "claude-haiku-4-5", "usage": usage}


def openai(tier):
    usage = {"input_tokens": MILLION, "output_tokens": 0, "total_tokens": MILLION}
    return {"model": "gpt-5-mini", "service_tier": tier, "usage": usage}


def price(answer, **options):
    return float(extract_usage(answer, **options).calc_price().total_price)


def openai_price(tier):
    return price(openai(tier), provider_id="openai", api_flavor="responses")


seen = {
    "anthropic": tuple(price(anthropic(tier), provider_id="anthropic") for tier in ("standard", "batch")),
    "openai": tuple(openai_price(tier) for tier in ("default", "flex", "priority")),
}
expected = {"anthropic": "0.6 and 0.3", "openai": "0.25, then half of it, then more"}
report(expected, seen, {"anthropic": (0.6, 0.6), "openai": (0.25, 0.25, 0.25)})
PYTHON
