"""Certificates are loaded once, and again when the environment names others."""

import asyncio
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx2
import pytest
from conftest import Wire
from support.loopback import AUTHORITY, Loopback, Reply

from cogent import ConfigurationError, ConnectionFailed
from cogent.transport.tls import shared_context

NOBODY = Path(AUTHORITY).with_name("authority.pem")
each_client = pytest.mark.parametrize(
    "client", [httpx, httpx2], ids=lambda client: client.__name__
)


@pytest.fixture
def secure() -> Iterator[Loopback]:
    """A server that speaks HTTPS."""
    with Loopback(tls=True) as running:
        yield running


def trust(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def ask(wire: Wire, server: Loopback) -> str:
    """What an agent answers that is asked on a loop of its own."""
    server.reply(Reply(wire.send.text("Done"), content_type=wire.mime))

    async def main() -> str:
        async with wire.agent(server, stream=True) as agent:
            return (await agent.run("Go")).content

    return asyncio.run(main())


@each_client
def test_a_context_is_made_once(client: object) -> None:
    """All clients of a thread have one context, so that a new loop loads no certificates."""
    assert shared_context(client) is shared_context(client)


def test_the_http_clients_have_contexts_of_their_own() -> None:
    """httpx and httpx2 trust different authorities by default."""
    assert shared_context(httpx) is not shared_context(httpx2)


def test_a_thread_has_a_context_of_its_own() -> None:
    """The HTTP clients write to a context before each connection, which no other thread may use meanwhile."""
    found = []
    thread = threading.Thread(target=lambda: found.append(shared_context(httpx2)))
    thread.start()
    thread.join()
    assert found[0] is not shared_context(httpx2)


def test_another_file_of_certificates_is_read(
    monkeypatch: pytest.MonkeyPatch, sdk_wire: Wire, secure: Loopback
) -> None:
    """A change of SSL_CERT_FILE holds from the next run on a new loop on, both ways."""
    trust(monkeypatch, NOBODY)
    with pytest.raises(ConnectionFailed, match="no secure connection"):
        ask(sdk_wire, secure)
    secure.forget()
    trust(monkeypatch, AUTHORITY)
    assert ask(sdk_wire, secure) == "Done"
    secure.forget()
    trust(monkeypatch, NOBODY)
    with pytest.raises(ConnectionFailed, match="no secure connection"):
        ask(sdk_wire, secure)


def test_a_file_that_was_replaced_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What stands in the file counts, not only its name."""
    file = tmp_path / "trusted.pem"
    trust(monkeypatch, file)
    shutil.copy(NOBODY, file)
    before = shared_context(httpx2)
    shutil.copy(AUTHORITY, file)
    after = shared_context(httpx2)
    assert [len(context.get_ca_certs()) for context in (before, after)] == [1, 1]
    assert before.get_ca_certs() != after.get_ca_certs()


def test_a_directory_of_certificates_is_a_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SSL_CERT_DIR counts where SSL_CERT_FILE is not set."""
    monkeypatch.delenv("SSL_CERT_FILE")
    default = shared_context(httpx2)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert shared_context(httpx2) is not default
    assert shared_context(httpx2).get_ca_certs() == []


def test_certificates_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, sdk_wire: Wire, server: Loopback, tmp_path: Path
) -> None:
    """A wrong SSL_CERT_FILE is named, and nothing is asked."""
    trust(monkeypatch, tmp_path / "missing.pem")
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        ask(sdk_wire, server)
    assert server.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_process_asks_too(
    monkeypatch: pytest.MonkeyPatch, secure: Loopback, tmp_path: Path
) -> None:
    """A context that was made before a fork serves the parent and the child."""
    trust(monkeypatch, AUTHORITY)
    script = tmp_path / "forked.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, os, sys
            from cogent import Agent, Model

            agent = Agent("a", Model("openai:m", api_key="key", base_url=sys.argv[1]))

            async def ask():
                async with agent:
                    return (await agent.run("Go")).content

            asyncio.run(ask())
            child = os.fork()
            answer = asyncio.run(ask())
            if child == 0:
                os._exit(answer != "Done")
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            print(answer)
            """
        )
    )
    from support.wire import openai_responses

    body = openai_responses.plain_text("Done")
    for _ in range(3):
        secure.reply(Reply(body, content_type="application/json"))
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(script), f"{secure.url}/v1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stderr, ended.stdout) == ("", "Done\n")
