"""Sync runs and their process: interrupts, forks, and the end of the interpreter."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.loopback import Loopback, Recorded, Reply
from support.scene import whole
from support.tool_runs import CHAT
from support.waiting import PROMPT_SECONDS

pytestmark = pytest.mark.slow

BEGIN = """
    import os, signal, sys, threading, time
    from cogent import *

    model = Model("openai-chat:m", api_key="key", base_url=sys.argv[1], max_retries=0)
    agent = Agent("a", model, stream=True)
    """
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def hello(*, end: str = "clean") -> Reply:
    """An answer of two words, of which an unfinished one has only the first."""
    if end == "clean":
        return whole(CHAT, "Hel", "lo")
    events = CHAT.send.text("Hel", "lo")
    return Reply(events[:2], end=end)  # type: ignore[arg-type]


@contextmanager
def program(server: Loopback, script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs this, where every warning is an error."""
    whole_script = textwrap.dedent(BEGIN) + textwrap.dedent(script)
    command = [sys.executable, "-W", "error", "-c", whole_script]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [*command, server.url + "/v1"], text=True, **pipes
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def printed(process: subprocess.Popen[str]) -> str:
    """What a program says that ends well and without a complaint."""
    out, complaints = process.communicate(timeout=2 * PROMPT_SECONDS)
    assert (process.returncode, complaints) == (0, "")
    return out


def run(server: Loopback, script: str) -> str:
    with program(server, script) as process:
        return printed(process)


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PROMPT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def sent(server: Loopback, number: int = 0) -> Recorded | None:
    """The request, once something of its answer was sent."""
    if len(server.requests) <= number or not server.requests[number].sent:
        return None
    return server.requests[number]


# Interrupts


@pytest.mark.parametrize("how", ["run", "stream", "text"])
def test_an_interrupt_stops_the_model(server: Loopback, how: str) -> None:
    """Ctrl-C while the model is silent closes the connection and is raised on, and the next run works."""
    server.reply(hello(end="stall"), hello())
    read = {
        "run": "agent.run_sync('Go')",
        "stream": "[chunk for chunk in stream]",
        "text": "[text for text in stream.text()]",
    }[how]
    script = f"""
        stream = agent.stream_sync("Go")
        try:
            {read}
        except KeyboardInterrupt:
            print(repr(stream.response.content))
        print(agent.run_sync("Go"))
        """
    with program(server, script) as process:
        wait(lambda: sent(server))
        time.sleep(0.2)  # until the program has read what was sent
        process.send_signal(signal.SIGINT)
        assert server.requests[0].wait_disconnected(PROMPT_SECONDS)
        came = "''" if how == "run" else "'Hel'"
        assert printed(process) == f"{came}\nHello\n"


def test_reading_on_after_an_interrupt(server: Loopback) -> None:
    """Who reads on after an interrupt is told that the answer is not complete, and gets what came."""
    server.reply(hello(end="stall"))
    script = """
        stream = agent.stream_sync("Go")
        next(stream)
        threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
        try:
            next(stream)
        except KeyboardInterrupt:
            pass
        try:
            next(stream)
        except StreamInterrupted as error:
            print(error.partial)
        """
    assert run(server, script) == "Hel\n"


def test_an_interrupt_does_not_wait_for_a_sync_tool(server: Loopback) -> None:
    """A sync tool cannot be stopped: it runs on in its thread, while the caller and the program's end go on."""
    server.reply(Reply(CHAT.send.tool_calls(("c1", "sleep", "{}"))))
    script = """
        @tool
        def sleep() -> None:
            print("asleep", flush=True)
            time.sleep(600)

        try:
            Agent("a", model, tools=[sleep]).run_sync("Go")
        except KeyboardInterrupt:
            print("interrupted")
        """
    with program(server, script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asleep\n"
        process.send_signal(signal.SIGINT)
        assert printed(process) == "interrupted\n"


# Forks


@needs_fork
def test_a_forked_child_has_a_loop_of_its_own(server: Loopback) -> None:
    """After a fork parent and child both ask on, and a stream of the parent is refused in the child."""
    server.reply(hello(), hello(end="stall"), *[hello()] * 4)
    script = """
        import warnings
        warnings.filterwarnings("ignore", message=".*multi-threaded.*")

        agent.run_sync("Go")
        stream = agent.stream_sync("Go")
        next(stream)
        child = os.fork()
        for _ in range(2):
            assert str(agent.run_sync("Go")) == "Hello"
        if child:
            assert os.waitpid(child, 0)[1] == 0
            stream.close()
            print(stream.response)
        else:
            try:
                next(stream)
            except ConfigurationError as error:
                assert "another event loop" in str(error)
            else:
                sys.exit("the child read the parent's stream")
        """
    assert run(server, script) == "Hel\n"


@needs_fork
def test_workers_that_are_forked(server: Loopback) -> None:
    """A pool of forked workers, as task queues have, works when its parent has asked before."""
    server.reply(*[hello()] * 9)
    script = """
        import multiprocessing, warnings
        warnings.filterwarnings("ignore", message=".*multi-threaded.*")

        def ask(number):
            return str(agent.run_sync(f"Question {number}"))

        print(ask(0))
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(ask, range(8)) == ["Hello"] * 8)
        """
    assert run(server, script) == "Hello\nTrue\n"


# The end of the interpreter


ENDS = {
    "a stream that is held": """
        stream = agent.stream_sync("Go")
        print(next(stream).content)
        """,
    "a loop that is left by the end": """
        for chunk in agent.stream_sync("Go"):
            print(chunk.content)
            sys.exit()
        """,
    "a thread that still waits": """
        threading.Thread(target=agent.run_sync, args=["Go"], daemon=True).start()
        time.sleep(0.5)
        print("Hel")
        """,
}


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
def test_the_interpreter_ends_at_once(server: Loopback, script: str) -> None:
    """What is still open at the end is closed, and nothing hangs or complains."""
    server.reply(hello(end="stall"))
    assert run(server, script) == "Hel\n"
    wait(lambda: not server.open_connections)


def test_the_end_of_a_process_leaves_connections_to_their_thread(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end the background thread closes its connections, as nothing in asyncio may be called by another."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")  # it raises where one does
    server.reply(hello())
    script = """
        import logging

        logging.getLogger("asyncio").disabled = True  # what takes long is logged too
        print(agent.run_sync("Go"))
        """
    assert run(server, script) == "Hello\n"


def test_a_run_that_comes_too_late(server: Loopback) -> None:
    """When the background loop has ended with the interpreter, a sync run is a clear error."""
    server.reply(hello())
    script = """
        import atexit

        def late():
            try:
                agent.run_sync("Go")
            except ConfigurationError as error:
                print(error)

        atexit.register(late)
        print(agent.run_sync("Go"))
        """
    assert "has ended" in run(server, script)
