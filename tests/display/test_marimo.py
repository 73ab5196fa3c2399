"""Runs in the cells of marimo, which is not among the packages of the tests: `uv run --with marimo`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply

pytest.importorskip("marimo", reason="marimo is not installed")

CHAT = next(wire for wire in WIRES if wire.name == "openai-chat")
LIMIT = 200  # Seconds; an export takes a few.
NOTEBOOK = """
import marimo
app = marimo.App()

@app.cell
async def _():
    from cogent import Agent, Model
    agent = Agent("t", Model("openai-chat:m", base_url="URL", api_key="k"))
    first = await agent.run_stream("Go").show()
    return (agent,)

@app.cell
def _(agent):
    second = agent.stream_sync("Go").show()
    return
"""


def test_a_run_is_the_output_of_its_cell(server: Loopback, tmp_path: Path) -> None:
    """Async and sync runs leave the whole document as their cell's output, and no tag of the model's."""
    path, page = tmp_path / "notebook.py", tmp_path / "page.html"
    path.write_text(NOTEBOOK.replace("URL", f"{server.url}/v1"), "utf-8")
    code = "```html\n<script>alert(1)</script>\n```\n{: onclick='a' }"
    server.reply(Reply(CHAT.send.text("First ", "**answer**.\n\n", code)))
    server.reply(Reply(CHAT.send.text("Second ", "answer.")))
    command = [sys.executable, "-m", "marimo", "-q", "export", "html", str(path)]
    done = subprocess.run(
        [*command, "-o", str(page), "--no-include-code"],
        env={**os.environ, "MARIMO_SKIP_UPDATE_CHECK": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = re.findall(r'"text/markdown": "(.*?)"\}', page.read_text("utf-8"))
    first, second = (o.encode().decode("unicode_escape") for o in outputs)
    assert "First <strong>answer</strong>" in first and "18 tokens" in first
    assert "<script" not in first and "{: onclick='a' }" in first  # as text
    assert "Second answer." in second and "18 tokens" in second
