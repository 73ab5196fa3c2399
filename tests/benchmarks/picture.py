"""Draws the outcomes: `uv run --no-project --with matplotlib python picture.py OUTCOMES.json PICTURE.png`.

Bars show the ratio to the loop by hand, on a scale where half as much and twice as much are equally far away.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

OURS, OTHERS, LINE, INK = "#2a6fbb", "#b9bec6", "#444a52", "#22262b"
PROVIDERS = (
    "openai",
    "openai-chat",
    "azure",
    "groq",
    "anthropic",
    "gemini",
    "mistral",
    "ollama",
)
ONE = "one by one, 1 at once"
OWN_PANELS = {
    "cogent, many events in each chunk of HTTP: CPU": {
        **{f"{provider}: text": provider for provider in PROVIDERS},
        "openai-chat: tool round trip": "openai-chat, a tool round trip",
        "500 streams: CPU": "openai-chat, 500 streams, 4 events in a chunk",
    },
    "cogent, one event in a chunk of HTTP, then 3 ms: CPU": {
        **{f"{provider}: {ONE}": provider for provider in PROVIDERS},
        "openai-chat: one by one, TLS, 1 at once": "openai-chat over TLS",
        "openai-chat: one by one, 50 at once": "openai-chat, 50 streams",
        "openai-chat: one by one, 500 at once: CPU": "openai-chat, 500 streams",
    },
    "cogent, the rest; everywhere 1 is a typed loop by hand": {
        "openai-chat: new loop": "openai-chat: CPU of a short run on a new loop",
        "cold": "openai: CPU to a cold first token",
        "cold, openai-chat": "openai-chat: CPU to a cold first token",
        "openai-chat: one by one, 500 at once: peak memory": "500 streams at once: peak memory",
        "openai-chat: one by one, 500 at once: p99": "500 streams at once: first token, p99",
        "open stream": "an open stream: memory",
        "chunk kept": "a chunk that is kept: memory",
    },
}
PEER_PANELS = {
    "text": "CPU per text delta over Chat Completions, many in a chunk",
    ONE: "the same, one event in a chunk of HTTP, then 3 ms",
    "one by one, TLS, 1 at once": "the same over TLS",
    "one by one, 500 at once: CPU": "the same, 500 streams at once",
    "tool round trip": "CPU of a tool round trip; 1 is the loop by hand",
}
PEER_NAMES = {
    "pydantic_ai": "pydantic-ai",
    "openai_agents": "openai-agents",
    "any_llm": "any-llm",
}


def bars(axes: Any, title: str, rows: list[tuple[str, float, bool]]) -> None:
    """One panel; each row is a label, a ratio and whether it is cogent's."""
    labels, ratios, own = zip(*rows, strict=True)
    places = range(len(rows))
    for place, ratio in zip(places, ratios, strict=True):
        axes.barh(
            place, ratio - 1, left=1, height=0.68, color=OURS if own[place] else OTHERS
        )
        text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
        at, side = (ratio / 1.04, "right") if ratio < 1 else (ratio * 1.04, "left")
        axes.text(at, place, text, va="center", ha=side, color=INK, fontsize=9)
    axes.set_xscale("log", base=2)
    least, most = min(*ratios, 1), max(*ratios, 1)
    axes.set_xlim(least / 1.6, most * 1.6)
    axes.set_yticks(places, labels, fontsize=9.5, color=INK)
    axes.invert_yaxis()
    ticks = [
        tick
        for tick in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
        if least / 1.6 <= tick <= most * 1.6
    ]
    axes.set_xticks(
        ticks,
        [f"1/{round(1 / tick)}" if tick < 1 else f"{tick:.0f}" for tick in ticks],
        fontsize=9,
    )
    axes.minorticks_off()
    axes.axvline(1, color=LINE, linewidth=1.2)
    axes.grid(axis="x", color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=8)


def panels(outcomes: dict[str, Any]) -> list[tuple[str, list[tuple[str, float, bool]]]]:
    """What there is to draw, as far as it was measured."""
    drawn = []
    found = {row["name"]: row["ratio"] for row in outcomes.get("rows", ())}
    for title, shown in OWN_PANELS.items():
        own = [
            (label, found[name], True) for name, label in shown.items() if name in found
        ]
        if own:
            drawn.append((title, own))
    for kind, title in PEER_PANELS.items():
        ratios = [
            (
                PEER_NAMES.get(peer["name"], peer["name"]),
                row["ratio"],
                peer["name"] == "cogent",
            )
            for peer in outcomes.get("peers", ())
            for row in peer["outcomes"]
            if row["name"] == f"{peer['name']}: {kind}"
        ]
        if ratios:
            drawn.append((title, sorted(ratios, key=lambda row: row[1])))
    return drawn


def draw(source: Path, target: Path) -> None:
    """Write the picture."""
    drawn = panels(json.loads(source.read_text()))
    heights = [len(rows) + 1.6 for _, rows in drawn]
    figure, all_axes = plt.subplots(
        len(drawn),
        1,
        figsize=(8.4, 0.25 * sum(heights)),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
    )
    for axes, (title, rows) in zip(all_axes.flat, drawn, strict=True):
        bars(axes, title, rows)
    figure.tight_layout(h_pad=1.6)
    figure.savefig(target, dpi=120, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    _, read, written = sys.argv
    draw(Path(read), Path(written))
