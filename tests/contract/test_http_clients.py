"""The HTTP clients that an SDK is given: aiohttp where it is installed, or httpx; what is promised holds over both."""

import asyncio
import gc
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Wire
from soak.stop import until
from support.loopback import AUTHORITY, Loopback, Reply
from support.waiting import PROMPT_SECONDS, left

from cogent import (
    Agent,
    ConfigurationError,
    ConnectionFailed,
    Model,
    ModelTimeout,
    StreamInterrupted,
    Timeout,
)

WITHOUT = "aiohttp" in sys.modules and sys.modules["aiohttp"] is None
CHOICES = ["httpx"] if WITHOUT else ["httpx", "aiohttp"]
each_client = pytest.mark.parametrize("http", CHOICES)
both_ways = pytest.mark.parametrize(
    "streaming", [True, False], ids=["streamed", "plain"]
)
wire = pytest.fixture(lambda sdk_wire: sdk_wire)


@pytest.fixture
def secure() -> Iterator[Loopback]:
    """A server that speaks HTTPS."""
    with Loopback(tls=True) as running:
        yield running


def whole(wire: Wire, streaming: bool = True) -> Reply:
    if streaming:
        return Reply(wire.send.text("Do", "ne"), content_type=wire.mime)
    return Reply(wire.send.plain_text("Done"), content_type="application/json")


def ask(wire: Wire, server: Any, http: str, **settings: Any) -> str:
    """What an agent answers that is asked on a loop of its own."""

    async def main() -> str:
        agent = wire.agent(server, model={"http": http}, **settings)
        async with agent:
            return (await agent.run("Go")).content

    return asyncio.run(main())


