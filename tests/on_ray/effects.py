"""The example of a batch with a tool that has effects: a module of a user's, which the workers import too."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray_batch

from cogent import RunContext, Tool, tool


@tool(approval=True)
def send(context: RunContext) -> str:
    """Send the word to somebody."""
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write(f"{context['id']}\n")
    return "It is sent."


class Sender(ray_batch.Worker):
    """A worker whose agent may send."""

    tools: Sequence[Tool[..., Any]] = [send]
