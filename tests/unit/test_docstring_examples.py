"""Every public name shows how it is used, and what it shows is what happens.

The examples are doctests. They may use what `names_of` gives them; what else an example needs, it imports itself.
"""

import ast
import asyncio
import doctest
import importlib
import inspect
import io
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient
from support.loopback import Loopback, Reply
from support.wire import openai_responses

import cogent
import cogent.testing
from cogent import Agent, Model
from cogent.testing import ScriptedModel

MODULES = (
    "cogent",
    "cogent.testing",
    "cogent.mcp",
    "cogent.observe",
    "cogent.otel",
    "cogent.prices",
    "cogent.web",
)
MAX_LINES = 5
MCP_SERVER = """
from mcp.server import MCPServer

server = MCPServer("test")


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


server.run()
"""

VERCEL_BODY = {
    "id": "chat-1",
    "trigger": "submit-message",
    "messages": [
        {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    ],
}
AG_UI_BODY = {
    "threadId": "thread-1",
    "runId": "run-1",
    "state": {},
    "messages": [{"id": "m1", "role": "user", "content": "Hi"}],
    "tools": [],
    "context": [],
    "forwardedProps": {},
}
NAMES = [
    f"{module}.{name}"
    for module in MODULES
    for name in importlib.import_module(module).__all__
]


def divide(a: float, b: float) -> float:
    """Divide a by b."""
    return a / b


def docstring_of(path: str) -> str:
    """What a reader finds below the name: also below a constant, which has it in the source alone."""
    module_name, _, name = path.rpartition(".")
    module = importlib.import_module(module_name)
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__doc__ or ""
    return next(filter(None, (below(name, file) for file in files_of(module))), "")


def files_of(module: ModuleType) -> Iterator[Path]:
    """The files that a module's names may be defined in."""
    file = Path(str(module.__file__))
    return file.parent.glob("*.py") if file.name == "__init__.py" else iter([file])


def below(name: str, file: Path) -> str:
    """The string that stands below an assignment to this name."""
    body = ast.parse(file.read_text("utf-8")).body
    for first, second in itertools.pairwise(body):
        match first, second:
            case (
                ast.Assign(targets=[ast.Name(id=assigned)])
                | ast.AnnAssign(target=ast.Name(id=assigned)),
                ast.Expr(ast.Constant(str() as text)),
            ) if assigned == name:
                return inspect.cleandoc(text)
    return ""


def names_of(path: str) -> dict[str, Any]:
    """What an example may use without an import: the public names, and an agent and a web app."""
    module = importlib.import_module(path.rpartition(".")[0])
    names: dict[str, Any] = {}
    for public in (cogent, cogent.testing, module):
        names |= {name: getattr(public, name) for name in public.__all__}
    return names | {
        "asyncio": asyncio,
        "json": json,
        "pytest": pytest,
        "divide": divide,
        "agent": Agent("writer", ScriptedModel("Hello.")),
        "app": FastAPI(),
        "Request": Request,
        "TestClient": TestClient,
        "SECRET": "a secret of thirty-two characters",
        "VERCEL_BODY": VERCEL_BODY,
        "AG_UI_BODY": AG_UI_BODY,
    }


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What OpenAI's server answered to the question of the examples."""
    path = tmp_path_factory.mktemp("recording") / "answer.jsonl"
    with Loopback() as server, cogent.testing.record(path):
        server.reply(answer())
        model = Model("gpt-5.4", base_url=f"{server.url}/v1", api_key="test-key")
        Agent("writer", model).run_sync("Name a river.")
    return path


def answer() -> Reply:
    """The answer of OpenAI's server."""
    return Reply(
        openai_responses.plain_text("The Nile."), content_type="application/json"
    )


@pytest.fixture
def _folder(
    tmp_path: Path, server: Loopback, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the examples run: OpenAI's server, a recording, an MCP server and this Python are at hand."""
    server.reply(answer())
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    (tmp_path / "server.py").write_text(MCP_SERVER, "utf-8")
    shutil.copy(recording, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("path", NAMES)
def test_the_example_of_a_public_name_runs(path: str) -> None:
    """It is there, it is short, and it gives what it says."""
    example = doctest.DocTestParser().get_doctest(
        docstring_of(path), names_of(path), path, None, None
    )
    assert example.examples, f"{path} has no example in its docstring"
    lines = sum(one.source.count("\n") for one in example.examples)
    assert lines <= MAX_LINES, f"the example of {path} has {lines} lines"
    report = io.StringIO()
    outcome = doctest.DocTestRunner(verbose=False).run(example, out=report.write)
    assert not outcome.failed, report.getvalue()
