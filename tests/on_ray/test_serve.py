"""The example that serves, on a real Ray: two replicas behind one address."""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Semaphore

import httpx
import pytest
from on_ray.programs import LIMIT, STARTS, deploy, settings, stop, wait_until
from support.loopback import Loopback, Recorded, Reply
from support.ports import free_port
from support.wire import chat_completions

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, str(EXAMPLES / "ray_serve.py")]
STREAMS_PER_REPLICA = 2
WAITING = 1


class Provider(Loopback):
    """Begins each answer, and goes on when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Semaphore(0)

    def next_reply(self, request: Recorded) -> Reply:
        role, text, *rest = chat_completions.text("One ", "two ", "three.")
        return Reply([role + text, *rest], gate=self.gate)

    def go_on(self) -> None:
        self.gate.release(1000)

    def hold(self) -> None:
        while self.gate.acquire(blocking=False):
            pass


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A provider that every replica reaches."""
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def environment(provider: Provider, folder: str) -> dict[str, str]:
    """That of who serves, and of who deploys on the same Ray with RAY_ADDRESS=auto."""
    known = {
        "MODEL": "openai-chat:gpt-test",
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "PORT": str(free_port()),
        "STREAMS_PER_REPLICA": str(STREAMS_PER_REPLICA),
        "WAITING": str(WAITING),
    }
    return {**os.environ, **settings(folder, **known)}


@pytest.fixture(scope="module")
def url(environment: dict[str, str], folder: str) -> Iterator[str]:
    """The address of the chat, as `python examples/ray_serve.py` serves it."""
    log = Path(folder) / "log"
    address = f"http://127.0.0.1:{environment['PORT']}/chat"

    def answers() -> bool:
        try:
            return httpx.get(address, timeout=10).status_code == 422  # no question
        except httpx.TransportError:
            return False

    for _ in range(STARTS):
        process = deploy(COMMAND, environment, log)
        try:
            if wait_until(answers, process):
                yield address
                return
        finally:
            stop(process)
    pytest.fail(log.read_text("utf-8")[-4000:])


def begin(stack: ExitStack, url: str) -> Iterator[str]:
    """The lines of an answer that has begun."""
    stream = httpx.stream("GET", url, params={"q": "Count."}, timeout=LIMIT)
    response = stack.enter_context(stream)
    assert response.status_code == 200, response.read()
    lines = response.iter_lines()
    assert any("One" in line for line in lines)
    return lines


def test_a_client_that_leaves_stops_its_run(url: str, provider: Provider) -> None:
    """The provider sees the connection closed, in the middle of its answer."""
    provider.hold()
    with ExitStack() as stack:
        begin(stack, url)
        asked = provider.requests[-1]
        assert asked.disconnected is None
    assert asked.wait_disconnected(60)


def test_full_replicas_refuse_with_503(url: str, provider: Provider) -> None:
    """One request too many is told so at once, and those under way end whole."""
    provider.hold()
    most = 2 * STREAMS_PER_REPLICA
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        streams = [begin(stack, url) for _ in range(most)]
        asked = [
            pool.submit(httpx.get, url, params={"q": "Count."}, timeout=LIMIT)
            for _ in range(WAITING + 3)
        ]
        deadline = time.monotonic() + 60
        while sum(one.done() for one in asked) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        provider.go_on()
        assert all("event: done" in list(lines) for lines in streams)
        codes = sorted(one.result().status_code for one in asked)
    assert codes == [200] * WAITING + [503] * 3


def test_a_rolling_restart_cuts_no_answer(
    url: str, provider: Provider, environment: dict[str, str], tmp_path: Path
) -> None:
    """Answers that had begun end whole after a new version has taken over, which answers from then on."""
    provider.hold()
    log = tmp_path / "log"
    with ExitStack() as stack:
        streams = [begin(stack, url) for _ in range(3)]
        again = deploy(COMMAND, environment | {"RAY_ADDRESS": "auto"}, log)
        try:
            # Said by a replica that is to stop, of the answers that it has begun.
            assert wait_until(lambda: "ongoing requests" in log.read_text(), again)
            provider.go_on()
            assert all("event: done" in list(lines) for lines in streams)
            assert wait_until(lambda: "is ready at" in log.read_text(), again)
            begin(stack, url)
        finally:
            stop(again)
