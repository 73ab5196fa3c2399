"""A notebook's kernel, as a front end of Jupyter sees it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from jupyter_client.manager import start_new_kernel

LIMIT = 100  # Seconds; a cell takes a few.


@dataclass(slots=True)
class Cell:
    """What the front end was told of one cell."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    """As a notebook would store them: an update changes an output in its place."""
    updates: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """When each display and each update of one came, and its data."""
    ended: float = 0.0

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(output.get("text", "") for output in self.outputs)

    @property
    def markdown(self) -> str:
        """That of the only display."""
        (shown,) = [o for o in self.outputs if o["output_type"] == "display_data"]
        return shown["data"]["text/markdown"]

    @property
    def error(self) -> str:
        """The name of the exception that ended the cell."""
        errors = [o["ename"] for o in self.outputs if o["output_type"] == "error"]
        return errors[0] if errors else ""


class Kernel:
    """A running kernel."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager = manager
        self._client = client

    def interrupt(self) -> None:
        """What the stop button does."""
        self._manager.interrupt_kernel()

    def start(self, code: str) -> str:
        """Have the kernel run a cell; returns the cell's id."""
        return self._client.execute(code)

    def until(self, cell_id: str, cell: Cell, shows: str) -> None:
        """Read on until the cell has shown this text."""
        while shows not in str(cell.outputs):
            assert self._read(cell_id, cell), f"the cell ended first: {cell}"

    def finish(self, cell_id: str, cell: Cell | None = None) -> Cell:
        """Read until the cell has ended."""
        cell = cell or Cell()
        while self._read(cell_id, cell):
            pass
        return cell

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.start(code))

    def _read(self, cell_id: str, cell: Cell) -> bool:
        """Take in one message; False if it was the cell's last."""
        message = self._client.get_iopub_msg(timeout=LIMIT)
        if message["parent_header"].get("msg_id") != cell_id:
            return True
        content = message["content"]
        match message["msg_type"]:
            case "status":
                cell.ended = time.monotonic()
                return content["execution_state"] != "idle"
            case "stream" | "error" | "execute_result":
                cell.outputs.append({"output_type": message["msg_type"], **content})
            case "display_data":
                cell.updates.append((time.monotonic(), content["data"]))
                cell.outputs.append({"output_type": "display_data", **content})
            case "update_display_data":
                cell.updates.append((time.monotonic(), content["data"]))
                for output in cell.outputs:
                    if output.get("transient") == content["transient"]:
                        output["data"] = content["data"]
        return True


@contextmanager
def running_kernel(folder: Path, **variables: str) -> Iterator[Kernel]:
    """A kernel with its files in this folder and these variables in its environment."""
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    env = os.environ | dict.fromkeys(names, str(folder)) | variables
    with patch.dict(os.environ, env):
        manager, client = start_new_kernel(kernel_name="python3", env=env)
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
