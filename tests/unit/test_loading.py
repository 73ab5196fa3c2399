"""What is imported when, and what is said when an SDK is missing or too old."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cogent.model import prefixes

SDKS = {
    "openai": "openai",
    "openai-chat": "openai",
    "azure": "openai",
    "local": "xllamacpp",
    "anthropic": "anthropic",
    "gemini": "google/genai",
    "groq": "groq",
    "mistral": "mistralai/client",
    "ollama": "ollama",
}


def run(code: str, path: Path | None = None) -> str:
    """What a fresh interpreter prints; modules in `path` hide installed ones of the same name."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(prefix: str, path: Path) -> str:
    """The words of the ConfigurationError that building an agent raises."""
    lines = ["import cogent", "try:", f"    cogent.Agent('a', '{prefix}:m')"]
    return run(
        "\n".join(
            [*lines, "except cogent.ConfigurationError as error:", "    print(error)"]
        ),
        path,
    )


def test_importing_cogent_loads_no_sdk_and_no_http_client() -> None:
    """`import cogent` is cheap: SDKs, HTTP clients and pydantic come with the first agent or tool that needs them."""
    heavy = {
        "openai",
        "anthropic",
        "google.genai",
        "groq",
        "ollama",
        "xllamacpp",
        "httpx",
        "httpx2",
        "pydantic",
    }
    assert (
        run(f"import cogent, sys; print({heavy} & set(sys.modules))").strip() == "set()"
    )


def test_only_the_sdk_that_is_used_is_loaded() -> None:
    """Building an agent loads its own provider's SDK, and no other."""
    use = "import cogent, sys; cogent.Agent('a', 'groq:m')"
    loaded = run(f"{use}; print({set(SDKS.values())} & set(sys.modules))")
    assert loaded.strip() == "{'groq'}"


def test_every_prefix_is_known() -> None:
    """Each provider module has a prefix, found by the file's name alone."""
    assert prefixes() == sorted(SDKS)


@pytest.mark.parametrize("prefix", SDKS)
def test_a_missing_sdk_says_what_to_install(prefix: str, tmp_path: Path) -> None:
    """Without its SDK a provider tells the command that installs it."""
    package = SDKS[prefix].partition("/")[0]
    (tmp_path / f"{package}.py").write_text(
        "raise ModuleNotFoundError('not installed', name=__name__)"
    )
    assert f'pip install "cogent-ai[{prefix}]"' in refused(prefix, tmp_path)


@pytest.mark.parametrize("prefix", SDKS)
def test_an_sdk_that_is_too_old_says_how_to_upgrade(
    prefix: str, tmp_path: Path
) -> None:
    """An SDK without the names that a provider uses is a ConfigurationError with the command that upgrades it."""
    package = tmp_path / SDKS[prefix].partition("/")[0]
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '0.0.1'")
    told = refused(prefix, tmp_path)
    assert f'"cogent-ai[{prefix}]"' in told and "pip install" in told


def test_preload_loads_what_is_named() -> None:
    """`preload` imports the SDKs of the named providers, and no other."""
    loaded = run(
        f"import cogent, sys; cogent.preload('groq', 'ollama'); print(sorted({set(SDKS.values())} & set(sys.modules)))"
    )
    assert loaded.strip() == "['groq', 'ollama']"


@pytest.mark.slow
@pytest.mark.parametrize("prefix", sorted(SDKS.keys() - {"azure", "local"}))
def test_the_first_request_imports_nothing_more_of_the_sdk(prefix: str) -> None:
    """What an SDK would import inside the first request is there once the agent is built, with its HTTP client."""
    name = SDKS[prefix].replace("/", ".")
    code = f"""
import asyncio, sys
from cogent import Agent, ConnectionFailed, Model
agent = Agent("a", Model("{prefix}:m", api_key="none", base_url="http://127.0.0.1:9", max_retries=0))
before = set(sys.modules)
try:
    asyncio.run(agent.run("Hi"))
except ConnectionFailed:
    print([m for m in sys.modules if m not in before and m.startswith(("{name}.", "httpx", "httpcore"))])
"""
    assert run(code).strip() == "[]"