class Nobody:
    """An address where nobody listens."""

    def __init__(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{unused.getsockname()[1]}"


@each_client
@both_ways
def test_a_refused_connection_is_no_time_out(
    wire: Wire, http: str, streaming: bool
) -> None:
    """Where nobody listens the server cannot be reached, whichever client found that."""
    with pytest.raises(ConnectionFailed, match="cannot reach the server"):
        ask(wire, Nobody(), http, stream=streaming)


@each_client
def test_an_untrusted_certificate_is_no_time_out(
    wire: Wire, http: str, secure: Loopback
) -> None:
    """A server that shows a certificate of somebody unknown is not spoken to."""
    with pytest.raises(ConnectionFailed, match="no secure connection"):
        ask(wire, secure, http)
    assert secure.requests == []


@each_client
def test_a_name_that_nobody_has(wire: Wire, http: str) -> None:
    """A host that does not exist cannot be reached."""
    server = Nobody()
    server.url = "http://models.invalid"
    with pytest.raises(ConnectionFailed, match="cannot reach the server"):
        ask(wire, server, http)


@each_client
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the queue takes more")
def test_a_connection_that_is_not_taken(wire: Wire, http: str) -> None:
    """A server that does not answer the attempt to connect is a time-out that says so."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)  # one in the queue, and no more
        first.connect(listener.getsockname())
        server = Nobody()
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ModelTimeout) as caught:
            ask(wire, server, http, timeout=Timeout(connect=0.2))
    assert caught.value.kind == "connect"


@each_client
@both_ways
def test_an_answer_over_tls(
    monkeypatch: pytest.MonkeyPatch,
    wire: Wire,
    http: str,
    secure: Loopback,
    streaming: bool,
) -> None:
    """A certificate that the environment trusts is good."""
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))
    secure.reply(whole(wire, streaming))
    assert ask(wire, secure, http, stream=streaming) == "Done"


@pytest.mark.skipif(CHOICES == ["httpx"], reason="aiohttp is not installed")
@both_ways
def test_the_server_sees_no_difference(
    wire: Wire, server: Loopback, streaming: bool
) -> None:
    """The same headers and the same body are sent, whichever client sends them."""
    sent = []
    for http in CHOICES:
        server.reply(whole(wire, streaming))
        ask(wire, server, http, stream=streaming)
        request = server.requests[-1]
        sent.append((request.method, request.path, request.headers, request.body))
    assert sent[0] == sent[1]


@each_client
@pytest.mark.parametrize("end", ["close", "reset"])
def test_what_came_before_a_cut_is_not_lost(
    wire: Wire, server: Loopback, http: str, end: Any
) -> None:
    """Text that had arrived is given, also when the connection has ended before it is asked for."""
    events = wire.send.text("One", " two", " three")
    place = next(n for n, event in enumerate(events) if b"three" in event)
    sent = events[: place + 1]
    server.reply(Reply(sent, content_type=wire.mime, end=end, pause=0.01))

    async def main() -> str:
        text = ""
        async with wire.agent(server, model={"http": http}) as agent:
            with pytest.raises(StreamInterrupted):
                async for chunk in agent.run_stream("Go"):
                    text += chunk.content
                    # All has come, and the end too.
                    await until(lambda: not server.open_connections)
        return text

    assert asyncio.run(main()) == "One two three"


@each_client
@both_ways
def test_an_error_page_that_is_left_closes_its_connection(
    wire: Wire, server: Loopback, http: str, streaming: bool
) -> None:
    """Leaving amid an error's page closes the connection, though something still refers to the response."""

    async def main() -> None:
        server.reply(Reply([b"a"], 500, "text/html", forever=True))
        settings: dict[str, Any] = {"model": {"http": http}, "stream": streaming}
        async with wire.agent(server, **settings) as agent:
            run = asyncio.create_task(agent.run("Go"))
            await until(lambda: server.requests and server.requests[0].sent > 2)
            run.cancel()
            await asyncio.wait([run])
            assert await left(server.requests[0])

    gc.disable()  # else it may close what a traceback still refers to
    try:
        asyncio.run(main())
    finally:
        gc.enable()


@each_client
def test_a_connection_that_changed_its_protocol_is_not_used_again(
    wire: Wire, server: Loopback, http: str
) -> None:
    """The request after an answer with status 101 goes over another connection."""
    switched = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"

    async def main() -> str:
        settings: dict[str, Any] = {"model": {"http": http, "max_retries": 0}}
        settings["timeout"] = PROMPT_SECONDS
        async with wire.agent(server, **settings) as agent:
            server.reply(Reply(b"", raw=switched, end="stall"), whole(wire))
            with pytest.raises(ConnectionFailed):
                async for _ in agent.run_stream("Go"):
                    pass
            return "".join([text async for text in agent.run_stream("Go").text()])

    assert asyncio.run(main()) == "Done"
    first_one, second = server.requests
    assert first_one.connection != second.connection


@each_client
def test_connections_are_used_again(wire: Wire, server: Loopback, http: str) -> None:
    """The next request of the same loop takes the same connection."""

    async def main() -> None:
        async with wire.agent(server, model={"http": http}) as agent:
            for _ in range(3):
                server.reply(whole(wire))
                async for _ in agent.run_stream("Go"):
                    pass

    asyncio.run(main())
    assert {request.connection for request in server.requests} == {1}


@pytest.mark.slow
@each_client
def test_nothing_is_said_about_agents_that_nobody_closes(
    wire: Wire, server: Loopback, http: str
) -> None:
    """No library warns or logs, neither in a run nor at its end, with all warnings on."""
    server.reply(whole(wire))
    server.reply(whole(wire))
    script = """
        import asyncio, sys
        from cogent import Agent, Model

        model, address, http, version = sys.argv[1:]
        settings = {"api_version": version} if version else {}
        agent = Agent("a", Model(model, api_key="key", base_url=address, http=http, **settings), stream=True)
        print(asyncio.run(agent.run("Go")), asyncio.run(agent.run("Go")))
        """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    model = f"{wire.provider}:gpt-test"
    version = wire.settings.get("api_version", "")
    ended = subprocess.run(
        [*command, model, server.url + wire.suffix, http, version],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stderr, ended.stdout) == ("", "Done Done\n")


@pytest.mark.slow
def test_a_client_that_is_not_installed() -> None:
    """Who chooses aiohttp without having it is told what to install, and else it is httpx."""
    script = """
        import sys
        sys.modules["aiohttp"] = None
        import asyncio
        from cogent import Agent, ConfigurationError, ConnectionFailed, Model

        for http, expected in (("aiohttp", ConfigurationError), (None, ConnectionFailed)):
            model = Model("openai:m", api_key="key", base_url=sys.argv[1], http=http, max_retries=0)
            try:
                asyncio.run(Agent("a", model).run("Go"))
            except expected as error:
                print(error)
        """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    ended = subprocess.run(
        [*command, Nobody().url], capture_output=True, text=True, check=False
    )
    first, second = ended.stdout.splitlines()
    assert 'pip install "cogent-ai[aiohttp]"' in first
    assert "cannot reach the server" in second
    assert ended.stderr == ""


def test_a_client_that_does_not_exist() -> None:
    """A wrong choice is an error before anything is asked."""
    with pytest.raises(ConfigurationError, match='http is "httpx", "aiohttp" or None'):
        Agent("a", Model("openai:m", api_key="key", http="requests"))  # type: ignore[arg-type]
