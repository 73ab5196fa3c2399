"""`examples/web/app.py` on a real socket, asking the loopback server."""

import os
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from support.loopback import Loopback
from support.served import served

APP = Path(__file__).parents[2] / "examples" / "web" / "app.py"


@contextmanager
def example_app(server: Loopback) -> Iterator[int]:
    """Gives the port."""
    variables = {
        "MODEL": "openai:gpt-test",
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": f"{server.url}/v1",
    }
    with mock.patch.dict(os.environ, variables):
        app = runpy.run_path(str(APP))["app"]
        with served(app) as port:
            yield port
